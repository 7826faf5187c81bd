"""A run end to end on toy notebooks: what is executed, what is reused, what a failure leaves behind."""

import hashlib
import json
import os
import shutil
import threading
import time
from dataclasses import replace

import pytest
import toy_film
import yaml
from rich.console import Console
from toy_film.parameters import Cut, Grade, Sound
from typer.testing import CliRunner

from cinelib.cli.app import app
from cinelib.files import Hashes, write_json
from cinelib.runs import duration, execution, manifest, pipeline, plan, progress, report, state

CHAIN = ["01_cut", "02_grade", "03_prints"]


class Silent(progress.Lines):
    """A board that remembers what it was told."""

    def __init__(self):
        super().__init__(Console(quiet=True))
        self.told = []

    def start(self, stage):
        self.told.append((stage, "start"))
        super().start(stage)

    def finish(self, stage, how):
        self.told.append((stage, how))
        super().finish(stage, how)


def planned(workbook, overrides=None, named=(), name=None, profile="nano"):
    hashes = Hashes(workbook.runs / "locks" / "hashes.json")
    return plan.make(workbook, list(named), profile, overrides or {}, name, hashes)


def executed(workbook, overrides=None, jobs=1, board=None, **options):
    made = planned(workbook, overrides, **options)
    hashes = Hashes(workbook.runs / "locks" / "hashes.json")
    outcome = pipeline.run(made, hashes, board or Silent(), jobs)
    return made, outcome


def to_do(made):
    return [step.job.stage for step in made.steps if not step.done]


def stages(jobs):
    return [job.stage for job in jobs]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A toy workbook with one finished run; tests copy it when they change anything."""
    workbook = toy_film.make(tmp_path_factory.mktemp("toy") / "film")
    _, outcome = executed(workbook, jobs=2)
    assert outcome.ok
    return workbook


@pytest.fixture
def workbook(finished, tmp_path):
    root = tmp_path / "a {folder} with odd characters"
    shutil.copytree(finished.root, root)
    return toy_film.opened(root)


def test_a_stage_folder_has_everything_and_the_manifest_names_it(finished):
    step = planned(finished).steps[1]
    folder = step.job.folder
    expected = {"params.yaml", "out.ipynb", "metrics.json", "log.txt", "cut.txt", "manifest.json"}
    assert expected <= {path.name for path in folder.iterdir()}
    content = json.loads((folder / "manifest.json").read_text())
    assert content["parameters"] == {"profile": "nano", "seed": 0, "footage": "footage", "width": 1}
    assert yaml.safe_load((folder / "params.yaml").read_text()) == content["parameters"]
    assert set(content["artefacts"]) == expected - {"manifest.json"}
    assert content["inputs"]["footage"]["sha256"]
    assert content["versions"]["papermill"] == "2.7.0"
    assert content["kernel"]["peak_tree_rss_bytes"] >= content["kernel"]["peak_rss_bytes"] > 10e6
    assert content["seconds"] > 0
    assert 0 < content["kernel"]["cpu_seconds"] < 60
    assert content["kernel"]["device"] == "cpu"
    assert (folder / "cut.txt").read_text() == "r r"


def test_upstream_ids_and_artefacts_are_recorded(finished):
    _, cut, grade, _ = planned(finished).steps
    content = manifest.read(grade.job.folder)
    upstream = manifest.read(cut.job.folder)
    assert content["identity"]["upstream"] == {"01_cut": cut.job.identity.id}
    assert content["upstream"]["01_cut"]["artefacts_sha256"] == upstream["artefacts_sha256"]


def test_a_second_run_executes_nothing_even_under_another_name(finished):
    board = Silent()
    made, outcome = executed(finished, name="again", board=board)
    assert to_do(made) == []
    assert outcome.executed == []
    assert len(outcome.reused) == 4
    assert [how for _, how in board.told] == ["reused"] * 4


def test_no_kernel_start_is_needed_to_reuse(finished, monkeypatch):
    monkeypatch.setattr(execution, "work", lambda *_: pytest.fail("a worker was started"))
    started = time.monotonic()
    executed(finished)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"01_cut": {"width": 2}}, CHAIN),
        ({"02_grade": {"strength": 2}}, CHAIN[1:]),
        ({"02_grade": {"strength": 1}}, []),
        ({"03_prints": {"seed": 1}}, CHAIN[2:]),
        ({"00_sound": {"seed": 1}}, ["00_sound"]),
    ],
)
def test_a_changed_parameter_concerns_only_what_depends_on_it(finished, overrides, expected):
    assert to_do(planned(finished, overrides)) == expected


def test_the_reason_names_what_changed(workbook):
    changed = planned(workbook, {"02_grade": {"strength": 2}}).steps
    assert changed[2].reason == "strength 1 -> 2"
    assert changed[3].reason == "02_grade changed"
    (workbook.root / "footage" / "c.txt").write_text("new take")
    (workbook.root / "toy_film" / "paint.py").open("a").write("\nPAINT = 2\n")
    assert planned(workbook).steps[1].reason == "toy_film.paint changed; footage changed"


def test_a_notebooks_code_counts_and_not_its_outputs_ids_prose_answers_and_checks(workbook):
    path = workbook.notebook("02_grade")
    content = json.loads(path.read_text())
    for cell in content["cells"]:
        cell["id"] += "-renamed"
        if cell["cell_type"] == "code":
            cell.update(execution_count=7, outputs=[{"output_type": "stream", "name": "stdout", "text": "x"}])
    path.write_text(json.dumps(content))
    assert to_do(planned(workbook)) == []
    content["cells"][0]["source"] += " Reworded."
    content["cells"][2]["source"] += "\n# a remark"
    answers = [("exercise", "def f(): return 2"), ("check", "print(f())")]
    for tag, source in answers:
        content["cells"].insert(-1, {**content["cells"][1], "metadata": {"tags": [tag]}, "source": source})
    path.write_text(json.dumps(content))
    assert to_do(planned(workbook)) == []
    content["cells"][3]["source"] += "\nprint(1)"
    path.write_text(json.dumps(content))
    assert to_do(planned(workbook)) == CHAIN[1:]
    assert planned(workbook).steps[2].reason == "notebook changed"


def test_only_stages_that_use_a_module_depend_on_it(workbook):
    (workbook.root / "toy_film" / "paint.py").open("a").write("\nTOUCHED = 1\n")
    assert to_do(planned(workbook)) == CHAIN


def test_input_content_counts_not_its_time_stamp(workbook):
    path = workbook.root / "footage" / "a.txt"
    path.touch()
    assert to_do(planned(workbook)) == []
    path.write_text("b.txt")  # same size
    assert to_do(planned(workbook)) == CHAIN


def test_an_edited_record_is_seen_though_its_size_and_time_are_put_back(workbook):
    assert executed(workbook)[1].executed == []  # from here on the memory of hashes knows every file
    path = planned(workbook).steps[1].job.folder / "metrics.json"
    stamp, true = path.stat().st_mtime_ns, path.read_text()
    path.write_text(true.replace("0.5", "0.9"))
    os.utime(path, ns=(stamp, stamp))
    assert path.read_text() != true and path.stat().st_size == len(true)

    assert planned(workbook).steps[1].reason == "metrics.json was changed"
    states = {stage.name: stage.state for stage in state.load(workbook, "nano").stages}
    assert states["01_cut"] == "to do (metrics.json was changed)"
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["status", "nano"], obj=workbook).stdout
    assert "to do: metrics.json was changed" in shown
    page = report.write(workbook, "nano").read_text()
    assert "metrics.json was changed" in page and ">0.9<" not in page and ">0.5<" not in page
    _, outcome = executed(workbook, named=["01_cut"])
    assert stages(outcome.executed) == ["01_cut"]
    assert path.read_text() == true
    assert ">0.5<" in report.write(workbook, "nano").read_text()


def test_large_files_are_not_read_to_tell_how_a_run_stands(workbook, monkeypatch):
    folder = planned(workbook).steps[1].job.folder
    monkeypatch.setattr(manifest, "SMALL", 1)
    monkeypatch.setattr(manifest, "hash_of", lambda path: pytest.fail(f"{path} was read"))
    assert manifest.problem(folder) is None


@pytest.mark.parametrize("change", ["cut.txt", "gone"])
def test_an_edited_list_of_artefacts_is_a_damaged_manifest(workbook, change):
    folder = planned(workbook).steps[1].job.folder
    content = json.loads((folder / "manifest.json").read_text())
    if change == "gone":
        del content["artefacts"]["cut.txt"]
    else:
        (folder / "cut.txt").write_text("forged")
        entry = {"bytes": 6, "sha256": hashlib.sha256(b"forged").hexdigest()}
        content["artefacts"]["cut.txt"] = entry
    (folder / "manifest.json").write_text(json.dumps(content))
    assert manifest.problem(folder) == "manifest is damaged"
    assert planned(workbook).steps[1].reason == "manifest is damaged"


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "manifest.json").write_text(json.dumps({"schema": 1})),
        lambda folder: (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:200]),
        lambda folder: (folder / "cut.txt").unlink(),
        lambda folder: (folder / "cut.txt").write_text("g g"),
        lambda folder: shutil.rmtree(folder),
        lambda folder: shutil.copy(_other(folder) / "manifest.json", folder / "manifest.json"),
    ],
    ids=[
        "no manifest",
        "not JSON",
        "keys missing",
        "cut off",
        "artefact gone",
        "same size",
        "gone",
        "foreign",
    ],
)
def test_a_damaged_stage_is_not_reused(workbook, damage):
    damage(planned(workbook).steps[1].job.folder)
    assert "01_cut" in to_do(planned(workbook))


def _other(folder):
    return next(folder.parent.glob("00_sound-*"))


def test_repair_of_one_stage_keeps_what_follows_when_files_come_out_the_same(workbook):
    (planned(workbook).steps[1].job.folder / "manifest.json").unlink()
    _, outcome = executed(workbook)
    assert stages(outcome.executed) == ["01_cut"]
    assert sorted(stages(outcome.reused)) == ["00_sound", *CHAIN[1:]]


def test_other_upstream_files_under_the_same_id_are_noticed(workbook):
    cut = planned(workbook).steps[1].job
    (cut.folder / "cut.txt").write_text("not what was graded")
    values = cut.params.model_dump(mode="json")
    manifest.write(
        cut.folder, cut.stage, cut.identity.id, values, identity=dict(cut.identity.parts), seconds=1
    )
    made = planned(workbook)
    assert to_do(made) == CHAIN[1:]
    assert "01_cut was executed again" in made.steps[2].reason


def test_a_failed_notebook_and_its_log_are_kept_and_block_what_follows(workbook):
    board = Silent()
    made, outcome = executed(workbook, overrides={"02_grade": {"fail": True}}, board=board)
    failure = outcome.failed[made.steps[2].job.id]
    assert "ValueError" in str(failure)
    assert "the film tore" in str(failure)
    assert failure.folder.parent == workbook.runs / "failed"
    assert "ValueError: the film tore" in (failure.folder / "log.txt").read_text()
    assert json.loads((failure.folder / "out.ipynb").read_text())["cells"]
    assert stages(outcome.blocked) == ["03_prints"]
    assert not made.steps[2].job.folder.exists()
    assert board.told[-1] == ("03_prints", "blocked")
    states = {stage.name: stage.state for stage in state.load(workbook, made.name).stages}
    assert states["02_grade"].startswith("failed: ValueError")
    assert states["03_prints"] == "to do"


@pytest.mark.slow
def test_a_notebook_that_ends_before_its_last_cell_is_not_done(workbook):
    toy_film.write_notebook(workbook, Sound, ["import sys\nsys.exit(0)"])
    _, outcome = executed(workbook, named=["00_sound"])
    (failure,) = outcome.failed.values()
    assert "before stage.close()" in str(failure)


@pytest.mark.slow
def test_independent_stages_run_side_by_side(workbook):
    both = "import time, pathlib\n(stage.folder / 'mark').write_text(str(time.time()))\ntime.sleep({})"
    toy_film.write_notebook(workbook, Sound, [both.format(8)])
    toy_film.write_notebook(workbook, Cut, [both.format(8)])
    board = Silent()
    made, outcome = executed(workbook, named=["00_sound", "01_cut"], jobs=2, board=board)
    assert outcome.ok
    assert [how for _, how in board.told[:2]] == ["start", "start"]
    marks = [float((step.job.folder / "mark").read_text()) for step in made.steps]
    assert abs(marks[0] - marks[1]) < 8


@pytest.mark.slow
def test_a_stage_that_measures_time_runs_alone(workbook, monkeypatch):
    monkeypatch.setattr(Sound, "measures_time", True)
    board = Silent()
    overrides = {"00_sound": {"seed": 5}, "01_cut": {"seed": 5}}
    _, outcome = executed(workbook, overrides, named=["00_sound", "01_cut"], jobs=2, board=board)
    assert outcome.ok
    alone = board.told.index(("00_sound", "start"))
    assert board.told[alone + 1] == ("00_sound", "done")


@pytest.mark.slow
def test_a_stage_that_measures_time_holds_nothing_back_before_it_can_start(workbook, monkeypatch):
    monkeypatch.setattr(Grade, "measures_time", True)
    order = ("01_cut", "02_grade", "03_prints", "00_sound")
    stages = {name: workbook.stages[name] for name in order}
    board = Silent()
    _, outcome = executed(
        replace(workbook, stages=stages),
        {"00_sound": {"seed": 5}, "01_cut": {"seed": 5}},
        jobs=2,
        board=board,
    )
    assert outcome.ok
    assert set(board.told[:2]) == {("01_cut", "start"), ("00_sound", "start")}
    alone = board.told.index(("02_grade", "start"))
    assert board.told[alone + 1] == ("02_grade", "done")


@pytest.mark.parametrize(("cores", "jobs"), [(1, 1), (2, 2), (4, 2), (6, 3), (64, 4)])
def test_two_stages_at_a_time_on_two_cores(cores, jobs, monkeypatch):
    monkeypatch.setattr(pipeline.Path, "exists", lambda path: False)
    assert pipeline.default_jobs(cores) == jobs
    monkeypatch.setattr(pipeline.Path, "exists", lambda path: True)
    assert pipeline.default_jobs(cores) == 1, "an accelerator is not shared"


@pytest.mark.slow
def test_two_runners_of_the_same_stage_do_not_collide(workbook):
    overrides = {"02_grade": {"seconds": 2.0}}
    outcomes = []
    runners = [
        threading.Thread(
            target=lambda i=i: outcomes.append(executed(workbook, overrides=overrides, name=f"r{i}")[1])
        )
        for i in range(2)
    ]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert all(outcome.ok for outcome in outcomes)
    assert sorted(len(outcome.executed) for outcome in outcomes) != [2, 2]
    together = sorted(stage for outcome in outcomes for stage in stages(outcome.executed))
    assert together == ["02_grade", "03_prints"]


@pytest.mark.slow
def test_values_reach_the_notebook_as_typed_and_win_over_the_profile(workbook):
    code = ["(stage.folder / 'seen.txt').write_text(repr((params.label, params.strength, params.gamma)))"]
    toy_film.write_notebook(workbook, Grade, code)
    made, outcome = executed(
        workbook, overrides={"02_grade": {"label": "007", "gamma": 0.5}}, named=["02_grade"]
    )
    assert outcome.ok
    assert (made.steps[1].job.folder / "seen.txt").read_text() == "('007', 1, 0.5)"


@pytest.mark.slow
def test_an_explicit_value_equal_to_the_notebooks_literal_wins_over_the_profile(workbook):
    """`width` is 1 in the notebook and 2 in the profile: an explicit 1 must stay 1."""
    made, outcome = executed(workbook, named=["01_cut"], profile="smoke", overrides={"01_cut": {"width": 1}})
    assert outcome.ok
    assert (made.steps[0].job.folder / "cut.txt").read_text() == "r r"


def test_sources_that_change_after_planning_are_noticed(workbook):
    made = planned(workbook, {"01_cut": {"width": 3}}, named=["01_cut"])
    (workbook.root / "toy_film" / "paint.py").open("a").write("\nLATE = 1\n")
    outcome = pipeline.run(made, Hashes(), Silent(), 1)
    assert "toy_film.paint changed since the run was planned" in str(outcome.failed[made.steps[0].job.id])
    assert not made.steps[0].job.folder.exists()


@pytest.mark.slow
def test_sources_that_change_while_a_stage_runs_are_recorded(workbook):
    code = "from pathlib import Path\nPath('toy_film/paint.py').open('a').write('\\nLATE = 2\\n')"
    toy_film.write_notebook(workbook, Cut, ["import toy_film.paint", code])
    made, outcome = executed(workbook, named=["01_cut"])
    assert outcome.ok
    content = manifest.read(made.steps[0].job.folder)
    assert content["changed_while_executed"] == "toy_film.paint changed"
    assert to_do(planned(workbook, named=["01_cut"])) == ["01_cut"]


def test_a_running_stage_says_how_far_it_is_and_what_to_expect(monkeypatch, capsys):
    clock = iter(range(0, 1000, 65))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    board = progress.Lines(Console(width=200))
    board.expect("02_grade", 250.0)
    board.start("02_grade")
    board.cell("02_grade", 12, 40)
    board.line("02_grade", "step 3")
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("02_grade: started, about 4 min")
    assert second.endswith("of about 4 min: step 3") and "cell 12/40, 3 min 15 s" in second


def test_how_long_is_asked_of_the_past_here_and_then_of_the_reference(finished, tmp_path):
    assert 0 < duration.expected(finished, "01_cut", "nano") < 120
    assert duration.expected(finished, "01_cut", "huge") is None
    index = {"profile": "huge", "stages": {"01_cut": {"seconds": 7}}}
    index["times"] = {"smoke": {"01_cut": {"seconds": 3}}}
    root = tmp_path / "film"
    (root / "data").mkdir(parents=True)
    write_json(root / "data" / "reference.json", index)
    workbook = toy_film.opened(root)
    assert [duration.expected(workbook, "01_cut", name) for name in ("huge", "smoke", "nano")] == [7, 3, None]
    assert [duration.roughly(seconds) for seconds in (3, 44, 95, 250)] == [
        "about 10 s",
        "about 40 s",
        "about 2 min",
        "about 4 min",
    ]
