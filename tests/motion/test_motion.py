"""Keyframes, segments and sequences, on the smoke checkpoint's random weights."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cinelib.motion import seams, sequence
from cinelib.preparation import storyboard
from cinelib.style import lora
from cinelib.wan import pipeline, sampling
from cinelib.wan.sampling import Sampling

ROOT = Path(__file__).resolve().parents[2]
MODEL = str(ROOT / "data" / "smoke-wan")
SAMPLING = Sampling(32, 48, 5, num_inference_steps=2)


@pytest.fixture(scope="module")
def pipe():
    return pipeline.load_pipeline(MODEL, device="cpu")


def board(folder: Path, seconds=(0.0, 0.25, 0.5), **changes) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for index, at in enumerate(seconds):
        pixels = rng.integers(0, 256, (90, 160, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"a_{index}.jpg")
        row = {"file_name": f"a_{index}.jpg", "scene": "a", "index": index, "seconds": at}
        rows.append({**row, "world": "historical", "camera": "static", "text": "a knight walks", **changes})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    return folder


@pytest.fixture
def scene(tmp_path):
    return storyboard.read_storyboard(board(tmp_path))[0]


def test_a_storyboards_stills_come_in_order(scene):
    assert [path.name for path in scene.stills] == ["a_0.jpg", "a_1.jpg", "a_2.jpg"]
    assert scene.interval == 0.25 and storyboard.frames_between(scene, 16, 81) == 5


@pytest.mark.parametrize("fps, limit", [(16, 1), (20, 81)])
def test_segments_keep_real_time(scene, fps, limit):
    with pytest.raises(ValueError, match=r"0\.25 s apart"):
        storyboard.frames_between(scene, fps, limit)


@pytest.mark.parametrize("seconds", [(0.0,), (0.0, 1.0, 3.0), (0.0, 0.0)])
def test_uneven_storyboards_are_refused(tmp_path, seconds):
    with pytest.raises(ValueError, match="evenly spaced"):
        storyboard.read_storyboard(board(tmp_path, seconds))


def test_missing_and_escaping_stills_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="metadata"):
        storyboard.read_storyboard(tmp_path)
    with pytest.raises(ValueError, match=r"nowhere\.jpg"):
        storyboard.read_storyboard(board(tmp_path, file_name="nowhere.jpg"))
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(ValueError, match="in the folder"):
        storyboard.read_storyboard(board(inner, file_name="../a_0.jpg"))


def test_scenes_are_taken_from_all_worlds_in_turn():
    scenes = [
        storyboard.StoryboardScene(name, world, "static", "", (), 1.0)
        for name, world in (("a", "h"), ("b", "h"), ("c", "h"), ("d", "s"))
    ]
    assert [scene.name for scene in storyboard.in_turn(scenes, 3)] == ["a", "d", "b"]
    assert len(storyboard.in_turn(scenes, 9)) == 4


def test_stills_are_cropped_not_squeezed(tmp_path):
    frame = np.zeros((90, 160, 3), np.uint8)
    frame[:, :20] = frame[:, -20:] = 255  # what covering a 3:2 window cuts off is 12.5 on each side
    Image.fromarray(frame).save(tmp_path / "x.png")
    found = np.asarray(storyboard.open_still(tmp_path / "x.png", 32, 48))
    assert found.shape == (32, 48, 3)
    white = (found[16, :, 0] > 127).sum()
    assert white == pytest.approx(2 * (20 - 12.5) * 32 / 90, abs=1)  # squeezing would leave 12


def test_a_keyframe_is_the_first_frame_of_the_clip_that_it_opens(pipe, scene):
    keyframes = sequence.style_keyframes(pipe, scene, SAMPLING, "film, ")
    still = storyboard.open_still(scene.stills[2], 32, 48)
    clip = sampling.generate(pipe, still, "film, " + scene.text, SAMPLING, (scene.name, "keyframe"))
    assert np.abs(keyframes[2].astype(int) - clip[0]).max() <= 1


def test_a_segment_alone_equals_the_one_in_the_sequence(pipe, scene):
    keyframes = sequence.style_keyframes(pipe, scene, SAMPLING)
    assert [frame.shape for frame in keyframes] == [(32, 48, 3)] * 3
    whole = sequence.sequence(pipe, scene, keyframes, SAMPLING, "the film, ")
    assert whole.shape == (9, 32, 48, 3)
    text, key = "the film, " + scene.text, (scene.name, "segment", 1)
    alone = sequence.expand(pipe, keyframes[1], keyframes[2], text, SAMPLING, key)
    assert np.array_equal(whole[5:], alone[1:])
    other = sequence.expand(pipe, keyframes[1], keyframes[0], text, SAMPLING, key)
    assert not np.array_equal(other, alone)


def test_the_adapters_strength_is_felt_and_zero_is_the_base(scene, tmp_path):
    plain, tuned = (pipeline.load_pipeline(MODEL, device="cpu") for _ in range(2))
    card = lora.AdapterCard(2, 4.0, "attn2")
    lora.add(tuned.transformer, card)
    for value in lora.parameters(tuned.transformer).values():
        value.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    lora.save(tmp_path, tuned.transformer, card)
    styled = pipeline.load_pipeline(MODEL, device="cpu")
    lora.load(styled, tmp_path)
    base = sequence.style_keyframes(plain, scene, SAMPLING)
    with_lora = sequence.style_keyframes(styled, scene, SAMPLING)
    assert np.array_equal(with_lora, sequence.style_keyframes(tuned, scene, SAMPLING))
    assert not np.array_equal(with_lora, base)
    styled.set_adapters(["style"], [0.0])
    assert np.array_equal(sequence.style_keyframes(styled, scene, SAMPLING), base)


def test_a_sequence_of_one_keyframe_is_refused(pipe, scene):
    with pytest.raises(ValueError, match="two keyframes"):
        sequence.sequence(pipe, scene, [np.zeros((32, 48, 3), np.uint8)], SAMPLING)


def test_joining_shows_shared_frames_once():
    segments = [np.full((5, 2, 2, 3), value, np.uint8) for value in (1, 2, 3)]
    joined = sequence.join(segments)
    assert joined[:, 0, 0, 0].tolist() == [1] * 5 + [2] * 4 + [3] * 4


def test_dissolve_meets_every_keyframe_and_the_middle_between():
    keyframes = [np.full((2, 2, 3), value, np.uint8) for value in (0, 100, 40)]
    faded = sequence.dissolve(keyframes, 5)[:, 0, 0, 0].tolist()
    assert faded == [0, 25, 50, 75, 100, 85, 70, 55, 40]


def test_seams_are_one_for_steady_motion_and_larger_for_a_jump():
    ramp = np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None, None, None] * 4, (9, 4, 4, 3))
    np.testing.assert_allclose(seams.seams(ramp, 5), [1.0])
    jump = ramp.copy()
    jump[5:] += 40
    assert seams.seams(jump, 5)[0] == pytest.approx((4 + 44) / 8)
    cut = ramp.copy()
    cut[2:] += 100  # elsewhere in the segment, and no measure of its motion
    np.testing.assert_allclose(seams.seams(cut, 5), [1.0])
    still = np.zeros((9, 4, 4, 3), np.uint8)
    assert seams.seams(still, 5)[0] == 0
    with pytest.raises(ValueError, match="share their ends"):
        seams.seams(ramp[:8], 5)


@pytest.mark.slow
def test_a_segment_in_another_process_is_the_same(pipe, scene, tmp_path):
    keyframes = sequence.style_keyframes(pipe, scene, SAMPLING)
    whole = sequence.sequence(pipe, scene, keyframes, SAMPLING)
    np.save(tmp_path / "keyframes.npy", keyframes)
    code = f"""
import numpy as np
from cinelib.motion import sequence
from cinelib.wan import pipeline, sampling
k = np.load({str(tmp_path / "keyframes.npy")!r})
s = sampling.Sampling(32, 48, 5, num_inference_steps=2)
pipe = pipeline.load_pipeline({MODEL!r}, device="cpu")
clip = sequence.expand(pipe, k[1], k[2], {scene.text!r}, s, ("a", "segment", 1))
np.save({str(tmp_path / "segment.npy")!r}, clip)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert np.array_equal(np.load(tmp_path / "segment.npy")[1:], whole[5:])


def test_the_seam_of_the_shortest_segments_is_measured_against_the_steps_beside_it():
    values = np.cumsum([0, 2, 30, 10, 6])  # 2 and 6 lie beside the seam, 30 and 10 at it
    frames = np.broadcast_to(values.astype(np.uint8)[:, None, None, None], (5, 4, 4, 3))
    np.testing.assert_allclose(seams.seams(frames, 3), [(30 + 10) / (2 * 4)])
    with pytest.raises(ValueError, match="share their ends"):
        seams.seams(frames[:3], 2)
