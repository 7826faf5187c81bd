"""Style fidelity: colour grade, lighting and costume of a clip against the film's own clips.

All distances are in CIELAB units, where about 2 is the smallest difference that a viewer notices.
Pixels are compared as distributions, so that content may move and differ; frame order changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from scipy.spatial.distance import pdist

from cinelib.metrics.colour import LEVELS, lab, lab_pixels, sliced_wasserstein, slices, thinned
from cinelib.metrics.metric import ANY, DISTANCE, Clip, Found, Metric, Range
from cinelib.metrics.result import as_clip

_FRAMES, _HEIGHT, _WIDTH = 8, 144, 256  # at which `StyleMetric` compares looks
_TINY = 72  # px: short side of a frame whose look is followed over time
_FLOOR = 1e-3  # relative luminance of a black that still carries detail, about 10 stops under white


@dataclass(frozen=True)
class Look:
    """What `grade_distance` and `lighting_distance` need of a set of frames; reuse it for a reference."""

    quantiles: np.ndarray  # (slices, levels), CIELAB units
    lighting: "Lighting"


def look(frames: np.ndarray) -> Look:
    """Summarise frames (T, H, W, 3) uint8 RGB once, to compare many clips with them."""
    return Look(slices(lab_pixels(as_clip(frames))), lighting(frames))


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
    first, second = (
        given.quantiles if isinstance(given, Look) else slices(lab_pixels(as_clip(given, name=name)))
        for given, name in ((frames, "frames"), (reference_frames, "reference_frames"))
    )
    return sliced_wasserstein(first, second)


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
        inside.append(lab(clip)[selected])
    return sliced_wasserstein(*(slices(pixels) for pixels in inside))


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
    lightness = lab(as_clip(frames))[..., 0]
    luma = np.quantile(thinned(lightness), LEVELS)
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
    """How far the look travels: the largest `grade_distance` between any two instants of its slow trend.

    The trend is the median, quantile by quantile, of four frames in a row: an even number, so that a clip
    that flashes on every second frame has its middle, and a median, so that one flash is none of it. The
    first and the last frame stand for themselves, because a clip may leave the still that it was given at
    once. A grade that shifts slowly by d scores |d|.

    Args:
        frames: (T, H, W, 3) uint8 RGB, at least two.
    """
    return _drift(_looks(as_clip(frames, minimum=2)), "euclidean")


def light_drift(frames: np.ndarray) -> float:
    """`look_drift` of the luma histogram, L* units."""
    return _drift(_lights(as_clip(frames, minimum=2)), "cityblock")


def look_flicker(frames: np.ndarray) -> float:
    """How far frames fall out of the look of their neighbours, `grade_distance` units, root mean square.

    A frame's flicker is its distance to the median, quantile by quantile, of itself and the frames one
    before and after, or two before and after, whichever is more. What lies between its neighbours does not
    flicker: a still, any slow change, a cut. What comes back later than that is drift.

    Args:
        frames: (T, H, W, 3) uint8 RGB, at least three.
    """
    return _flicker(_looks(as_clip(frames, minimum=3)), 2)


def light_flicker(frames: np.ndarray) -> float:
    """`look_flicker` of the luma histogram, L* units."""
    return _flicker(_lights(as_clip(frames, minimum=3)), 1)


@dataclass(frozen=True)
class StyleMetric(Metric):
    """How the look holds within a clip, and its light; with a reference, how far grade and light are off."""

    film: Callable[[], Look] | None = None  # called only when a clip has to be measured
    reference: str = ""  # digest of the film's clips
    frames: tuple[int, int, int] = (_FRAMES, _HEIGHT, _WIDTH)
    name: str = "style"

    @property
    def values(self) -> Mapping[str, Range]:
        """CIELAB units; key ratio in stops, local contrast in L* units, differences signed."""
        held = ("look drift", "light drift", "look flicker", "light flicker")
        alone = dict.fromkeys((*held, "key ratio", "local contrast"), DISTANCE)
        compared = {"grade distance": DISTANCE, "lighting distance": DISTANCE}
        compared |= {"key ratio difference": ANY, "local contrast difference": ANY}
        return alone | (compared if self.film else {})

    def of(self, clip: Clip) -> Found:
        """Drift and flicker of every frame, the rest of eight small ones."""
        frames = as_clip(clip.frames, minimum=3)
        looks, lights, own = _looks(frames), _lights(frames), look(small_frames(frames))
        found = [
            _drift(looks, "euclidean"),
            _drift(lights, "cityblock"),
            _flicker(looks, 2),
            _flicker(lights, 1),
        ]
        found += [own.lighting.key_ratio, own.lighting.local_contrast]
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


def _looks(frames: np.ndarray) -> np.ndarray:
    """(T, slices * levels): each frame as a point; Euclidean distances are grade distances."""
    points = [slices(lab(frame[None]).reshape(-1, 3)).ravel() for frame in map(_tiny, frames)]
    return np.stack(points) * np.sqrt(3 / len(points[0]))


def _lights(frames: np.ndarray) -> np.ndarray:
    """(T, levels): each frame as a point; city-block distances are those of luma histograms."""
    points = [np.quantile(lab(frame[None])[..., 0], LEVELS) for frame in map(_tiny, frames)]
    return np.stack(points) / len(LEVELS)


def _tiny(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    scale = _TINY / min(height, width)
    size = (round(width * scale), round(height * scale))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame


def _drift(points: np.ndarray, metric: Literal["euclidean", "cityblock"]) -> float:
    fours = [np.median(points[at : at + 4], axis=0) for at in range(len(points) - 3)]
    return float(pdist(np.stack([points[0], *fours, points[-1]]), metric).max())


def _flicker(points: np.ndarray, order: int) -> float:
    found = np.zeros(len(points))
    for step in (1, 2):
        own = points[step:-step]
        between = np.median([points[: -2 * step], own, points[2 * step :]], axis=0)
        inner = found[step:-step]
        np.maximum(inner, np.linalg.norm(own - between, order, axis=1), out=inner)
    return float(np.sqrt(np.mean(found**2)))


def _luminance(lightness: float) -> float:
    """Relative luminance Y in [0, 1] of CIE L* (CIE 15:2004)."""
    return ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness / 903.3
