"""The reference run: copied from a finished run only, portable, and told apart from what changed since."""

import json
import os
import shutil
import warnings
from typing import ClassVar

import nbformat
import pages
import pytest
import reference
import yaml
from course import NOTEBOOKS
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from reference import INDEX, UnfitRun, add_times, bring_up_to_date, read_index, stale, write

from cinelib.parameters import StageParameters
from cinelib.runs import manifest
from cinelib.runs.workbook import Workbook


class Toy(StageParameters):
    """A stage."""

    stage: ClassVar[str] = "00_toy"


@pytest.fixture
def workbook(tmp_path):
    book = Workbook(tmp_path, stages={"00_toy": Toy}, profiles={"nano": {}})
    for name in ("notebooks", "data", "papermill_runs/mine"):
        (tmp_path / name).mkdir(parents=True)
    cells = [new_markdown_cell("# Toy"), new_code_cell("print(1)")]
    nbformat.write(new_notebook(cells=cells), book.notebook("00_toy"))
    execute(book)
    return book


def execute(book, output=None):
    folder = book.stage_folder("00_toy", "a" * 64)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cell = new_code_cell("print(1)", metadata={"papermill": {"start_time": "now"}, "tags": ["check"]})
    cell.outputs = [output or new_output("stream", text=f"saved {book.root}/papermill_runs/x\n")]
    injected = new_code_cell("profile = 'nano'", metadata={"tags": ["injected-parameters"]})
    executed = new_notebook(cells=[injected, cell], metadata={"papermill": {"input_path": str(book.root)}})
    nbformat.write(executed, folder / "out.ipynb")
    (folder / "metrics.json").write_text(json.dumps({"matmul_rate": {"value": 1e9}}))
    kernel = {"peak_rss_bytes": 2**30, "peak_tree_rss_bytes": 3 * 2**30}
    manifest.write(folder, "00_toy", "a" * 64, {"profile": "nano"}, seconds=12.5, kernel=kernel)
    run = {"profile": "nano", "stages": {"00_toy": {"folder": f"stages/{folder.name}"}}}
    (book.runs / "mine" / "run.yaml").write_text(yaml.safe_dump(run))
    return folder


def test_a_finished_run_is_copied_without_this_machines_paths(workbook):
    assert read_index(workbook.root) is None and stale(workbook) == ["00_toy"]
    target = write(workbook, "mine")
    text = (target / "00_toy.ipynb").read_text()
    assert str(workbook.root) not in text and "saved papermill_runs/x" in text
    assert "papermill" not in nbformat.reads(text, 4).metadata and "start_time" not in text
    shown = [not cell.metadata.get("jupyter") for cell in nbformat.reads(text, 4).cells]
    assert shown == [False, True], "the values that Papermill injects stand in the cell above"
    entry = read_index(workbook.root)["stages"]["00_toy"]
    assert (entry["seconds"], entry["peak_rss_bytes"]) == (12.5, 3 * 2**30)
    assert read_index(workbook.root)["matmul_rate"] == 1e9
    assert stale(workbook) == []


def test_a_notebook_changed_after_its_run_is_not_passed_off_as_executed(workbook):
    notebook = nbformat.read(workbook.notebook("00_toy"), 4)
    notebook.cells[1].source = "print(3)"
    nbformat.write(notebook, workbook.notebook("00_toy"))
    write(workbook, "mine")
    assert stale(workbook) == ["00_toy"]


def test_changed_code_makes_it_older_and_changed_prose_does_not(workbook):
    write(workbook, "mine")
    notebook = nbformat.read(workbook.notebook("00_toy"), 4)
    notebook.cells[0].source = "# Another title"
    nbformat.write(notebook, workbook.notebook("00_toy"))
    assert stale(workbook) == []
    notebook.cells[1].source = "print(2)"
    nbformat.write(notebook, workbook.notebook("00_toy"))
    assert stale(workbook) == ["00_toy"]


def test_what_is_not_finished_clean_or_small_is_refused_and_leaves_nothing(workbook):
    execute(workbook, new_output("error", ename="ValueError", evalue="", traceback=[]))
    with pytest.raises(UnfitRun, match="ended in ValueError"):
        write(workbook, "mine")
    execute(workbook, new_output("stream", text="x" * 2_100_000))
    with pytest.raises(UnfitRun, match=r"2\.1 MB"):
        write(workbook, "mine")
    (execute(workbook) / "manifest.json").unlink()
    with pytest.raises(UnfitRun, match="00_toy not done"):
        write(workbook, "mine")
    twice = {key: {"notebook": "00_toy", "folder": f"stages/00_toy-{'a' * 12}"} for key in ("a", "b")}
    execute(workbook)
    text = yaml.safe_dump({"profile": "nano", "stages": twice})
    (workbook.runs / "mine" / "run.yaml").write_text(text)
    with pytest.raises(UnfitRun, match="00_toy more than once"):
        write(workbook, "mine")
    assert not (workbook.reference).exists() and not (workbook.root / INDEX).exists()


@pytest.mark.parametrize(
    ("name", "true"), [("metrics.json", b"1000000000"), ("film.bin", b"0" * manifest.SMALL)]
)
def test_a_file_that_was_edited_since_is_not_recorded(workbook, name, true):
    """Though its size and time are put back, and though it is too large to be read at every look."""
    folder = execute(workbook)
    (folder / "film.bin").write_bytes(b"0" * manifest.SMALL)
    manifest.write(folder, "00_toy", "a" * 64, {"profile": "nano"}, seconds=12.5)
    path = folder / name
    stamp, content = path.stat().st_mtime_ns, path.read_bytes()
    path.write_bytes(content.replace(true, b"9" + true[1:]))
    os.utime(path, ns=(stamp, stamp))
    with pytest.raises(UnfitRun, match=rf"00_toy not done \({name} was changed\)"):
        write(workbook, "mine")
    assert path.read_bytes() != content and not (workbook.runs / "reference").exists()


TABLE = """# T

<!-- notebooks -->
{}<!-- end of notebooks -->

End
"""
ROW = "| [Toy](notebooks/00_toy.ipynb) | {} | {} | {} |"


def test_a_row_keeps_its_question_and_follows_the_run(workbook):
    readme = workbook.root / "README.md"
    readme.write_text(TABLE.format(ROW.format("why?", "x", "y") + "\n"))
    write(workbook, "mine")
    assert ROW.format("why?", "12 s", "3.0 GiB") in readme.read_text()
    assert readme.read_text().startswith("# T\n\n<!--") and readme.read_text().endswith("-->\n\nEnd\n")


def test_a_new_notebook_gets_a_row_with_its_own_question(workbook):
    readme = workbook.root / "README.md"
    readme.write_text(TABLE.format(""))
    with pytest.raises(UnfitRun, match="no reference run yet"):
        bring_up_to_date(workbook)
    notebook = nbformat.read(workbook.notebook("00_toy"), 4)
    notebook.cells[0].source = "# 00 Toy\n\n**Why** not?\n\n**Does it run?**"
    nbformat.write(notebook, workbook.notebook("00_toy"))
    write(workbook, "mine")
    assert "| [00 toy](notebooks/00_toy.ipynb) | does it run? | 12 s |" in readme.read_text()
    index = read_index(workbook.root)
    pages.publish(workbook, {**index, "stages": {}})
    assert f"does it run? | {pages.NOT_YET} |  |" in readme.read_text()
    bring_up_to_date(workbook)
    assert "| does it run? | 12 s |" in readme.read_text()


def test_costs_of_other_profiles_stand_beside(workbook):
    page = workbook.root / "papermill_runs" / "README.md"
    page.write_text("<!-- times -->\n<!-- end of times -->\n")
    with pytest.raises(UnfitRun, match="write a reference run first"):
        add_times(workbook, "mine")
    write(workbook, "mine")
    assert "| stage | `nano` |\n|---|---|\n| `00_toy` | 12 s, 3.0 GiB |\n" in page.read_text()
    run = (workbook.runs / "mine" / "run.yaml").read_text()
    (workbook.runs / "other").mkdir()
    (workbook.runs / "other" / "run.yaml").write_text(run.replace("nano", "smoke"))
    add_times(workbook, "other")
    assert "| `00_toy` | 12 s, 3.0 GiB | 12 s, 3.0 GiB |" in page.read_text()
    write(workbook, "mine")
    assert "| `00_toy` | 12 s, 3.0 GiB | 12 s, 3.0 GiB |" in page.read_text(), (
        "the other profile's costs stay"
    )


def test_what_the_run_shows_goes_to_readme_and_index(workbook, monkeypatch):
    readme = workbook.root / "README.md"
    readme.write_text("<!-- results -->\nold\n<!-- end of results -->\n")
    write(workbook, "mine")
    assert read_index(workbook.root)["results"] is None and "old" in readme.read_text()
    found = {"means": {"home": {"base": {"grade": 20.0}, "LoRA": {"grade": 18.0}}}, "sure": {}}
    monkeypatch.setattr(reference.results, "collect", lambda run: found)
    monkeypatch.setattr(reference.cover, "draw", lambda run, root: Figure(figsize=(4, 1), dpi=100))
    write(workbook, "mine")
    assert "old" not in readme.read_text() and "| 20.0 | 18.0 |" in readme.read_text()
    assert Image.open(workbook.reference / reference.COVER).size == (400, 100)


def test_a_stages_picture_is_copied_at_a_readable_size(workbook):
    figures = execute(workbook) / "figures"
    figures.mkdir()
    Image.new("RGB", (2000, 1000)).save(figures / "signature.png")
    write(workbook, "mine")
    assert Image.open(workbook.reference / "00_toy.jpg").size == (1200, 600)


REFERENCE = NOTEBOOKS.parent / "papermill_runs" / "reference"


def test_committed_reference_is_whole_and_says_when_it_is_older_than_its_sources():
    book = Workbook(NOTEBOOKS.parent)
    index = read_index(book.root)
    if index is None:
        pytest.skip("no reference run yet: make run && python notebooks/source/reference.py write nano")
    assert index["profile"] == "nano"
    assert {path.stem for path in REFERENCE.glob("*.ipynb")} == set(index["stages"])
    for path in REFERENCE.glob("*.ipynb"):
        assert path.stat().st_size <= 2_000_000
        notebook = nbformat.read(path, 4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code), f"{path.stem}: a cell was not executed"
        assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
        shown = {kind for cell in code for o in cell.outputs for kind in o.get("data", {})}
        assert shown & {"image/png", "image/jpeg"}, f"{path.stem}: no picture"
    for name, text in pages.current(book, index).items():
        assert text == (book.root / name).read_text("utf-8"), f"{name}: not the reference run's tables"
    if old := stale(book):
        warnings.warn(
            f"the reference run is older than its sources: {', '.join(old)}; "
            "make run && python notebooks/source/reference.py write nano",
            stacklevel=1,
        )
