"""What the camera alone explains of a flow field, and its motion where flow has nothing to hold on to."""

import numpy as np

_GRID = 8
_AGREE = 0.25  # px between a point's flow and the camera's
_MAJORITY = 0.25  # of the picture must agree before there is a camera motion to speak of
_WINDOW = 5


def camera_part(flow: np.ndarray, reliable: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Flow on every 8th reliable pixel, and that of the similarity (pan, roll, zoom) that most of it follows.

    Args:
        flow: (h, w, 2) pixels.
        reliable: (h, w) bool, default all; occluded pixels have no flow to explain.

    Returns:
        Two arrays (N, 2): the measured flow and the camera's, fitted by RANSAC.
    """
    import cv2

    y, x = _grid(flow)
    kept = np.ones(x.shape, bool) if reliable is None else reliable[y, x]
    start = np.stack([x, y], -1)[kept].astype(np.float32)
    measured = flow[y, x][kept]
    if len(start) < 2:
        return measured, np.zeros_like(measured)
    cv2.setRNGSeed(0)
    matrix, _ = cv2.estimateAffinePartial2D(
        start, start + measured, method=cv2.RANSAC, ransacReprojThreshold=0.25
    )
    if matrix is None:
        return measured, np.zeros_like(measured)
    return measured, (start @ matrix[:, :2].T + matrix[:, 2] - start).astype(np.float32)


def camera_homography(flow: np.ndarray) -> np.ndarray | None:
    """(3, 3) map of the pixels of a turning camera that most of a flow (h, w, 2) follows, or None.

    None when under a quarter of the picture agrees within a quarter of a pixel: noise, shuffled frames and
    deep sets that a dolly moves through have no motion of the whole picture.
    """
    import cv2

    y, x = _grid(flow)
    start = np.stack([x, y], -1).reshape(-1, 2).astype(np.float32)
    end = start + flow[y, x].reshape(-1, 2)
    matrix, agree = cv2.findHomography(start, end, cv2.RANSAC, _AGREE, maxIters=300)
    if matrix is None or agree.mean() < _MAJORITY or np.linalg.det(matrix) < 0.1:
        return None
    return matrix


def settled(flow: np.ndarray, matrix: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """`flow` with the camera's motion where that explains the pictures as well, or better.

    DIS spreads the motion of a figure over the wall behind it, and lets flow fade in a blank sky. Each pixel
    therefore takes the camera's motion when it matches the luma of the two frames as well as the pixel's
    own flow, averaged over 5 x 5 pixels, and when one of both leaves the picture.

    Args:
        flow: (h, w, 2) from `here` to `there`, both (h, w) luma without contrast normalisation, which would
            carry the figure's brightness into the wall.
        matrix: (3, 3), from `camera_homography`.
    """
    import cv2

    camera = _displacement(matrix, *flow.shape[:2])
    own, own_inside = _mismatch(here, there, flow)
    other, other_inside = _mismatch(here, there, camera)
    loss = cv2.blur(other - own, (_WINDOW, _WINDOW))
    chosen = (loss <= 0) | ~own_inside | ~other_inside
    return np.where(chosen[..., None], camera, flow)


def warp(field: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sample `field` (h, w, C) at p + flow(p), and say which p stay in bounds (h, w) bool."""
    import cv2

    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), inside


def _mismatch(here: np.ndarray, there: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found, inside = warp(there, flow)
    return np.abs(here - found), inside


def _displacement(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    across, down, depth = (a * x + b * y + c for a, b, c in matrix.astype(np.float32))
    return np.stack([across / depth - x, down / depth - y], -1)


def _grid(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = flow.shape[:2]
    y, x = np.mgrid[_GRID // 2 : height : _GRID, _GRID // 2 : width : _GRID]
    return y, x
