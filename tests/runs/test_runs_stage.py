"""What a notebook sees of its stage, in JupyterLab and in a run."""

import json

import numpy as np
import pytest
import toy_film
from toy_film.parameters import Cut, Grade

from cinelib.parameters import ParameterError, StageParameters, from_notebook, profile_values, resolve
from cinelib.runs import manifest, stage
from cinelib.runs.stage import UpstreamError, open_stage
from cinelib.stages import PROFILES, REQUIREMENTS
from cinelib.style.parameters import StyleStage


@pytest.fixture
def root(tmp_path, monkeypatch):
    workbook = toy_film.make(tmp_path / "film")
    monkeypatch.setenv("CINELIB_ROOT", str(workbook.root))
    monkeypatch.delenv(stage.FOLDER_VARIABLE, raising=False)
    monkeypatch.chdir(workbook.root / "notebooks")
    monkeypatch.setattr(stage, "_opened", {})
    return workbook.root


@pytest.fixture
def unattended(root, monkeypatch):
    folder = root / "papermill_runs" / "stages" / "02_grade-abc"
    folder.mkdir(parents=True)
    monkeypatch.setenv(stage.FOLDER_VARIABLE, str(folder))
    monkeypatch.setenv(stage.UPSTREAM_VARIABLE, json.dumps({"01_cut": "/somewhere/cut"}))
    return folder


def test_in_jupyterlab_a_stage_writes_to_its_own_folder_and_leaves_a_manifest(root, capsys):
    opened = open_stage(Cut())
    assert not opened.unattended
    assert opened.folder == root / "papermill_runs" / "lab" / "01_cut"
    (opened.folder / "cut.txt").write_text("r")
    assert manifest.problem(opened.folder) == "did not finish"
    opened.close()
    assert manifest.problem(opened.folder) is None
    assert "01_cut finished" in capsys.readouterr().out


def test_the_root_becomes_the_working_directory(root):
    open_stage(Cut())
    from pathlib import Path

    assert Path.cwd() == root


def test_opening_twice_is_harmless_and_a_new_visit_keeps_the_last_finished_one(root):
    first = open_stage(Cut())
    (first.folder / "cut.txt").write_text("first")
    assert open_stage(Cut(width=2)) is first
    assert (first.folder / "cut.txt").read_text() == "first"
    first.close()
    second = open_stage(Cut())
    assert list(second.folder.iterdir()) == [second.folder / "params.yaml"]
    previous = second.folder.with_name("01_cut.previous")
    assert (previous / "cut.txt").read_text() == "first"
    assert open_stage_grade_upstream() == previous


def open_stage_grade_upstream():
    return open_stage(Grade()).upstream("01_cut")


def test_upstream_in_jupyterlab_is_the_newest_valid_one_of_the_profile(root):
    for name, profile, finished in (
        ("old", "nano", "2026-01-01"),
        ("new", "nano", "2026-01-02"),
        ("x", "smoke", "2027"),
    ):
        folder = root / "papermill_runs" / "stages" / f"01_cut-{name}"
        folder.mkdir(parents=True)
        content = manifest.write(folder, "01_cut", name, {"profile": profile})
        (folder / "manifest.json").write_text(json.dumps({**content, "finished": finished}))
    assert open_stage_grade_upstream().name == "01_cut-new"
    (root / "papermill_runs" / "stages" / "01_cut-new" / "manifest.json").write_text("{")
    assert open_stage_grade_upstream().name == "01_cut-old"


class Captioned(Cut):
    """A stage that reads a file of the person's."""

    def own_files(self):
        return ("mine.csv",)


def test_a_changed_visit_is_not_passed_over_in_silence(root):
    older = root / "papermill_runs" / "stages" / "01_cut-old"
    older.mkdir(parents=True)
    content = manifest.write(older, "01_cut", "old", {"profile": "nano"})
    (older / "manifest.json").write_text(json.dumps({**content, "finished": "2026-01-01"}))
    visit = open_stage(Cut())
    (visit.folder / "cut.txt").write_text("r")
    visit.close()
    (visit.folder / "cut.txt").write_text("edited")
    with pytest.raises(UpstreamError, match=r"lab/01_cut is the newest 01_cut, but cut.txt was changed"):
        open_stage_grade_upstream()
    visit.amend()
    assert open_stage_grade_upstream() == visit.folder


def test_what_was_made_before_a_person_edited_their_file_is_refused(root):
    open_stage(Captioned()).close()
    assert open_stage_grade_upstream().name == "01_cut"
    (root / "mine.csv").write_text("a bell")
    with pytest.raises(
        UpstreamError, match=r"mine.csv was edited since 01_cut read it; .* cinelib run 01_cut"
    ):
        open_stage_grade_upstream()
    (root / "mine.csv").unlink()
    assert open_stage_grade_upstream().name == "01_cut"
    (root / "mine.csv").write_text("a bell")
    visit = open_stage(Captioned())
    (root / "mine.csv").write_text("a bell tower")  # the editor, while the notebook is open
    visit.amend()
    visit.close()
    assert open_stage_grade_upstream() == visit.folder


def test_a_notebook_says_once_what_it_reads(root, unattended, capsys):
    opened = open_stage(Grade())
    opened.upstream("01_cut")
    opened.upstream("01_cut")
    assert capsys.readouterr().out == "01_cut is taken from /somewhere/cut\n"


def test_a_missing_or_undeclared_upstream_says_what_to_do(root):
    grade = open_stage(Grade())
    with pytest.raises(UpstreamError, match="cinelib run 01_cut --profile nano"):
        grade.upstream("01_cut")
    with pytest.raises(UpstreamError, match="does not declare '00_sound'"):
        grade.upstream("00_sound")


def test_in_a_run_folder_and_upstream_are_the_runs(unattended):
    opened = open_stage(Grade())
    assert opened.unattended
    assert opened.folder == unattended
    assert str(opened.upstream("01_cut")) == "/somewhere/cut"
    opened.close()
    assert not (unattended / "manifest.json").exists(), (
        "the runner writes it, after the process has ended well"
    )
    assert json.loads((unattended / ".kernel.json").read_text())["peak_rss_bytes"] > 0


def test_metrics_merge_and_take_numpy_scalars(unattended):
    opened = open_stage(Grade())
    opened.save_metrics({"a": 1, "b": np.float32(0.5)})
    opened.save_metrics(
        {"a": np.int64(2), "c": {"value": 3.0, "interval": np.array([2.5, 3.5]), "n": 40, "unit": "dB"}}
    )
    opened.save_metrics({"d": {"value": None, "reason": "one clip has no spread"}})
    assert json.loads((unattended / "metrics.json").read_text()) == {
        "a": 2,
        "b": 0.5,
        "c": {"value": 3.0, "interval": [2.5, 3.5], "n": 40, "unit": "dB"},
        "d": {"value": None, "reason": "one clip has no spread"},
    }


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (float("nan"), "'m' is nan"),
        (float("inf"), "'m' is inf"),
        ({"value": float("nan")}, "is nan"),
        ({"interval": [0, 1]}, "needs the key 'value'"),
        ({"value": 1, "interval": [2, 1]}, "interval must be"),
        ({"value": 1, "interval": [1]}, "interval must be"),
        ({"value": 1, "interval": [float("nan"), 1]}, "interval must be"),
        ({"value": None}, "needs a 'reason'"),
        (object(), "must be a number"),
        (None, "must be a number"),
        ("0.5", "must be a number"),
        (True, "must be a number"),
    ],
)
def test_a_metric_that_is_no_number_is_refused_and_nothing_is_written(unattended, metric, message):
    opened = open_stage(Grade())
    opened.save_metrics({"kept": 1})
    with pytest.raises(ValueError, match=message):
        opened.save_metrics({"m": metric})
    assert json.loads((unattended / "metrics.json").read_text()) == {"kept": 1}


def test_figures_are_png_files_with_plain_names(unattended):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    path = open_stage(Grade()).save_figure(figure, "signature")
    assert path == unattended / "figures" / "signature.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    for name in ("../x", "", "a/b"):
        with pytest.raises(ValueError, match="plain file name"):
            open_stage(Grade()).save_figure(figure, name)


def test_log_is_one_line(unattended, capsys):
    open_stage(Grade()).log("two\nlines  here")
    assert capsys.readouterr().out == "two lines here\n"


def literals(model):
    return {name: field.default for name, field in model.model_fields.items()}


def test_untouched_values_follow_the_profile_and_touched_ones_stay(monkeypatch):
    monkeypatch.delenv(stage.FOLDER_VARIABLE, raising=False)
    names = {**literals(StyleStage), "profile": "a100", "rank": 4}
    params = from_notebook(StyleStage, names)
    assert (params.width, params.rank) == (1280, 4)
    monkeypatch.setenv("CINELIB_PROFILE", "smoke")
    assert (
        from_notebook(StyleStage, literals(StyleStage)).width == profile_values("smoke", StyleStage)["width"]
    )
    with pytest.raises(ParameterError, match="lacks rank"):
        from_notebook(StyleStage, {name: value for name, value in names.items() if name != "rank"})


def test_a_runners_values_are_taken_verbatim(unattended):
    """Resolving twice would turn an explicit value that equals a default back into the profile's."""
    params = from_notebook(StyleStage, {**literals(StyleStage), "profile": "a100"})
    assert params.width == StyleStage.model_fields["width"].default


def test_every_profile_is_valid_for_every_stage_and_states_what_it_needs():
    from cinelib.stages import STAGES

    assert set(PROFILES) == set(REQUIREMENTS)
    for profile in PROFILES:
        for model in STAGES.values():
            assert isinstance(resolve(model, profile, {}), StageParameters)


def test_the_cache_goes_with_the_runs_to_another_disk(monkeypatch):
    monkeypatch.delenv("CINELIB_RUNS", raising=False)
    assert str(resolve(StyleStage, "nano", {}).cache_folder) == "papermill_runs/cache"
    monkeypatch.setenv("CINELIB_RUNS", "/scratch/me")
    assert str(resolve(StyleStage, "nano", {}).cache_folder) == "/scratch/me/cache"
    assert str(resolve(StyleStage, "nano", {"cache": "elsewhere"}).cache_folder) == "elsewhere"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, "02_grade, profile nano: every value as above"),
        (
            {"strength": 2, "label": "a b"},
            "02_grade, profile nano: strength = 2, label = 'a b'; the others as above",
        ),
    ],
)
def test_a_notebook_shows_of_its_parameters_what_the_cell_above_does_not(values, shown):
    from IPython.lib.pretty import pretty

    assert pretty(Grade(**values)) == shown
