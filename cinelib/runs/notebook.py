"""A notebook's file: its cells, which of them make a result, and which somebody edited since it was built."""

import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

from cinelib.provenance import code_digest

# Values arrive as resolved parameters; answers and their checks are the reader's. No result hangs on them.
NO_PART = {"parameters", "injected-parameters", "exercise", "check"}
_BUILT = re.compile(r"([0-9a-f]{12})(?:-\d+)?")  # a built cell's id


class Cell(NamedTuple):
    """What a cell says, without outputs and counts."""

    kind: str
    source: str
    tags: list[str]
    id: str = ""


def read(path: Path) -> list[Cell]:
    """The cells of a notebook."""
    # Read as the JSON that it is: importing nbformat takes longer than finding out that nothing changed.
    return [
        Cell(cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", []), cell.get("id", ""))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]


def code(cells: list[Cell]) -> list[str]:
    """Sources of the cells that make the notebook's result."""
    return [cell.source for cell in cells if cell.kind == "code" and not NO_PART.intersection(cell.tags)]


def code_digests(cells: list[Cell]) -> list[str]:
    """Hash of each of these cells; comments and layout do not count, where the cell is plain Python."""
    found = []
    for source in code(cells):
        try:
            found.append(code_digest(source))
        except SyntaxError:  # IPython's % and ! lines
            found.append(source)
    return found


def cell_id(kind: str, source: str) -> str:
    """A built cell's id: from what it says, so that an edit changes no other cell's and can be seen."""
    return hashlib.sha256(f"{kind}\n{source}".encode()).hexdigest()[:12]


def edited(path: Path) -> int:
    """How many cells of a built notebook were changed or added by hand. Outputs are no edit."""
    return sum(_edited(cell) for cell in read(path))


def has_outputs(path: Path) -> bool:
    """Whether a cell shows what it printed or drew."""
    return any(cell.get("outputs") for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])


def _edited(cell: Cell) -> bool:
    match = _BUILT.fullmatch(cell.id)
    if match is None:
        return bool(cell.source.strip())
    return match[1] != cell_id(cell.kind, cell.source)
