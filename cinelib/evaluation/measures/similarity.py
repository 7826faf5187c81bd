"""CLIP similarity as a measure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cinelib.evaluation.clips import Footage
from cinelib.evaluation.measures.measure import Found
from cinelib.metrics.clip_sim import ClipSimilarity
from cinelib.provenance import DECODERS, code_of, versions_of


@dataclass(frozen=True)
class ClipMeasure:
    """Similarity of frames to the prompt and to each other, under the network's own name."""

    similarity: ClipSimilarity
    files: str = ""  # digest of the network's folder: its processor's settings count too
    name: str = "clip"

    @property
    def values(self) -> tuple[str, ...]:
        """Both similarities, under the network's name."""
        return f"{self.similarity.name} clip_temporal", f"{self.similarity.name} clip_text"

    @property
    def identity(self) -> Mapping[str, Any]:
        """Weights, preprocessing and the libraries that run them."""
        net = self.similarity
        return {
            "code": code_of(type(self).__module__),
            "packages": versions_of("numpy", "tokenizers", "torch", "transformers", *DECODERS),
            "network": net.name,
            "weights": net.weights_sha256,
            "preprocessing": net.preprocessing,
            "files": self.files,
        }

    def __call__(self, clip: Footage, prompt: str) -> Found:
        """clip_text only with a prompt; a clip without one is left out of it, and counted."""
        net = self.similarity
        if prompt:
            text, temporal = net.text_and_temporal(clip.frames, prompt)
        else:
            text, temporal = None, net.clip_temporal(clip.frames)
        return Found(dict(zip(self.values, (temporal, text), strict=True)))
