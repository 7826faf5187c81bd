"""The builder: sources become notebooks, and a source that breaks a rule is refused by name."""

from pathlib import Path

import course
import nbformat
import pytest
from course import CourseError, assemble, build, drift, exercises, stub_of, write

from cinelib.runs.notebook import edited

SOURCE = '''# %% [markdown]
# # A lesson

# %% tags=["parameters"]
seed: int = 0  # the seed

# %% tags=["context"]
base = 10

# %% [markdown]
# ### Exercise 7.1: add (easy, 1 minute)

# %% tags=["exercise"]
def add(a, b):
    """Sum."""
    # BEGIN SOLUTION
    total = a + b
    return total + base - 10
    # END SOLUTION

# %% [markdown] tags=["hint"]
# Use `+`.

# %% tags=["check"]
from cinelib.exercises import check, expect_equal

with check("7.1"):
    expect_equal(add(2, 3), 5, because="it multiplies")

# %% tags=["wrong"]
def add(a, b):
    return a * b

# %% [markdown] tags=["quiz"]
# Why?
#
# ---
# Because.
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source" / "07_lesson.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    return path


def rewrite(path: Path, old: str, new: str) -> Path:
    assert SOURCE.count(old) == 1
    path.write_text(SOURCE.replace(old, new))
    return path


def test_built_notebook_is_valid_and_holds_what_the_learner_gets(source):
    notebook = build(source)
    nbformat.validate(notebook)
    texts = [cell.source for cell in notebook.cells]
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert 'def add(a, b):\n    """Sum."""\n    raise NotImplementedError  # your turn' in code
    assert "total" not in code and "a * b" not in "".join(texts) and "SOLUTION" not in "".join(texts)
    hint = next(cell.source for cell in notebook.cells if "hint" in cell.metadata.get("tags", []))
    assert hint.index("Use `+`.") < hint.index("```python") < hint.index("total = a + b")
    assert hint.count("<details>") == hint.count("</details>") == 2
    assert texts[-1] == "Why?\n\n<details><summary>Answer</summary>\n\nBecause.\n\n</details>"
    assert [c.metadata.get("tags") for c in notebook.cells].count(["parameters"]) == 1
    folded = [c.metadata["tags"] for c in notebook.cells if c.metadata.get("jupyter")]
    assert folded == [["check"]], "it gives the answer away"


def test_ids_are_unique_valid_and_survive_edits_elsewhere(source):
    before = [cell.id for cell in build(source).cells]
    assert before == [cell.id for cell in build(source).cells] and len(set(before)) == len(before)
    rewrite(
        source,
        "# # A lesson",
        "# # Another title\n\n# %%\nprint(1)\n\n# %%\nprint(1)\n\n# %% [markdown]\n# x",
    )
    after = [cell.id for cell in build(source).cells]
    assert len(set(after)) == len(after)
    assert before[1:] == after[-len(before) + 1 :]


def test_variants_of_an_exercise(source):
    stub, solution, wrong = (assemble(source, "7.1", kind) for kind in ("stub", "solution", "wrong"))
    assert all("base = 10" in text and 'check("7.1")' in text for text in (stub, solution, wrong))
    assert "NotImplementedError" in stub and "a + b" in solution and "a * b" in wrong
    with pytest.raises(CourseError, match=r"no exercise '9.9'; known: \['7.1'\]"):
        assemble(source, "9.9")
    with pytest.raises(CourseError, match="no notebook source"):
        assemble("99_nothing", "1.1")


def test_drift_is_seen_in_both_directions(source):
    folder = source.parents[1]
    assert drift(folder) == ["07_lesson"]
    built = write(source, folder)
    assert built == folder / "07_lesson.ipynb" and drift(folder) == []
    assert not list(folder.glob(".*partial"))
    rewrite(source, "# Because.", "# Since.")
    assert drift(folder) == ["07_lesson"] and drift(folder, ["08_other"]) == []
    write(source, folder)
    (folder / "08_orphan.ipynb").write_text("{}")
    assert drift(folder) == ["08_orphan"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('tags=["quiz"]', 'tags=["quizz"]', "unknown tag"),
        ('tags=["quiz"]', 'tags=["quiz", "hint"]', "one tag a cell"),
        ("# ---\n", "", "a quiz is a question"),
        ('# %% [markdown] tags=["hint"]\n# Use `+`.\n\n', "", "needs one 'hint' cell"),
        ('\n# %% tags=["wrong"]\ndef add(a, b):\n    return a * b\n', "", "needs one 'wrong' cell"),
        ('# %% tags=["check"]', "# %%", "needs one 'check' cell"),
        ('# %% tags=["wrong"]', '# %%\nx = 1\n\n# %% tags=["wrong"]', "needs one 'wrong' cell"),
        ('check("7.1")', "check(name)", "must say"),
        ("    # END SOLUTION\n", "", "unbalanced"),
        ("    # BEGIN SOLUTION\n", "", "unbalanced"),
    ],
)
def test_a_source_that_breaks_a_rule_is_refused_by_name(source, old, new, message):
    rewrite(source, old, new)
    with pytest.raises(CourseError, match=message) as refusal:
        build(source)
    assert "07_lesson.py, cell" in str(refusal.value)


def test_a_stub_must_not_stop_an_unattended_run():
    with pytest.raises(CourseError, match="inside a function"):
        stub_of("x = 1\n# BEGIN SOLUTION\nx = 2\n# END SOLUTION")
    with pytest.raises(CourseError, match="no region"):
        stub_of("def f():\n    return 1")


def test_exercise_ids_do_not_repeat(source):
    body = SOURCE[
        SOURCE.index("# %% [markdown]\n# ### Exercise") : SOURCE.index('# %% [markdown] tags=["quiz"]')
    ]
    source.write_text(SOURCE + "\n" + body)
    with pytest.raises(CourseError, match="repeat"):
        exercises(source)


def test_command_line_names_what_differs(source, capsys):
    folder = ["--folder", str(source.parents[1])]
    assert course.main(["build", "--check", *folder]) == 1
    assert "07_lesson differs from its source" in capsys.readouterr().err
    assert course.main(["build", *folder]) == 0
    assert course.main(["build", "07_lesson", "--check", *folder]) == 0
    rewrite(source, "# ---\n", "")
    assert course.main(["build", *folder]) == 2
    assert "07_lesson.py, cell" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        course.main(["build", "08_other", *folder])
    assert "no source for ['08_other']" in capsys.readouterr().err


def solve(folder):
    """As JupyterLab saves it: the answer in the exercise's cell, a cell of the reader's, outputs."""
    path = folder / "07_lesson.ipynb"
    notebook = nbformat.read(path, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "exercise" in cell.metadata.get("tags", [])]
    cell.source = cell.source.replace("raise NotImplementedError  # your turn", "return a + b")
    nbformat.write(notebook, path)
    return path


def test_building_again_keeps_an_answer_and_says_so(source, capsys):
    folder = source.parents[1]
    write(source, folder)
    path = solve(folder)
    rewrite(source, "# Because.", "# Since.")
    assert course.main(["build", "--folder", str(folder)]) == 1
    assert "07_lesson.ipynb was edited by hand (1 cells)" in capsys.readouterr().err
    assert "return a + b" in path.read_text() and "Since." not in path.read_text()
    assert course.main(["build", "--force", "--folder", str(folder)]) == 0
    assert "return a + b" not in path.read_text() and "Since." in path.read_text()


def test_a_cell_that_was_added_is_an_edit_and_outputs_are_none(source):
    folder = source.parents[1]
    path = write(source, folder)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].execution_count = 3
    nbformat.write(notebook, path)
    assert edited(path) == 0 and write(source, folder)
    notebook.cells.append(nbformat.v4.new_code_cell("mine = 1"))
    nbformat.write(notebook, path)
    with pytest.raises(course.EditedByHand):
        write(source, folder)
