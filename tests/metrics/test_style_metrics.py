"""Style fidelity: known shifts, invariances, and what must raise the distance."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinelib.metrics import colour
from cinelib.metrics.metric import Clip
from cinelib.metrics.style import (
    StyleMetric,
    grade_distance,
    light_drift,
    light_flicker,
    lighting,
    lighting_distance,
    look,
    look_drift,
    look_flicker,
    palette_distance,
)

STABILITY = (look_drift, light_drift, look_flicker, light_flicker)


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
    pixels = colour.lab(frames).reshape(-1, 3).astype(float)
    wanted = [np.quantile(pixels @ direction, colour.LEVELS) for direction in colour.directions()]
    assert np.abs(look(frames).quantiles - wanted).max() < 3e-3


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
    frame[:, :16], frame[:, 16:] = 52, 13  # of linear 0.0343 and 0.0040, where L* is no cube root any more
    assert lighting(frame).key_ratio == pytest.approx(3.09, abs=0.06)


def test_a_slow_gradient_has_no_local_contrast():
    across = np.linspace(40, 200, 128).astype(np.uint8)
    assert lighting(np.broadcast_to(across[:, None], (1, 64, 128, 3))).local_contrast < 0.5


def test_palette_distance_sees_only_the_mask():
    clip, other = picture(0), picture(0)
    mask = np.zeros(clip.shape[:3], bool)
    mask[:, 10:20, 10:20] = True
    other[~mask] = 0
    assert palette_distance(clip, mask, other, mask) == 0
    other[mask] = (200, 30, 30)
    assert palette_distance(clip, mask, other, mask) > 20


def still(frames=9):
    return np.repeat(picture(frames=1), frames, axis=0)


def moving(frames=17):
    """A window that travels over a picture three times as wide."""
    wide = picture(frames=1, width=192)[0]
    return np.stack([wide[:, 4 * t : 4 * t + 64] for t in range(frames)])


def dimmed(clip, at):
    clip = clip.copy()
    clip[at] = (clip[at] * 0.3).astype(np.uint8)
    return clip


def shifted(lab, by):
    return np.rint(from_lab(lab + np.asarray(by)[:, None, None])).astype(np.uint8)


def test_a_still_neither_drifts_nor_flickers():
    assert [measure(still()) for measure in STABILITY] == [0, 0, 0, 0]


@pytest.mark.parametrize("frames", [3, 9, 40])
def test_a_slow_ramp_of_the_grade_is_drift_in_its_units_and_no_flicker(frames):
    lab = np.zeros((frames, 20, 30, 3))
    lab[..., 0], lab[..., 1] = np.linspace(40, 60, 30), 10
    ramp = shifted(lab, np.linspace(0, 1, frames)[:, None] * (12, 0, 9))
    assert look_drift(ramp) == pytest.approx(15, rel=0.02) and light_drift(ramp) == pytest.approx(
        12, rel=0.02
    )
    assert look_flicker(ramp) < 0.2 and light_flicker(ramp) < 0.2


def test_a_look_that_leaves_and_comes_back_drifts_although_its_ends_and_its_middle_are_alike():
    lab = np.full((33, 8, 8, 3), 50.0)
    there_and_back = shifted(lab, np.sin(np.linspace(0, 2 * np.pi, 33))[:, None] ** 2 * (0, 10, 0))
    assert look_drift(there_and_back) == pytest.approx(10, rel=0.1) and look_flicker(there_and_back) < 0.5


def test_a_clip_that_leaves_its_first_frame_at_once_drifts_in_full():
    clip = still()
    clip[1:] = (clip[1:] * 0.7).astype(np.uint8)
    assert look_drift(clip) == pytest.approx(grade_distance(clip[:1], clip[1:]), rel=0.02)
    assert light_drift(clip) == pytest.approx(lighting_distance(clip[:1], clip[1:]).luma, rel=0.02)


FLASHES = {
    "every second frame": (slice(1, None, 2), 1),
    "two in four": ([2, 3, 6, 7, 10, 11, 14, 15], 1),
    "one frame": ([8], 1 / 17),
    "two frames in a row": ([8, 9], 2 / 17),
}


@pytest.mark.parametrize("name", FLASHES)
@pytest.mark.parametrize("clip", [still(17), moving()], ids=["still", "pan"])
def test_flashes_are_flicker_in_the_units_of_the_change(clip, name):
    at, share = FLASHES[name]
    flashing, step = dimmed(clip, at), clip[8:9]
    for measure, change in (
        (look_flicker, grade_distance(dimmed(step, [0]), step)),
        (light_flicker, lighting_distance(dimmed(step, [0]), step).luma),
    ):
        assert measure(flashing) == pytest.approx(change * share**0.5, rel=0.15)
        assert measure(flashing) > measure(clip) + 2, "more than a viewer notices"


def test_flashes_between_the_ends_add_no_drift():
    assert look_drift(dimmed(still(17), [8])) == 0
    every_second = dimmed(still(17), slice(1, None, 2))
    change = grade_distance(every_second[:1], every_second[1:2])
    assert look_drift(every_second) == pytest.approx(change / 2, rel=0.01), "from an end to their middle"


def test_a_pan_a_cut_and_faint_noise_do_not_flicker():
    noise = np.random.default_rng(0).integers(-1, 2, (9, 48, 64, 3))
    cut = np.concatenate([moving()[:8], dimmed(picture(5, 1), [0]).repeat(9, axis=0)])
    quiet = {"pan": moving(), "cut": cut, "noise": (still() + noise).astype(np.uint8)}
    assert look_drift(cut) > 20 and look_drift(quiet["noise"]) < 0.2
    for name, clip in quiet.items():
        assert max(look_flicker(clip), light_flicker(clip)) < 0.5, name


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 9))
def test_stability_is_the_same_backwards(seed, frames):
    clip = picture(seed, frames, 12, 16)
    for measure in STABILITY:
        assert measure(clip[::-1]) == pytest.approx(measure(clip), rel=1e-6) and measure(clip) > 0


def test_the_metric_names_drift_and_flicker_as_the_functions_do():
    clip = dimmed(moving(), [8])
    found = StyleMetric().of(Clip("a.mp4", clip, np.arange(17) / 16)).values
    names = ("look drift", "light drift", "look flicker", "light flicker")
    assert [found[name] for name in names] == [measure(clip) for measure in STABILITY]
    assert {name: StyleMetric().values[name] for name in names} == dict.fromkeys(names, (0, np.inf))


@pytest.mark.parametrize(
    ("measure", "least"), [(look_drift, 2), (light_drift, 2), (look_flicker, 3), (light_flicker, 3)]
)
def test_how_many_frames_stability_needs(measure, least):
    assert measure(still(least)) == 0
    with pytest.raises(ValueError, match=f"at least {least}"):
        measure(still(least - 1))


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
