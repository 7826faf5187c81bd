"""The clip that every metric takes: validated uint8 RGB frames."""

import numpy as np


def as_clip(frames: np.ndarray, minimum: int = 1, name: str = "frames") -> np.ndarray:
    """Check frames (T, H, W, 3) uint8 RGB with T >= `minimum`, and return them as an array.

    Raises:
        ValueError: wrong dtype, shape or number of frames; the message names what was found.
    """
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"{name} must be (T, H, W, 3) RGB, got shape {frames.shape}")
    if frames.dtype != np.uint8:
        raise ValueError(f"{name} must be uint8 in [0, 255], got {frames.dtype}; scale and round first")
    if len(frames) < minimum or 0 in frames.shape:
        raise ValueError(f"{name} must hold at least {minimum} non-empty frame(s), got shape {frames.shape}")
    return frames


def as_clips(clips: "list[np.ndarray] | np.ndarray", minimum: int, name: str = "clips") -> list[np.ndarray]:
    """Check a list of at least `minimum` clips; sizes and lengths may differ."""
    checked = [as_clip(clip, name=f"{name}[{index}]") for index, clip in enumerate(clips)]
    if len(checked) < minimum:
        raise ValueError(f"{name} must hold at least {minimum} clips, got {len(checked)}")
    return checked
