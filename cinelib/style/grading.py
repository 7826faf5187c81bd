"""Notebook 02: colour grades that make a film's frame look ungraded.

An I2V model copies the look of its first frame. If the first frame of every training clip already
carries the film's look, the LoRA has nothing to explain. So the conditioning frame is given a random
plain grade and only the clip to be reached keeps the film's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grade:
    """Mean and standard deviation of each CIELAB channel (L*, a*, b*) over all pixels of a film."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def measure(frames: Sequence[np.ndarray]) -> Grade:
    """Mean and spread of all pixels of some frames (H, W, 3) uint8 RGB, such as one of each clip of a film.

    Rounded to whole units: one clip more or less then seldom changes what was cached.

    Raises:
        ValueError: no frame.
    """
    if not len(frames):
        raise ValueError("a film without frames has no grade")
    pixels = np.concatenate([_to_lab(frame[None]).reshape(-1, 3) for frame in frames]).astype(np.float64)
    return Grade(*(tuple(map(float, np.round(values))) for values in (pixels.mean(0), pixels.std(0))))


def draw(seed: int, *key: int) -> Grade:
    """A random plain grade of a whole film, drawn from `seed` and `key`.

    The centre is that of neutral shots, daylight to neon, measured on the first frames of 512 scenes of the
    backlot: L* 38, a* 10, b* 6, spreads of all their pixels 20, 14 and 21. The means of single scenes spread
    by 10, 8 and 15; a film shows a few kinds of light only, so its own mean may be off by about half of that.
    """
    rng = np.random.default_rng([seed, *key])
    off, wide = rng.normal(size=(2, 3)).clip(-2, 2)
    mean = np.array([38, 10, 6]) + off * (6, 5, 8)
    std = np.array([20, 14, 21]) * np.exp(0.15 * wide)
    return Grade(*(tuple(round(float(x), 3) for x in values) for values in (mean, std)))


def apply(frames: np.ndarray, film: Grade, grade: Grade) -> np.ndarray:
    """Frames (T, H, W, 3) uint8 RGB of a film, as they would be had the film been given another grade.

    Reinhard et al. 2001, colour transfer between images, in CIELAB, with one map for the whole film: what
    is darker or warmer than the rest of it stays so, and the LoRA can learn the way back.

    Args:
        film: the grade that the film has (`measure`).
        grade: the one that it gets.

    Raises:
        ValueError: not uint8 RGB frames.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}")
    # A floor: a nearly grey film must not have its noise blown up into colour.
    scale = np.asarray(grade.std) / np.maximum(film.std, (4.0, 2.0, 2.0))
    return _to_rgb((_to_lab(frames) - film.mean) * np.minimum(scale, 4.0) + np.asarray(grade.mean))


def _to_lab(frames: np.ndarray) -> np.ndarray:
    import cv2

    return np.stack([cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for frame in frames])


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    import cv2

    rgb = np.stack([cv2.cvtColor(frame.astype(np.float32), cv2.COLOR_LAB2RGB) for frame in lab])
    return (rgb.clip(0, 1) * 255).round().astype(np.uint8)
