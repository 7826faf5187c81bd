"""The real workbook, executed as a user would: everything at the smoke profile, then again, then changed."""

import os
import re
import resource
import subprocess
import sys

import pandas as pd
import pytest

from cinelib.runs import manifest, state
from cinelib.runs.workbook import Workbook, find_root
from cinelib.stages import STAGES

pytestmark = pytest.mark.slow

NAME = "test-smoke"


def cinelib(*arguments, timeout=3000):
    return subprocess.run(
        [sys.executable, "-m", "cinelib.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "COLUMNS": "220"},
    )


@pytest.fixture(scope="module")
def executed():
    """The whole workbook, executed or (when nothing has changed since the last time) reused."""
    answer = cinelib("run", "--profile", "smoke", "--name", NAME)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def run(executed):
    return state.load(Workbook(find_root()), NAME)


def test_every_stage_ends_with_a_valid_manifest_metrics_and_its_signature_figure(run):
    workbook = Workbook(find_root())
    assert [stage.name for stage in run.stages] == list(workbook.stages)
    for stage in run.stages:
        assert manifest.problem(stage.folder) is None
        assert (stage.folder / "metrics.json").is_file(), stage.name
        assert (stage.folder / "figures" / "signature.png").is_file(), stage.name


def test_saved_notebooks_are_small_and_without_errors(run):
    for stage in run.stages:
        path = stage.folder / "out.ipynb"
        assert path.stat().st_size < 2e6, f"{stage.name}: {path.stat().st_size / 1e6:.1f} MB"
        assert '"output_type": "error"' not in path.read_text()


def test_the_report_is_named_last_and_shows_clips(executed, run):
    path = executed.splitlines()[-1].removeprefix("report: ")
    text = (find_root() / "papermill_runs" / NAME / "report.html").read_text()
    assert path.endswith(f"{NAME}/report.html")
    assert text.count("data:video/mp4") >= 8
    assert all(f'id="{stage.folder.name}"' in text for stage in run.stages)


def test_the_same_command_again_executes_nothing_and_costs_little(executed):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = cinelib("run", "--profile", "smoke", "--name", NAME)
    assert answer.returncode == 0
    assert f"executed 0, reused {len(STAGES)}" in answer.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the processor: by the clock a busy machine would fail it.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


def test_a_parameter_of_stage_03_concerns_03_04_and_05_only(executed):
    answer = cinelib("run", "--profile", "smoke", "--name", NAME, "-p", "03.guidance_scale=4", "--dry-run")
    assert answer.returncode == 0
    states = dict(re.findall(r"│ (\d\d)_\w+\s+│ \w+\s+│ (done|to do)", answer.stdout))
    assert states == {
        "00": "done",
        "01": "done",
        "02": "done",
        "03": "to do",
        "04": "to do",
        "05": "to do",
        "09": "done",
        "10": "done",
    }


def test_further_trainings_enter_the_evaluation(run):
    other = cinelib("run", "02", "--profile", "smoke", "--name", f"{NAME}-seed-1", "-p", "02.seed=1")
    assert other.returncode == 0, other.stdout + other.stderr
    folder = next(
        stage.folder
        for stage in state.load(Workbook(find_root()), f"{NAME}-seed-1").stages
        if stage.name == "02_style_stage"
    )
    named = f"05.style_runs=[{folder}]"
    answer = cinelib("run", "05", "--profile", "smoke", "--name", f"{NAME}-runs", "-p", named)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    evaluation = state.load(Workbook(find_root()), f"{NAME}-runs").stages[-1]
    table = pd.read_csv(evaluation.folder / "over_trainings.csv")
    assert set(table["LoRA minus"]) == {"base", "control"} and set(table["runs"]) == {2}
    assert (table["model low"] <= table["difference"]).all()
    assert (table["difference"] <= table["model high"]).all()
