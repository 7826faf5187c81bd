"""A grid: one notebook executed more than once in a run, by parameters that differ."""

import json
import re

import pytest
import toy_film
import yaml
from typer.testing import CliRunner

from cinelib.cli.app import app
from cinelib.files import Hashes
from cinelib.parameters import ParameterError
from cinelib.runs import pipeline, plan, progress, report, state

GRADES = ["02_grade 02.strength=2", "02_grade 02.strength=3"]
PRINTS = ["03_prints 02.strength=2", "03_prints 02.strength=3"]


def planned(workbook, *strengths, named=("03_prints",), **more):
    variants = [{"02_grade": {"strength": strength}} for strength in strengths]
    return plan.make(workbook, list(named), "nano", more, "grid", Hashes(), variants)


def executed(workbook, made):
    return pipeline.run(made, Hashes(), progress.ProgressBoard(), 1)


def labels(jobs):
    return [job.label for job in jobs]


def states(workbook, name="grid"):
    return {stage.label: stage.state for stage in state.load(workbook, name).stages}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workbook = toy_film.make(tmp_path_factory.mktemp("toy") / "film")
    outcome = executed(workbook, planned(workbook, 2, 3))
    assert labels(outcome.executed) == ["01_cut", *GRADES, *PRINTS]
    return workbook


def test_what_is_the_same_is_executed_once_and_what_follows_a_difference_is_told_apart(finished):
    made = planned(finished, 2, 3)
    assert labels(step.job for step in made.steps) == ["01_cut", *GRADES, *PRINTS]
    assert all(step.done for step in made.steps)
    cut, two, three, *prints = (step.job for step in made.steps)
    assert two.needs == three.needs == {"01_cut": cut.id}
    assert [job.needs for job in prints] == [{"02_grade": two.id}, {"02_grade": three.id}]
    assert [(job.folder / "grade.txt").read_text() for job in (two, three)] == ["r rr r", "r rr rr r"]
    assert "r rr rr r" in (prints[1].folder / "log.txt").read_text()


def test_what_variants_share_is_looked_at_once(finished, monkeypatch):
    asked = []
    identify = plan.identify
    monkeypatch.setattr(plan, "identify", lambda *given: asked.append(given[1].stage) or identify(*given))
    planned(finished, *range(1, 9))
    assert [asked.count(stage) for stage in ("01_cut", "02_grade", "03_prints")] == [1, 8, 8]


def test_a_variant_that_changes_nothing_adds_nothing(finished):
    assert labels(step.job for step in planned(finished, 2, 2, 3).steps) == ["01_cut", *GRADES, *PRINTS]
    (single,) = {step.job.variant for step in planned(finished, 2).steps}
    assert single == (), "with one parameter set there is nothing to tell apart"


def test_variants_win_over_what_all_share_and_may_differ_in_several_stages(finished):
    grid = [{"02_grade": {"strength": 4}}, {"01_cut": {"width": 2}, "02_grade": {"strength": 1}}]
    made = plan.make(
        finished, ["02_grade"], "nano", {"02_grade": {"strength": 9, "gamma": 2.0}}, None, Hashes(), grid
    )
    assert labels(step.job for step in made.steps) == [
        "01_cut 01.width=1",
        "01_cut 01.width=2",
        "02_grade 01.width=1 02.strength=4",
        "02_grade 01.width=2 02.strength=1",
    ]
    assert {step.job.params.gamma for step in made.steps[2:]} == {2.0}
    assert made.steps[3].given == ("strength=1", "gamma=2.0")


def test_long_values_are_cut_in_labels_and_stay_apart(finished):
    prompts = [f"a queen in a crimson gown walks through the {place}" for place in ("hall", "yard")]
    grid = [{"02_grade": {"label": prompt}} for prompt in prompts]
    made = plan.make(finished, ["02_grade"], "nano", {}, None, Hashes(), grid)
    _, *grades = labels(step.job for step in made.steps)
    assert len(set(grades)) == 2 and all(len(label) < 60 for label in grades)


def test_a_problem_of_one_variant_refuses_the_run(finished):
    with pytest.raises(plan.PreflightError, match="strength = 10") as error:
        planned(finished, 2, 10)
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(plan.PreflightError, match="03_prints is not part of this run"):
        plan.make(finished, ["02_grade"], "nano", {}, None, Hashes(), [{}, {"03_prints": {"seed": 1}}])


def test_a_failure_blocks_its_own_variant_only(tmp_path):
    workbook = toy_film.make(tmp_path / "film")
    grid = [{"02_grade": {"fail": True}}, {}]
    made = plan.make(workbook, ["03_prints"], "nano", {}, "grid", Hashes(), grid)
    outcome = executed(workbook, made)
    assert [str(error).partition(": ")[0] for error in outcome.failed.values()] == ["02_grade 02.fail=True"]
    assert labels(outcome.blocked) == ["03_prints 02.fail=True"]
    found = states(workbook)
    assert found["02_grade 02.fail=True"].startswith("failed") and found["03_prints 02.fail=True"] == "to do"
    assert found["02_grade 02.fail=False"] == found["03_prints 02.fail=False"] == "done"


def test_state_and_status_show_both_and_what_differs(finished):
    assert states(finished) == dict.fromkeys(["01_cut", *GRADES, *PRINTS], "done")
    ids = [stage.id for stage in state.load(finished, "grid").stages]
    assert ids == [step.job.id for step in planned(finished, 2, 3).steps]
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["status", "grid"], obj=finished).stdout
    assert all(shown.count(label) == 1 for label in (*GRADES, *PRINTS))


def test_the_report_has_a_section_for_each_and_every_link_leads_to_one(finished):
    text = report.write(finished, "grid").read_text()
    sections = re.findall(r'<section id="(.+?)">', text)
    assert len(sections) == len(set(sections)) == 5
    assert set(re.findall(r'href="#(.+?)"', text)) == {"top", *sections}
    assert text.count('<p class="given">02.strength=3</p>') == 2


def test_a_run_file_of_before_that_names_its_stages_is_still_read(finished):
    path = finished.runs / "grid" / "run.yaml"
    content = yaml.safe_load(path.read_text())
    old = {
        entry["notebook"]: {"id": key, "folder": entry["folder"], "given": entry["given"]}
        for key, entry in content["stages"].items()
    }
    (finished.runs / "old").mkdir()
    (finished.runs / "old" / "run.yaml").write_text(
        yaml.safe_dump({**content, "stages": old}, sort_keys=False)
    )
    stages = state.load(finished, "old").stages
    assert [(stage.name, stage.state) for stage in stages] == [(name, "done") for name in old]
    assert [stage.id for stage in stages] == [entry["id"] for entry in old.values()]


@pytest.mark.parametrize("damage", ["[", "name: x", json.dumps({"profile": "nano", "stages": {"a": 3}})])
def test_a_damaged_run_file_is_one_sentence(finished, damage):
    (finished.runs / "bad").mkdir(exist_ok=True)
    (finished.runs / "bad" / "run.yaml").write_text(damage)
    with pytest.raises(ParameterError, match=r"is damaged .*start the run again"):
        state.load(finished, "bad")
