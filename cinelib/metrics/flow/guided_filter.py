"""The guided filter of He, Sun and Tang (2010): a mean over the surface that a pixel belongs to."""

import numpy as np

_RADIUS = 6
_CONTRAST = 6.0  # grey levels: a weaker edge does not part two surfaces


class Guide:
    """Smooths fields within the surfaces of a picture, not across their edges.

    In every window of 13 x 13 the result is linear in the picture, a I + b with
    a = cov(I, p) / (var(I) + 6^2); windows that overlap are averaged.
    """

    def __init__(self, luma: np.ndarray) -> None:
        """Take the picture (h, w) uint8 as the guide of all fields to come."""
        self.light = luma.astype(np.float32)
        self.middle = _mean(self.light)
        self.spread = _mean(self.light * self.light) - self.middle * self.middle + _CONTRAST**2

    def smooth(self, values: np.ndarray) -> np.ndarray:
        """The field (h, w) float32, averaged along the picture's surfaces."""
        level = _mean(values)
        slope = (_mean(values * self.light) - level * self.middle) / self.spread
        return _mean(slope) * self.light + _mean(level - slope * self.middle)


def _mean(field: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.blur(field, (2 * _RADIUS + 1,) * 2)
