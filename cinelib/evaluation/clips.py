"""Clips as they are decoded: in a process of its own, cut in time, with the true time of each frame."""

from cinelib.metrics.metric import Clip
from cinelib.preparation import decoding
from cinelib.preparation.isolation import Child
from cinelib.preparation.sources import Source

_MOST_BYTES = 4 << 30


class ScoreError(ValueError):
    """The request cannot be answered at all: no videos, a file of prompts that is none, unknown metrics."""


def decode(source: Source, seconds: float, child: Child, prompt: str = "") -> Clip:
    """The first `seconds` of a source, at its own rate and its size as shown (square pixels).

    Raises:
        ValueError: that is more than 4 GiB of pixels.
        ChildError: it does not decode.
    """
    width = round(source.width * source.pixel_aspect)
    size = int((source.times <= seconds + 1e-6).sum()) * source.height * width * 3
    if size > _MOST_BYTES:
        raise ValueError(f"{size / 2**30:.1f} GiB of pixels in {seconds:g} s; look at fewer seconds")
    frames, times = child.call(decoding.opening, str(source.path), seconds, source.height, width)
    return Clip(source.file, frames, times, prompt)
