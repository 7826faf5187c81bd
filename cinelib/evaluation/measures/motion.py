"""MotionScore and its parts as a measure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2

from cinelib.evaluation.clips import Footage
from cinelib.evaluation.measures.measure import Found
from cinelib.metrics.flow.raft import Raft
from cinelib.metrics.motion import FAST, motion_score
from cinelib.provenance import DECODERS, code_of, versions_of

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
    """MotionScore and its parts, at the frames' true times; by RAFT's flow under RAFT's name."""

    raft: Raft | None = None
    name: str = "motion"

    @property
    def values(self) -> tuple[str, ...]:
        """The bare names are those of DIS."""
        return tuple(self._named(part) for part in _PARTS)

    @property
    def identity(self) -> Mapping[str, Any]:
        """DIS is OpenCV's, so its version is part of the number; RAFT is torchvision's."""
        learned = ("torch", "torchvision") if self.raft else ()
        found = {
            "code": code_of(type(self).__module__),
            "packages": versions_of("numpy", "opencv-python-headless", *learned, *DECODERS),
            "opencv": cv2.__version__,
        }
        if self.raft:
            found |= {"weights": self.raft.weights_sha256, "preprocessing": self.raft.preprocessing}
        return found

    def __call__(self, clip: Footage, prompt: str) -> Found:
        """MotionScore, D, S, C, speeds in short sides a second."""
        motion = motion_score(clip.frames, None, clip.times, self.raft)
        parts = motion.as_dict()
        found = {self._named(name): parts[part] for name, part in _PARTS.items()}
        notes = []
        if motion.score == 0:
            notes.append("a still: whatever rewards stability rewards this")
        if motion.too_fast and not self.raft:  # RAFT was taught on longer ways
            notes.append(
                f"too fast for flow: its fastest 5 % pass {FAST:g} short sides a second, where speeds come "
                "out too low"
            )
        numbers = {name: None if value is None else float(value) for name, value in found.items()}
        return Found(numbers, tuple(notes))

    def _named(self, part: str) -> str:
        return f"{part}[{self.raft.name}]" if self.raft else part
