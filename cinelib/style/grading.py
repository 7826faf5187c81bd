"""Notebook 02: colour grades that make a film's frame look ungraded.

An I2V model copies the look of its first frame. If the first frame of every training clip already
carries the film's look, the LoRA has nothing to explain. So the conditioning frame is given a random
plain grade and only the clip to be reached keeps the film's.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grade:
    """Mean and standard deviation of each CIELAB channel (L*, a*, b*) of the first frame."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def draw(seed: int, *key: int) -> Grade:
    """A random plain grade, drawn from `seed` and `key`.

    Centre and spread are those of neutral shots, daylight to neon, measured on the first frames of 512
    scenes of the backlot: means L* 38 (10), a* 10 (8), b* 6 (15), spreads 17 (3), 12 (5), 15 (5), standard
    deviations in brackets. A narrower draw leaves the LoRA helpless before a still that lies outside it; an
    off-centre one pulls the negative control somewhere.
    """
    rng = np.random.default_rng([seed, *key])
    mean = (rng.uniform(21, 57), rng.normal(10, 9), rng.normal(4, 16))
    std = (rng.uniform(11, 22), rng.uniform(5, 19), rng.uniform(6, 24))
    return Grade(*(tuple(round(float(x), 3) for x in values) for values in (mean, std)))


def apply(frames: np.ndarray, grade: Grade) -> np.ndarray:
    """Frames (T, H, W, 3) uint8 RGB recoloured so that the first one has `grade`.

    Reinhard et al. 2001, colour transfer between images, in CIELAB. The same map is used for all frames,
    so that a clip's changes of light stay.

    Raises:
        ValueError: not uint8 RGB frames.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}")
    lab = _to_lab(frames)
    first = lab[0].reshape(-1, 3)
    # A floor: a nearly grey frame must not have its noise blown up into colour.
    scale = np.asarray(grade.std) / np.maximum(first.std(0), (4.0, 2.0, 2.0))
    return _to_rgb((lab - first.mean(0)) * np.minimum(scale, 4.0) + np.asarray(grade.mean))


def _to_lab(frames: np.ndarray) -> np.ndarray:
    import cv2

    return np.stack([cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for frame in frames])


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    import cv2

    rgb = np.stack([cv2.cvtColor(frame.astype(np.float32), cv2.COLOR_LAB2RGB) for frame in lab])
    return (rgb.clip(0, 1) * 255).round().astype(np.uint8)
