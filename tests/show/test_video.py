import av
import numpy as np
import pytest
from backlot import render, sample_scene

from cinelib.video import read_video, write_video


def gradient(frames=5, height=32, width=48):
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    picture = np.stack(
        [np.tile(ramp, (height, 1)), np.full((height, width), 90), np.tile(ramp[::-1], (height, 1))], -1
    )
    return np.stack([np.roll(picture, 2 * t, axis=1) for t in range(frames)]).astype(np.uint8)


@pytest.mark.parametrize("fps", [16, 23.976])
def test_frames_and_rate_come_back(tmp_path, fps):
    frames = gradient()
    found, rate = read_video(write_video(tmp_path / "a.mp4", frames, fps, crf=4))
    assert found.shape == frames.shape
    assert rate == pytest.approx(fps, rel=1e-4)
    assert np.abs(found.astype(int) - frames).mean() < 6


def test_a_flat_colour_survives_and_its_matrix_is_tagged(tmp_path):
    frames = np.full((3, 720, 1280, 3), (200, 60, 30), np.uint8)
    path = write_video(tmp_path / "a.mp4", frames, 16, crf=4)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range) == (5, 1)  # BT.601, limited range
    assert np.abs(read_video(path)[0][0, 0, 0].astype(int) - (200, 60, 30)).max() <= 3


@pytest.mark.parametrize(
    ("frames", "fps", "word"),
    [
        (np.zeros((2, 32, 32, 3), np.float32), 16, "uint8"),
        (np.zeros((2, 31, 32, 3), np.uint8), 16, "even"),
        (np.zeros((0, 32, 32, 3), np.uint8), 16, "T >= 1"),
        (np.zeros((2, 32, 32, 3), np.uint8), 0, "fps"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(tmp_path, frames, fps, word):
    with pytest.raises(ValueError, match=word):
        write_video(tmp_path / "a.mp4", frames, fps)
    assert list(tmp_path.iterdir()) == []


def test_the_same_frames_give_the_same_file(tmp_path):
    frames = render(sample_scene(3, seconds=2.8, camera="pans right"), 45, 64, 112, fps=16.0).frames
    files = {write_video(tmp_path / "clip.mp4", frames, 16).read_bytes() for _ in range(24)}
    assert len(files) == 1
