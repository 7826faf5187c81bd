"""One clip: decoded in a process of its own, cut in time, with the true time of each frame."""

from dataclasses import dataclass

import numpy as np

from cinelib.preparation import decoding
from cinelib.preparation.isolation import Child
from cinelib.preparation.sources import Source

_MOST_BYTES = 4 << 30


class ScoreError(ValueError):
    """The request cannot be answered at all: no videos, a file of prompts that is none, unknown metrics."""


@dataclass(frozen=True)
class Footage:
    """Decoded frames (T, H, W, 3) uint8 RGB and the true time of each in seconds (T,)."""

    file: str
    frames: np.ndarray
    times: np.ndarray

    def window(self, seconds: float) -> np.ndarray:
        """The first `seconds` of the clip. Raises ValueError when it is shorter than that."""
        step = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        lasts = float(self.times[-1]) + step
        if lasts < seconds - 1e-3:
            raise ValueError(f"lasts {lasts:.2f} s, the window is {seconds:g} s")
        return self.frames[self.times <= seconds + 1e-6]


def decode(source: Source, seconds: float, child: Child) -> Footage:
    """The first `seconds` of a source, at its own rate and its size as shown (square pixels).

    Raises:
        ValueError: that is more than 4 GiB of pixels.
        ChildError: it does not decode.
    """
    indices = np.flatnonzero(source.times <= seconds + 1e-6)
    width = round(source.width * source.pixel_aspect)
    size = len(indices) * source.height * width * 3
    if size > _MOST_BYTES:
        raise ValueError(f"{size / 2**30:.1f} GiB of pixels in {seconds:g} s; look at fewer seconds")
    whole = (0.0, 0.0, float(source.width), float(source.height))
    frames = child.call(
        decoding.clip, str(source.path), indices.tolist(), whole, source.height, width, source.decoder
    )
    return Footage(source.file, frames, source.times[indices])
