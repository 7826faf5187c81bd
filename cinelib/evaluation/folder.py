"""The videos at a path, and everything else that lies there: nothing vanishes without a word."""

from dataclasses import dataclass, replace
from pathlib import Path

from cinelib.evaluation.clips import ScoreError
from cinelib.preparation import decoding
from cinelib.preparation.isolation import Child, ChildError
from cinelib.preparation.sources import VIDEO, FootageError, Source, survey

_UNDECODABLE, _REFUSED = "undecodable", "refused"


@dataclass(frozen=True)
class Folder:
    """`sources` to measure, or to report where they carry a `reason`; `left_out`: file to why it is none."""

    sources: list[Source]
    left_out: dict[str, str]


def find(path: Path, child: Child) -> Folder:
    """What lies at `path`, a folder or one file.

    Raises:
        ScoreError: nothing there, or no video in it.
    """
    if path.is_file():
        return Folder([_probed(path, child)], {})
    try:
        found = survey(path, child)
    except FootageError as error:
        raise ScoreError(str(error)) from None
    kept, left = [], dict.fromkeys(_linked_folders(path), "a link to a folder: its videos are not searched")
    for source in found:
        if len(source.times) == 1 and source.path.suffix.lower() not in VIDEO:
            left[source.file] = "one picture, not a video"
        elif not source.reason or source.reason.startswith((_UNDECODABLE, _REFUSED)):
            kept.append(_advised(source))
        else:
            left[source.file] = source.reason
    if not kept:
        others = f"; it holds {', '.join(list(left)[:5])}" if left else ""
        raise ScoreError(f"no video files in {path}{others}")
    return Folder(kept, dict(sorted(left.items())))


def _advised(source: Source) -> Source:
    if source.path.is_symlink() and not source.path.exists():
        return replace(source, reason=f"{_UNDECODABLE}: a link to a file that is not there")
    if source.reason.startswith(_REFUSED):
        return replace(source, reason=f"{source.reason}; copy the file there, or score the folder it lies in")
    return source


def _linked_folders(path: Path) -> list[str]:
    links = (entry for entry in path.rglob("*") if entry.is_symlink() and entry.is_dir())
    return [entry.relative_to(path).as_posix() for entry in links]


def _probed(path: Path, child: Child) -> Source:
    try:
        return Source(path.name, path, **child.call(decoding.probe, str(path)))
    except ChildError as error:
        return Source(path.name, path, reason=f"{_UNDECODABLE}: {error}")
