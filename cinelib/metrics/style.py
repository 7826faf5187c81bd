"""Style fidelity: colour grade, lighting and costume of a clip against the film's own clips.

All distances are in CIELAB units, where about 2 is the smallest difference that a viewer notices.
Pixels are compared as distributions, so that content may move and differ; frame order changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from cinelib.metrics.metric import ANY, DISTANCE, Clip, Found, Metric, Range
from cinelib.metrics.result import as_clip

_FRAMES, _HEIGHT, _WIDTH = 8, 144, 256  # what `StyleMetric` looks at

_PIXELS = 150_000
_LEVELS = (np.arange(256) + 0.5) / 256
_ROTATIONS = 12
_FLOOR = 1e-3  # relative luminance of a black that still carries detail, about 10 stops under white


@dataclass(frozen=True)
class Look:
    """What `grade_distance` and `lighting_distance` need of a set of frames; reuse it for a reference."""

    quantiles: np.ndarray  # (slices, levels), CIELAB units
    lighting: "Lighting"


def look(frames: np.ndarray) -> Look:
    """Summarise frames (T, H, W, 3) uint8 RGB once, to compare many clips with them."""
    return Look(_slices(_lab_pixels(as_clip(frames))), lighting(frames))


def grade_distance(frames: np.ndarray | Look, reference_frames: np.ndarray | Look) -> float:
    """Sliced 2-Wasserstein distance between the CIELAB pixel distributions of two sets of frames.

    The slices are the axes of fixed random rotations, and the distance is scaled by sqrt(3), so that a
    grade that shifts every pixel by a vector d scores exactly |d| (Rabin et al. 2011, Bonneel et al. 2015).

    Args:
        frames: (T, H, W, 3) uint8 RGB; sizes of the two sets may differ.
        reference_frames: (N, H, W, 3) uint8 RGB, for example all frames of the film's clips, or their `look`.

    Raises:
        ValueError: a set is empty or not uint8 RGB.
    """
    slices = [
        given.quantiles if isinstance(given, Look) else _slices(_lab_pixels(as_clip(given, name=name)))
        for given, name in ((frames, "frames"), (reference_frames, "reference_frames"))
    ]
    return _wasserstein(*slices)


def palette_distance(
    frames: np.ndarray, mask: np.ndarray, reference_frames: np.ndarray, reference_mask: np.ndarray
) -> float:
    """`grade_distance` restricted to the pixels inside boolean masks (T, H, W), such as the costume.

    Raises:
        ValueError: a mask's shape differs from its frames' or it selects no pixel.
    """
    inside = []
    for name, clip, selected in (
        ("mask", frames, mask),
        ("reference_mask", reference_frames, reference_mask),
    ):
        clip, selected = as_clip(clip), np.asarray(selected)
        if selected.shape != clip.shape[:3] or selected.dtype != bool:
            raise ValueError(f"{name} must be bool {clip.shape[:3]}, got {selected.dtype} {selected.shape}")
        if not selected.any():
            raise ValueError(f"{name} selects no pixel")
        inside.append(_lab(clip)[selected])
    return _wasserstein(*(_slices(pixels) for pixels in inside))


@dataclass(frozen=True)
class Lighting:
    """Light of a set of frames: luma quantiles, key ratio in stops, local contrast in L* units."""

    luma: np.ndarray
    key_ratio: float
    local_contrast: float


@dataclass(frozen=True)
class LightingDistance:
    """Sample against reference: `luma` is a distance, the other two are signed differences."""

    luma: float
    key_ratio: float
    local_contrast: float


def lighting(frames: np.ndarray) -> Lighting:
    """Measure the light of frames (T, H, W, 3) uint8 RGB.

    The key ratio is log2 of the 90th over the 10th percentile of relative luminance (floored at 0.001);
    local contrast is the mean over frames of the standard deviation of L* about its Gaussian neighbourhood
    (sigma = height / 32).
    """
    lightness = _lab(as_clip(frames))[..., 0]
    luma = np.quantile(_thinned(lightness), _LEVELS)
    low, high = (max(_luminance(np.quantile(lightness, level)), _FLOOR) for level in (0.1, 0.9))
    sigma = max(1.0, lightness.shape[1] / 32)
    contrast = [float(np.std(frame - cv2.GaussianBlur(frame, (0, 0), sigma))) for frame in lightness]
    return Lighting(luma, float(np.log2(high / low)), float(np.mean(contrast)))


def lighting_distance(frames: np.ndarray | Look, reference_frames: np.ndarray | Look) -> LightingDistance:
    """1-Wasserstein distance between luma histograms (L* units), and what the key light changed by."""
    sample, reference = (
        given.lighting if isinstance(given, Look) else lighting(given) for given in (frames, reference_frames)
    )
    return LightingDistance(
        luma=float(np.abs(sample.luma - reference.luma).mean()),
        key_ratio=sample.key_ratio - reference.key_ratio,
        local_contrast=sample.local_contrast - reference.local_contrast,
    )


def look_drift(frames: np.ndarray) -> float:
    """Largest `grade_distance` between the first, middle and last frame: is the look held over time?"""
    return max(grade_distance(one, other) for one, other in _moments(frames))


def light_drift(frames: np.ndarray) -> float:
    """Largest distance of luma histograms (L* units) between the first, middle and last frame."""
    return max(lighting_distance(one, other).luma for one, other in _moments(frames))


@dataclass(frozen=True)
class StyleMetric(Metric):
    """Drift of the look within the clip and its light; with a reference, how far grade and light are off."""

    film: Callable[[], Look] | None = None  # called only when a clip has to be measured
    reference: str = ""  # digest of the film's clips
    frames: tuple[int, int, int] = (_FRAMES, _HEIGHT, _WIDTH)
    name: str = "style"

    @property
    def values(self) -> Mapping[str, Range]:
        """CIELAB units; key ratio in stops, local contrast in L* units, differences signed."""
        alone = dict.fromkeys(("look drift", "light drift", "key ratio", "local contrast"), DISTANCE)
        compared = {"grade distance": DISTANCE, "lighting distance": DISTANCE}
        compared |= {"key ratio difference": ANY, "local contrast difference": ANY}
        return alone | (compared if self.film else {})

    def of(self, clip: Clip) -> Found:
        """Of eight small frames of the clip."""
        frames = small_frames(clip.frames)
        own = look(frames)
        found = [look_drift(frames), light_drift(frames), own.lighting.key_ratio, own.lighting.local_contrast]
        if self.film is not None:
            reference = self.film()
            light = lighting_distance(own, reference)
            found += [grade_distance(own, reference), light.luma, light.key_ratio, light.local_contrast]
        return Found(dict(zip(self.values, found, strict=True)))


def small_frames(frames: np.ndarray) -> np.ndarray:
    """Eight frames evenly over a clip, stretched to 144 x 256: one size for all, so that looks compare."""
    at = np.unique(np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int))
    how = cv2.INTER_AREA if frames.shape[1] >= _HEIGHT else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (_WIDTH, _HEIGHT), interpolation=how) for frame in frames[at]])


def _moments(frames: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    frames = as_clip(frames, minimum=2)
    first, middle, last = frames[:1], frames[len(frames) // 2][None], frames[-1:]
    return [(first, middle), (middle, last), (first, last)]


def _lab(frames: np.ndarray) -> np.ndarray:
    """CIELAB (D65) as float32 (T, H, W, 3); L* in [0, 100]."""
    return np.stack([cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for frame in frames])


def _lab_pixels(frames: np.ndarray) -> np.ndarray:
    return _lab(_thinned(frames)).reshape(-1, 3)


def _thinned(frames: np.ndarray) -> np.ndarray:
    """The same grid of pixels in every frame, about `_PIXELS` in all."""
    # A grid inside each frame, not a draw over all pixels: the order of frames then changes nothing.
    count, height, width = frames.shape[:3]
    step = max(1, int(np.sqrt(height * width / max(64, _PIXELS / count))))
    return frames[:, step // 2 :: step, step // 2 :: step]


def _luminance(lightness: float) -> float:
    """Relative luminance Y in [0, 1] of CIE L* (CIE 15:2004)."""
    return ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness / 903.3


def _slices(pixels: np.ndarray) -> np.ndarray:
    """Quantiles of pixels (N, 3) along each direction: (directions, levels), right within 0.003 units.

    Values are rounded to a 65536th of their range: integers of 16 bits are sorted by counting, which takes a
    tenth of the time.
    """
    along = _directions().astype(np.float32) @ pixels.T.astype(np.float32)
    low, high = float(along.min()), float(along.max())
    unit = max(high - low, 1e-6) / 65535
    counted = ((along - low) / unit + 0.5).astype(np.uint16)
    counted.sort(axis=1, kind="stable")
    place = _LEVELS * (counted.shape[1] - 1)
    below = place.astype(int)
    above = np.minimum(below + 1, counted.shape[1] - 1)
    lower, upper = counted[:, below].astype(float), counted[:, above].astype(float)
    return low + unit * (lower + (upper - lower) * (place - below))


def _wasserstein(sample: np.ndarray, reference: np.ndarray) -> float:
    return float(np.sqrt(3 * np.mean((sample - reference) ** 2)))


def _directions() -> np.ndarray:
    """(3 * rotations, 3) unit vectors whose second moment is exactly the identity / 3."""
    draws = np.random.default_rng(0).normal(size=(_ROTATIONS, 3, 3))
    return np.concatenate([np.linalg.qr(draw)[0] for draw in draws]).astype(np.float64)
