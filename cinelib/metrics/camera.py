"""What the camera alone explains of a flow field."""

import numpy as np

from cinelib.metrics.fields import length, on_grid

_ROUNDS = 12
_SOFT = 0.05  # px: residuals below it weigh alike
_OTHER = 0.3  # px between a point's flow and the camera's from which on it is more likely another motion
_UNIT = 100.0  # px, so that turn, zoom and shift are of one order


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
    return measured, _nearest(_similarities(start), measured.astype(np.float64)).astype(np.float32)


def _similarities(start: np.ndarray) -> np.ndarray:
    """(2N, 4): what zoom, turn and the two shifts do to points (N, 2), x and y in turn."""
    x, y = ((start - start.mean(axis=0)) / _UNIT).T.astype(np.float64)
    one, none = np.ones_like(x), np.zeros_like(x)
    return np.stack([[x, -y, one, none], [y, x, none, one]]).transpose(2, 0, 1).reshape(-1, 4)


def _nearest(basis: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """The combination of `basis` (2N, 4) nearest to `measured` (N, 2), by squares weighed again and again.

    Inverse lengths as weights lead to the least sum of lengths (Weiszfeld 1937), Cauchy's weights on to the
    least sum of logarithms (Holland and Welsch 1977).
    """
    weight, fitted = np.ones(len(measured)), measured
    for soften in (lambda left: 1 / np.hypot(left, _SOFT), lambda left: 1 / (left**2 + _OTHER**2)):
        for _ in range(_ROUNDS):
            weighted = basis * np.repeat(weight, 2)[:, None]
            solution = np.linalg.solve(weighted.T @ basis, weighted.T @ measured.ravel())
            fitted = (basis @ solution).reshape(-1, 2)
            weight = soften(length(measured - fitted))
    return fitted
