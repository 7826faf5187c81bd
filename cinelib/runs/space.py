"""Room and leave to write, where runs are: told before the work where it can be known, with path and need."""

import os
import shutil
from pathlib import Path

from cinelib.units import readable_bytes

_GIB = 2**30
_NOTHING = 2**20  # bytes: where less is free, whatever failed failed for want of it
_NO_ROOM = ("No space left on device", "Disk quota exceeded")
_NO_LEAVE = ("Read-only file system", "Permission denied")
ELSEWHERE = "put runs elsewhere with --runs DIR (or CINELIB_RUNS)"


def existing(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that is there: both are on one file system."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def free(folder: Path) -> int:
    """Bytes that may be written below `folder`, which need not be there yet."""
    return shutil.disk_usage(existing(folder)).free


def problems(runs: Path, profile: str, needed: float) -> list[str]:
    """Why a run of `profile`, which needs some GiB, cannot be written to `runs`."""
    here = existing(runs)
    if not here.is_dir():
        return [f"{here} is a file where a folder for runs should be; {ELSEWHERE}"]
    if not os.access(here, os.W_OK | os.X_OK):
        return [f"{here} cannot be written (read-only, or not yours); {ELSEWHERE}"]
    if (left := free(runs)) < needed * _GIB:
        have = f"{left / _GIB:.1f} GiB free at {here}"
        return [f"disk: {have}, profile {profile} needs {needed:g} GiB; free some, or {ELSEWHERE}"]
    return []


def explained(reason: str, runs: Path) -> str:
    """The reason of a failure; where it is about space or leave to write, also where, and what helps."""
    if any(words in reason for words in _NO_ROOM) or free(runs) < _NOTHING:
        return f"{reason} ({readable_bytes(free(runs))} free at {runs}): free some, or {ELSEWHERE}"
    if any(words in reason for words in _NO_LEAVE):
        return f"{reason} (runs are written to {runs}): {ELSEWHERE}"
    return reason
