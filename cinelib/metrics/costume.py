"""What somebody wears: the distance of its colours, with the light discounted, and its fit to words.

Compared are chroma distributions inside a region, after dividing by the mean colour outside of it: the
grey-world guess at the light (Buchsbaum 1980). Pattern, cut and lightness do not count. On the backlot
another cloth colour moves it 8 to 11 times as far as another light, against 3 times for plain CIELAB.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cinelib.metrics.clip_sim import ClipSimilarity
from cinelib.metrics.metric import ANY, Clip, Found, Metric, Range
from cinelib.metrics.result import as_clip

_LEVELS = (np.arange(128) + 0.5) / 128
_DIRECTIONS = 16
_GREY = 0.25  # luminance that the region is scaled to, so that chroma does not grow with exposure
_LUMA = np.array([0.2126, 0.7152, 0.0722])


def costume_distance(
    frames: np.ndarray, mask: np.ndarray, reference_frames: np.ndarray, reference_mask: np.ndarray
) -> float:
    """Sliced 2-Wasserstein distance of (a*, b*) inside two masks, each in its own neutral light.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        mask: (T, H, W) bool, the costume; the rest of the frame tells the light.

    Raises:
        ValueError: a mask of another shape, one that selects nothing, or one that leaves nothing.
    """
    pairs = (("mask", frames, mask), ("reference_mask", reference_frames, reference_mask))
    first, second = (
        _slices(_chroma(as_clip(clip), np.asarray(chosen), name)) for name, clip, chosen in pairs
    )
    # Two dimensions: the mean squared projection is half the squared length.
    return float(np.sqrt(2 * np.mean((first - second) ** 2)))


def _chroma(frames: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
    """(N, 2) of the masked pixels as they would look in neutral light."""
    import cv2

    if mask.shape != frames.shape[:3] or mask.dtype != bool:
        raise ValueError(f"{name} must be bool {frames.shape[:3]}, got {mask.dtype} {mask.shape}")
    if not mask.any() or mask.all():
        raise ValueError(f"{name} selects {'no pixel' if not mask.any() else 'every pixel'}")
    linear = _linear(frames / 255)
    light = np.maximum(linear[~mask].mean(axis=0), 1e-3)
    neutral = linear[mask] / light
    neutral *= _GREY / max(float((neutral @ _LUMA).mean()), 1e-6)
    display = _display(np.clip(neutral, 0, 1)).astype(np.float32)
    return cv2.cvtColor(display[None], cv2.COLOR_RGB2LAB)[0, :, 1:].astype(np.float64)


def _slices(chroma: np.ndarray) -> np.ndarray:
    angle = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
    return np.quantile(chroma @ np.stack([np.cos(angle), np.sin(angle)]), _LEVELS, axis=0)


def _linear(display: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)


def _display(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


@dataclass(frozen=True)
class CostumeMetric(Metric):
    """Does the picture fit the costume's phrase better than the wrong costume's, and to the end?"""

    network: ClipSimilarity
    phrases: tuple[str, str]  # the right one and the wrong one
    files: str = ""
    name: str = "costume"

    @property
    def values(self) -> Mapping[str, Range]:
        """Difference of two cosines, above 0 for the phrase: mean over the frames, and last minus first."""
        return {f"{self.network.name} costume margin": (-2.0, 2.0), f"{self.network.name} costume held": ANY}

    def of(self, clip: Clip) -> Found:
        """Needs no prompt: the phrases stand in its place."""
        margins = self.network.margins(clip.frames, self.phrases[0], self.phrases[1:])
        found = float(margins.mean()), float(margins[-1] - margins[0])
        return Found(dict(zip(self.values, found, strict=True)))
