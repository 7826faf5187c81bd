"""Costume in words as a measure: does the picture fit one phrase better than another, to the end?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cinelib.evaluation.clips import Footage
from cinelib.evaluation.measures.measure import Found
from cinelib.evaluation.measures.similarity import ClipMeasure
from cinelib.provenance import code_of


@dataclass(frozen=True)
class CostumeMeasure:
    """Similarity to the costume's phrase minus that to the wrong costume's, and how that changes."""

    clip: ClipMeasure
    phrase: str
    wrong: str
    name: str = "costume"

    @property
    def values(self) -> tuple[str, ...]:
        """Mean over the frames, and last frame minus first, under the network's name."""
        network = self.clip.similarity.name
        return f"{network} costume margin", f"{network} costume held"

    @property
    def identity(self) -> Mapping[str, Any]:
        """Both phrases, weights, preprocessing and the libraries that run them."""
        own = {"code": code_of(type(self).__module__), "phrases": [self.phrase, self.wrong]}
        return {**self.clip.identity, **own}

    def __call__(self, clip: Footage, prompt: str) -> Found:
        """Cosines, in [-2, 2]: above 0 the picture fits the phrase better."""
        margins = self.clip.similarity.margins(clip.frames, self.phrase, [self.wrong])
        found = (float(margins.mean()), float(margins[-1] - margins[0]))
        return Found(dict(zip(self.values, found, strict=True)))
