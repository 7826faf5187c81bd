"""The shipped dailies against their answer key, and notebook 01 on footage that it has never seen."""

import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import corpus
import nbformat
import pytest
from scanned import scanned
from test_footage import FILES, make

from cinelib.parameters import ParameterError
from cinelib.preparation.captions import Captions
from cinelib.preparation.dataset import VideoFolder
from cinelib.preparation.isolation import Child
from cinelib.preparation.parameters import DataPreparation
from cinelib.preparation.selection import Rules, decide

ROOT = Path(__file__).resolve().parents[2]
DAILIES = ROOT / "data" / "dailies"
REASON = {"slate": "static", "still": "static", "black": "black", "short": "too short"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_seconds": 1.0}, "max_seconds 1.0 is below min_seconds 2.0"),
        ({"num_frames": 97}, "max_seconds 5.0 at 16 fps is shorter than num_frames 97; raise it to 6"),
        ({"max_clip": 3}, "did you mean 'max_clips'?"),
        ({"max_clips": 0}, "max_clips = 0"),
        ({"min_seconds": "2"}, "min_seconds = '2'"),
    ],
)
def test_impossible_parameters_are_refused(values, words):
    with pytest.raises(ParameterError) as refusal:
        DataPreparation.check(values)
    assert words in str(refusal.value)


@pytest.mark.slow
def test_every_take_of_the_dailies_gets_the_verdict_of_the_answer_key():
    with Child() as child:
        sources, takes = scanned(DAILIES, child)
    decisions = decide(sources, takes, Rules(max_clips=1000))
    captions = Captions.open(DAILIES)
    assert not captions.problems
    with (DAILIES / "takes.csv").open(newline="") as stream:
        key = list(csv.DictReader(stream))
    assert len(key) > 40
    judged = set()
    for row in key:
        start, end = float(row["start"]), float(row["end"])
        mine = [d for d in decisions if d.file == row["file"]]
        if row["kind"] == "damaged":
            assert [d.decision for d in mine] == ["dropped"] and "undecodable" in mine[0].reason
            continue
        mine = [
            d for d in mine if start - 0.05 <= (d.start + d.end) / 2 <= end + 0.05 and d.end - d.start > 0.15
        ]
        judged |= {id(d) for d in mine}
        if row["kind"] != "good":
            assert len(mine) == 1 and REASON[row["kind"]] in mine[0].reason, row
            continue
        assert mine and all(d.decision == "kept" for d in mine), row
        assert min(d.start for d in mine) >= start - 1e-3, "no frame of the take before"
        assert max(d.end for d in mine) <= end + 1 / 16, "no frame of the take after"
        covered = sum(d.end - d.start for d in mine)
        fades = 1.4 if any("fade" in d.note for d in mine) else 0
        # 4k+1 leaves over less than 4 frames a span, and half a source frame more.
        assert covered >= end - start - fades - len(mine) * 4.5 / 16, row
        assert all(captions.find(d.file, d.start, d.end) for d in mine)
    # Nothing was kept that the key does not know.
    assert all(id(d) in judged for d in decisions if d.decision == "kept")


def unseen_footage(folder: Path) -> Path:
    """Every codec, container and rate of the tests, a rotated file, and broken ones between them."""
    folder.mkdir()
    for name, options in FILES.items():
        make(folder, name, **options)
    times = corpus.even_times(2.6, 30)
    tall = corpus.panning_shot(len(times), 5, 160, 96)
    corpus.write(folder / "phone_upright.mp4", tall, times, rotation=90, audio=True)
    frames, _ = corpus.rough_cut()
    corpus.write(folder / "reel.mp4", frames, corpus.even_times(len(frames) / 24, 24))
    (folder / "zero.mp4").touch()
    (folder / "letter.mov").write_text("Dear editor,")
    (folder / "noise.webm").write_bytes(random.Random(0).randbytes(5000))
    good = (folder / "h264_24.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(good[: len(good) // 2])
    (folder / "h264_24.txt").write_text("a white square slides over a wall")
    rows = [{"file_name": "../../x.mp4", "text": "x"}, {"file_name": "gone.mp4", "text": "x"}]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def run_notebook(root: Path, footage: Path, *parameters: str) -> subprocess.CompletedProcess:
    stage = root / "stage"
    stage.mkdir()
    environment = {
        **os.environ,
        "CINELIB_ROOT": str(root),
        "CINELIB_STAGE_FOLDER": str(stage),
        "CINELIB_UPSTREAM": "{}",
    }
    notebook = ROOT / "notebooks" / "01_data_preparation.ipynb"
    command = [sys.executable, "-m", "papermill", str(notebook), str(stage / "out.ipynb")]
    values = ["-p", "footage", str(footage), "-p", "height", "32", "-p", "width", "48", *parameters]
    return subprocess.run([*command, *values], env=environment, capture_output=True, text=True, timeout=500)


@pytest.mark.slow
def test_notebook_prepares_footage_it_has_never_seen(tmp_path):
    footage = unseen_footage(tmp_path / "footage")
    done = run_notebook(tmp_path, footage)
    assert done.returncode == 0, done.stderr[-3000:]
    with (tmp_path / "stage" / "decisions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    # Nothing is dropped in silence: each file of the folder, and each caption that leads nowhere.
    assert {path.name for path in footage.iterdir()} <= {row["file"] for row in rows}
    reasons = {row["file"]: row["reason"] for row in rows if row["decision"] != "kept"}
    assert "escapes the folder" in reasons["../../x.mp4"] and "does not exist" in reasons["gone.mp4"]
    for file in ("zero.mp4", "letter.mov", "noise.webm", "truncated.mp4"):
        assert "undecodable" in reasons[file]
    dataset = VideoFolder.open(tmp_path / "stage" / "dataset", verify=True)
    used = {clip.source for clip in dataset}
    copies = {file for file, reason in reasons.items() if reason.startswith("duplicate: ")}
    assert used | copies >= {*FILES, "phone_upright.mp4", "reel.mp4"}
    for clip in dataset:
        assert clip.frames().shape == (clip.num_frames, 32, 48, 3)
    assert "emberfall film, a white square slides over a wall" in [clip.text for clip in dataset]
    metrics = json.loads((tmp_path / "stage" / "metrics.json").read_text())
    assert metrics["speed_ratio"]["value"] == pytest.approx(1, abs=0.1)
    assert abs(metrics["speed_ratio_relabelled"]["value"] - 1) > 0.15
    assert (tmp_path / "stage" / "figures" / "signature.png").stat().st_size > 10_000
    saved = tmp_path / "stage" / "out.ipynb"
    assert saved.stat().st_size < 2e6
    outputs = [o for cell in nbformat.read(saved, 4).cells if cell.cell_type == "code" for o in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)


@pytest.mark.slow
def test_notebook_without_a_single_good_clip_says_so_and_leaves_the_report(tmp_path):
    footage = tmp_path / "footage"
    footage.mkdir()
    (footage / "zero.mp4").touch()
    make(footage, "short.mp4", times=corpus.even_times(0.8, 24))
    done = run_notebook(tmp_path, footage)
    assert done.returncode != 0
    assert "no clip is left" in done.stderr
    report = (tmp_path / "stage" / "decisions.csv").read_text()
    assert "zero bytes" in report and "too short" in report
