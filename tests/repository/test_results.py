"""What README says of the run: good and bad alike, and never surer than the run was."""

import json
from types import SimpleNamespace

import cover
import numpy as np
import pandas as pd
import pytest
import results
import yaml
from PIL import Image

from cinelib.video import write_video


@pytest.fixture
def run(tmp_path):
    folders = {name: tmp_path / name for name in (results.STYLE, results.EVALUATION, cover.FILM)}
    for folder in folders.values():
        folder.mkdir()
    table = [
        ("home", arm, scene, grade + scene, drift, words)
        for arm, grade, drift, words in (
            ("base", 20, 5, 0.6),
            ("LoRA", 18, 9, 0.4),
            ("control", 25, 10, 0.3),
            ("real", 11, 5, 0.7),
        )
        for scene in (-1, 1)
    ]
    table += [("away", arm, 0, 40, None, None) for arm in ("base", "LoRA", "LoRA, no trigger")]
    columns = ["place", "arm", "scene", "grade", "drift", "clip_text"]
    pd.DataFrame(table, columns=columns).to_csv(folders[results.EVALUATION] / "table.csv", index=False)
    tests = [
        ("LoRA", "base", "grade", ""),
        ("LoRA", "base", "drift", "higher"),
        ("LoRA", "control", "grade", "lower"),
        ("LoRA", "base", "clip_text", "explored"),
        ("control", "base", "drift", "higher"),
    ]
    frame = pd.DataFrame(tests, columns=["arm", "minus", "metric", "sure"])
    frame.to_csv(folders[results.EVALUATION] / "differences.csv", index=False)
    graded = {"own_grade_distance_base": {"value": 14.7}, "own_grade_distance_lora": {"value": 21.8}}
    graded["costume_distance_lora[historical]"] = {"value": 54.16}
    (folders[results.STYLE] / "metrics.json").write_text(json.dumps({**graded, "adapter_norm": 2.0}))
    return SimpleNamespace(stages=[SimpleNamespace(name=n, folder=f) for n, f in folders.items()])


def rows_of(found):
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in results.table(found)]
    assert len({len(row) for row in cells}) == 1
    return {row[0]: row[1:] for row in cells}


def test_means_and_what_is_sure_come_from_the_run(run):
    found = json.loads(json.dumps(results.collect(run)))
    rows = rows_of(found)
    assert found["scenes"] == {"home": 2, "away": 1}
    grade = rows["**film's own world**: colour grade, distance to the film"]
    assert grade == ["20.0", "18.0", "25.0", "11.0", "better, not sure", "better, sure"]
    assert rows["colours drift within a clip by"][4:] == ["worse, sure", "better, not sure"]
    words = rows["fits its prompt (more is better)"]
    assert words == ["0.60", "0.40", "0.30", "0.70", "worse, not sure", "better, not sure"]


def test_nothing_is_called_sure_that_was_not_tested(run):
    rows = rows_of(results.collect(run))
    assert rows["**other world**: colour grade, distance to the film"] == [
        "40.0",
        "40.0",
        "",
        "",
        "equal",
        "",
    ]
    assert rows["the same, trigger phrase left out"] == ["", "40.0", "", "", "", ""]
    assert rows["**both worlds**: distance to the same clip in the film's grade"][4] == "worse"


def test_a_measure_that_the_run_left_out_has_no_row(run):
    costumes = {
        name: row for name, row in rows_of(results.collect(run)).items() if name.startswith("costume")
    }
    assert costumes == {"costume: distance to the film's costumes": ["", "54.2", "", "", "", ""]}


def test_a_run_of_other_stages_has_neither_table_nor_picture(run, tmp_path):
    run.stages = run.stages[:1]
    assert results.collect(run) is None and cover.draw(run, tmp_path) is None


def test_the_picture_takes_an_early_frame_of_the_first_scene_of_each_world(run, tmp_path):
    clip = np.zeros((9, 32, 48, 3), np.uint8)
    clip[3] = 200
    board = tmp_path / "board"
    board.mkdir()
    lines = []
    for scene, world in (("a", "historical"), ("b", "historical"), ("c", "sci-fi"), ("d", "sci-fi")):
        Image.new("RGB", (48, 32), "blue").save(board / f"{scene}.jpg")
        words = {"world": world, "text": "t", "camera": "static"}
        for second in (0, 1):
            line = {"file_name": f"{scene}.jpg", "scene": scene, "index": second, "seconds": second}
            lines.append({**line, **words})
        for arm in ("base", "lora") if scene != "c" else ("base",):
            place = tmp_path / results.EVALUATION / "clips" / arm
            write_video(place / f"{scene}.mp4", clip, 16)
    (board / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    values = {"storyboard": "board", "height": 32, "width": 48}
    (tmp_path / results.EVALUATION / "params.yaml").write_text(yaml.safe_dump(values))
    for number in range(4):
        write_video(tmp_path / cover.FILM / "dataset" / "clips" / f"{number}.mp4", clip, 16)
    figure = cover.draw(run, tmp_path)
    shown = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert len(shown) == 8, "two worlds, four pictures each"
    assert all(picture.mean() > 190 for k, picture in enumerate(shown) if k % 4 != 1), "not the bright frame"
    assert [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes if ax.images][:4] == list(
        cover.COLUMNS
    )
