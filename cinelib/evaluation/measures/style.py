"""Light, drift of the look, and distance of grade and lighting to a reference as a measure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from cinelib.evaluation.clips import Footage
from cinelib.evaluation.measures.measure import Found
from cinelib.metrics.style import Look, grade_distance, light_drift, lighting_distance, look, look_drift
from cinelib.provenance import DECODERS, code_of, versions_of

STYLE_FRAMES, STYLE_HEIGHT, STYLE_WIDTH = 8, 144, 256
_ALONE = ("look drift", "light drift", "key ratio", "local contrast")
_COMPARED = ("grade distance", "lighting distance", "key ratio difference", "local contrast difference")


@dataclass(frozen=True)
class StyleMeasure:
    """Drift of the look within the clip and its light; with a reference, how far grade and light are off."""

    reference: Callable[[], Look] | None = None  # called only when a clip has to be measured
    reference_id: str = ""
    name: str = "style"

    @property
    def values(self) -> tuple[str, ...]:
        """Drift and light always, distances and signed differences with a reference."""
        return _ALONE + (_COMPARED if self.reference else ())

    @property
    def identity(self) -> Mapping[str, Any]:
        """The reference is part of it."""
        return {
            "code": code_of(type(self).__module__),
            "packages": versions_of("numpy", "opencv-python-headless", *DECODERS),
            "opencv": cv2.__version__,
            "frames": [STYLE_FRAMES, STYLE_HEIGHT, STYLE_WIDTH],
            "reference": self.reference_id,
        }

    def __call__(self, clip: Footage, prompt: str) -> Found:
        """Distances in CIELAB units; key ratio in stops, local contrast in L* units, differences signed."""
        frames = small_frames(clip.frames)
        own = look(frames)
        found = {
            "look drift": look_drift(frames),
            "light drift": light_drift(frames),
            "key ratio": own.lighting.key_ratio,
            "local contrast": own.lighting.local_contrast,
        }
        if self.reference is not None:
            reference = self.reference()
            light = lighting_distance(own, reference)
            found |= {
                "grade distance": grade_distance(own, reference),
                "lighting distance": light.luma,
                "key ratio difference": light.key_ratio,
                "local contrast difference": light.local_contrast,
            }
        return Found(found)


def small_frames(frames: np.ndarray) -> np.ndarray:
    """Eight frames evenly over a clip, stretched to 144 x 256: one size for all, so that looks compare."""
    at = np.unique(np.linspace(0, len(frames) - 1, STYLE_FRAMES).round().astype(int))
    how = cv2.INTER_AREA if frames.shape[1] >= STYLE_HEIGHT else cv2.INTER_CUBIC
    size = (STYLE_WIDTH, STYLE_HEIGHT)
    return np.stack([cv2.resize(frame, size, interpolation=how) for frame in frames[at]])
