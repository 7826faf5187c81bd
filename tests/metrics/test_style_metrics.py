"""Style fidelity: known shifts, invariances, and what must raise the distance."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinelib.metrics import style
from cinelib.metrics.style import (
    grade_distance,
    light_drift,
    lighting,
    lighting_distance,
    look,
    look_drift,
    palette_distance,
)


def picture(seed=0, frames=4, height=48, width=64):
    """Smooth mid-tone colour noise: nothing clips when it is graded."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(80, 170, (frames, 6, 8, 3)).astype(np.float32)
    return np.stack([cv2.resize(frame, (width, height)) for frame in coarse]).astype(np.uint8)


def from_lab(lab):
    return np.stack([cv2.cvtColor(f, cv2.COLOR_LAB2RGB) for f in lab.astype(np.float32)]) * 255


def test_a_frame_set_is_at_distance_zero_from_itself_in_any_order():
    clip = picture()
    assert grade_distance(clip, clip[::-1]) == 0


@pytest.mark.parametrize("colours", [1, 2, 5000])
def test_quantiles_by_counting_are_those_of_numpy(colours):
    rng = np.random.default_rng(3)
    palette = rng.integers(0, 256, (colours, 3), dtype=np.uint8)
    frames = palette[rng.integers(colours, size=(4, 30, 40))]
    pixels = style._lab(frames).reshape(-1, 3).astype(float)
    wanted = [np.quantile(pixels @ direction, style._LEVELS) for direction in style._directions()]
    assert np.abs(style.look(frames).quantiles - wanted).max() < 3e-3


@pytest.mark.parametrize("shift", [(6, 0, 0), (0, 8, 0), (0, 0, -10), (3, 4, 5)])
def test_a_uniform_lab_shift_scores_its_length(shift):
    lab = np.empty((2, 40, 40, 3))
    lab[..., 0] = np.linspace(35, 65, 40)
    lab[..., 1] = np.linspace(-10, 10, 40)[:, None]
    lab[..., 2] = 5
    plain, graded = (np.rint(from_lab(x)).astype(np.uint8) for x in (lab, lab + shift))
    assert grade_distance(graded, plain) == pytest.approx(np.linalg.norm(shift), rel=0.03)


def test_the_distance_grows_with_the_strength_of_a_grade_and_ignores_where_pixels_are():
    clip = picture()
    warm = np.array([1.12, 1.0, 0.85])
    graded = [np.clip(clip * (1 + k * (warm - 1)), 0, 255).astype(np.uint8) for k in (0.3, 0.6, 1.0)]
    distances = [grade_distance(g, clip) for g in graded]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert grade_distance(clip[:, :, ::-1], clip) < 0.2 * distances[0]


def test_a_summarised_reference_gives_the_same_numbers():
    clip, film = picture(0), (picture(1) * 0.8).astype(np.uint8)
    summary = look(film)
    assert grade_distance(clip, summary) == grade_distance(look(clip), summary) == grade_distance(clip, film)
    assert lighting_distance(clip, summary) == lighting_distance(clip, film)


def test_doubling_the_size_barely_changes_the_distance():
    clip, other = picture(0), (picture(1) * 0.8).astype(np.uint8)
    large = np.repeat(np.repeat(clip, 2, axis=1), 2, axis=2)
    assert grade_distance(large, other) == pytest.approx(grade_distance(clip, other), rel=0.03)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_symmetry(first, second):
    a, b = picture(first, 2), picture(second, 3)
    assert grade_distance(a, b) == pytest.approx(grade_distance(b, a))


def test_light_darker_and_harder_is_seen_by_the_right_part():
    clip = picture()
    darker = (clip * 0.5).astype(np.uint8)
    change = lighting_distance(darker, clip)
    assert change.luma == pytest.approx(lighting(clip).luma.mean() - lighting(darker).luma.mean(), rel=1e-6)
    harder = np.clip((clip.astype(float) - 125) * 1.6 + 125, 0, 255).astype(np.uint8)
    assert lighting_distance(harder, clip).key_ratio > 0.3
    blurred = np.stack([cv2.GaussianBlur(f, (0, 0), 3) for f in clip])
    assert lighting_distance(blurred, clip).local_contrast < 0


def test_key_ratio_of_a_two_tone_frame_in_stops():
    frame = np.zeros((1, 32, 32, 3), np.uint8)
    frame[:, :16], frame[:, 16:] = 188, 137  # sRGB of linear 0.5 and 0.25
    assert lighting(frame).key_ratio == pytest.approx(1.0, abs=0.03)


def test_palette_distance_sees_only_the_mask():
    clip, other = picture(0), picture(0)
    mask = np.zeros(clip.shape[:3], bool)
    mask[:, 10:20, 10:20] = True
    other[~mask] = 0
    assert palette_distance(clip, mask, other, mask) == 0
    other[mask] = (200, 30, 30)
    assert palette_distance(clip, mask, other, mask) > 20


def test_drift_is_zero_for_a_still_and_grows_when_the_look_fades():
    still = np.repeat(picture(frames=1), 5, axis=0)
    fading = np.stack([(f * (1 - 0.1 * t)).astype(np.uint8) for t, f in enumerate(still)])
    assert look_drift(still) == light_drift(still) == 0
    assert look_drift(fading) > 5 and light_drift(fading) > 5


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), "uint8"),
        (np.zeros((8, 8, 3), np.uint8), r"\(T, H, W, 3\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), "at least 1"),
    ],
)
def test_bad_frames_are_named(frames, message):
    with pytest.raises(ValueError, match=message):
        grade_distance(frames, picture())


def test_an_empty_mask_is_named():
    clip = picture()
    none = np.zeros(clip.shape[:3], bool)
    with pytest.raises(ValueError, match="mask selects no pixel"):
        palette_distance(clip, none, clip, ~none)
