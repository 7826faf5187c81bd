"""Flow fields (h, w, 2) in pixels, x before y: length, warping, whether they return, the camera's part."""

from functools import lru_cache

import numpy as np

_GRID = 8
_ROUNDS = 12
_SOFT = 0.05  # px: residuals below it weigh alike
_OTHER = 0.3  # px between a point's flow and the camera's from which on it is more likely another motion


def length(flow: np.ndarray) -> np.ndarray:
    """|F| of flow (..., 2)."""
    return np.sqrt(flow[..., 0] ** 2 + flow[..., 1] ** 2)


def warp(field: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sample `field` (h, w) or (h, w, C) at p + flow(p), and say which p stay in bounds (h, w) bool."""
    import cv2

    height, width = flow.shape[:2]
    at = flow + _pixels(height, width)
    inside = cv2.inRange(at, (0.0, 0.0), (width - 1.0, height - 1.0)) > 0
    return cv2.remap(field, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), inside


def coherent(forward: np.ndarray, backward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that return when flow is followed forward and back (Sundaram et al. 2010), and pixels inside.

    |F + W(B)|^2 < .01 (|F|^2 + |W(B)|^2) + .5; both results are (h, w) bool.
    """
    returning, inside = warp(backward, forward)
    gap = _squared(forward + returning)
    return gap < 0.01 * (_squared(forward) + _squared(returning)) + 0.5, inside


def on_grid(flow: np.ndarray, reliable: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Every 8th pixel that is `reliable` (h, w) bool, default all: its place (N, 2) and its flow (N, 2)."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[_GRID // 2 : height : _GRID, _GRID // 2 : width : _GRID]
    kept = np.ones(x.shape, bool) if reliable is None else reliable[y, x]
    return np.stack([x, y], -1)[kept].astype(np.float32), flow[y, x][kept]


def displacement(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w, 2) by which a homography (3, 3) moves every pixel."""
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    across, down, depth = (a * x + b * y + c for a, b, c in matrix.astype(np.float32))
    return np.stack([across / depth - x, down / depth - y], -1)


def camera_part(flow: np.ndarray, reliable: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Flow on every 8th reliable pixel, and that of the similarity (pan, roll, zoom) nearest to it.

    Nearest by sum log(1 + |F - F_cam|^2 / .3^2), which a figure that fills two fifths of the picture hardly
    pulls away, from the one that leaves the least sum of |F - F_cam|. A vote of inliers (RANSAC) jumps from
    one surface to the next where flow is off by a tenth of a pixel; this moves as little as the flow does.

    Args:
        flow: (h, w, 2) pixels.
        reliable: (h, w) bool, default all; occluded pixels have no flow to explain.

    Returns:
        Two arrays (N, 2): the measured flow and the camera's.
    """
    start, measured = on_grid(flow, reliable)
    if len(start) < 2:
        return measured, np.zeros_like(measured)
    camera = _nearest(_complex(start), _complex(measured))
    return measured, np.stack([camera.real, camera.imag], -1).astype(np.float32)


def _nearest(place: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Of all flows c z + d of points z, the one nearest to `flow`, by squares weighed again and again.

    As complex numbers (N,): c zooms and turns, d shifts. Inverse lengths as weights lead to the least sum of
    lengths (Weiszfeld 1937), Cauchy's weights on to the least sum of logarithms (Holland and Welsch 1977).
    """
    weight, fitted = np.ones(len(place)), flow
    for soften in (lambda left: 1 / np.hypot(left, _SOFT), lambda left: 1 / (left**2 + _OTHER**2)):
        for _ in range(_ROUNDS):
            weight /= weight.sum()
            centre, shift = weight @ place, weight @ flow
            arm = place - centre
            turn = (weight * arm.conj()) @ (flow - shift) / (weight @ np.abs(arm) ** 2)
            fitted = shift + turn * arm
            weight = soften(np.abs(flow - fitted))
    return fitted


def _complex(points: np.ndarray) -> np.ndarray:
    """(N, 2) as x + iy, (N,)."""
    return points[:, 0].astype(np.float64) + 1j * points[:, 1]


def _squared(flow: np.ndarray) -> np.ndarray:
    x, y = flow[..., 0], flow[..., 1]
    return x * x + y * y


@lru_cache(maxsize=4)
def _pixels(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    pixels = np.stack([x, y], -1)
    pixels.flags.writeable = False
    return pixels
