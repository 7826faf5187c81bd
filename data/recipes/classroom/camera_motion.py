"""Which way the camera moved, measured from pixels alone."""

from itertools import pairwise

import cv2
import numpy as np

MOVES = ("static", "pans left", "pans right", "dollies in", "dollies out")
LARGER = 4  # clips are enlarged so that the corner tracker has something to hold on to
FEWEST = 0.04  # below this share of the frame (or of its scale) over a clip nothing moved


def global_motion(frames: np.ndarray) -> tuple[float, float, float]:
    """(right, down, zoom) of the picture over uint8 `frames` (T, H, W, 3).

    right, down: shares of the width and the height; zoom: natural logarithm of the scale. Corners are tracked
    from frame to frame (Lucas-Kanade) and a similarity is fitted to them robustly (RANSAC), so that a subject
    that moves on its own is outvoted by the set.
    """
    grey = [cv2.cvtColor(_large(frame), cv2.COLOR_RGB2GRAY) for frame in frames]
    height, width = grey[0].shape
    total = np.eye(3)
    for before, after in pairwise(grey):
        total = _between(before, after) @ total
    centre = np.array([width / 2, height / 2, 1.0])
    moved = total @ centre - centre
    scale = np.sqrt(abs(np.linalg.det(total[:2, :2])))
    return float(moved[0] / width), float(moved[1] / height), float(np.log(max(scale, 1e-3)))


def camera_move(frames: np.ndarray) -> str:
    """The one of MOVES that fits best: a camera that pans left moves the picture right."""
    right, _, zoom = global_motion(frames)
    if max(abs(right), abs(zoom)) < FEWEST:
        return "static"
    if abs(right) > abs(zoom):
        return "pans left" if right > 0 else "pans right"
    return "dollies in" if zoom > 0 else "dollies out"


def mean_speed(frames: np.ndarray) -> float:
    """Mean length of the dense optical flow (Farneback) in pixels per frame of `frames` (T, H, W, 3)."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flows = [
        cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        for before, after in pairwise(grey)
    ]
    return float(np.mean([np.linalg.norm(flow, axis=-1).mean() for flow in flows]))


def _large(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame, None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)


def _between(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    corners = cv2.goodFeaturesToTrack(before, 400, 0.002, 10)
    if corners is None or len(corners) < 4:
        return np.eye(3)
    tracked, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=(25, 25), maxLevel=3)
    kept = status.ravel() == 1
    if kept.sum() < 4:
        return np.eye(3)
    cv2.setRNGSeed(0)
    matrix, _ = cv2.estimateAffinePartial2D(corners[kept], tracked[kept], ransacReprojThreshold=1.5)
    return np.eye(3) if matrix is None else np.vstack([matrix, [0, 0, 1]])
