"""What is refused before any kernel starts, and with which words."""

import importlib.util
import json
from pathlib import Path

import pytest
import style_dataset
import tiny_wan
import torch
import toy_film
from typer.testing import CliRunner

from cinelib.cli.app import app
from cinelib.files import Hashes
from cinelib.parameters import ParameterError
from cinelib.preparation.dataset import VideoFolder
from cinelib.runs import manifest, plan, selection
from cinelib.runs.inputs import input_kind
from cinelib.runs.workbook import Workbook, find_root
from cinelib.style import checks
from cinelib.style.parameters import StyleStage


@pytest.fixture
def workbook(tmp_path):
    return toy_film.make(tmp_path / "film")


@pytest.fixture(scope="module")
def course():
    return Workbook(find_root())


def options(workbook, *texts, named=()):
    return selection.overrides_from_options(workbook, list(named), list(texts))


def refused(workbook, overrides, profile="nano", named=(), name=None):
    with pytest.raises((plan.PreflightError, ParameterError)) as error:
        plan.make(workbook, list(named), profile, overrides, name, Hashes())
    assert not (workbook.runs / "stages").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("03_motion_stage", "03_motion_stage"),
        ("03", "03_motion_stage"),
        ("3", "03_motion_stage"),
        ("motion", "03_motion_stage"),
        ("03_mo", "03_motion_stage"),
        ("notebooks/03_motion_stage.ipynb", "03_motion_stage"),
        ("data", "01_data_preparation"),
    ],
)
def test_a_notebook_is_found_by_number_name_or_start(course, text, stage):
    assert selection.find_stage(course, text) == stage


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("03_moton_stage", "did you mean '03_motion_stage'"),
        ("moton_stage", "did you mean '03_motion_stage'"),
        ("42", "unknown notebook '42'; known: 00_start_here"),
        ("", "unknown notebook ''"),
        ("s", "may be 00_start_here or 02_style_stage"),
    ],
)
def test_an_unknown_notebook_names_the_nearest(course, text, message):
    with pytest.raises(ParameterError, match=message):
        selection.find_stage(course, text)


def test_dependencies_come_before_what_needs_them(course):
    assert selection.with_dependencies(course, ["03_motion_stage"]) == [
        "01_data_preparation",
        "02_style_stage",
        "03_motion_stage",
    ]
    assert selection.with_dependencies(course, []) == list(course.stages)


def test_values_become_what_the_parameter_wants(workbook):
    given = options(workbook, "02.label=007", "grade.gamma=1e-1", "02_grade.strength=3", "02.fail=true")
    assert given == {"02_grade": {"label": "007", "gamma": 0.1, "strength": 3, "fail": True}}
    assert options(workbook, "02.label='a=b'", "02.label=")["02_grade"]["label"] == ""
    assert options(workbook, "02.label=a=b")["02_grade"]["label"] == "a=b"


def test_a_bare_name_means_the_named_notebooks_that_have_it(workbook):
    assert options(workbook, "strength=2") == {"02_grade": {"strength": 2}}
    assert options(workbook, "seed=2", named=["02_grade"]) == {"02_grade": {"seed": 2}}
    assert set(options(workbook, "seed=2")) == set(workbook.stages)
    with pytest.raises(ParameterError, match=r"00_sound has no 'strength'; say 02_grade.strength="):
        options(workbook, "strength=2", named=["00_sound"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strenght=2", "unknown parameter 'strenght'; did you mean '02_grade.strength'"),
        ("02.strenght=2", "stage 02_grade: unknown parameter 'strenght'; did you mean 'strength'"),
        ("strength", "expected stage.name=value"),
        ("02.profile=smoke", "--profile"),
        ("profile=smoke", "--profile"),
        ("02.strength=[1", "not YAML"),
    ],
)
def test_malformed_and_unknown_options(workbook, text, message):
    with pytest.raises(ParameterError, match=message):
        options(workbook, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("02.strength=0", ["02_grade", "strength = 0", "greater than or equal to 1"]),
        ("02.strength=10", ["strength = 10", "less than or equal to 9"]),
        ("02.strength=2.5", ["strength = 2.5", "integer"]),
        ("02.strength=two", ["strength = 'two'", "integer"]),
        ("02.gamma=.nan", ["gamma = nan", "finite"]),
        ("02.fail=1", ["fail = 1", "boolean"]),
        ("02.seed=-1", ["seed = -1"]),
    ],
)
def test_mistyped_and_out_of_range_values_are_refused_before_any_kernel(workbook, text, words):
    message = refused(workbook, options(workbook, text))
    assert all(word in message for word in words), message


def test_all_problems_are_told_at_once(workbook):
    given = options(workbook, "02.strength=0", "01.width=99", "01.footage=footage")
    assert len(refused(workbook, given).splitlines()) == 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nowhere", "no such folder"),
        ("footage/a.txt", "is not a folder"),
        ("bare", "is empty"),
        ("", "at least 1"),
    ],
)
def test_inputs_must_be_there(workbook, value, message):
    (workbook.root / "bare").mkdir()
    assert message in refused(workbook, {"01_cut": {"footage": value}})


def test_no_space_unknown_profile_bad_names_and_missing_notebooks(workbook):
    assert "GiB free" in refused(workbook, {}, profile="huge")
    assert "did you mean 'nano'" in refused(workbook, {}, profile="nanno")
    for name in ("stages", "lab", "../x", "a/b", ".hidden"):
        assert f"run name {name!r}" in refused(workbook, {}, name=name)
    workbook.notebook("03_prints").unlink()
    assert "make notebooks" in refused(workbook, {})


def test_parameters_of_a_stage_outside_the_run_are_refused(workbook):
    assert "02_grade is not part of this run" in refused(
        workbook, {"02_grade": {"seed": 1}}, named=["01_cut"]
    )


def test_a_file_gives_profile_notebooks_and_parameters(workbook, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "profile: smoke\nnotebooks: [2]\nparameters:\n  grade: {gamma: 1e-1}\n  02.strength: 3\n  label: x\n"
    )
    content = selection.read_file(path)
    given = selection.overrides_from_mapping(workbook, ["02_grade"], content["parameters"])
    assert given == {"02_grade": {"gamma": 0.1, "strength": 3, "label": "x"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profil: nano", "did you mean 'profile'"),
        ("- a\n- b", "expected a mapping"),
        ("a: [", "not YAML"),
        ("parameters: 3", "expected a mapping"),
    ],
)
def test_a_file_that_makes_no_sense(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=message):
        selection.read_file(path)


def test_options_win_over_the_file():
    layers = {"a": {"x": 1, "y": 1}}, {"a": {"y": 2}}
    assert selection.merge(*layers) == {"a": {"x": 1, "y": 2}}


def test_paths_are_meant_from_the_shells_folder(workbook, tmp_path):
    outside = tmp_path / "elsewhere"
    (outside / "mine").mkdir(parents=True)
    given = {"01_cut": {"footage": "mine"}}
    assert selection.local_paths(workbook, given, outside)["01_cut"]["footage"] == str(outside / "mine")
    inside = selection.local_paths(
        workbook, {"01_cut": {"footage": "../footage"}}, workbook.root / "notebooks"
    )
    assert inside["01_cut"]["footage"] == "footage"
    kept = selection.local_paths(workbook, {"01_cut": {"footage": "footage"}}, outside)
    assert kept["01_cut"]["footage"] == "footage"


def test_every_folder_of_a_list_must_exist_and_is_found_from_the_shells_folder(course, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "weights").write_text("1")
    typed = {"05_evaluation": {"style_runs": ["mine", "nowhere"]}}
    given = selection.local_paths(course, typed, tmp_path)
    assert given["05_evaluation"]["style_runs"] == [str(tmp_path / "mine"), "nowhere"]
    with pytest.raises(plan.PreflightError, match="style_runs = 'nowhere': no such folder") as error:
        plan.make(course, ["05_evaluation"], "nano", given, None, Hashes())
    assert "mine" not in str(error.value)


def test_what_a_folder_of_a_list_holds_is_part_of_the_stage(course, tmp_path):
    (tmp_path / "weights").write_text("1")

    def inputs():
        given = {"05_evaluation": {"style_runs": [str(tmp_path)]}}
        *_, step = plan.make(course, ["05_evaluation"], "nano", given, None, Hashes()).steps
        return step.job.identity

    before = inputs()
    assert inputs().id == before.id and str(tmp_path) in before.parts["inputs"]
    (tmp_path / "weights").write_text("2")
    assert inputs().id != before.id


@pytest.mark.parametrize("value", ["data/no-such-model", "./missing", "/nowhere/model", "missing"])
def test_a_model_that_can_only_be_a_path_must_exist(course, value):
    with pytest.raises(plan.PreflightError, match="no such folder"):
        plan.make(course, ["00_start_here"], "nano", {"00_start_here": {"model": value}}, None, Hashes())


def test_every_parameter_that_names_an_input_is_marked(course):
    """A path that is not marked would not be hashed, and a stage would be reused on other data."""
    for model in course.stages.values():
        for name, field in model.model_fields.items():
            if isinstance(field.default, str) and field.default.startswith("data/"):
                assert input_kind(model, name), f"{model.stage}.{name}"


A14B = "Wan-AI/Wan2.2-I2V-A14B-Diffusers"


@pytest.mark.parametrize(
    "profile, values, message",
    [
        ("paper", {"model": A14B}, "early_stopping 'perceptual' needs sample clips.* two experts .*'loss'"),
        ("nano", {"targets": "attn9"}, "targets 'attn9' match no linear layer; known names: attn2"),
        ("nano", {"targets": "attn(", "rank": 4}, "targets 'attn\\('"),
        ("nano", {"base_precision": "nf4"}, "needs bitsandbytes: pip install"),
        ("nano", {"processes": 2, "strategy": "fsdp2"}, "fsdp2 does not run on a CPU.*use ddp"),
        ("nano", {"processes": 63, "strategy": "ddp"}, "processes is 63, this machine has 2 CPU cores"),
        ("nano", {"validation_clips": 40}, "01_data_preparation.max_clips is 40; set .* to 39 or less"),
    ],
)
def test_what_would_stop_the_style_stage_late_is_told_first(course, monkeypatch, profile, values, message):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    there = importlib.util.find_spec

    def without_bitsandbytes(name, package=None):
        return None if name == "bitsandbytes" else there(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_bitsandbytes)
    with pytest.raises(plan.PreflightError, match=f"stage 02_style_stage: .*{message}"):
        plan.make(course, ["02_style_stage"], profile, {"02_style_stage": values}, None, Hashes())


@pytest.mark.parametrize("values", [{"early_stopping": "loss"}, {"patience": 0}])
def test_two_experts_may_stop_on_the_held_out_loss_or_never(tmp_path, values):
    folder = tiny_wan.save(tmp_path / "model", "two experts")
    wanted = {"model": str(folder), "patience": 3, "early_stopping": "perceptual", "targets": "attn1"}
    (reason,) = checks.of_model(StyleStage(**wanted), tmp_path)
    assert "early_stopping" in reason
    assert not checks.of_model(StyleStage(**{**wanted, **values}), tmp_path)


def test_cinelib_estimate_says_so_too():
    answer = CliRunner().invoke(app, ["estimate", "--profile", "paper", "-p", f"02.model={A14B}"])
    assert answer.exit_code == 2 and "early_stopping 'perceptual' needs sample clips" in answer.stderr


@pytest.fixture
def prepared(tmp_path):
    """Clips of 9, 9, 9 and 5 frames, as an earlier execution of notebook 01 left them in a workbook."""
    for name in ("notebooks", "cinelib", "data"):
        (tmp_path / name).symlink_to(Path(checks.__file__).parents[2] / name)
    workbook = Workbook(tmp_path)
    job = plan.make(workbook, ["01_data_preparation"], "nano", {}, None, Hashes()).steps[0].job
    folder = style_dataset.write(job.folder / "dataset")
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    rows[2]["num_frames"] = 5
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest.write(job.folder, job.stage, job.identity.id, {}, upstream={}, inputs={}, seconds=1.0, kernel={})
    return workbook, folder


@pytest.mark.parametrize(
    "values, message",
    [
        ({"train_batch_size": 2}, r"3 of 4 have 9 frames, clips/02.mp4 has 5; set .*steps 4 .* num_frames 5"),
        ({"validation_clips": 4}, "leaves none to train on: the dataset's clips are 4; .* to 3 or less"),
    ],
)
def test_clips_that_are_there_already_are_looked_at(prepared, values, message):
    workbook, folder = prepared
    with pytest.raises(plan.PreflightError, match=message):
        plan.make(workbook, ["02_style_stage"], "nano", {"02_style_stage": values}, None, Hashes())
    with pytest.raises(ParameterError, match=message):
        checks.refuse(StyleStage(**{"validation_clips": 1, **values}), VideoFolder.open(folder))
    fine = {"02_style_stage": {"validation_clips": 3, "train_batch_size": 2, "num_frames": 5}}
    assert not plan.make(workbook, ["02_style_stage"], "nano", fine, None, Hashes()).steps[1].done
    checks.refuse(StyleStage(validation_clips=3), VideoFolder.open(folder))


def test_an_error_about_several_parameters_does_not_recite_them_all():
    with pytest.raises(ParameterError) as error:
        StyleStage.check({"processes": 2})
    assert str(error.value).startswith("stage 02_style_stage: strategy 'single' with processes 2")
    assert "{" not in str(error.value) and len(str(error.value)) < 200
