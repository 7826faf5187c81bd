"""The conventions that every notebook keeps, and that each exercise's check can tell right from wrong."""

import ast
import re
import statistics
import sys
from functools import cache
from pathlib import Path

import nbformat
import pytest
from course import NOTEBOOKS, assemble, drift, exercises, read_source, sources
from papermill import inspect_notebook  # what `papermill --help-notebook` prints
from pydantic_core import PydanticUndefined

from cinelib.exercises import ExerciseFailed, NotAttempted, strict
from cinelib.stages import STAGES

ROOT = NOTEBOOKS.parent
PARAMETER = re.compile(r"^(\w+): (\S.*?) = (.+?)  # (\S.*)$")
TYPES = re.compile(r"(int|float|str|bool|list\[(int|float|str)\]|dict\[str, (int|float|str)\])")

every_notebook = pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)


@cache
def built(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{path.stem}.ipynb", as_version=4)


def cells(path: Path, kind: str, tag: str | None = None) -> list[str]:
    return [
        cell.source
        for cell in built(path).cells
        if cell.cell_type == kind and (tag is None or tag in cell.metadata.get("tags", []))
    ]


def test_there_are_notebooks_and_each_equals_its_source():
    assert sources(), "no notebook sources found"
    assert drift() == [], "run `make notebooks`"


@every_notebook
def test_a_stage_of_the_same_name_exists(path):
    assert path.stem in STAGES


@every_notebook
def test_parameters_are_literals_that_papermill_and_the_model_agree_on(path):
    (cell,) = cells(path, "code", "parameters")
    fields = STAGES[path.stem].model_fields
    seen = {}
    for line in cell.splitlines():
        match = PARAMETER.match(line)
        assert match, f"not `name: type = literal  # help`: {line}"
        name, kind, default, text = match.groups()
        assert TYPES.fullmatch(kind), f"{name}: Papermill's inspector does not understand {kind}"
        assert "=" not in default + text, f"{name}: an equals sign hides the parameter from the inspector"
        seen[name] = (kind, ast.literal_eval(default), text)
    tree = [node for node in ast.parse(cell).body if isinstance(node, ast.AnnAssign)]
    assert [node.target.id for node in tree] == list(seen) == list(fields), "same names, same order"
    for name, (_, default, text) in seen.items():
        field = fields[name]
        assert field.default is not PydanticUndefined, f"{name} needs a default"
        assert (default, type(default)) == (field.default, type(field.default)), name
        assert text == field.description, name
    inspected = inspect_notebook(str(NOTEBOOKS / f"{path.stem}.ipynb"))
    assert list(inspected) == list(seen), "papermill --help-notebook shows other parameters"
    for name, (kind, default, text) in seen.items():
        entry = inspected[name]
        assert entry["inferred_type_name"] == kind and entry["help"] == text
        assert ast.literal_eval(entry["default"]) == default


@every_notebook
def test_opening_is_title_parameters_validation_versions(path):
    notebook = built(path).cells
    assert notebook[0].cell_type == "markdown" and notebook[0].source.startswith(f"# {path.stem[:2]} ")
    opening = notebook[0].source
    for word in ("| profile |", "smoke", "nano", "a100", "**Inputs:**", "**Outputs:**"):
        assert word in opening, f"the opening lacks {word!r}"
    code = cells(path, "code")
    assert "parameters" in built(path).cells[1].metadata.get("tags", [])
    assert "from_notebook(" in code[1] and "open_stage(params)" in code[1]
    assert "__version__" in code[2], "the third code cell prints versions, device and profile"


def pace(path: Path) -> tuple[float, int]:
    """Median and largest number of lines in the code cells of a source, as a reader meets them."""
    code = [cell for cell in read_source(path) if cell.kind == "code" and cell.tag != "wrong"]
    lengths = [len(cell.text.splitlines()) for cell in code]
    return statistics.median(lengths), max(lengths)


@every_notebook
def test_code_cells_are_short(path):
    median, longest = pace(path)
    assert median <= 12, f"the median code cell has {median} lines: split cells, or move plumbing out"
    assert longest <= 50


@every_notebook
def test_nothing_is_installed_and_nothing_executed_is_committed(path):
    for cell in built(path).cells:
        if cell.cell_type == "code":
            assert not re.search(r"\b(pip|uv|conda)\s+install\b|^\s*[!%]", cell.source, re.MULTILINE)
            assert not cell.outputs and cell.execution_count is None


@every_notebook
def test_signature_figure_is_saved_and_the_stage_closed_last(path):
    code = cells(path, "code")
    assert any(re.search(r"save_figure\(.*[\"']signature[\"']", cell, re.DOTALL) for cell in code)
    assert code[-1].strip() == "stage.close()"
    assert sum("stage.close()" in cell for cell in code) == 1


@every_notebook
def test_ending_has_limitations_next_and_few_links(path):
    ending = cells(path, "markdown")[-1]
    assert built(path).cells[-1].cell_type == "markdown"
    assert re.search(r"^## Limit", ending, re.MULTILINE) and re.search(r"\*\*Next", ending)
    links = re.findall(r"\]\((https?://[^)]+)\)", ending)
    assert 1 <= len(links) <= 6
    everywhere = re.findall(r"\]\((https?://[^)]+)\)", "\n".join(cells(path, "markdown")))
    assert len(everywhere) == len(links), "links stand at the end"
    for target in re.findall(r"\]\((\d\d_\w+\.ipynb)\)", "\n".join(cells(path, "markdown"))):
        assert (NOTEBOOKS / target).is_file() or target[:-6] not in STAGES, f"{target} does not exist"


@every_notebook
def test_three_exercises_and_five_questions(path):
    found = exercises(path)
    assert len(found) >= 3
    for exercise in found:
        head = rf"^### Exercise {re.escape(exercise.id)}: .+ \((easy|medium|hard), \d+ minutes?\)$"
        assert re.search(head, exercise.prompt, re.MULTILINE), f"exercise {exercise.id}: no head like {head}"
        assert exercise.id.startswith(f"{int(path.stem[:2])}.")
    assert len(cells(path, "markdown", "quiz")) == 5
    assert all("<details>" in text for text in cells(path, "markdown", "quiz"))


@every_notebook
def test_prose_speaks_of_no_one_machine(path):
    text = "\n".join(cell.text for cell in read_source(path))
    assert not re.search(r"/(work|tmp|home|root)/|\.venv/", text)


def run(program: str) -> None:
    # Compiled as a module of its own, so that dataclasses and inspect find their namespace.
    name = "exercise_under_test"
    module = type(sys)(name)
    sys.modules[name] = module
    try:
        with strict():
            exec(compile(program, f"<{name}>", "exec"), module.__dict__)
    finally:
        del sys.modules[name]


EXERCISES = [(path, exercise) for path in sources() for exercise in exercises(path)]


@pytest.fixture
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize(
    ("path", "exercise"), EXERCISES, ids=[f"{path.stem[:2]}-{exercise.id}" for path, exercise in EXERCISES]
)
def test_check_tells_stub_solution_and_wrong_answer_apart(path, exercise):
    with pytest.raises(NotAttempted) as untouched:
        run(assemble(path, exercise.id, "stub"))
    # A NameError here would be the check's own: it must import what it uses.
    assert isinstance(untouched.value.__cause__, NotImplementedError), repr(untouched.value.__cause__)
    run(assemble(path, exercise.id, "solution"))
    for answer in exercise.wrong:
        program = "\n\n".join([*exercise.context, answer, exercise.check])
        with pytest.raises(ExerciseFailed) as failure:
            run(program)
        assert len(str(failure.value)) > 20, "the check must explain what is wrong"
