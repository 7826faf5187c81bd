"""MotionScore and its parts as a measure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2

from cinelib.metrics.motion import FAST, motion_score
from cinelib.scoring.clips import Footage
from cinelib.scoring.implementation import DECODERS, code_of, versions_of
from cinelib.scoring.measures.measure import Found

_PARTS = {
    "MotionScore": "score",
    "D": "amplitude",
    "S": "smoothness",
    "C": "coherence",
    "mean speed": "mean_speed",
    "camera share": "camera_share",
    "texture share": "texture_share",
    "too fast for flow": "too_fast",
}


@dataclass(frozen=True)
class MotionMeasure:
    """MotionScore and its parts, at the frames' true times."""

    name: str = "motion"
    values: tuple[str, ...] = tuple(_PARTS)

    @property
    def identity(self) -> Mapping[str, Any]:
        """DIS is OpenCV's, so its version is part of the number."""
        return {
            "code": code_of(type(self).__module__),
            "packages": versions_of("numpy", "opencv-python-headless", *DECODERS),
            "opencv": cv2.__version__,
        }

    def __call__(self, clip: Footage, prompt: str) -> Found:
        """MotionScore, D, S, C, speeds in short sides a second."""
        motion = motion_score(clip.frames, None, clip.times)
        parts = motion.as_dict()
        found = {name: parts[part] for name, part in _PARTS.items()}
        notes = []
        if motion.score == 0:
            notes.append("a still: whatever rewards stability rewards this")
        if motion.too_fast:
            notes.append(
                f"too fast for flow: its fastest 5 % pass {FAST:g} short sides a second, where speeds come "
                "out too low"
            )
        numbers = {name: None if value is None else float(value) for name, value in found.items()}
        return Found(numbers, tuple(notes))
