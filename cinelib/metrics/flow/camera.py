"""What the camera alone explains of a flow field."""

import numpy as np

from cinelib.metrics.flow.fields import on_grid

_ROUNDS = 12
_SOFT = 0.05  # px: residuals below it weigh alike
_OTHER = 0.3  # px between a point's flow and the camera's from which on it is more likely another motion


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
