"""A clip's feature vector, for distances between sets of clips."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cinelib.evaluation.clips import Footage
from cinelib.metrics.extractors import Extractor, FrameFeatures
from cinelib.metrics.video_features import VideoFeatures
from cinelib.provenance import DECODERS, code_of, versions_of


@dataclass(frozen=True)
class FeatureMeasure:
    """A feature vector of the first `window` seconds, for distances between sets of clips."""

    extractor: Extractor
    window: float
    files: str = ""  # digest of the network's folder, where it is one
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
        theirs = {FrameFeatures: ("efficientnet-lite-pytorch",), VideoFeatures: ("transformers",)}
        own = theirs.get(type(net), ())
        return {
            "code": code_of(type(self).__module__, type(net).__module__),
            "packages": versions_of("numpy", "opencv-python-headless", "torch", *own, *DECODERS),
            "network": net.name,
            "weights": net.weights_sha256,
            "preprocessing": net.preprocessing,
            "files": self.files,
            "window": self.window,
        }

    def vector(self, clip: Footage) -> np.ndarray:
        """Features (d,). Raises ValueError for a clip shorter than the window and for NaN."""
        row = self.extractor([clip.window(self.window)])[0]
        if not np.isfinite(row).all():
            raise ValueError(f"{self.extractor.name} gives NaN or infinity")
        return row
