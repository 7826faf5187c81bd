"""Captions that a person edited: a file of theirs, which every later preparation of the same footage reads.

It lies outside the runs, so that no run overwrites it, and has the columns of a `metadata.csv`.
"""

import csv
import io
from pathlib import Path

from cinelib.files import digest, write_text
from cinelib.preparation.captions import Caption

FOLDER = "my_work/captions"
ORIGIN = "edited by hand"
_COLUMNS = ("file_name", "start", "end", "text")


def path_of(footage: str) -> str:
    """The file of a footage folder's edits, relative to the repository's root."""
    return f"{FOLDER}/{Path(footage).name}-{digest(footage)[:6]}.csv"


def without_trigger(trigger: str, text: str) -> str:
    """A caption as it is written down: the stage puts its trigger before it, whatever that is by then."""
    opening = trigger.strip().rstrip(",")
    rest = text[len(opening) :]
    return rest.lstrip(", ") if opening and text.startswith(opening) and rest[:1] in ("", ",") else text


class CaptionEdits:
    """The edits in one file: spans of footage, each with its caption without the trigger.

    Raises:
        ValueError: from `open`: the file is no such table; it is left as it is.
    """

    def __init__(self, path: Path, rows: dict[tuple[str, float, float], str]) -> None:
        self.path = path
        self._rows = rows

    @classmethod
    def open(cls, path: str | Path) -> "CaptionEdits":
        """The edits in `path`; none when there is no file yet."""
        path = Path(path)
        if not path.exists():
            return cls(path, {})
        try:
            table = csv.DictReader(io.StringIO(path.read_text("utf-8-sig")))
            if missing := set(_COLUMNS).difference(table.fieldnames or ()):
                raise KeyError(f"no {', '.join(sorted(missing))}")
            rows = {
                (row["file_name"], float(row["start"]), float(row["end"])): " ".join(row["text"].split())
                for row in table
            }
        except (KeyError, TypeError, ValueError, AttributeError, csv.Error) as error:
            raise ValueError(
                f"{path}: edited captions need the columns {', '.join(_COLUMNS)} ({error}); mend the file or "
                "move it away"
            ) from None
        return cls(path, rows)

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, file: str, start: float, end: float) -> Caption | None:
        """The edit that covers at least half of a span of `file`; of several, the one most like the span."""
        found = {}
        for span, text in self._rows.items():
            shared = min(end, span[2]) - max(start, span[1])
            if span[0] == file and shared >= 0.5 * (end - start):
                found[shared / (max(end, span[2]) - min(start, span[1]))] = text
        return Caption(found[max(found)], {}, ORIGIN) if found else None

    def record(self, file: str, start: float, end: float, text: str) -> None:
        """Take over a caption; `save` writes it."""
        self._rows[file, round(start, 6), round(end, 6)] = " ".join(text.split())

    def save(self) -> None:
        """Write the file in one step."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows([*span, text] for span, text in sorted(self._rows.items()))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, buffer.getvalue())
