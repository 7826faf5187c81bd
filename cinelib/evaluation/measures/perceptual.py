"""LPIPS, or its stand-in, against the reference clip of the same name as a measure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cinelib.evaluation.clips import Footage
from cinelib.evaluation.measures.measure import Found
from cinelib.metrics.perceptual import LPIPS, Perceptual
from cinelib.provenance import DECODERS, code_of, versions_of


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
        theirs = ("lpips", "torchvision") if isinstance(net, LPIPS) else ("efficientnet-lite-pytorch",)
        return {
            "code": code_of(type(self).__module__),
            "packages": versions_of("numpy", "opencv-python-headless", "torch", *theirs, *DECODERS),
            "network": net.name,
            "weights": net.weights_sha256,
            "preprocessing": net.preprocessing,
            "references": dict(self.reference_ids),
        }

    def __call__(self, clip: Footage, prompt: str) -> Found:
        """Mean over the frames that both clips have; sizes and rates must be equal."""
        other = self.reference(clip.file)
        if other is None:
            raise ValueError("no reference clip of the same name")
        if other.frames.shape[1:] != clip.frames.shape[1:]:
            raise ValueError(f"{clip.frames.shape[1:3]} pixels, its reference {other.frames.shape[1:3]}")
        own, theirs = len(clip.frames), len(other.frames)
        count = min(own, theirs)
        if not np.allclose(clip.times[:count], other.times[:count], atol=2e-3):
            raise ValueError("its frames and its reference's are not at the same times")
        distance = float(self.distance(clip.frames[:count], other.frames[:count]).mean())
        name = self.distance.name
        cut = f"{name} is of the first {count} frames: the clip has {own}, its reference {theirs}"
        return Found({name: distance}, (cut,) if own != theirs else ())
