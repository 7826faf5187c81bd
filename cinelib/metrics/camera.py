"""What the camera alone explains of a flow field, and its motion where flow has nothing to hold on to."""

import numpy as np

from cinelib.metrics.fields import coherent, displacement, warp
from cinelib.metrics.guided import along_edges

_GRID = 8
_AGREE = 0.25  # px between a point's flow and the camera's
_MAJORITY = 0.25  # of the picture must agree before there is a camera motion to speak of
_ENOUGH = 0.05  # of the picture must have flow to rely on
_TIE = 0.5  # grey levels by which the camera's motion may match worse than a pixel's own
_WORST = 30.0  # grey levels
_PATCH = 11


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


def camera_homography(flow: np.ndarray, reliable: np.ndarray | None = None) -> np.ndarray | None:
    """(3, 3) map of the pixels of a turning camera that most of a flow (h, w, 2) follows, or None.

    None when too little is reliable (h, w) bool, or under a quarter of it agrees within a quarter of a
    pixel: noise, shuffled frames and some sets that a dolly moves through have no motion of the whole
    picture.
    """
    import cv2

    y, x = _grid(flow)
    kept = np.ones(x.shape, bool) if reliable is None else reliable[y, x]
    if kept.mean() < _ENOUGH:
        return None
    start = np.stack([x, y], -1)[kept].astype(np.float32)
    end = start + flow[y, x][kept]
    matrix, agree = cv2.findHomography(start, end, cv2.RANSAC, _AGREE, maxIters=300)
    if matrix is None or agree.mean() < _MAJORITY or np.linalg.det(matrix) < 0.1:
        return None
    return matrix


def settled(
    flows: tuple[np.ndarray, np.ndarray], matrix: np.ndarray, frames: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Flow and return flow with the camera's motion where that explains the pictures as well, or better.

    DIS spreads the motion of a figure over the wall behind it, and guesses in a blank sky. A pixel takes
    the camera's motion when (1) that matches the luma of the two frames about as well as its own flow does,
    weighed over the surface that it belongs to, or its own flow leaves the picture, or (2) its own flow does
    not return: the wall that a figure is about to cover has nowhere to go. Single pixels follow their
    neighbourhood.

    Args:
        flows: two of (h, w, 2), from the first frame to the second, and back.
        matrix: (3, 3), from `camera_homography` of the first.
        frames: two of (h, w) uint8 luma without contrast normalisation, which would carry the figure's
            brightness into the wall.
    """
    cameras = [displacement(found, *frames[0].shape) for found in (matrix, np.linalg.inv(matrix))]
    pairs = (frames, frames[::-1])
    chosen = [_fits(*fields, *pair) for *fields, pair in zip(cameras, flows, pairs, strict=True)]
    there, back = (_joined(*parts) for parts in zip(chosen, cameras, flows, strict=True))
    for mask, (returns, inside) in zip(chosen, (coherent(there, back), coherent(back, there)), strict=True):
        mask |= ~(returns & inside)
    there, back = (
        _joined(_majority(mask), *parts) for mask, *parts in zip(chosen, cameras, flows, strict=True)
    )
    return there, back


def _fits(camera: np.ndarray, flow: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(h, w) bool: where the camera's motion takes `here` to `there` about as well as `flow`."""
    import cv2

    (own, inside), (other, other_inside) = (_mismatch(here, there, field) for field in (flow, camera))
    loss = cv2.subtract(other, own, dtype=cv2.CV_32F)
    loss[~(inside & other_inside)] = 0
    return (along_edges(loss, here) <= _TIE) | ~inside


def _mismatch(here: np.ndarray, there: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Difference of luma (h, w) uint8, no more than `_WORST`: what is hidden is not worse for being white."""
    import cv2

    found, inside = warp(there, flow)
    return cv2.min(cv2.absdiff(here, found), _WORST), inside


def _majority(mask: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.blur(mask.astype(np.float32), (_PATCH, _PATCH)) > 0.5


def _joined(mask: np.ndarray, camera: np.ndarray, flow: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.copyTo(camera, mask.view(np.uint8), flow.copy())


def _grid(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = flow.shape[:2]
    y, x = np.mgrid[_GRID // 2 : height : _GRID, _GRID // 2 : width : _GRID]
    return y, x
