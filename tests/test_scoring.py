"""`cinelib score`: numbers for any folder, what is left out and why, resumption, exit codes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from cinelib.cli import app
from cinelib.metrics.extractors import FrameFeatures
from cinelib.metrics.synthetic import Layer, synthetic_clip
from cinelib.scoring.clips import ScoreError, read_prompts
from cinelib.scoring.measures import MotionMeasure
from cinelib.scoring.score import score
from cinelib.scoring.selection import Request
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
    for seed in range(4):
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
    assert 0 <= motion["interval"][0] <= motion["value"] <= motion["interval"][1] <= 100
    frechet = summary["FD[effnet-lite0-frames]"]
    assert frechet["n"] == 3 and frechet["n_reference"] == 4 and "floor" in frechet
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

    monkeypatch.setattr(MotionMeasure, "__call__", again)
    monkeypatch.setattr(FrameFeatures, "__call__", again)
    assert run(folder, scored[2], "--reference", str(film)).stdout == scored[0].stdout


def test_a_damaged_memory_is_measured_again_and_gives_the_same(scored, folder, film):
    entries = sorted(scored[2].glob("??/*.json"))
    for path in entries[::3]:
        path.write_text(path.read_text()[: len(path.read_text()) // 2])
    assert run(folder, scored[2], "--reference", str(film)).stdout == scored[0].stdout


def test_a_stop_half_way_keeps_what_was_measured(folder, tmp_path, monkeypatch):
    seen = []
    measure = MotionMeasure.__call__

    def stops(self, clip, prompt):
        if seen:
            raise KeyboardInterrupt
        seen.append(clip.file)
        return measure(self, clip, prompt)

    monkeypatch.setattr(MotionMeasure, "__call__", stops)
    answer = run(folder, tmp_path, "--metrics", "motion")
    assert answer.exit_code == 130 and "measured clips are kept" in answer.stderr
    monkeypatch.setattr(MotionMeasure, "__call__", lambda self, clip, prompt: seen.append(clip.file) or {})
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
    assert "not at the same times" in rows["still.mp4"]["excluded"]["PD[effnet-lite0]"]
    assert "no reference clip" in rows["short.mp4"]["excluded"]["PD[effnet-lite0]"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "beauty"], "unknown metrics beauty; known: motion, style"),
        (["--metrics", "features"], "give --reference DIR"),
        (["--i3d", "x.pt"], "go together"),
        (["--metrics", "vbench"], "pip install vbench"),
        (["--window", "3", "--seconds", "2"], "need 0 < window <= seconds"),
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


def test_wrong_weights_and_empty_folders_are_refused(folder, film, tmp_path):
    fake = tmp_path / "i3d.pt"
    fake.write_bytes(b"not the network")
    with pytest.raises(ScoreError, match="has SHA-256"):
        score(Request(folder, tmp_path, reference=film, i3d=str(fake), i3d_sha256="0" * 64))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScoreError, match="is empty"):
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


SHIPPED = Path(__file__).resolve().parents[1] / "data" / "nano-clip"
