"""What a metric takes, checked frames, and returns: a number and all that one must know to trust it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cinelib.provenance import versions_of


@dataclass(frozen=True)
class Result:
    """A named number with its interval, sample size and provenance.

    `name` carries the extractor in brackets unless the published network computed it. `implementation` is
    the package whose code computed it, `fps` the frames a second of the clips (None: not known, or of no
    meaning here), `notes` says why something is missing, by its key. `versions` holds the packages that the
    number depends on.

    Raises:
        ValueError: the value is not finite, n < 1, fps is not positive, or the interval is out of order.
    """

    name: str
    value: float
    n: int
    interval: tuple[float, float] | None = None
    unit: str = ""
    extractor: str = "none"
    weights_sha256: str = ""
    preprocessing: str = ""
    extra: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=lambda: library_versions())
    implementation: str = "cinelib"
    fps: float | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"{self.name} is {self.value}, not a finite number")
        if self.n < 1:
            raise ValueError(f"{self.name} needs n >= 1, got {self.n}")
        if self.interval is not None and not self.interval[0] <= self.interval[1]:
            raise ValueError(f"{self.name} has the interval {self.interval}, out of order")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"{self.name} needs fps > 0 or None, got {self.fps}")

    def __str__(self) -> str:
        span = f" [{self.interval[0]:.4g}, {self.interval[1]:.4g}]" if self.interval else ""
        return f"{self.name} = {self.value:.4g}{span} {self.unit}".rstrip() + f" (n = {self.n})"

    def as_metric(self) -> dict[str, Any]:
        """The mapping that `Stage.save_metrics` takes for this number."""
        entry: dict[str, Any] = {
            "value": self.value,
            "n": self.n,
            "implementation": self.implementation,
            "extractor": self.extractor,
            "versions": dict(self.versions),
        }
        if self.interval is not None:
            entry["interval"] = list(self.interval)
        optional = {
            "unit": self.unit,
            "fps": self.fps,
            "weights_sha256": self.weights_sha256,
            "preprocessing": self.preprocessing,
            "notes": dict(self.notes),
        }
        return {**entry, **{key: part for key, part in optional.items() if part}, **self.extra}


def library_versions(*more: str) -> Mapping[str, str]:
    """Versions of the packages that every number depends on, and of `more`."""
    return versions_of("cinelib", "torch", "opencv-python-headless", "numpy", *more)


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
