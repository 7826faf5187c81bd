"""The `cinelib` command: what it prints, what it refuses, its exit codes."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
import toy_film
import yaml
from toy_film.parameters import Cut
from typer.testing import CliRunner

from cinelib import __version__ as cinelib_version
from cinelib import files
from cinelib.cli import shell
from cinelib.cli.app import app
from cinelib.files import read_json
from cinelib.runs import doctor, execution, notebook, record, space
from cinelib.stages import PROFILES

WIDE = {"COLUMNS": "200"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workbook = toy_film.make(tmp_path_factory.mktemp("toy") / "film")
    answer = cinelib(workbook, "run", "01")
    assert answer.exit_code == 0, answer.output
    return workbook


def cinelib(workbook, *arguments):
    return CliRunner(env=WIDE).invoke(app, list(arguments), obj=workbook)


def test_a_run_ends_with_the_reports_path(finished):
    answer = cinelib(finished, "run", "01", "--name", "again")
    assert answer.exit_code == 0
    last = answer.stdout.splitlines()[-1]
    path = finished.runs / "again" / "report.html"
    assert last == f"report: {path}"
    assert path.is_file()
    assert "executed 0, reused 1" in answer.stdout


def test_a_dry_run_says_what_is_done_what_is_not_and_why_and_executes_nothing(finished):
    before = sorted(finished.runs.rglob("*"))
    answer = cinelib(finished, "run", "--dry-run", "-p", "02.strength=3")
    assert answer.exit_code == 0
    rows = {line.split()[1]: line for line in answer.stdout.splitlines() if line.startswith("│")}
    assert "done" in rows["01_cut"]
    assert "never ran" in rows["02_grade"]
    assert "strength=3" in rows["02_grade"]
    assert sorted(finished.runs.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "04_nothing"], "error: unknown notebook '04_nothing'"),
        (
            ["run", "-p", "02.strenght=3"],
            "error: stage 02_grade: unknown parameter 'strenght'; did you mean 'strength'?",
        ),
        (
            ["run", "-p", "02.strength=x"],
            "error: stage 02_grade: strength = 'x': Input should be a valid integer",
        ),
        (["run", "--profile", "nanno"], "error: unknown profile 'nanno'; did you mean 'nano'?"),
        (["run", "-f", "missing.yaml"], "error: missing.yaml: No such file or directory"),
        (["run", "-p", "01.footage=nowhere"], "error: 01_cut: footage = 'nowhere': no such folder"),
        (["status", "nothing"], "error: no run 'nothing'"),
        (["report", "nothing"], "error: no run 'nothing'"),
        (["report", "../x"], "error: run name '../x'"),
        (["params", "02", "--profile", "hug"], "error: unknown profile 'hug'; did you mean 'huge'?"),
        (["doctor", "--profile", "hug"], "error: unknown profile 'hug'"),
    ],
)
def test_a_users_error_is_one_line_and_exit_code_2(finished, arguments, message):
    answer = cinelib(finished, *arguments)
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert "Traceback" not in answer.output


def test_a_failed_stage_gives_exit_code_1_and_names_what_is_kept(finished):
    answer = cinelib(finished, "run", "02", "-p", "fail=true", "--name", "failing")
    assert answer.exit_code == 1
    assert "error: 02_grade: ValueError in cell [6]: the film tore" in answer.stderr
    kept = [line.split()[1] for line in answer.stderr.splitlines() if line.startswith("  ")]
    assert [path.rsplit("/", 1)[1] for path in kept] == ["out.ipynb", "log.txt"]
    status = cinelib(finished, "status", "failing")
    assert status.exit_code == 0
    assert "failed: ValueError in cell" in status.stdout
    report = (finished.runs / "failing" / "report.html").read_text()
    assert "the film tore" in report


def test_a_full_disk_is_told_in_one_line(finished, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "papermill_runs/full/run.yaml")

    monkeypatch.setattr(record, "write", full)
    answer = cinelib(finished, "run", "01", "--name", "full")
    assert answer.exit_code == 1
    assert "No space left on device" in answer.stderr
    assert "Traceback" not in answer.output


def test_a_file_may_hold_the_whole_request(finished, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("name: from-file\nprofile: nano\nnotebooks: [1]\nparameters: {width: 1}\n")
    answer = cinelib(finished, "run", "-f", str(path))
    assert answer.exit_code == 0
    assert "reused 1" in answer.stdout
    assert (finished.runs / "from-file" / "run.yaml").is_file()


def test_params_lists_values_of_a_profile(finished):
    answer = cinelib(finished, "params", "grade")
    assert answer.exit_code == 0
    assert "strength" in answer.stdout
    assert ">= 1" in answer.stdout


def test_doctor_as_json_tells_each_check(finished, monkeypatch):
    for name in ("torch", "decoder", "encoder"):  # slow; tests of the doctor make them
        monkeypatch.setattr(doctor, name, lambda name=name: doctor.Check(name, True, "not looked at"))
    (finished.root / "pyproject.toml").write_text('[project]\ndependencies = ["numpy==0.0.1"]\n')
    answer = cinelib(finished, "doctor", "--json", "--profile", "huge")
    checks = {check["name"]: check for check in json.loads(answer.stdout)}
    assert answer.exit_code == 1
    assert checks["python"]["ok"]
    assert not checks["packages"]["ok"]
    assert "numpy" in checks["packages"]["found"]
    assert not checks["disk"]["ok"]
    assert checks["disk"]["fix"]


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "cinelib.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


COMMANDS = ("run", "status", "report", "doctor", "lab", "params", "estimate", "score")


def modules_of(finished, *arguments):
    """What a command imports, which does not depend on what else runs here."""
    code = f"from cinelib.cli.app import app; import sys; app({list(arguments)}, standalone_mode=False)"
    code += "; print(*sys.modules, file=sys.stderr)"
    found = subprocess.run([sys.executable, "-c", code], cwd=finished.root, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return set(found.stderr.split())


def test_help_and_status_are_quick(finished, monkeypatch):
    """A benchmark measures it, `tests/benchmarks/command_start.py`; here stands why it is so."""
    monkeypatch.setenv("CINELIB_ROOT", str(finished.root))
    assert not {"pydantic", "numpy", "yaml", "cinelib.stages"} & modules_of(finished, "--help")
    heavy = {"numpy", "torch", "papermill", "jinja2", "psutil", "cinelib.runs.plan"}
    assert not heavy & modules_of(finished, "status")


def test_help_names_every_command_and_profile():
    assert all(name in command("--help").stdout for name in COMMANDS)
    assert set(shell.PROFILES.split(", ")) == set(PROFILES)


@pytest.mark.slow
def test_the_benchmark_of_the_commands_says_medians_and_conditions():
    script = Path(__file__).parents[1] / "benchmarks" / "command_start.py"
    answer = subprocess.run([sys.executable, script, "--rounds", "1"], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    first, *rows = answer.stdout.splitlines()
    assert "cores" in first and "load average" in first and "median of 1" in first
    assert len(rows) == 5 and all("of processor time" in row for row in rows)


def test_the_real_workbook_can_be_planned_at_every_profile_from_any_folder(tmp_path):
    for profile in PROFILES:
        answer = command("params", "03", "--profile", profile, cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr


def test_lab_refuses_an_unknown_profile():
    answer = command("lab", "--profile", "nan0")
    assert answer.returncode == 2
    assert "did you mean 'nano'" in answer.stderr


@pytest.mark.slow
def test_lab_serves_the_notebooks_with_the_profile_in_their_environment(finished, tmp_path):
    options = [
        "--no-browser",
        "--allow-root",
        "--port=0",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=t",
    ]
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "toy_film", "lab", "--profile", "smoke", *options],
        cwd=finished.root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not (found := list(tmp_path.glob("jpserver-*.json"))):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.5)
        server = json.loads(found[0].read_text())
        address = f"{server['url']}api/contents/my_work?token=t"
        with urllib.request.urlopen(address, timeout=60) as answer:
            names = {entry["name"] for entry in json.load(answer)["content"]}
        assert names == {f"{stage}.ipynb" for stage in finished.stages}
        assert psutil.Process(process.pid).environ()["CINELIB_PROFILE"] == "smoke"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_in_a_terminal_there_is_a_bar_for_each_stage(finished):
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, "-m", "toy_film", "run", "01"],
        cwd=finished.root,
        stdout=slave,
        stderr=slave,
        env=environment,
    )
    os.close(slave)
    text = b""
    try:
        while chunk := os.read(master, 4096):
            text += chunk
    except OSError:  # Linux: the other end was closed
        pass
    os.close(master)
    assert process.wait() == 0
    shown = text.decode()
    assert "━" in shown
    assert "01_cut" in shown
    assert "reused" in shown


def test_hashes_are_remembered_between_commands(finished):
    assert read_json(finished.runs / "locks" / "hashes.json")


def test_a_published_model_that_cannot_be_adapted_is_refused_before_anything_runs():
    result = CliRunner().invoke(
        app, ["run", "02", "--dry-run", "-p", "02.model=ali-vilab/text-to-video-ms-1.7b"]
    )
    assert result.exit_code == 2
    assert "ali-vilab/text-to-video-ms-1.7b" in result.output and "Wan2.1-I2V-14B-720P" in result.output


def test_settings_that_a_model_was_not_released_for_are_noted():
    model = "02.model=Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"
    result = CliRunner().invoke(app, ["run", "02", "--dry-run", "--profile", "smoke", "-p", model])
    assert result.exit_code == 0, result.output
    assert "note: height is 32" in result.output


@pytest.fixture
def toy(finished, tmp_path):
    """A copy of the finished workbook, to change."""
    shutil.copytree(finished.root, tmp_path / "film")
    return toy_film.opened(tmp_path / "film")


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_lab_opens_copies_and_overwrites_none_that_was_touched(toy, monkeypatch):
    opened = []
    monkeypatch.setattr(os, "execve", lambda *call: opened.append(call))
    monkeypatch.setattr(notebook, "edited", lambda path: "mine" in path.read_text())
    own = toy.root / "my_work"
    assert cinelib(toy, "lab").exit_code == 0
    assert {path.stem for path in own.iterdir()} == set(toy.stages)
    (_, words, _) = opened[0]
    assert "--LabApp.default_url=/lab/tree/my_work/00_sound.ipynb" in words
    assert "--MappingKernelManager.cull_idle_timeout=1800" in words

    (own / "01_cut.ipynb").write_text(
        (own / "01_cut.ipynb").read_text().replace("takes = ", "mine = takes = ")
    )
    (own / "03_prints.ipynb").write_text("no notebook any more")
    for stage in ("00_sound", "01_cut", "03_prints"):
        toy.notebook(stage).write_text(
            toy.notebook(stage).read_text().replace('"id": "cell-', '"id": "other-')
        )
    answer = cinelib(toy, "lab")
    assert answer.stdout.count("is yours and kept") == 1 and "my_work/01_cut.ipynb is yours" in answer.stdout
    assert "mine = takes = " in (own / "01_cut.ipynb").read_text()
    assert (own / "03_prints.ipynb").read_text() == "no notebook any more"
    assert (own / "00_sound.ipynb").read_text() == toy.notebook("00_sound").read_text()


def test_a_part_or_a_change_has_a_name_of_its_own_and_no_record_is_replaced(toy):
    def runs():
        return sorted(path.parent.name for path in toy.runs.glob("*/run.yaml"))

    for folder in toy.runs.glob("*/run.yaml"):
        shutil.rmtree(folder.parent) if folder.parent.name != "nano-01" else None
    first = (toy.runs / "nano-01" / "run.yaml").read_text()
    assert cinelib(toy, "run", "01", "-p", "01.width=1").exit_code == 0
    assert runs() == ["nano-01", "nano-01-01.width=1"]
    whole = json.loads(cinelib(toy, "run", "--dry-run", "--json").stdout)
    changed = json.loads(cinelib(toy, "run", "--dry-run", "--json", "-p", "02.label=a b").stdout)
    longer = json.loads(cinelib(toy, "run", "--dry-run", "--json", "-p", f"02.label={'x' * 90}").stdout)
    assert whole["name"] == "nano"
    assert changed["name"].startswith("nano-02.label=a-b-") and len(longer["name"]) < 70

    taken = cinelib(toy, "run", "01", "-p", "01.seed=1", "--name", "nano-01")
    assert taken.exit_code == 2 and "is the record of another run (profile nano: 01_cut)" in taken.stderr
    assert (toy.runs / "nano-01" / "run.yaml").read_text() == first
    assert cinelib(toy, "run", "00", "01", "--name", "nano-01").exit_code == 0  # more stages: nothing is lost

    edit(toy.notebook("01_cut"), "takes = ", "takes = all_takes = ")
    assert cinelib(toy, "run", "00", "01", "--name", "nano-01").exit_code == 0
    (kept,) = (toy.runs / "nano-01").glob("run-*.yaml")
    assert (
        "00_sound" in kept.read_text() and kept.read_text() != (toy.runs / "nano-01" / "run.yaml").read_text()
    )
    assert runs() == ["nano-01", "nano-01-01.width=1"]


def only_stage(toy):
    record = yaml.safe_load((toy.runs / "nano-01" / "run.yaml").read_text())
    return [toy.runs / entry["folder"] for entry in record["stages"].values()]


def test_status_fits_80_columns_with_names_that_can_be_copied(toy):
    (folder,) = only_stage(toy)
    long = "04_inference_acceleration-870474d5c8d1"
    edit(toy.runs / "nano-01" / "run.yaml", folder.name, long)
    folder.rename(toy.runs / "stages" / long)
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["status", "nano-01"], obj=toy).stdout
    assert long in shown and max(map(len, shown.splitlines())) <= 80
    assert re.search(r"done +[\d.]+ s  20\d\d-\d\d-\d\d \d\d:\d\d$", shown, re.MULTILINE)


def test_status_names_the_cell_that_runs_and_what_to_expect(toy):
    (folder,) = only_stage(toy)
    (folder / "manifest.json").unlink()
    progress = {"cell": 3, "cells": 7, "began": time.time() - 65, "expected": 260}
    (folder / ".progress.json").write_text(json.dumps(progress))
    with files.held(toy.lock(folder), threading.Event(), lambda: None):
        shown = cinelib(toy, "status", "nano-01").stdout
        (run,) = json.loads(cinelib(toy, "status", "nano-01", "--json").stdout)
    assert "running: cell 3 of 7, after 1 min 05 s of about 4 min" in shown
    assert run["stages"][0]["state"] == "running" and run["stages"][0]["progress"] == progress


def test_a_failure_whose_reason_could_not_be_written_is_told_by_its_log(toy):
    (folder,) = only_stage(toy)
    failed = toy.runs / "failed" / f"{folder.name}-20260101-000000"
    failed.parent.mkdir(exist_ok=True)
    folder.rename(failed)
    (failed / "log.txt").write_text("one\nOSError: No space left on device\n\n")
    shown = " ".join(cinelib(toy, "status", "nano-01").stdout.split())
    assert "no reason could be written" in shown and "OSError: No space left on device" in shown
    (failed / "log.txt").unlink()
    assert "nor a log" in " ".join(cinelib(toy, "status", "nano-01").stdout.split())


def test_answers_as_json_are_all_that_is_on_standard_output(toy):
    done = cinelib(toy, "run", "02", "--json")
    answer = json.loads(done.stdout)
    assert answer["ok"] and Path(answer["report"]).is_file() and answer["name"] == "nano-02"
    assert [answer["stages"][key] for key in answer["executed"]] == ["02_grade"]
    assert [answer["stages"][key] for key in answer["reused"]] == ["01_cut"]
    assert "02_grade: started" in done.stderr
    failed = json.loads(cinelib(toy, "run", "02", "--json", "-p", "02.fail=true").stdout)
    assert not failed["ok"] and "the film tore" in json.dumps(failed["failed"])
    parameters = json.loads(cinelib(toy, "params", "02", "--json", "--profile", "smoke").stdout)
    assert parameters["notebook"] == "02_grade" and parameters["profile"] == "smoke"
    assert parameters["parameters"]["strength"]["allowed"] == ">= 1, <= 9"
    planned = json.loads(cinelib(toy, "run", "02", "--json", "--dry-run").stdout)
    said = cinelib(toy, "run", "02", "-p", "02.seed=5", "--name", "five").stdout
    assert re.search(r"2 stages, 1 to execute, about \d+ s one after another", said)
    assert re.search(r"02_grade: started, about \d+ s", said)
    assert planned["expected_seconds"] == 0 and all(stage["done"] for stage in planned["stages"])
    again = json.loads(cinelib(toy, "run", "02", "--json", "--dry-run", "-p", "02.seed=4").stdout)
    assert 1 < again["expected_seconds"] < 100


def test_the_version_is_the_packages():
    assert CliRunner().invoke(app, ["--version"]).stdout == f"cinelib {cinelib_version}\n"


def test_runs_may_be_on_another_disk(toy, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    assert cinelib(toy, "run", "01", "--runs", str(scratch)).exit_code == 0
    assert (scratch / "nano-01" / "report.html").is_file() and list((scratch / "stages").glob("01_cut-*"))
    assert "done" in cinelib(toy, "status", "--runs", str(scratch)).stdout
    monkeypatch.setenv("CINELIB_RUNS", str(scratch))
    assert [run["name"] for run in json.loads(cinelib(toy, "status", "--json").stdout)] == ["nano-01"]


def test_a_folder_for_runs_that_cannot_be_written_is_named_before_the_work(toy, monkeypatch):
    monkeypatch.setattr(space.os, "access", lambda path, mode: "nowhere" not in str(path))
    (toy.root / "nowhere").mkdir()
    answer = cinelib(toy, "run", "01", "--runs", str(toy.root / "nowhere" / "deep"))
    assert answer.exit_code == 2
    assert f"error: {toy.root}/nowhere cannot be written" in answer.stderr and "--runs DIR" in answer.stderr


def test_a_disk_that_fills_up_says_where_and_what_helps(toy, monkeypatch):
    code = ["raise OSError(28, 'No space left on device', 'clip.mp4')"]
    toy_film.write_notebook(toy, Cut, code)
    answer = cinelib(toy, "run", "01")
    assert answer.exit_code == 1
    assert re.search(r"No space left.*clip.mp4.* \([\d.]+ .iB free at .*: free some", answer.stderr)
    assert str(toy.runs) in answer.stderr
    assert "free at" in " ".join(cinelib(toy, "status", "nano-01").stdout.split())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(execution, "write_json", full)
    answer = cinelib(toy, "run", "01", "-p", "01.seed=1")
    assert answer.exit_code == 1 and "No space left on device" in answer.stderr
    assert "unknown" not in cinelib(toy, "status", "nano-01-01.seed=1").stdout
