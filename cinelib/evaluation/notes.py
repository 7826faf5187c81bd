"""What one must know about a set of clips as a whole before its numbers are read."""

from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]
_SHOWN = 5


def about_clips(rows: Rows) -> list[str]:
    """Mixed sizes and rates, and files that are there more than once."""
    sizes, rates = _sizes(rows), _rates(rows)
    notes = _repeated(rows, "clips")
    if len(sizes) > 1:
        notes.append(f"mixed sizes ({', '.join(sizes)}): every metric brings clips to one size")
    if len(rates) > 1:
        shown = ", ".join(rates)
        notes.append(f"mixed frame rates ({shown}): motion and windows go by the frames' true times")
    return notes


def about_reference(own: Rows, other: Rows) -> list[str]:
    """Reference clips that are left out, repeated or scored themselves, and where they are not alike."""
    notes = [
        f"reference {row['file']} left out: {reason}"
        for row in other
        for reason in dict.fromkeys(row["excluded"].values())
    ]
    notes += _repeated(other, "reference clips")
    shared = {row["sha256"] for row in own} & {row["sha256"] for row in other}
    if shared:
        notes.append(f"{len(shared)} of the clips are in the reference too: distances to it are too small")
    for what, of, effect in (
        ("sizes", _sizes, "all are brought to one size, but what is sharp in one is not in the other"),
        ("frame rates", _rates, "networks of consecutive frames (I3D) see the same motion at other speeds"),
    ):
        mine, theirs = of(own), of(other)
        if mine and theirs and mine != theirs:
            shown = f"{_joined(theirs)}; the clips have {_joined(mine)}"
            notes.append(f"the reference has other {what} ({shown}): {effect}")
    return notes


def about_left_out(left_out: Mapping[str, str], whose: str = "") -> list[str]:
    """Entries of the folder that are no videos."""
    if not left_out:
        return []
    shown = [f"{name} ({reason})" for name, reason in left_out.items()]
    return [f"{whose}left out: {_joined(shown)}"]


def about_prompts(unused: Sequence[str], lacking: bool) -> list[str]:
    """Prompts that no clip answers to; `lacking`: similarity to prompts was possible and none are given."""
    notes = [f"prompts for files that are not here: {_joined(unused)}"] if unused else []
    return notes + (["no --prompts FILE: similarity to the prompt is not measured"] if lacking else [])


def _repeated(rows: Rows, what: str) -> list[str]:
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row["sha256"], []).append(row["file"])
    groups = [" = ".join(files) for files in names.values() if len(files) > 1]
    if not groups:
        return []
    return [f"the same file more than once among the {what}, counted each time: {_joined(groups)}"]


def _sizes(rows: Rows) -> list[str]:
    return [f"{width}x{height}" for width, height in sorted({(row["width"], row["height"]) for row in rows})]


def _rates(rows: Rows) -> list[str]:
    return [f"{rate:g}" for rate in sorted({round(row["fps"], 1) for row in rows if row["fps"]})]


def _joined(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
