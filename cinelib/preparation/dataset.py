"""The dataset: a folder of clips in the Hub's video-folder convention, checked when it is opened."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cinelib.files import hash_of, straying
from cinelib.preparation.captions import FIELDS, refusal
from cinelib.preparation.isolation import brief

METADATA = "metadata.jsonl"


class DatasetError(ValueError):
    """A dataset folder is not what its metadata says."""


@dataclass(frozen=True)
class Clip:
    """One captioned clip. `path` is its file; `fields` holds the structured part of the caption."""

    file_name: str
    path: Path
    text: str
    fps: float
    num_frames: int
    height: int
    width: int
    sha256: str = ""
    source: str = ""
    take: int = 0
    start: float = 0.0
    end: float = 0.0
    fields: Mapping[str, str] = field(default_factory=dict)

    def frames(self) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB.

        Raises:
            DatasetError: the file is damaged or has another shape than its metadata says.
        """
        from cinelib.video import read_video

        try:
            frames, _ = read_video(self.path)
        except Exception as error:
            raise DatasetError(f"{self.file_name} cannot be read: {brief(error)}") from None
        if frames.shape != (self.num_frames, self.height, self.width, 3):
            promised = (self.num_frames, self.height, self.width, 3)
            raise DatasetError(f"{self.file_name} holds {frames.shape}, its metadata promises {promised}")
        return frames


class VideoFolder(Sequence[Clip]):
    """The clips of a dataset folder, checked on opening: `folder[0].text`, `folder[0].frames()`.

    Raises:
        DatasetError: from `open`: metadata missing or damaged; a caption for a file that does not exist; a
            file named twice; a `file_name` that leaves the folder; clips of mixed size or rate.
    """

    def __init__(self, path: Path, clips: Sequence[Clip]) -> None:
        self.path = path
        self._clips = tuple(clips)

    @classmethod
    def open(cls, path: str | Path, verify: bool = False) -> "VideoFolder":
        """Read `metadata.jsonl`. `verify` also compares every file's SHA-256 with the metadata."""
        path = Path(path)
        if not (path / METADATA).is_file():
            raise DatasetError(f"{str(path)!r} has no {METADATA}: not a dataset folder")
        if reason := straying(path, path / METADATA):
            raise DatasetError(f"{METADATA} is {reason}")
        clips: list[Clip] = []
        for number, line in enumerate((path / METADATA).read_text("utf-8").splitlines(), start=1):
            if line.strip():
                clips.append(_read_row(path, number, line))
        _refuse_mixed(path, clips)
        if verify:
            for clip in clips:
                if clip.sha256 and hash_of(clip.path) != clip.sha256:
                    raise DatasetError(
                        f"{clip.file_name} is not the file that {METADATA} describes (SHA-256)"
                    )
        return cls(path, clips)

    @property
    def sha256(self) -> str:
        """One hash of all captions and files, for caches and model cards."""
        parts = [f"{clip.file_name}\0{clip.text}\0{clip.sha256 or hash_of(clip.path)}" for clip in self]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> Clip:
        return self._clips[index]


def _read_row(folder: Path, number: int, line: str) -> Clip:
    where = f"{METADATA}, line {number}"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: not JSON ({error})") from None
    if not isinstance(row, dict):
        raise DatasetError(f"{where}: not a JSON object")
    file = str(row.get("file_name") or "")
    if reason := refusal(folder, file):
        raise DatasetError(f"{where}: {reason}")
    if not str(row.get("text") or "").strip():
        raise DatasetError(f"{where}: {file} has no text")
    shape = {name: row.get(name) for name in ("fps", "num_frames", "height", "width")}
    for name, value in shape.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e9:
            raise DatasetError(f"{where}: {file} has {name} = {value!r}, which must be a positive number")
    try:
        start, end = (float(row.get(name) or 0.0) for name in ("start", "end"))
    except (TypeError, ValueError, OverflowError):
        raise DatasetError(f"{where}: {file} has a start or end that is no number of seconds") from None
    return Clip(
        file_name=file,
        path=folder / file,
        text=str(row["text"]),
        fps=float(shape["fps"]),
        num_frames=int(shape["num_frames"]),
        height=int(shape["height"]),
        width=int(shape["width"]),
        sha256=str(row.get("sha256") or ""),
        source=str(row.get("source") or ""),
        take=row["take"] if isinstance(row.get("take"), int) else 0,
        start=start,
        end=end,
        fields={name: str(row[name]) for name in FIELDS if row.get(name)},
    )


def _refuse_mixed(path: Path, clips: Sequence[Clip]) -> None:
    if not clips:
        raise DatasetError(f"{str(path / METADATA)!r} lists no clip")
    seen: set[str] = set()
    for clip in clips:
        if clip.path.resolve().as_posix() in seen:
            raise DatasetError(f"{METADATA} names {clip.file_name} twice")
        seen.add(clip.path.resolve().as_posix())
    for what in (lambda clip: (clip.height, clip.width), lambda clip: clip.fps):
        for clip in clips[1:]:
            if what(clip) != what(clips[0]):
                first = clips[0]
                raise DatasetError(
                    f"clips of mixed shape: {first.file_name} is {first.height}x{first.width} at "
                    f"{first.fps:g} fps, {clip.file_name} is {clip.height}x{clip.width} at {clip.fps:g} fps"
                )


def hold_out(clips: Sequence[Clip], count: int) -> tuple[list[int], list[int]]:
    """Positions to train on and at most `count` to hold out: whole takes from the end, so that none is in
    both.

    Clips with the same file count as one take. Where every take has more clips, the last clips are held out.
    """
    takes: dict[object, list[int]] = {}
    alias: dict[str, object] = {}
    for position, clip in enumerate(clips):
        own = (clip.source, clip.take) if clip.source else clip.file_name
        takes.setdefault(alias.setdefault(clip.sha256 or clip.file_name, own), []).append(position)
    held: list[int] = []
    for members in sorted(takes.values(), key=lambda members: -members[-1]):
        if len(held) + len(members) <= count:
            held += members
    if not held:
        held = list(range(len(clips)))[-count:]
    return [k for k in range(len(clips)) if k not in held], sorted(held)


def window_length(available: int, wanted: int) -> int:
    """Frames of a clip that are trained on: `wanted`, or as a shorter one has (4k+1); 0 if it has too few."""
    count = min(wanted, (available - 1) // 4 * 4 + 1)
    return count if count >= min(5, wanted) else 0
