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
    kept, left = [], {}
    for source in found:
        if source.path.is_symlink() and source.path.is_dir():
            left[source.file] = "a link to a folder: its videos are not searched"
        elif len(source.times) == 1 and source.path.suffix.lower() not in VIDEO:
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
    if source.reason.startswith(_REFUSED) and "leads out" in source.reason:
        return replace(source, reason=f"{source.reason}; copy the file there, or score the folder it lies in")
    return source


def _probed(path: Path, child: Child) -> Source:
    try:
        return Source(path.name, path, **child.call(decoding.probe, str(path)))
    except ChildError as error:
        return Source(path.name, path, reason=f"{_UNDECODABLE}: {error}")
