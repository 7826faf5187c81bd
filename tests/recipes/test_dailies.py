"""The dailies in data/ are what their answer key, captions and README say, and the maker repeats itself."""

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
from backlot import DAILIES_SEEDS, check_seeds, sample_scene, wears_film
from dailies.production import FPS, HEIGHT, SCOPE, WIDTH, produce, write_sidecars
from dailies.shooting_script import Reel, Take, reels

FOLDER = Path(__file__).parents[2] / "data" / "dailies"


def answer_key():
    with (FOLDER / "takes.csv").open(newline="") as stream:
        return [
            row | {"start": float(row["start"]), "end": float(row["end"])} for row in csv.DictReader(stream)
        ]


def frames_of(file):
    with av.open(str(FOLDER / file)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def pictures():
    cache = {}
    return lambda file: cache.setdefault(file, frames_of(file))


def test_sums_match_and_the_folder_stays_small():
    lines = (FOLDER / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    present = {p.name for p in FOLDER.iterdir() if not p.name.startswith(".")} - {"SHA256SUMS"}
    assert set(listed) == present
    for name, digest in listed.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name
    assert sum(p.stat().st_size for p in FOLDER.iterdir()) < 15e6


def test_readme_names_every_file_and_the_licence():
    text = (FOLDER / "README.md").read_text()
    assert "CC0" in text and all(reel.file in text for reel in reels())


@pytest.mark.parametrize("reel", reels(), ids=lambda reel: reel.name)
def test_each_file_is_h264_at_24_fps_unless_damaged(reel):
    path = FOLDER / reel.file
    if "damaged" in reel.options:
        with pytest.raises(av.FFmpegError):
            av.open(str(path))
        assert path.stat().st_size > 10_000
        return
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.average_rate == FPS
        assert (stream.height, stream.width) == (HEIGHT, WIDTH)
        sounds = [s.codec_context.name for s in container.streams.audio]
        assert sounds == (["aac"] if "sound" in reel.options else [])
        last = [row for row in answer_key() if row["file"] == reel.file][-1]
        assert stream.frames == round(last["end"] * FPS)


def test_the_mess_is_all_there_and_enough_is_usable():
    kinds = Counter(row["kind"] for row in answer_key())
    assert kinds["slate"] == 3 and kinds["black"] == 2 and kinds["short"] == 2
    assert kinds["still"] == 1 and kinds["damaged"] == 1
    good = [row["end"] - row["start"] for row in answer_key() if row["kind"] == "good"]
    assert min(good) >= 2 and max(good) > 5
    assert len(good) + sum(seconds > 5 for seconds in good) >= 40
    assert all(row["end"] - row["start"] < 1 for row in answer_key() if row["kind"] == "short")


def test_takes_follow_in_hard_cuts_exactly_where_the_key_says(pictures):
    for file in ("A004_village_dusk.mp4", "A007_forest_night.mp4"):
        rows = [row for row in answer_key() if row["file"] == file]
        grey = pictures(file).astype(np.int16)
        change = np.abs(np.diff(grey, axis=0)).mean((1, 2))
        for row in rows[1:]:
            cut = round(row["start"] * FPS)
            around = np.r_[change[cut - 5 : cut - 1], change[cut : cut + 4]]
            assert change[cut - 1] > 1.4 * around.max(), (file, row["take"])


def test_leader_fades_and_letterbox_are_black_where_they_should_be(pictures):
    night = pictures("A002_courtyard_night.mp4")
    assert night[: round(1.2 * FPS)].max() < 24 and night[-5:].max() < 24
    light = night[round(1.2 * FPS) :][: FPS // 2].mean((1, 2))
    assert (np.diff(light) > 0).mean() > 0.9  # fades in
    scope = pictures("A005_village_scope.mp4")
    bar = (HEIGHT - SCOPE) // 2
    assert scope[:, : bar - 1].max() < 28 and scope[:, -bar + 1 :].max() < 28
    assert scope[:, bar + 2 : -bar - 2].mean() > 30


def test_only_the_still_take_does_not_move(pictures):
    for row in answer_key():
        if row["file"] in ("A006_forest_dusk.mp4", "A010_gate_long.mp4"):
            first, last = round(row["start"] * FPS), round(row["end"] * FPS)
            take = pictures(row["file"])[first + 2 : last - 2].astype(float)
            half = len(take) // 2
            moved = np.abs(take[half] - take[0])
            assert (row["kind"] == "still") == bool((moved > 24).mean() < 0.002), row


def test_captions_name_existing_takes_and_agree_with_the_script():
    rows = [json.loads(line) for line in (FOLDER / "metadata.jsonl").read_text().splitlines()]
    scenes = {reel.file: [take.scene for take in reel.takes] for reel in reels()}
    spans = {(row["file"], row["start"], row["end"]) for row in answer_key()}
    assert {row["file_name"] for row in rows} == set(scenes) - {"A011_pickup.mp4", "A012_damaged.mp4"}
    for row in rows:
        assert (row["file_name"], row["start"], row["end"]) in spans
        assert {"costume", "lighting", "color_grading", "camera", "action"} <= set(row)
        matches = [s for s in scenes[row["file_name"]] if s.subject_phrase == row["action"]]
        assert any(row.get("text", s.caption) == s.caption and row["camera"] == s.camera for s in matches)
        assert row["costume"].startswith("crimson")
    assert (FOLDER / "A011_pickup.txt").read_text().strip() == scenes["A011_pickup.mp4"][0].caption


def test_every_take_is_a_film_scene_of_its_own_seed():
    scenes = [take.scene for reel in reels() for take in reel.takes]
    check_seeds([scene.seed for scene in scenes], DAILIES_SEEDS)
    assert len({scene.seed for scene in scenes}) == len(scenes)
    assert all(wears_film(scene) for scene in scenes)
    assert not wears_film(sample_scene(scenes[0].seed))


def test_the_maker_writes_the_same_bytes_again(tmp_path):
    long = reels()[2].takes[0]
    short = Take(type(long.scene)(**{**vars(long.scene), "seconds": 0.25}), "good")
    reel = Reel("A003_tiny", frozenset({"slate", "sound", "fades"}), (short,))
    keys = [produce(reel, tmp_path / f"{name}.mp4") for name in ("one", "two")]
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    assert keys[0] == keys[1] and [line["kind"] for line in keys[0]] == ["slate", "good"]
    assert not list(tmp_path.glob(".*partial"))


def test_sidecars_list_their_own_sums(tmp_path):
    pickup = next(reel for reel in reels() if reel.name == "A011_pickup")
    key = [
        {
            "file": pickup.file,
            "take": 1,
            "start": 0.0,
            "end": 3.2,
            "kind": "good",
            "scene": pickup.takes[0].scene,
        }
    ]
    write_sidecars(tmp_path, key)
    listed = [line.split("  ")[1] for line in (tmp_path / "SHA256SUMS").read_text().splitlines()]
    assert listed == ["A011_pickup.txt", "metadata.jsonl", "takes.csv"]
    assert (tmp_path / "metadata.jsonl").read_text() == "\n"
