"""Colours as distributions: pixels in CIELAB, and the sliced Wasserstein distance between heaps of them."""

import cv2
import numpy as np

LEVELS = (np.arange(256) + 0.5) / 256
_PIXELS = 150_000
_ROTATIONS = 12


def lab(frames: np.ndarray) -> np.ndarray:
    """CIELAB (D65) as float32 (T, H, W, 3); L* in [0, 100]."""
    return np.stack([cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for frame in frames])


def lab_pixels(frames: np.ndarray) -> np.ndarray:
    """(N, 3) of the thinned frames (T, H, W, 3) uint8 RGB."""
    return lab(thinned(frames)).reshape(-1, 3)


def thinned(frames: np.ndarray) -> np.ndarray:
    """The same grid of pixels in every frame, about `_PIXELS` in all."""
    # A grid inside each frame, not a draw over all pixels: the order of frames then changes nothing.
    count, height, width = frames.shape[:3]
    step = max(1, int(np.sqrt(height * width / max(64, _PIXELS / count))))
    return frames[:, step // 2 :: step, step // 2 :: step]


def slices(pixels: np.ndarray) -> np.ndarray:
    """Quantiles of pixels (N, 3) along each direction: (directions, levels), right within 0.003 units.

    Values are rounded to a 65536th of their range: integers of 16 bits are sorted by counting, which takes a
    tenth of the time.
    """
    along = directions().astype(np.float32) @ pixels.T.astype(np.float32)
    low, high = float(along.min()), float(along.max())
    unit = max(high - low, 1e-6) / 65535
    counted = ((along - low) / unit + 0.5).astype(np.uint16)
    counted.sort(axis=1, kind="stable")
    place = LEVELS * (counted.shape[1] - 1)
    below = place.astype(int)
    above = np.minimum(below + 1, counted.shape[1] - 1)
    lower, upper = counted[:, below].astype(float), counted[:, above].astype(float)
    return low + unit * (lower + (upper - lower) * (place - below))


def sliced_wasserstein(sample: np.ndarray, reference: np.ndarray) -> float:
    """2-Wasserstein distance of two results of `slices`: a shift of every pixel by d scores |d|."""
    return float(np.sqrt(3 * np.mean((sample - reference) ** 2)))


def directions() -> np.ndarray:
    """(3 * rotations, 3) unit vectors whose second moment is exactly the identity / 3."""
    draws = np.random.default_rng(0).normal(size=(_ROTATIONS, 3, 3))
    return np.concatenate([np.linalg.qr(draw)[0] for draw in draws]).astype(np.float64)
