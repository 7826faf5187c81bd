"""`cinelib score`: numbers for any folder, what is left out and why, resumption, exit codes."""

import inspect
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from backlot.synthetic import Layer, synthetic_clip
from huggingface_hub import constants
from PIL import Image
from typer.testing import CliRunner

import cinelib.cli.score
from cinelib import provenance as implementation
from cinelib.cli.app import app
from cinelib.evaluation import clips as decoded
from cinelib.evaluation import summary
from cinelib.evaluation.clips import ScoreError
from cinelib.evaluation.prompts import paired, read_prompts
from cinelib.evaluation.score import DECODER, score
from cinelib.evaluation.selection import METRICS, Request
from cinelib.metrics.extractors import FrameFeatures
from cinelib.metrics.frechet import DistanceMetric
from cinelib.metrics.metric import Found
from cinelib.metrics.motion import MotionMetric, log_speed_distance
from cinelib.provenance import code_of, module_files
from cinelib.statistics import mean_interval
from cinelib.video import write_video


def moving(speed=1.5, frames=17, height=64, width=112, seed=0):
    return synthetic_clip([Layer(dx=speed)], num_frames=frames, height=height, width=width, seed=seed)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two good clips of unlike size and rate, a still, a short one, a broken one, and text."""
    root = tmp_path_factory.mktemp("clips")
    write_video(root / "a.mp4", moving(), 16)
    write_video(root / "more" / "b.mp4", moving(frames=25, height=96, width=128, seed=5), 24)
    write_video(root / "still.mp4", np.repeat(moving(frames=1), 17, axis=0), 16)
    write_video(root / "short.mp4", moving(frames=3), 16)
    (root / "broken.mp4").write_bytes(b"no video at all" * 40)
    (root / "notes.txt").write_text("not a clip")
    return root


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    root = tmp_path_factory.mktemp("film")
    for seed in range(5):
        write_video(root / f"{seed}.mp4", moving(1 + seed, seed=20 + seed), 16)
    return root


def run(folder, cache, *options):
    arguments = ["score", str(folder), "--cache", str(cache), "--clip-model", "", "--json", *options]
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def scored(folder, film, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    answer = run(folder, cache, "--reference", str(film))
    return answer, json.loads(answer.stdout), cache


def test_a_mixed_folder_gives_numbers_reasons_and_exit_code_1(scored):
    answer, result, _ = scored
    assert answer.exit_code == 1, "broken.mp4 did not decode"
    assert [clip["file"] for clip in result["clips"]] == ["a.mp4", "more/b.mp4", "short.mp4", "still.mp4"]
    (failure,) = result["failures"]
    assert failure["file"] == "broken.mp4" and "undecodable" in failure["reason"]
    assert "error: broken.mp4" in answer.stderr and "Traceback" not in answer.output
    rows = {clip["file"]: clip for clip in result["clips"]}
    assert rows["a.mp4"]["fps"] == 16 and rows["more/b.mp4"]["fps"] == 24
    assert "must last at least 0.25 s" in rows["short.mp4"]["excluded"]["MotionScore"]
    assert "the window is 1 s" in rows["short.mp4"]["excluded"]["FD[effnet-lite0-frames]"]
    assert rows["still.mp4"]["values"]["MotionScore"] == 0
    assert "a still" in rows["still.mp4"]["notes"][0]
    assert rows["still.mp4"]["excluded"] == {"camera share": "nothing moves"}
    assert any("mixed sizes" in note for note in result["notes"])
    assert any("mixed frame rates" in note for note in result["notes"])


def test_every_summary_number_has_n_and_an_interval_and_says_what_is_missing(scored):
    summary = scored[1]["summary"]
    motion = summary["MotionScore"]
    assert motion["n"] == 3 and sum(motion["excluded"].values()) == 1
    assert 0 <= motion["value"] <= 100
    assert "interval" not in motion and motion["remark"] == "no interval: 3 values, and 7 are needed"
    frechet = summary["FD[effnet-lite0-frames]"]
    assert frechet["n"] == 3 and frechet["n_reference"] == 5 and "floor" in frechet
    assert "interval" in frechet or "needs 4 clips" in frechet["notes"]["interval"]
    assert frechet["weights_sha256"] and frechet["preprocessing"]
    assert {"motion", "style", "features"} == set(scored[1]["provenance"])


def test_the_printed_table_keeps_the_names_of_the_networks(scored, folder, film):
    arguments = ["score", str(folder), "--cache", str(scored[2]), "--reference", str(film)]
    answer = CliRunner().invoke(app, [*arguments, "--clip-model", ""], env={"COLUMNS": "300"})
    assert answer.exit_code == 1
    assert "FD[effnet-lite0-frames]" in answer.stdout and "KD[effnet-lite0-frames]" in answer.stdout


def test_the_same_folder_gives_the_same_bytes_and_measures_nothing_again(scored, folder, film, monkeypatch):
    def again(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(MotionMetric, "of", again)
    monkeypatch.setattr(FrameFeatures, "__call__", again)
    assert run(folder, scored[2], "--reference", str(film)).stdout == scored[0].stdout


def test_a_damaged_memory_is_measured_again_and_gives_the_same(scored, folder, film):
    entries = sorted(scored[2].glob("??/*.json"))
    for path in entries[::3]:
        path.write_text(path.read_text()[: len(path.read_text()) // 2])
    assert run(folder, scored[2], "--reference", str(film)).stdout == scored[0].stdout


def test_a_stop_half_way_keeps_what_was_measured(folder, tmp_path, monkeypatch):
    seen = []
    measure = MotionMetric.of

    def stops(self, clip):
        if seen:
            raise KeyboardInterrupt
        seen.append(clip.file)
        return measure(self, clip)

    monkeypatch.setattr(MotionMetric, "of", stops)
    answer = run(folder, tmp_path, "--metrics", "motion")
    assert answer.exit_code == 130 and "measured clips are kept" in answer.stderr
    monkeypatch.setattr(MotionMetric, "of", lambda self, clip: seen.append(clip.file) or Found())
    run(folder, tmp_path, "--metrics", "motion")
    assert seen.count("a.mp4") == 1 and "more/b.mp4" in seen


def test_one_clip_has_numbers_but_no_interval(folder, tmp_path):
    answer = run(folder / "a.mp4", tmp_path, "--metrics", "motion")
    entry = json.loads(answer.stdout)["summary"]["MotionScore"]
    assert answer.exit_code == 0
    assert entry["n"] == 1 and "interval" not in entry and "one clip" in entry["remark"]


def test_a_metric_that_was_named_and_has_no_number_fails(folder, film, tmp_path):
    answer = run(folder / "short.mp4", tmp_path, "--metrics", "features", "--reference", str(film))
    entry = json.loads(answer.stdout)["summary"]["FD[effnet-lite0-frames]"]
    assert answer.exit_code == 1
    assert "value" not in entry and "needs 2 clips and 4 reference clips" in entry["remark"]


def test_features_that_are_not_finite_are_left_out_by_name(folder, film, tmp_path, monkeypatch):
    monkeypatch.setattr(FrameFeatures, "__call__", lambda self, clips: np.full((len(clips), 4), np.nan))
    answer = run(folder, tmp_path, "--metrics", "features", "--reference", str(film))
    result = json.loads(answer.stdout)
    assert "NaN" in result["clips"][0]["excluded"]["FD[effnet-lite0-frames]"]
    assert answer.exit_code == 1


def test_what_is_wrong_with_the_reference_is_said(folder, film, tmp_path):
    reference = tmp_path / "reference"
    shutil.copytree(film, reference)
    shutil.copy(folder / "a.mp4", reference / "again.mp4")
    shutil.copy(folder / "short.mp4", reference / "short.mp4")
    shutil.copy(folder / "broken.mp4", reference / "broken.mp4")
    answer = run(folder / "a.mp4", tmp_path, "--metrics", "features", "--reference", str(reference))
    result = json.loads(answer.stdout)
    assert answer.exit_code == 1
    (failure,) = result["failures"]
    assert failure["file"] == "broken.mp4" and failure["reference"]
    assert any(note.startswith("reference short.mp4 left out: lasts") for note in result["notes"])
    assert any("1 of the clips are in the reference too" in note for note in result["notes"])


def test_long_clips_are_cut_and_said_to_be(folder, tmp_path):
    request = Request(folder / "a.mp4", tmp_path, metrics=("motion",), seconds=0.5, window=0.5)
    assert "only the first 0.5 s" in score(request)["clips"][0]["notes"][0]


def test_perceptual_pairs_by_name_and_refuses_what_does_not_align(folder, tmp_path):
    reference = tmp_path / "reference"
    write_video(reference / "a.mp4", np.roll(moving(), 2, axis=2), 16)
    write_video(reference / "still.mp4", moving(), 24)
    request = Request(folder, tmp_path / "cache", reference=reference, metrics=("perceptual",))
    rows = {clip["file"]: clip for clip in score(request)["clips"]}
    assert rows["a.mp4"]["values"]["PD[effnet-lite0]"] > 0
    assert not rows["a.mp4"]["notes"]
    assert "not at the same times" in rows["still.mp4"]["excluded"]["PD[effnet-lite0]"]
    assert "no reference clip" in rows["short.mp4"]["excluded"]["PD[effnet-lite0]"]


def test_perceptual_says_how_much_of_a_clip_it_compared(tmp_path):
    write_video(tmp_path / "clips" / "a.mp4", moving(frames=33), 16)
    write_video(tmp_path / "reference" / "a.mp4", moving(frames=9), 16)
    request = Request(
        tmp_path / "clips", tmp_path / "cache", reference=tmp_path / "reference", metrics=("perceptual",)
    )
    for row in (score(request)["clips"][0], score(request)["clips"][0]):
        assert "first 9 frames: the clip has 33, its reference 9" in row["notes"][0]


@pytest.fixture
def counted(monkeypatch):
    """The files that motion was measured of."""
    seen, measure = [], MotionMetric.of
    monkeypatch.setattr(MotionMetric, "of", lambda self, clip: seen.append(clip.file) or measure(self, clip))
    return seen


def test_code_that_changed_is_measured_again(folder, tmp_path, counted, monkeypatch):
    request = Request(folder / "a.mp4", tmp_path, metrics=("motion",))
    score(request)
    score(request)
    assert counted == ["a.mp4"]
    with monkeypatch.context() as patch:
        patch.setattr(implementation, "code_digest", lambda source: "another")
        code_of.cache_clear()
        score(request)
    code_of.cache_clear()
    assert counted == ["a.mp4", "a.mp4"]
    score(request)
    assert counted == ["a.mp4", "a.mp4"], "what the code of before gave is still known"


def test_a_network_whose_processor_changed_is_asked_again(folder, tmp_path):
    network = tmp_path / "my-clip"
    shutil.copytree(SHIPPED, network)
    request = Request(folder / "a.mp4", tmp_path, metrics=("clip",), clip_model=str(network))
    before = score(request)["summary"]["CLIP-SIM[my] clip_temporal"]["value"]
    settings = network / "processor_config.json"
    said = json.loads(settings.read_text())
    said["image_processor"]["image_std"] = [0.05, 0.05, 0.05]
    settings.write_text(json.dumps(said))
    assert score(request)["summary"]["CLIP-SIM[my] clip_temporal"]["value"] != before


def test_the_code_of_a_measure_is_all_that_it_imports_but_no_comment(tmp_path):
    copy = tmp_path / "cinelib"
    shutil.copytree(Path(cinelib.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    names = [f"cinelib.metrics.{name}" for name in ("motion", "style", "clip_sim", "perceptual")]

    def codes():
        code_of.cache_clear()
        return [code_of(name, DECODER, package=copy) for name in names]

    before = codes()
    assert before == [code_of(name, DECODER) for name in names] and len(set(before)) == 4
    flow, decoding = copy / "metrics" / "flow" / "dense.py", copy / "preparation" / "decoding.py"
    text = flow.read_text()
    flow.write_text(text.replace('"""Dense', '"""Very dense') + "# a remark\n")
    assert codes() == before
    flow.write_text(text.replace("SHORT_SIDE = 256", "SHORT_SIDE = 255"))
    assert [new == old for new, old in zip(codes(), before, strict=True)] == [False, True, True, True]
    decoding.write_text(decoding.read_text().replace("Resampling.LANCZOS", "Resampling.BOX"))
    assert not set(codes()) & set(before), "every measure sees the decoder's pixels"


def test_a_metric_counts_its_own_code_its_networks_and_the_decoders(monkeypatch):
    asked = []
    monkeypatch.setattr("cinelib.metrics.metric.code_of", lambda *modules: asked.append(modules))
    MotionMetric().identity(DECODER)
    network = FrameFeatures()
    DistanceMetric(network, 1.0).identity(DECODER)
    assert asked == [
        (DECODER, "cinelib.metrics.motion"),
        (DECODER, "cinelib.metrics.extractors", "cinelib.metrics.frechet"),
    ]


def test_the_list_of_metrics_is_no_part_of_any_so_a_new_one_measures_nothing_again():
    package = Path(cinelib.__file__).parent
    for known in ("motion", "style", "clip_sim", "costume", "perceptual", "frechet"):
        used = module_files(package, [f"import cinelib.metrics.{known}", f"import {DECODER}"])
        assert not {"cinelib.evaluation.selection", "cinelib.evaluation.score"} & set(used)


def test_the_same_pictures_under_another_prompt_or_name_are_other_numbers(folder, tmp_path):
    prompts, found = tmp_path / "prompts.json", []
    for text in ("a knight walks right", "a robot"):
        prompts.write_text(json.dumps({"a.mp4": text}))
        request = Request(
            folder / "a.mp4", tmp_path, prompts=prompts, metrics=("clip",), clip_model=str(SHIPPED)
        )
        found.append(score(request)["clips"][0]["values"]["CLIP-SIM[nano] clip_text"])
    assert found[0] != found[1]
    clips, reference = tmp_path / "clips", tmp_path / "reference"
    for name, shift in (("a.mp4", 2), ("b.mp4", 9)):
        write_video(reference / name, np.roll(moving(), shift, axis=2), 16)
        clips.mkdir(exist_ok=True)
        shutil.copy(folder / "a.mp4", clips / name)
    rows = score(Request(clips, tmp_path, reference=reference, metrics=("perceptual",)))["clips"]
    assert rows[0]["values"] != rows[1]["values"]


def test_a_clip_too_large_to_decode_is_left_out_by_name(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(decoded, "_MOST_BYTES", 1000)
    (clip,) = score(Request(folder / "a.mp4", tmp_path, metrics=("motion",)))["clips"]
    assert not clip["values"] and "look at fewer seconds" in clip["excluded"]["MotionScore"]


def test_a_number_that_is_none_is_left_out_by_name(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(MotionMetric, "of", lambda self, clip: Found({"MotionScore": float("nan"), "D": 0.5}))
    (clip,) = score(Request(folder / "a.mp4", tmp_path, metrics=("motion",)))["clips"]
    assert clip["values"] == {"D": 0.5} and clip["excluded"]["MotionScore"] == "came out as nan"
    assert clip["excluded"]["S"] == "not measured"


def test_the_help_names_every_metric():
    (option,) = inspect.signature(cinelib.cli.score.score).parameters["metrics"].annotation.__metadata__
    assert option.help.startswith(",".join(METRICS))


def test_every_measure_tells_its_code_and_the_packages_that_it_uses(scored):
    provenance, versions = scored[1]["provenance"], scored[1]["versions"]
    for measure in provenance.values():
        assert len(measure["code"]) == 64
        assert measure["packages"].items() <= versions.items()
    assert {"av", "pillow", "opencv-python-headless", "efficientnet-lite-pytorch"} <= set(versions)
    assert not {"transformers", "lpips"} & set(versions), "not used here"


def test_light_is_in_every_row(scored):
    light = {"key ratio", "local contrast", "key ratio difference", "local contrast difference"}
    rows, summary = scored[1]["clips"], scored[1]["summary"]
    assert all(light <= row["values"].keys() for row in rows) and light <= summary.keys()
    shift = {row["values"]["key ratio"] - row["values"]["key ratio difference"] for row in rows}
    assert max(shift) == pytest.approx(min(shift)), "all are compared with one film"


def test_other_file_names_change_no_number(folder, film, scored, tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "film"
    for new, old in (
        ("z.mp4", "a.mp4"),
        ("y.mp4", "more/b.mp4"),
        ("b.mp4", "still.mp4"),
        ("a.mp4", "short.mp4"),
    ):
        mine.mkdir(exist_ok=True)
        shutil.copy(folder / old, mine / new)
    theirs.mkdir()
    for seed in range(5):
        shutil.copy(film / f"{seed}.mp4", theirs / f"{4 - seed}.mp4")
    renamed = score(Request(mine, tmp_path / "cache", reference=theirs))
    assert renamed["summary"] == scored[1]["summary"]


def test_nothing_in_the_folder_vanishes(folder, tmp_path, film):
    clips = tmp_path / "clips"
    shutil.copytree(folder, clips)
    shutil.copy(clips / "a.mp4", clips / "again.mp4")
    (clips / "link.mp4").symlink_to(film / "0.mp4")
    (clips / "dead.mp4").symlink_to("nowhere.mp4")
    (clips / "linked").symlink_to(film)
    pictures = [Image.fromarray(frame) for frame in moving()]
    pictures[0].save(clips / "moves.gif", save_all=True, append_images=pictures[1:], duration=60)
    pictures[0].save(clips / "poster.png")
    (clips / "bad.gif").write_bytes(b"GIF89a, or not")
    answer = run(clips, tmp_path / "cache", "--metrics", "motion")
    result = json.loads(answer.stdout)
    rows = {row["file"]: row for row in result["clips"]}
    assert set(rows) == {
        "a.mp4", "again.mp4", "more/b.mp4", "moves.gif", "short.mp4", "still.mp4"
    }  # fmt: skip
    assert rows["moves.gif"]["values"]["MotionScore"] > 0
    reasons = {failure["file"]: failure["reason"] for failure in result["failures"]}
    assert set(reasons) == {"broken.mp4", "link.mp4", "dead.mp4"} and answer.exit_code == 1
    assert "leads out" in reasons["link.mp4"] and "copy the file" in reasons["link.mp4"]
    assert "not there" in reasons["dead.mp4"]
    left = result["left_out"]
    assert set(left) == {"bad.gif", "linked", "notes.txt", "poster.png"}
    assert "one picture" in left["poster.png"] and "link to a folder" in left["linked"]
    notes = "\n".join(result["notes"])
    assert all(name in notes for name in left)
    assert "counted each time: a.mp4 = again.mp4" in notes


def test_a_reference_unlike_the_clips_is_noted(folder, tmp_path):
    reference = tmp_path / "reference"
    for seed in (1, 2):
        write_video(reference / f"{seed}.mp4", moving(seed=seed, height=96, width=160), 24)
    shutil.copy(reference / "1.mp4", reference / "same.mp4")
    request = Request(folder / "a.mp4", tmp_path / "cache", reference=reference, metrics=("style",))
    notes = "\n".join(score(request)["notes"])
    assert "other sizes (160x96; the clips have 112x64)" in notes
    assert "other frame rates (24; the clips have 16)" in notes
    assert "among the reference clips, counted each time: 1.mp4 = same.mp4" in notes


def test_what_is_too_fast_for_flow_is_flagged_at_its_clip(tmp_path):
    write_video(tmp_path / "clips" / "fast.mp4", moving(7, 33), 16)
    write_video(tmp_path / "clips" / "slow.mp4", moving(0.5, 33), 16)
    fast, slow = score(Request(tmp_path / "clips", tmp_path / "cache", metrics=("motion",)))["clips"]
    assert "too fast for flow" in fast["notes"][0] and not slow["notes"]


def test_a_bounded_score_has_an_interval_inside_its_range_or_says_why_not():
    metric = SimpleNamespace(name="share", of_sets=False, values={"C": (0, 1)})

    def entry(values):
        rows = [{"values": {"C": value}, "excluded": {}, "fps": 16.0} for value in values]
        return summary.of(rows, [(metric, {"packages": {}})], [], [])["summary"]["C"]

    near = entry([0.98, 0.99, 1, 1, 0.97, 0.99, 0.6, 0.95])
    assert near["interval"] == list(mean_interval([0.98, 0.99, 1, 1, 0.97, 0.99, 0.6, 0.95]))
    assert 0.6 <= near["interval"][0] < near["value"] < near["interval"][1] <= 1
    whole = entry([0.0, 1] * 4)
    assert "interval" not in whole and whole["remark"] == "no interval: it would be all that is possible"


def test_values_that_are_nearly_all_equal_have_no_interval(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        write_video(tmp_path / "clips" / name, np.repeat(moving(frames=1), 17, axis=0), 16)
    answer = run(tmp_path / "clips", tmp_path / "cache", "--metrics", "motion")
    entry = json.loads(answer.stdout)["summary"]["MotionScore"]
    assert entry["value"] == 0 and entry["n"] == 3 and "interval" not in entry
    assert entry["remark"] == "no interval: nearly all values are equal"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "beauty"], "unknown metrics beauty; known: motion, raft, style"),
        (["--metrics", "features"], "give --reference DIR"),
        (["--i3d", "x.pt"], "go together"),
        (["--metrics", "vbench"], "pip install vbench"),
        (["--window", "3", "--seconds", "2"], "need 0 < window <= seconds"),
        (["--metrics", "raft"], "raft needs --raft FILE"),
        (
            ["--raft", "missing.pth"],
            "fetch them with: curl -LO https://download.pytorch.org/models/raft_large",
        ),
        (["--metrics", "costume"], "costume needs --costume and --wrong-costume"),
        (["--costume", "a red gown"], "one phrase alone has no control"),
        (["--costume", "a red gown", "--wrong-costume", "a blue one"], "give --clip-model"),
        (["--clip-model", "nowhere/none"], "hf download openai/clip-vit-base-patch32"),
        (["--prompts", "missing.jsonl"], "prompts missing.jsonl"),
        (["--reference", "nowhere"], "does not exist"),
    ],
)
def test_a_request_that_cannot_be_answered_is_one_line_and_exit_code_2(
    folder, tmp_path, options, message, monkeypatch
):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # else it retries for a minute
    answer = run(folder, tmp_path, *options)
    assert answer.exit_code == 2 and message in answer.stderr
    assert "Traceback" not in answer.output


def test_vbench_is_missed_before_anything_is_measured(folder, tmp_path, counted):
    with pytest.raises(ScoreError, match="pip install vbench"):
        score(Request(folder, tmp_path, metrics=("motion", "vbench")))
    assert not counted


def test_vbench_is_run_once_for_the_same_videos(folder, tmp_path, monkeypatch):
    class Result:
        name = "VBench motion_smoothness"

        def as_metric(self):
            return {"value": 0.5, "n": 3}

    calls = []
    found = {"motion_smoothness": (Result(), {})}
    monkeypatch.setattr(
        "cinelib.evaluation.score.vbench_scores", lambda *arguments: calls.append(arguments) or found
    )
    request = Request(folder, tmp_path, metrics=("vbench",))
    first, second = score(request), score(request)
    assert len(calls) == 1 and first == second
    assert first["summary"]["VBench motion_smoothness"]["value"] == 0.5
    assert first["versions"]["vbench"] == "not installed", "a stub"


def test_wrong_weights_and_empty_folders_are_refused(folder, film, tmp_path):
    fake = tmp_path / "i3d.pt"
    fake.write_bytes(b"not the network")
    with pytest.raises(ScoreError, match="has SHA-256"):
        score(Request(folder, tmp_path, reference=film, i3d=str(fake), i3d_sha256="0" * 64))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScoreError, match="is empty"):
        score(Request(tmp_path / "empty", tmp_path))
    (tmp_path / "empty" / "notes.txt").write_text("no clip")
    with pytest.raises(ScoreError, match=r"no video files in .*; it holds notes\.txt"):
        score(Request(tmp_path / "empty", tmp_path))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.txt", "a knight", "must be .jsonl, .csv or .json"),
        ("p.jsonl", '{"file_name": "a.mp4"}', "KeyError: 'text'"),
        ("p.jsonl", '{"file_name": "a", "text": "x"}\n' * 2, "given twice: a"),
        ("p.json", "[1]", "AttributeError"),
    ],
)
def test_bad_prompts_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ScoreError, match=message):
        read_prompts(tmp_path / name)


def test_prompts_reach_their_clips_and_missing_ones_are_counted(folder, tmp_path):
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("file_name,text\nb.mp4,a knight walks right\n")
    request = Request(folder, tmp_path, prompts=prompts, metrics=("clip",), clip_model=str(SHIPPED))
    result = score(request)
    entry = result["summary"]["CLIP-SIM[nano] clip_text"]
    assert entry["n"] == 1 and entry["excluded"] == {"no prompt": 3}
    assert "MotionScore" in result["summary"], "similarity of frames never goes without motion"


def test_a_costume_is_compared_with_the_wrong_one_and_exchanging_them_exchanges_the_sign(folder, tmp_path):
    phrases = ("a crimson gown", "a white suit")

    def margins(right, wrong):
        options = ["--clip-model", str(SHIPPED), "--costume", right, "--wrong-costume", wrong]
        answer = run(folder / "a.mp4", tmp_path, *options, "--metrics", "costume")
        assert answer.exit_code == 0
        (clip,) = json.loads(answer.stdout)["clips"]
        return {name: value for name, value in clip["values"].items() if "costume" in name}

    found, exchanged = margins(*phrases), margins(*phrases[::-1])
    assert set(found) == {"CLIP-SIM[nano] costume margin", "CLIP-SIM[nano] costume held"}
    assert exchanged == pytest.approx({name: -value for name, value in found.items()})
    assert found["CLIP-SIM[nano] costume margin"] != 0


def test_learned_flow_is_reported_apart_under_its_own_name(folder, tmp_path):
    import torch
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    torch.save(raft_small(weights=None).state_dict(), tmp_path / "raft.pth")
    answer = run(folder / "a.mp4", tmp_path, "--metrics", "motion,raft", "--raft", str(tmp_path / "raft.pth"))
    assert answer.exit_code == 0
    result = json.loads(answer.stdout)
    learned = [name for name in result["summary"] if name.startswith("MotionScore[raft-small-")]
    assert len(learned) == 1, "untrained weights do not pass for the published ones"
    assert result["summary"][learned[0]]["measure"] == "raft"
    assert result["summary"]["MotionScore"]["value"] > 10, "that of DIS stays what it is"
    assert result["provenance"]["raft"]["weights"][:8] in learned[0]


def test_prompts_for_files_that_are_not_here_are_named(folder, tmp_path, counted):
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps({"a.mp4": "a knight", "typo.mp4": "a horse"}))
    options = ["--metrics", "clip", "--clip-model", str(SHIPPED), "--prompts", str(prompts)]
    answer = run(folder / "a.mp4", tmp_path, *options)
    assert answer.exit_code == 0
    assert "prompts for files that are not here: typo.mp4" in json.loads(answer.stdout)["notes"]
    counted.clear()
    prompts.write_text(json.dumps({"typo.mp4": "a horse"}))
    answer = run(folder, tmp_path / "new", *options)
    assert answer.exit_code == 2 and not counted
    assert "none of the 1 prompts is for a video that is here: they name typo.mp4" in answer.stderr


def test_similarity_that_was_asked_for_with_prompts_and_has_none_fails(folder, tmp_path):
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps({"one.mp4": "a knight"}))
    clips = tmp_path / "clips"
    write_video(clips / "one.mp4", moving(frames=1), 16)  # too short for either similarity
    shutil.copy(folder / "a.mp4", clips)
    options = ["--metrics", "clip", "--clip-model", str(SHIPPED)]
    answer = run(clips, tmp_path, *options, "--prompts", str(prompts))
    assert answer.exit_code == 1 and not json.loads(answer.stdout)["failures"]
    alone = run(clips / "a.mp4", tmp_path, *options)
    assert alone.exit_code == 0
    assert any("no --prompts FILE" in note for note in json.loads(alone.stdout)["notes"])
    versions = json.loads(alone.stdout)["versions"]
    assert {"transformers", "tokenizers", "torch"} <= set(versions)


def test_prompts_of_the_same_last_name_do_not_pass_for_each_other():
    prompts = {"x/a.mp4": "one", "y/a.mp4": "two", "b.mp4": "three"}
    assert paired(["x/a.mp4", "z/a.mp4", "z/b.mp4"], prompts) == (
        {"x/a.mp4": "one", "z/b.mp4": "three"},
        ["y/a.mp4"],
    )
    assert paired(["a.mp4"], {}) == ({}, [])


@pytest.mark.parametrize("speeds", [[float("nan"), 0.1], [-0.1, 0.2], []])
def test_speeds_that_are_none_have_no_distance(speeds):
    with pytest.raises(ValueError, match=r"real_speeds must be a 1-d array of finite numbers, none negative"):
        log_speed_distance([0.1, 0.2], speeds)


SHIPPED = Path(__file__).resolve().parents[2] / "data" / "nano-clip"
