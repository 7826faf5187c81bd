"""What the camera alone explains of a flow field."""

import numpy as np

from cinelib.metrics.fields import on_grid


def camera_part(flow: np.ndarray, reliable: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Flow on every 8th reliable pixel, and that of the similarity (pan, roll, zoom) that most of it follows.

    Args:
        flow: (h, w, 2) pixels.
        reliable: (h, w) bool, default all; occluded pixels have no flow to explain.

    Returns:
        Two arrays (N, 2): the measured flow and the camera's, fitted by RANSAC.
    """
    import cv2

    start, measured = on_grid(flow, reliable)
    if len(start) < 2:
        return measured, np.zeros_like(measured)
    cv2.setRNGSeed(0)
    matrix, _ = cv2.estimateAffinePartial2D(
        start, start + measured, method=cv2.RANSAC, ransacReprojThreshold=0.25
    )
    if matrix is None:
        return measured, np.zeros_like(measured)
    return measured, (start @ matrix[:, :2].T + matrix[:, 2] - start).astype(np.float32)
