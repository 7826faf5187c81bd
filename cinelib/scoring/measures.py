"""What `cinelib score` can measure of one clip. Each measure knows all that its numbers depend on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Protocol

import cv2
import numpy as np

from cinelib.metrics.clip_sim import ClipSimilarity
from cinelib.metrics.extractors import Extractor
from cinelib.metrics.motion import motion_score
from cinelib.metrics.perceptual import Perceptual
from cinelib.metrics.style import Look, grade_distance, light_drift, lighting_distance, look, look_drift
from cinelib.scoring.clips import Footage

STYLE_FRAMES, STYLE_HEIGHT, STYLE_WIDTH = 8, 144, 256

Values = dict[str, float | None]

_MOTION = {
    "MotionScore": "score",
    "D": "amplitude",
    "S": "smoothness",
    "C": "coherence",
    "mean speed": "mean_speed",
    "camera share": "camera_share",
    "texture share": "texture_share",
    "too fast for flow": "too_fast",
}


class Measure(Protocol):
    """One clip in, named numbers out. `identity` changes whenever the numbers may."""

    name: str

    @property
    def values(self) -> tuple[str, ...]:
        """The names of its numbers."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """Version, weights, libraries and settings."""
        ...

    def __call__(self, clip: Footage, prompt: str) -> Values:
        """Numbers by name, None for one that has no meaning for this clip.

        Raises:
            ValueError: why the clip cannot be measured.
        """
        ...


@dataclass(frozen=True)
class MotionMeasure:
    """MotionScore and its parts, at the frames' true times."""

    name: str = "motion"
    values: tuple[str, ...] = tuple(_MOTION)

    @property
    def identity(self) -> Mapping[str, Any]:
        """DIS is OpenCV's, so its version is part of the number."""
        return {"version": 3, "opencv": cv2.__version__}

    def __call__(self, clip: Footage, prompt: str) -> Values:
        """MotionScore, D, S, C, speeds in short sides a second."""
        motion = motion_score(clip.frames, None, clip.times).as_dict()
        found = {name: motion[part] for name, part in _MOTION.items()}
        return {name: None if value is None else float(value) for name, value in found.items()}


@dataclass(frozen=True)
class StyleMeasure:
    """Drift of the look within the clip; with a reference, distance of grade and lighting to it."""

    reference: Callable[[], Look] | None = None  # called only when a clip has to be measured
    reference_id: str = ""
    name: str = "style"

    @property
    def values(self) -> tuple[str, ...]:
        """Drift always, distances with a reference."""
        return ("look drift", "light drift") + (
            ("grade distance", "lighting distance") if self.reference else ()
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        """The reference is part of it."""
        size = [STYLE_FRAMES, STYLE_HEIGHT, STYLE_WIDTH]
        return {"version": 2, "frames": size, "reference": self.reference_id, "opencv": cv2.__version__}

    def __call__(self, clip: Footage, prompt: str) -> Values:
        """Distances in CIELAB units."""
        frames = small_frames(clip.frames)
        found: Values = {"look drift": look_drift(frames), "light drift": light_drift(frames)}
        if self.reference is not None:
            own, reference = look(frames), self.reference()
            found["grade distance"] = grade_distance(own, reference)
            found["lighting distance"] = lighting_distance(own, reference).luma
        return found


@dataclass(frozen=True)
class ClipMeasure:
    """Similarity of frames to the prompt and to each other, under the network's own name."""

    similarity: ClipSimilarity
    name: str = "clip"

    @property
    def values(self) -> tuple[str, ...]:
        """Both similarities, under the network's name."""
        return f"{self.similarity.name} clip_temporal", f"{self.similarity.name} clip_text"

    @property
    def identity(self) -> Mapping[str, Any]:
        """Weights, preprocessing and the library that runs them."""
        net = self.similarity
        found = {"version": 1, "network": net.name, "weights": net.weights_sha256}
        return found | {"preprocessing": net.preprocessing, "torch": version("torch")}

    def __call__(self, clip: Footage, prompt: str) -> Values:
        """clip_text only with a prompt; a clip without one is left out of it, and counted."""
        text = self.similarity.clip_text(clip.frames, prompt) if prompt else None
        return dict(zip(self.values, (self.similarity.clip_temporal(clip.frames), text), strict=True))


@dataclass(frozen=True)
class PerceptualMeasure:
    """Distance to the reference clip of the same name, frame by frame."""

    distance: Perceptual
    reference: Callable[[str], Footage | None]
    reference_ids: Mapping[str, str] = field(default_factory=dict)
    name: str = "perceptual"

    @property
    def values(self) -> tuple[str, ...]:
        """LPIPS, or its stand-in's name."""
        return (self.distance.name,)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Weights, preprocessing and the references' content."""
        net = self.distance
        found = {"version": 1, "network": net.name, "weights": net.weights_sha256}
        return found | {"preprocessing": net.preprocessing, "references": dict(self.reference_ids)}

    def __call__(self, clip: Footage, prompt: str) -> Values:
        """Mean over the frames that both clips have; sizes and rates must be equal."""
        other = self.reference(clip.file)
        if other is None:
            raise ValueError("no reference clip of the same name")
        if other.frames.shape[1:] != clip.frames.shape[1:]:
            raise ValueError(f"{clip.frames.shape[1:3]} pixels, its reference {other.frames.shape[1:3]}")
        count = min(len(clip.frames), len(other.frames))
        if not np.allclose(clip.times[:count], other.times[:count], atol=2e-3):
            raise ValueError("its frames and its reference's are not at the same times")
        return {self.distance.name: float(self.distance(clip.frames[:count], other.frames[:count]).mean())}


@dataclass(frozen=True)
class FeatureMeasure:
    """A feature vector of the first `window` seconds, for distances between sets of clips."""

    extractor: Extractor
    window: float
    name: str = "features"

    @property
    def values(self) -> tuple[str, ...]:
        """FVD and KVD for the published network only."""
        net = self.extractor
        return ("FVD", "KVD") if net.published else (f"FD[{net.name}]", f"KD[{net.name}]")

    @property
    def identity(self) -> Mapping[str, Any]:
        """Weights, preprocessing and the window."""
        net = self.extractor
        found = {"version": 1, "network": net.name, "weights": net.weights_sha256}
        return found | {"preprocessing": net.preprocessing, "window": self.window, "torch": version("torch")}

    def vector(self, clip: Footage) -> np.ndarray:
        """Features (d,). Raises ValueError for a clip shorter than the window and for NaN."""
        row = self.extractor([clip.window(self.window)])[0]
        if not np.isfinite(row).all():
            raise ValueError(f"{self.extractor.name} gives NaN or infinity")
        return row


def small_frames(frames: np.ndarray) -> np.ndarray:
    """Eight frames evenly over a clip, stretched to 144 x 256: one size for all, so that looks compare."""
    at = np.unique(np.linspace(0, len(frames) - 1, STYLE_FRAMES).round().astype(int))
    how = cv2.INTER_AREA if frames.shape[1] >= STYLE_HEIGHT else cv2.INTER_CUBIC
    size = (STYLE_WIDTH, STYLE_HEIGHT)
    return np.stack([cv2.resize(frame, size, interpolation=how) for frame in frames[at]])
