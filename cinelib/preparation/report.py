"""What became of the footage, in words: the report of all decisions, reasons for an error, remarks for the
console."""

import csv
from collections.abc import Sequence
from pathlib import Path

from cinelib.files import replacing
from cinelib.preparation.selection import Decision
from cinelib.preparation.sources import cover_box

COLUMNS = ("file", "take", "start", "end", "decision", "reason", "note", "clip")


def write_report(path: str | Path, decisions: Sequence[Decision]) -> Path:
    """`decisions.csv`: file, take, time span, decision, reason, note, clip; written atomically."""
    path = Path(path)
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(decision.row() for decision in decisions)
    return path


def why_dropped(decisions: Sequence[Decision], most: int = 5) -> str:
    """The first reasons, file by file, for an error's text; where the report lies depends on who runs the
    stage."""
    lines = [f"{d.file}: {d.reason}" for d in decisions if d.decision == "dropped"]
    more = f"; {len(lines) - most} more in decisions.csv" if len(lines) > most else ""
    return "; ".join(lines[:most]) + more


def remarks(decisions: Sequence[Decision]) -> list[str]:
    """One line for each remark and file, for the console: what was done to clips that were kept."""
    found: dict[str, list[str]] = {}
    for decision in decisions:
        for note in decision.note.split("; ") if decision.decision == "kept" and decision.note else ():
            if not note.startswith("span ") and decision.file not in found.setdefault(note, []):
                found[note].append(decision.file)
    return [
        f"{', '.join(files[:3])}{' and others' * (len(files) > 3)}: {note}" for note, files in found.items()
    ]


def remarks_on_size(decision: Decision, height: int, width: int) -> str:
    """What cutting to the model's size does to a take's picture: upscaled, or much of it cropped away."""
    take = decision.take
    left, top, right, bottom = take.box
    box = cover_box(take.box, height, width, take.source.pixel_aspect)
    lost = 1 - (box[2] - box[0]) * (box[3] - box[1]) / max(1, (right - left) * (bottom - top))
    by = height / (box[3] - box[1])
    words = [
        f"upscaled {by:.1f} times" if by > 1.05 else "",
        f"{lost:.0%} cropped away" if lost > 0.2 else "",
    ]
    return "; ".join(filter(None, words))
