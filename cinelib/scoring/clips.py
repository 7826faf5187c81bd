"""The videos of a folder: probed and decoded in a process of their own, cut in time, paired with prompts."""

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cinelib.footage import decoding
from cinelib.footage.isolation import Child, ChildError
from cinelib.footage.sources import FootageError, Source, survey

_MOST_BYTES = 4 << 30
_UNDECODABLE = "undecodable"


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


def find(path: Path, child: Child) -> list[Source]:
    """The video files at `path`, a folder or one file; what cannot be decoded carries a `reason`.

    Raises:
        ScoreError: nothing there, or no video in it.
    """
    if path.is_file():
        sources = [_probed(path, child)]
    else:
        try:
            sources = [s for s in survey(path, child) if not s.reason or s.reason.startswith(_UNDECODABLE)]
        except FootageError as error:
            raise ScoreError(str(error)) from None
    if not sources:
        raise ScoreError(f"no video files in {path}")
    return sources


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


def read_prompts(path: Path) -> dict[str, str]:
    """File name to prompt from .jsonl (file_name, text), .csv (the same columns) or .json (a mapping).

    Raises:
        ScoreError: unreadable, another format, a line without name or text, a name given twice.
    """
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        elif path.suffix == ".csv":
            rows = list(csv.DictReader(text.splitlines()))
        elif path.suffix == ".json":
            rows = [{"file_name": name, "text": prompt} for name, prompt in json.loads(text).items()]
        else:
            raise ScoreError(f"prompts {path} must be .jsonl, .csv or .json with file_name and text")
        pairs = [(str(row["file_name"]), str(row["text"] or "").strip()) for row in rows]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ScoreError(f"prompts {path}: {type(error).__name__}: {error}") from None
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise ScoreError(f"prompts {path}: given twice: {', '.join(twice[:5])}")
    return {name: prompt for name, prompt in pairs if prompt}


def prompt_of(file: str, prompts: dict[str, str]) -> str:
    """The prompt for a file below the folder: by its whole name, else by its last part if only one has it."""
    if file in prompts:
        return prompts[file]
    last = [prompt for name, prompt in prompts.items() if Path(name).name == Path(file).name]
    return last[0] if len(last) == 1 else ""


def _probed(path: Path, child: Child) -> Source:
    try:
        return Source(path.name, path, **child.call(decoding.probe, str(path)))
    except ChildError as error:
        return Source(path.name, path, reason=f"{_UNDECODABLE}: {error}")
