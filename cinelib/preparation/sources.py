"""A folder of footage: one row per file, whatever the file turns out to be, and true-time resampling."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cinelib.files import shown_name, straying
from cinelib.preparation import decoding
from cinelib.preparation.isolation import Child, ChildError

VIDEO = {
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mxf",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mts",
    ".wmv",
    ".flv",
    ".m2ts",
    ".m2t",
    ".vob",
    ".3gp",
    ".lrv",
    ".insv",
}
PICTURES = {
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".exr",
    ".dpx",
    ".bmp",
    ".webp",
    ".tga",
    ".heic",
    ".dng",
}
TEXT = {".txt", ".jsonl", ".csv", ".json", ".md", ".srt", ".vtt", ".yaml", ".yml", ".xml", ".html"}


class FootageError(ValueError):
    """The folder itself is unusable: missing, not a folder, or without a single file."""


@dataclass(frozen=True)
class Source:
    """One file of the folder. `reason` says why its picture cannot be used; empty means it can.

    `height`, `width`: pixels as shown, after rotation. `times` (N,): seconds since the first frame, from the
    frames' own timestamps. `declared_fps`: what the header claims. `seekable`: a scan has seen that a frame
    can be found by its stamp.
    """

    file: str
    path: Path
    reason: str = ""
    container: str = ""
    codec: str = ""
    pixel_format: str = ""
    height: int = 0
    width: int = 0
    rotation: int = 0
    pixel_aspect: float = 1.0
    declared_fps: float | None = None
    declared_seconds: float | None = None
    seconds: float = 0.0
    audio: bool = False
    seekable: bool = False
    notes: tuple[str, ...] = ()
    times: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)

    @property
    def measured_fps(self) -> float | None:
        """Frames a second by the timestamps: (N - 1) intervals over the time they span."""
        return float((len(self.times) - 1) / self.times[-1]) if len(self.times) > 1 else None

    @property
    def variable_rate(self) -> bool:
        """Whether frames stay on screen for clearly different times."""
        steps = np.diff(self.times)
        return len(steps) > 1 and bool(steps.max() - steps.min() > 0.1 * np.median(steps) + 2e-3)

    def row(self) -> dict[str, object]:
        """One line of the survey table."""
        size = f"{self.width}x{self.height}" if self.height else ""
        return {
            "file": self.file,
            "container": self.container.split(",")[0],
            "codec": self.codec,
            "size": size,
            "rotation": self.rotation,
            "frames": len(self.times),
            "declared fps": self.declared_fps,
            "measured fps": self.measured_fps,
            "variable": self.variable_rate,
            "seconds": self.seconds,
            "audio": self.audio,
            "remarks": "; ".join(filter(None, (self.reason, *self.notes))),
        }


def survey(folder: str | Path, child: Child, log: Callable[[str], None] = lambda line: None) -> list[Source]:
    """Probe every file below `folder`, sorted by name; broken and foreign files get a row with a reason.

    Raises:
        FootageError: `folder` is missing, is a file, or holds no file at all.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FootageError(f"footage folder {str(folder)!r} does not exist")
    if not folder.is_dir():
        raise FootageError(f"footage {str(folder)!r} is a file; give the folder that holds the video files")
    paths = sorted(path for path in folder.rglob("*") if _is_entry(path, folder))
    if not paths:
        raise FootageError(f"footage folder {str(folder)!r} is empty")
    sequences = _sequences(paths)
    sources = []
    for path in paths:
        if path in sequences:
            if sequences[path]:
                name = shown_name(path.relative_to(folder))
                sources.append(Source(name, path, reason=sequences[path]))
            continue
        source = _probe(path, folder, child)
        log(f"{source.file}: {source.reason or f'{source.seconds:.2f} s, {len(source.times)} frames'}")
        sources.append(source)
    return sources


def _sequences(paths: Sequence[Path]) -> dict[Path, str]:
    """Numbered pictures of one name, three or more: the first with the reason for all of them, the others
    with ""."""
    groups: dict[tuple[Path, str, str], list[Path]] = {}
    for path in paths:
        stem = path.stem.rstrip("0123456789")
        if path.suffix.lower() in PICTURES and stem != path.stem and not path.is_symlink():
            groups.setdefault((path.parent, stem, path.suffix), []).append(path)
    found = {}
    for (_, stem, suffix), members in groups.items():
        if len(members) >= 3:
            reason = (
                f"not a video: image sequence {stem}#{suffix} of {len(members)} pictures; make a video of it"
            )
            found |= {path: reason if path == members[0] else "" for path in members}
    return found


def _is_entry(path: Path, folder: Path) -> bool:
    """Files, links, and folders that pose as a video; hidden files are the system's, not footage."""
    if any(part.startswith(".") for part in path.relative_to(folder).parts):
        return False
    return path.is_symlink() or not path.is_dir() or path.suffix.lower() in VIDEO


def _probe(path: Path, folder: Path, child: Child) -> Source:
    file = shown_name(path.relative_to(folder))
    if reason := straying(folder, path):
        return Source(file, path, reason=f"refused: {reason}")
    if path.is_dir():
        return Source(file, path, reason="undecodable: a folder, not a video file")
    if path.suffix.lower() in TEXT or path.name in ("SHA256SUMS", "LICENSE"):
        return Source(file, path, reason="not a video: text beside the footage")
    try:
        return Source(file, path, **child.call(decoding.probe, str(path)))
    except Exception as error:  # whatever it is, it costs this file only
        kind = "undecodable" if path.suffix.lower() in VIDEO else "not a video"
        words = str(error) if isinstance(error, ChildError) else f"{type(error).__name__}: {error}"
        return Source(file, path, reason=f"{kind}: {words}")


def sample_indices(
    times: np.ndarray, start: float, num_frames: int, fps: float, end: float | None = None
) -> np.ndarray:
    """Which source frame to show at `start + k / fps`, k = 0..num_frames-1: the nearest by its timestamp.

    The largest timing error is half the gap between two source frames. Frames are never blended, because
    a mix of two frames is a ghost that no camera recorded and that a model would learn. Up to `end`
    (default: one frame's time after the last stamp) the last frame stays on screen.

    Raises:
        ValueError: a wanted instant lies outside of the footage by more than one frame.
    """
    times = np.asarray(times, dtype=np.float64)
    wanted = start + np.arange(num_frames) / fps
    slack = float(np.median(np.diff(times))) if len(times) > 1 else 1 / fps
    if wanted[0] < times[0] - slack or wanted[-1] > max(times[-1] + slack, end or 0.0) + 1e-6:
        raise ValueError(
            f"{num_frames} frames at {fps:g} fps need {wanted[0]:.3f} to {wanted[-1]:.3f} s, "
            f"the footage has {times[0]:.3f} to {times[-1]:.3f} s"
        )
    right = np.searchsorted(times, wanted).clip(1, max(1, len(times) - 1))
    if len(times) == 1:
        return np.zeros(num_frames, dtype=int)
    nearer_left = wanted - times[right - 1] <= times[right] - wanted
    return right - nearer_left


def cover_box(
    box: tuple[float, float, float, float], height: int, width: int, pixel_aspect: float = 1.0
) -> tuple[float, float, float, float]:
    """The largest centred part of `box` (left, top, right, bottom) that has the shape `height` x `width`.

    `pixel_aspect` is the width of a source pixel over its height: anamorphic footage is unsqueezed.
    """
    left, top, right, bottom = box
    shape = width / height / pixel_aspect  # wanted width/height in source pixels
    wide, high = right - left, bottom - top
    new_wide, new_high = min(wide, high * shape), min(high, wide / shape)
    return (
        left + (wide - new_wide) / 2,
        top + (high - new_high) / 2,
        right - (wide - new_wide) / 2,
        bottom - (high - new_high) / 2,
    )
