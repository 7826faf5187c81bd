"""The course's builder: `notebooks/source/NN_name.py` (py:percent) becomes `notebooks/NN_name.ipynb`.

`python notebooks/source/course.py build [--check] [NAME ...]`. The rules for sources are in
`notebooks/source/README.md`; a source that breaks one is refused with its file, cell and reason.
"""

import argparse
import ast
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cinelib.runs.notebook import cell_id, edited

NOTEBOOKS = Path(__file__).resolve().parents[1]
GROUP = ("hint", "check", "wrong")  # the cells that belong to the exercise above them
TAGS = {"parameters", "context", "exercise", "quiz", "draws", *GROUP}
FOLDED = {"check", "draws"}  # a check gives the answer away, and how a picture is drawn is not the lesson
BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
_REGION = re.compile(rf"^([ \t]*){BEGIN}\n(?:.*\n)*?[ \t]*{END}$", re.MULTILINE)
STUB = "raise NotImplementedError  # your turn"
Variant = Literal["stub", "solution", "wrong"]


class CourseError(ValueError):
    """A notebook source breaks a rule of the course."""


class EditedByHand(CourseError):
    """A notebook holds what somebody wrote into it since it was built: perhaps answers to exercises."""


@dataclass(frozen=True)
class Cell:
    """One cell of a source: its kind ("code" or "markdown"), text and course tag (empty for none)."""

    kind: str
    text: str
    tag: str = ""


@dataclass
class Exercise:
    """One exercise's cells, and the code of the `context` cells before it."""

    id: str
    prompt: str
    solution: str
    hint: str
    check: str
    wrong: list[str]
    context: list[str]


def sources(folder: Path = NOTEBOOKS) -> list[Path]:
    """All notebook sources, in the order of the course."""
    return sorted((folder / "source").glob("[0-9][0-9]_*.py"))


def read_source(path: Path) -> list[Cell]:
    """The cells of a py:percent file. Raises CourseError for a tag that means nothing here."""
    cells = []
    for number, raw in enumerate(jupytext.reads(path.read_text("utf-8"), fmt="py:percent").cells, 1):
        tags = raw.metadata.get("tags", [])
        if unknown := set(tags) - TAGS:
            raise CourseError(f"{path.name}, cell {number}: unknown tag {unknown}; known: {sorted(TAGS)}")
        if len(tags) > 1:
            raise CourseError(f"{path.name}, cell {number}: one tag a cell, found {tags}")
        cells.append(Cell(raw.cell_type, raw.source.strip("\n"), tags[0] if tags else ""))
    return cells


def stub_of(solution: str) -> str:
    """The exercise as the learner gets it: each BEGIN/END SOLUTION region becomes one `raise`.

    Raises:
        CourseError: markers missing or unbalanced, or a region outside a function (a `raise` there
            would stop a whole unattended run instead of one check).
    """
    stub, regions = _REGION.subn(rf"\1{STUB}", solution)
    if BEGIN in stub or END in stub:
        raise CourseError(f"unbalanced {BEGIN!r} and {END!r}")
    if not regions:
        raise CourseError(f"no region between {BEGIN!r} and {END!r}")
    functions = [node for node in ast.walk(ast.parse(stub)) if isinstance(node, ast.FunctionDef)]
    inside = {number for node in functions for number in range(node.lineno + 1, (node.end_lineno or 0) + 1)}
    if any(STUB in line and number not in inside for number, line in enumerate(stub.splitlines(), 1)):
        raise CourseError("the solution region must be inside a function")
    return stub


def solution_of(cell: str) -> str:
    """The exercise's full solution without the markers."""
    return "\n".join(line for line in cell.splitlines() if line.strip() not in (BEGIN, END))


def exercises(path: Path) -> list[Exercise]:
    """All exercises of a source, each complete: exercise, hint, check and at least one wrong answer."""
    cells, found, context, last = read_source(path), [], [], -1
    for index, cell in enumerate(cells):
        where = f"{path.name}, cell {index + 1}"
        if cell.tag == "context":
            context.append(cell.text)
        elif cell.tag == "exercise":
            group = list(takewhile(lambda cell: cell.tag in GROUP, cells[index + 1 :]))
            last = index + len(group)
            try:
                found.append(_exercise(cell, group, cells[index - 1].text, list(context)))
            except CourseError as error:
                raise CourseError(f"{where}, exercise: {error}") from None
        elif cell.tag in GROUP and index > last:
            raise CourseError(f"{where}: a {cell.tag!r} cell must follow its exercise")
    names = [exercise.id for exercise in found]
    if len(set(names)) != len(names):
        raise CourseError(f"{path.name}: exercise ids repeat: {names}")
    return found


def _exercise(cell: Cell, group: Sequence[Cell], prompt: str, context: list[str]) -> Exercise:
    texts = {tag: [other.text for other in group if other.tag == tag] for tag in GROUP}
    for tag, found in texts.items():
        if not found or (tag != "wrong" and len(found) > 1):
            raise CourseError(f"needs one {tag!r} cell right after it, found {len(found)}")
    stub_of(cell.text)
    match = re.search(r"""\bcheck\(["'](\d+\.\d+)["']""", texts["check"][0])
    if not match:
        raise CourseError('the check cell must say `with check("N.M"):`')
    return Exercise(match[1], prompt, cell.text, texts["hint"][0], texts["check"][0], texts["wrong"], context)


def assemble(notebook: str | Path, exercise_id: str, variant: Variant = "stub") -> str:
    """One exercise as a program: its context cells, the exercise in `variant`, its check.

    Raises:
        CourseError: no such notebook or exercise.
    """
    path = Path(notebook) if Path(notebook).suffix else NOTEBOOKS / "source" / f"{notebook}.py"
    if not path.is_file():
        raise CourseError(f"no notebook source {path}; known: {[source.stem for source in sources()]}")
    known = {exercise.id: exercise for exercise in exercises(path)}
    if exercise_id not in known:
        raise CourseError(f"{path.name} has no exercise {exercise_id!r}; known: {list(known)}")
    exercise = known[exercise_id]
    answers = {"stub": stub_of, "solution": solution_of, "wrong": lambda _: exercise.wrong[0]}
    return "\n\n".join([*exercise.context, answers[variant](exercise.solution), exercise.check]) + "\n"


def fold(summary: str, text: str) -> str:
    """Markdown that the reader opens by a click."""
    return f"<details><summary>{summary}</summary>\n\n{text.strip()}\n\n</details>"


def build(path: Path) -> NotebookNode:
    """The notebook that a source describes: stubs, folded hints and answers, no outputs, stable ids."""
    solutions = iter(exercises(path))
    cells, counts = [], {}
    for number, cell in enumerate(read_source(path), 1):
        if cell.tag == "wrong":
            continue
        text = cell.text
        if cell.tag == "exercise":
            current, text = next(solutions), stub_of(cell.text)
        elif cell.tag == "hint":
            code = f"```python\n{solution_of(current.solution)}\n```"
            text = fold("Hint", text) + "\n\n" + fold("Solution", code)
        elif cell.tag == "quiz":
            text = _quiz(text, f"{path.name}, cell {number}")
        new = new_code_cell if cell.kind == "code" else new_markdown_cell
        metadata = {"tags": [cell.tag]} if cell.tag else {}
        if cell.tag in FOLDED:
            metadata["jupyter"] = {"source_hidden": True}  # a click in JupyterLab opens it
        cells.append(new(source=text, metadata=metadata, id=_cell_id(cell.kind, text, counts)))
    notebook = new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def _quiz(text: str, where: str) -> str:
    parts = re.split(r"^---\s*$", text, flags=re.MULTILINE)
    if len(parts) != 2 or not all(part.strip() for part in parts):
        raise CourseError(f"{where}: a quiz is a question, a line '---', an answer")
    return parts[0].strip() + "\n\n" + fold("Answer", parts[1])


def _cell_id(kind: str, text: str, counts: dict[str, int]) -> str:
    digest = cell_id(kind, text)
    counts[digest] = counts.get(digest, 0) + 1
    return digest if counts[digest] == 1 else f"{digest}-{counts[digest]}"


def drift(folder: Path = NOTEBOOKS, names: Sequence[str] = ()) -> list[str]:
    """Names of notebooks that differ from what their source would build; also those without a source."""
    chosen = [path for path in sources(folder) if not names or path.stem in names]
    differing = []
    for path in chosen:
        target = folder / f"{path.stem}.ipynb"
        if not target.is_file() or target.read_text("utf-8") != nbformat.writes(build(path)) + "\n":
            differing.append(path.stem)
    if not names:
        stems = {path.stem for path in chosen}
        differing += [path.stem for path in sorted(folder.glob("*.ipynb")) if path.stem not in stems]
    return differing


def write(path: Path, folder: Path = NOTEBOOKS, force: bool = False) -> Path:
    """Build one source and replace its notebook in one step.

    Raises:
        EditedByHand: unless `force`; the notebook is left as it is.
    """
    target = folder / f"{path.stem}.ipynb"
    if not force and target.is_file() and (count := edited(target)):
        raise EditedByHand(
            f"{target.name} was edited by hand ({count} cells) and is kept as it is; "
            "move it away, or build it with --force to lose the edits"
        )
    partial = folder / f".{path.stem}.{os.getpid()}.partial"
    partial.write_text(nbformat.writes(build(path)) + "\n", "utf-8")
    return partial.replace(target)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python notebooks/source/course.py", description=__doc__.splitlines()[0]
    )
    parser.add_argument("command", choices=["build"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks to build, all by default")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a notebook differs")
    parser.add_argument("--force", action="store_true", help="replace notebooks that were edited by hand too")
    parser.add_argument("--folder", type=Path, default=NOTEBOOKS, help="the folder of notebooks")
    options = parser.parse_args(arguments)
    known = {path.stem: path for path in sources(options.folder)}
    chosen = [Path(name).stem for name in options.names] or list(known)
    if unknown := set(chosen) - set(known):
        parser.error(f"no source for {sorted(unknown)}; known: {list(known)}")
    try:
        if options.check:
            for name in (differing := drift(options.folder, chosen if options.names else ())):
                print(f"{name} differs from its source; run `make notebooks`", file=sys.stderr)
            return 1 if differing else 0
        return max((_write(known[name], options) for name in chosen), default=0)
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _write(source: Path, options: argparse.Namespace) -> int:
    try:
        print(write(source, options.folder, options.force))
    except EditedByHand as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
