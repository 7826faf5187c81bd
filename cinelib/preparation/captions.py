"""Captions that come with the footage: metadata.jsonl or .csv rows, text beside a file, structured fields."""

import codecs
import csv
import errno
import json
import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cinelib.files import shown_name, straying

if TYPE_CHECKING:
    from cinelib.preparation.sources import Source

NO_FILM = {".txt", ".jsonl", ".csv", ".json", ".md", ".srt", ".vtt"}
FIELDS = ("action", "costume", "lighting", "color_grading", "camera")


@dataclass(frozen=True)
class Caption:
    """A caption, the structured fields it came with, and where it came from."""

    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""


@dataclass(frozen=True)
class _Row:
    file: str
    start: float
    end: float
    caption: Caption


class Captions:
    """All captions of a footage folder. `problems` lists (file, reason) of every row that was refused."""

    def __init__(self, rows: Iterable[_Row] = (), problems: Iterable[tuple[str, str]] = ()) -> None:
        self._rows = list(rows)
        self.problems = list(problems)

    @classmethod
    def open(cls, folder: str | Path) -> "Captions":
        """Read `metadata.jsonl`, `metadata.csv` and every `<clip>.txt` below `folder`; refuse what is wrong.

        A row has `file_name`, optionally `start` and `end` (seconds), and `text` or some of
        action, costume, lighting, color_grading, camera.
        """
        folder = Path(folder)
        book = cls()
        for name, read in (("metadata.jsonl", _jsonl), ("metadata.csv", _csv)):
            if (folder / name).is_symlink() or (folder / name).exists():
                if reason := straying(folder, folder / name):
                    book.problems.append((name, f"captions refused: {reason}"))
                    continue
                for where, values in read(folder / name):
                    book._add(folder, f"{name}, {where}", values)
        for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".txt"):
            book._add_sidecar(folder, path)
        return book

    def summary(self, sources: Iterable["Source"]) -> str:
        """How many readable files have a caption, and what was refused, in words for the console."""
        films = {_composed(source.file) for source in sources if not source.reason}
        with_caption = films & {row.file for row in self._rows}
        refused = "".join(f"\n  {file}: {reason}" for file, reason in self.problems)
        return (
            f"{len(with_caption)} of {len(films)} files have a caption; {len(self.problems)} refused"
            + refused
        )

    def find(self, file: str, start: float, end: float) -> Caption | None:
        """The caption of `file` between `start` and `end`: the row that covers most of it, at least half.

        Rows with times win over rows for the whole file, and those over text beside the file.
        """
        best, best_key = None, (0.0, 0.0)
        file = _composed(file)
        for rank, row in enumerate(reversed(self._rows)):
            if row.file != file:
                continue
            overlap = max(0.0, min(end, row.end) - max(start, row.start)) / (end - start)
            timed = row.end != float("inf")
            key = (overlap + timed, float(rank))
            if overlap >= 0.5 and key > best_key:
                best, best_key = row.caption, key
        return best

    def _add(self, folder: Path, where: str, values: Mapping[str, object] | str) -> None:
        if isinstance(values, str):
            self.problems.append((where.split(",")[0], f"{where}: {values}"))
            return
        file = _as_stored(folder, str(values.get("file_name") or "").strip())
        try:
            reason = refusal(folder, file)
            start, end = _time(values.get("start"), 0.0), _time(values.get("end"), float("inf"))
            if not reason and not start < end:
                reason = f"start {start:g} is not before end {end:g}"
        except ValueError as error:
            reason = str(error)
        fields = {name: str(values[name]).strip() for name in FIELDS if values.get(name)}
        text = str(values.get("text") or "").strip() or sentence(fields)
        if not reason and not text:
            reason = f"no text and none of {', '.join(FIELDS)}"
        if reason:
            self.problems.append((file or where.split(",")[0], f"caption refused ({where}): {reason}"))
        else:
            name = _composed(PurePosixPath(file).as_posix())
            self._rows.append(_Row(name, start, end, Caption(text, fields, where)))

    def _add_sidecar(self, folder: Path, path: Path) -> None:
        relative = Path(shown_name(path.relative_to(folder)))
        if reason := straying(folder, path):
            self.problems.append((relative.as_posix(), f"caption refused: {reason}"))
            return
        stem = _composed(path.stem)
        beside = (film for film in sorted(path.parent.iterdir()) if film.suffix.lower() not in NO_FILM)
        films = [film for film in beside if _composed(film.stem) == stem]
        if not films:
            if path.stem.lower() not in {"readme", "license", "licence", "notes", "sha256sums"}:
                reason = "caption refused: no video of that name beside it"
                self.problems.append((relative.as_posix(), reason))
            return
        try:
            text = " ".join(path.read_text("utf-8-sig").split())
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append((relative.as_posix(), f"caption refused: {error}"))
            return
        if not text:
            self.problems.append((relative.as_posix(), "caption refused: the file is empty"))
            return
        for film in films:
            file = _composed(shown_name(film.relative_to(folder)))
            self._rows.append(_Row(file, 0.0, float("inf"), Caption(text, {}, relative.as_posix())))


def refusal(folder: Path, file: str) -> str:
    """Why `file` cannot be a `file_name` of `folder`, or an empty string."""
    if not file:
        return "file_name is missing"
    if PurePosixPath(file).is_absolute() or "\\" in file or "\0" in file:
        return f"file_name {_brief(file)!r} must be a relative path with forward slashes"
    if ".." in PurePosixPath(file).parts:
        return f"file_name {_brief(file)!r} escapes the folder"
    if reason := straying(folder, folder / file):
        missing = reason == f"cannot be read: {os.strerror(errno.ENOENT)}"
        what = "does not exist" if missing else reason if reason.startswith("cannot") else f"is {reason}"
        return f"file_name {_brief(file)!r} {what}"
    if (folder / file).is_dir():
        return f"file_name {_brief(file)!r} is a folder"
    return ""


def _brief(file: str) -> str:
    return file if len(file) <= 255 else file[:60] + "..."


def sentence(fields: Mapping[str, str]) -> str:
    """One caption from structured fields: action, costume, light, grade, camera, in this order.

    >>> sentence({"action": "a monk in a red robe walks", "costume": "red robe", "camera": "pans left"})
    'a monk in a red robe walks, camera pans left'
    """
    words = {name: str(fields.get(name, "")).strip().rstrip(".,") for name in FIELDS}
    if words["costume"] in words["action"]:
        words["costume"] = ""  # the action names it
    camera = words["camera"]
    if camera and "camera" not in camera:  # "pans left", but "static"
        words["camera"] = f"camera {camera}" if camera.split()[0].endswith("s") else f"{camera} camera"
    return ", ".join(word for word in words.values() if word)


def with_trigger(trigger: str, text: str) -> str:
    """`text` opened by the phrase that names the film's look, exactly once."""
    trigger, text = trigger.strip().rstrip(","), text.strip()
    if not trigger or text.lower().startswith(trigger.lower()):
        return text
    return f"{trigger}, {text}" if text else trigger


def _time(value: object, default: float) -> float:
    if value is None or value == "":
        return default
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"time {value!r} is not a number of seconds") from None
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"time {value!r} is not a number of seconds")
    return seconds


def _jsonl(path: Path) -> Iterable[tuple[str, Mapping[str, object] | str]]:
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield f"line {number}", f"not JSON ({error})"
            continue
        yield f"line {number}", values if isinstance(values, dict) else "not a JSON object"


def _csv(path: Path) -> Iterable[tuple[str, Mapping[str, object] | str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            head = stream.readline()
            stream.seek(0)
            comma = max(",;\t", key=head.count)  # a spreadsheet writes the one of its language
            for number, values in enumerate(csv.DictReader(stream, delimiter=comma), start=2):
                yield f"line {number}", {key: value for key, value in values.items() if key}
    except (UnicodeDecodeError, csv.Error) as error:
        yield "the file", f"not CSV text ({error})"


def _composed(name: str) -> str:
    """One spelling of accents: macOS stores é as e and an accent, others as one letter."""
    return unicodedata.normalize("NFC", name)


def _as_stored(folder: Path, file: str) -> str:
    """`file` with its accents written as the folder writes them, where only these differ."""
    try:
        if not file or file.isascii() or ".." in PurePosixPath(file).parts or (folder / file).exists():
            return file
        beside = (folder / file).parent.iterdir()
        name = next(
            path.name for path in beside if _composed(path.name) == _composed(PurePosixPath(file).name)
        )
    except (OSError, ValueError, StopIteration):
        return file
    return (PurePosixPath(file).parent / name).as_posix()
