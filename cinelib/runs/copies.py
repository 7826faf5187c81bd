"""The reader's own copies of the notebooks, in a folder that git ignores: made once, never overwritten."""

import shutil
from pathlib import Path

from cinelib.files import replacing
from cinelib.runs import notebook
from cinelib.runs.workbook import OWN_WORK, Workbook


def prepare(workbook: Workbook) -> tuple[Path, list[str]]:
    """Put a copy of each notebook that has none into the reader's folder.

    A copy that nobody touched (no edit, no output) follows the course. Any other is kept; where the course
    has changed since, the name is returned, so that the reader can be told.
    """
    folder = workbook.root / OWN_WORK
    folder.mkdir(exist_ok=True)
    behind = []
    for stage in workbook.stages:
        source, copy = workbook.notebook(stage), folder / f"{stage}.ipynb"
        if not source.is_file():
            continue
        if not copy.exists() or _untouched(copy):
            with replacing(copy) as partial:
                shutil.copyfile(source, partial)
        elif _behind(source, copy):
            behind.append(copy.name)
    return folder, behind


def _untouched(copy: Path) -> bool:
    try:
        return not notebook.edited(copy) and not notebook.has_outputs(copy)
    except (ValueError, KeyError, TypeError):  # no notebook any more: whatever it is, it is the reader's
        return False


def _behind(source: Path, copy: Path) -> bool:
    """Whether the course has a cell that the copy was not made from; an edited cell keeps its id."""
    try:
        return not {cell.id for cell in notebook.read(source)} <= {cell.id for cell in notebook.read(copy)}
    except (ValueError, KeyError, TypeError):
        return False
