"""How long a stage takes, by its own past on this machine, else by the reference run's; how far one is."""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cinelib.files import read_json, write_json
from cinelib.runs import manifest
from cinelib.runs.workbook import Workbook
from cinelib.units import readable_seconds

FILE = ".progress.json"  # in a running stage's folder


def expected(workbook: Workbook, stage: str, profile: str) -> float | None:
    """Seconds that the stage took last at `profile`; None where nobody knows."""
    past = []
    for folder in (workbook.runs / "stages").glob(f"{stage}-*"):
        content = read_json(folder / manifest.FILE)
        if isinstance(content, dict) and content.get("parameters", {}).get("profile") == profile:
            past.append((str(content.get("finished")), content.get("seconds")))
    if past:
        return max(past)[1]
    index = read_json(workbook.root / "data" / "reference.json") or {}
    of_profile = {**index.get("times", {}), index.get("profile"): index.get("stages", {})}.get(profile, {})
    return of_profile.get(stage, {}).get("seconds")


def roughly(seconds: float) -> str:
    """A time that nobody knows exactly: `about 40 s`, `about 5 min`."""
    return f"about {max(10, round(seconds, -1)):.0f} s" if seconds < 95 else f"about {seconds / 60:.0f} min"


def note(folder: Path, cell: int, of: int, began: float, seconds: float | None) -> None:
    """Leave word for `cinelib status` of the cell that starts. A full disk stops no stage here."""
    with suppress(OSError):
        write_json(folder / FILE, {"cell": cell + 1, "cells": of, "began": began, "expected": seconds})


def progress(folder: Path) -> Mapping[str, Any] | None:
    """What was left last: cell, cells, began (seconds since 1970) and expected (seconds, or None)."""
    found = read_json(folder / FILE)
    return found if isinstance(found, dict) and found.keys() >= {"cell", "cells", "began"} else None


def sentence(found: Mapping[str, Any]) -> str:
    """`cell 12 of 40, after 1 min 05 s of about 4 min`."""
    text = f"cell {found['cell']} of {found['cells']}, after {readable_seconds(time.time() - found['began'])}"
    return f"{text} of {roughly(found['expected'])}" if found.get("expected") else text
