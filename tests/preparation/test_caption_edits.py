"""What a person edits is what is trained: their captions outlive the run that they were edited in."""

import json
import os
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from cinelib.files import Hashes, read_json
from cinelib.parameters import resolve
from cinelib.preparation.caption_edits import CaptionEdits, without_trigger
from cinelib.preparation.dataset import VideoFolder
from cinelib.preparation.parameters import DataPreparation
from cinelib.runs.workbook import Workbook, find_root


def test_edits_are_found_by_span_and_the_nearest_span_wins(tmp_path):
    edits = CaptionEdits.open(tmp_path / "mine" / "film.csv")
    assert len(edits) == 0 and edits.find("a.mp4", 0, 2) is None
    edits.record("a.mp4", 0.0, 5.0, "the  whole,\n take")
    edits.record("a.mp4", 0.0, 2.0, 'its "beginning"')
    edits.save()
    edits = CaptionEdits.open(edits.path)
    assert [edits.find("a.mp4", *span).text for span in ((0, 5), (0.1, 2), (3, 5))] == [
        "the whole, take",
        'its "beginning"',
        "the whole, take",
    ]
    assert edits.find("a.mp4", 4, 9) is None and edits.find("b.mp4", 0, 5) is None


@pytest.mark.parametrize("text", ["file_name,text\na,b\n", "file_name,start,end,text\na,x,1,b\n", "\xff"])
def test_a_file_of_edits_that_makes_no_sense_is_refused_and_left_alone(tmp_path, text):
    path = tmp_path / "film.csv"
    path.write_text(text, "latin-1")
    with pytest.raises(ValueError, match=r"film.csv: edited captions need the columns file_name"):
        CaptionEdits.open(path)
    assert path.read_text("latin-1") == text


@pytest.mark.parametrize(
    ("text", "rest"),
    [("my film, a bell", "a bell"), ("my film", ""), ("my filmstar", "my filmstar"), ("a bell", "a bell")],
)
def test_the_trigger_is_no_part_of_an_edit(text, rest):
    assert without_trigger("my film", text) == without_trigger("my film,", text) == rest
    assert without_trigger("", text) == text


@pytest.fixture
def root(tmp_path):
    """The workbook with a folder of runs and of own work that is the test's."""
    for name in ("notebooks", "cinelib", "data"):
        (tmp_path / name).symlink_to(find_root() / name)
    return tmp_path


def test_edits_of_this_footage_are_an_input_of_the_stage_and_others_are_not(root):
    from cinelib.runs.identity import identify

    workbook = Workbook(root, package=root / "cinelib")
    params = resolve(DataPreparation, "smoke", {})
    before = identify(workbook, params, {}, Hashes()).id
    other = CaptionEdits.open(
        root / resolve(DataPreparation, "smoke", {"footage": "films/dailies"}).caption_edits
    )
    other.record("a.mp4", 0, 2, "a bell")
    other.save()
    assert identify(workbook, params, {}, Hashes()).id == before
    mine = CaptionEdits.open(root / params.caption_edits)
    mine.record("a.mp4", 0, 2, "a bell")
    mine.save()
    assert identify(workbook, params, {}, Hashes()).id != before


@pytest.mark.slow
def test_a_caption_edited_after_the_last_cell_is_trained_in_jupyterlab_and_by_a_run(root):
    environment = {**os.environ, "CINELIB_ROOT": str(root), "CINELIB_PROFILE": "smoke"}
    environment.pop("CINELIB_RUNS", None)
    visit = nbformat.read(root / "notebooks" / "01_data_preparation.ipynb", as_version=4)
    mend = "editor.go(1)\neditor.write('a purple dragon waves')\nassert editor.save()"
    visit.cells.append(nbformat.v4.new_code_cell(mend))
    NotebookClient(visit, timeout=300).execute(cwd=root / "notebooks", env=environment)

    look = """
from cinelib.parameters import resolve
from cinelib.preparation.dataset import VideoFolder
from cinelib.runs.stage import open_stage
from cinelib.style.parameters import StyleStage
folder = open_stage(resolve(StyleStage, "smoke", {})).upstream("01_data_preparation")
print(folder.parent.name, VideoFolder.open(folder / "dataset")[1].text, sep="|")
"""
    call = {"env": environment, "capture_output": True, "text": True, "cwd": root}
    said = subprocess.run([sys.executable, "-c", look], **call)
    assert said.stdout.splitlines() == [
        "01_data_preparation is taken from papermill_runs/lab/01_data_preparation",
        "lab|emberfall film, a purple dragon waves",
    ], said.stderr

    done = subprocess.run([sys.executable, "-m", "cinelib.cli", "run", "02", "--profile", "smoke"], **call)
    assert done.returncode == 0, done.stderr
    (prepared,) = (root / "papermill_runs" / "stages").glob("01_*")
    (trained,) = (root / "papermill_runs" / "stages").glob("02_*")
    dataset = VideoFolder.open(prepared / "dataset")
    assert dataset[1].text == "emberfall film, a purple dragon waves"
    assert "caption edited by hand" in (prepared / "decisions.csv").read_text()
    weights = (trained / "lora" / "pytorch_lora_weights.safetensors").read_bytes()
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])["__metadata__"]
    assert dataset.sha256 in json.dumps(header), "what was trained is the dataset with the edit"
    assert read_json(trained / "manifest.json")["upstream"]["01_data_preparation"]["id"] == prepared.name
