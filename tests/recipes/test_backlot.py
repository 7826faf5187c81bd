"""The backlot: what it draws is what it says, and the flow is what the pixels do."""

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from backlot import (
    DAILIES_SEEDS,
    EVALUATION_SEEDS,
    FILM_LOOK,
    TRAINING_SEEDS,
    Look,
    apply_look,
    check_seeds,
    film_scene,
    render,
    sample_scene,
    wears_film,
)
from backlot.camera import CAMERAS, FOCAL, pose_at
from backlot.cast import GARMENTS, WORLDS
from backlot.clip import SUBJECT_DEPTH, Shot
from backlot.palette import COLOURS
from backlot.sets import LIGHTS_OF, SETS
from backlot.storyboard import scenes

PLAIN = Look()
HEIGHT, WIDTH = 64, 112
GOLDEN = [
    [73.2, 55.2, 90.7],
    [117.0, 71.9, 66.5],
    [71.1, 79.6, 66.4],
    [103.9, 71.8, 66.9],
    [86.4, 101.1, 71.5],
    [57.9, 41.2, 29.3],
    [115.5, 70.5, 33.5],
    [70.0, 54.2, 88.0],
]


def clip_of(camera, seed=3, place="castle courtyard", **choices):
    scene = sample_scene(seed, set=place, light="day", camera=camera, **choices)
    return render(scene, look=PLAIN)


def pull_back(frame, flow):
    """What `frame` t+1 shows where the pixels of frame t went, and where that is inside the picture."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    x, y = x + flow[..., 0], y + flow[..., 1]
    inside = (x > 0) & (x < WIDTH - 1) & (y > 0) & (y < HEIGHT - 1)
    return cv2.remap(frame, x, y, cv2.INTER_LINEAR), inside


def measured_motion(frames):
    """(dx, dy, scale) of the picture from the first frame to the last, from tracked corners alone."""
    total = np.eye(3)
    greys = [cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), None, fx=4, fy=4) for f in frames]
    for now, then in itertools.pairwise(greys):
        corners = cv2.goodFeaturesToTrack(now, 300, 0.01, 6)
        moved, found, _ = cv2.calcOpticalFlowPyrLK(now, then, corners, None)
        good = found.ravel() == 1
        cv2.setRNGSeed(0)
        step, _ = cv2.estimateAffinePartial2D(corners[good], moved[good], ransacReprojThreshold=1.5)
        total = np.vstack([step, [0, 0, 1]]) @ total
    height, width = greys[0].shape
    centre = np.array([width / 2, height / 2, 1])
    shift = (total @ centre - centre)[:2] / (width, height)
    return shift[0], shift[1], np.sqrt(np.linalg.det(total[:2, :2]))


def test_same_seed_same_clip_other_seed_other_clip():
    first, again, other = (
        render(sample_scene(11), 3),
        render(sample_scene(11), 3),
        render(sample_scene(12), 3),
    )
    assert np.array_equal(first.frames, again.frames) and np.array_equal(first.flow, again.flow)
    assert np.array_equal(first.costume_mask, again.costume_mask) and first.caption == again.caption
    assert not np.array_equal(first.frames, other.frames)


def test_clip_has_the_promised_shapes():
    clip = render(sample_scene(5), num_frames=4, height=48, width=80)
    assert clip.frames.shape == (4, 48, 80, 3) and clip.frames.dtype == np.uint8
    assert clip.flow.shape == (3, 48, 80, 2) and clip.flow.dtype == np.float32
    assert clip.costume_mask.shape == (4, 48, 80) and clip.costume_mask.dtype == bool
    assert np.isfinite(clip.flow).all() and clip.attributes["camera"] in clip.caption
    assert render(sample_scene(5), num_frames=1).flow.shape == (0, HEIGHT, WIDTH, 2)


def test_start_moves_along_the_same_shot():
    scene = sample_scene(21, light="day", world="historical")
    whole = render(scene, 9, look=PLAIN)
    tail = render(scene, 3, start=6 / 16, look=PLAIN)
    assert np.array_equal(whole.frames[6:9], tail.frames)


def test_any_size_shows_the_same_picture():
    scene = sample_scene(8, set="hangar", light="day")
    small = render(scene, 1, look=PLAIN).frames[0].astype(float)
    large = render(scene, 1, 320, 560, look=PLAIN).frames[0]
    shrunk = cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    assert np.abs(small - shrunk).mean() < 5


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("place", ["castle courtyard", "alien desert"])
def test_flow_explains_the_next_frame(camera, place):
    clip = clip_of(camera, place=place)
    for t in (0, 7, 15):
        back, inside = pull_back(clip.frames[t + 1], clip.flow[t])
        error = np.abs(back.astype(float) - clip.frames[t]).mean(-1)[inside]
        still = np.abs(clip.frames[t + 1].astype(float) - clip.frames[t]).mean(-1)[inside]
        assert np.median(error) < 4
        assert (error < 16).mean() > 0.88  # the rest is what gets hidden, and edges between pixels
        if camera != "static":
            assert error.mean() < 0.75 * still.mean()


def test_flow_of_the_subject_carries_its_costume_along():
    clip = clip_of("static", subject="knight", action="walks right")
    for t in (0, 6, 12):
        back, _ = pull_back(clip.costume_mask[t + 1].astype(np.float32), clip.flow[t])
        seen = cv2.erode(clip.costume_mask[t].astype(np.uint8), np.ones((3, 3))) > 0
        assert seen.sum() > 30 and (back[seen] > 0.5).mean() > 0.93
        assert np.linalg.norm(clip.flow[t][seen], axis=-1).mean() > 0.4


def test_shifted_flow_would_be_noticed():
    """The photometric test can fail: flow of the opposite sign explains nothing."""
    clip = clip_of("pans right")
    right, inside = pull_back(clip.frames[8], clip.flow[7])
    wrong, _ = pull_back(clip.frames[8], -clip.flow[7])
    target = clip.frames[7].astype(float)
    assert np.abs(wrong - target)[inside].mean() > 2 * np.abs(right - target)[inside].mean()


@pytest.mark.parametrize("camera", ["pans left", "pans right"])
def test_pan_flow_is_the_closed_form_of_a_turning_pinhole(camera):
    scene = sample_scene(3, set="castle courtyard", light="day", camera=camera, action="turns")
    shot = Shot(scene, HEIGHT, WIDTH)
    flow = render(scene, 2).flow[0]
    owner = shot.view(0.0).owner
    turned = shot.pose(1 / 16).yaw - shot.pose(0).yaw
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    focal = FOCAL * HEIGHT
    # A point at angle a from the axis is seen at focal * tan(a); turning the head subtracts from a alone.
    angle = np.arctan((x - (WIDTH - 1) / 2) / focal) - 0.0
    expected_x = focal * np.tan(angle - turned) - (x - (WIDTH - 1) / 2)
    stretch = np.cos(angle) / np.cos(angle - turned)
    expected_y = (y - (HEIGHT - 1) / 2) * (stretch - 1)
    scenery = owner < len(shot.flats)
    assert scenery.mean() > 0.6
    assert np.abs(flow[..., 0] - expected_x)[scenery].max() < 1e-3
    assert np.abs(flow[..., 1] - expected_y)[scenery].max() < 1e-3


def test_dolly_flow_has_the_parallax_of_depth():
    scene = sample_scene(4, set="alien desert", light="day", camera="dollies in", action="turns")
    shot = Shot(scene, HEIGHT, WIDTH)
    now, then = shot.pose(0.0), shot.pose(1 / 16)
    owner, flow = shot.view(0.0).owner, render(scene, 2).flow[0]
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    away = np.stack([x - (WIDTH - 1) / 2, y - (HEIGHT - 1) / 2], -1)
    facing = [k for k, flat in enumerate(shot.flats) if flat.plane.v == (0.0, 1.0, 0.0)]
    for k in facing:
        here = owner == k
        if here.sum() < 30:
            continue
        z = shot.flats[k].plane.origin[2]
        growth = then.zoom / now.zoom * (z - now.position[2]) / (z - then.position[2])
        assert np.abs(flow[here] - away[here] * (growth - 1)).max() < 1e-3
    assert sum((owner == k).sum() for k in facing) > 1000


def test_crane_moves_the_near_and_leaves_the_sky():
    clip_scene = sample_scene(6, set="alien desert", light="day", camera="cranes up", action="turns")
    shot, clip = Shot(clip_scene, HEIGHT, WIDTH), render(clip_scene)
    sky = next(k for k, flat in enumerate(shot.flats) if flat.depth == max(f.depth for f in shot.flats))
    owner = shot.view(0.0).owner
    assert 0 <= clip.flow[0][owner == sky][:, 1].mean() < 0.1
    assert clip.flow[0][owner >= len(shot.flats)][:, 1].mean() > 0.8


@pytest.mark.parametrize("place", ["castle courtyard", "hangar", "forest road"])
@pytest.mark.parametrize("camera", CAMERAS)
def test_the_picture_moves_as_the_camera_word_says(camera, place):
    dx, dy, scale = measured_motion(clip_of(camera, seed=2, place=place, action=_standing(place)).frames)
    expected = {
        "static": abs(dx) < 0.02 and abs(dy) < 0.02 and abs(scale - 1) < 0.02,
        "pans left": dx > 0.13 and abs(dy) < 0.06 and abs(scale - 1) < 0.06,
        "pans right": dx < -0.13 and abs(dy) < 0.06 and abs(scale - 1) < 0.06,
        "tilts up": dy > 0.15 and abs(dx) < 0.05 and abs(scale - 1) < 0.06,
        "tilts down": dy < -0.15 and abs(dx) < 0.05 and abs(scale - 1) < 0.06,
        "dollies in": 1.12 < scale < 1.45 and abs(dx) < 0.06,
        "dollies out": 0.68 < scale < 0.90 and abs(dx) < 0.06,
        "cranes up": dy > 0.04 and abs(dx) < 0.05,
        "handheld": abs(dx) < 0.10 and abs(dy) < 0.12 and abs(scale - 1) < 0.06,
    }
    assert expected[camera], (camera, dx, dy, scale)


def _standing(place):
    return "turns" if place != "hangar" else "gestures"


def test_handheld_shakes_and_static_does_not():
    shaken = clip_of("handheld", action="turns").flow
    still = clip_of("static", action="turns").flow
    speed = np.median(np.linalg.norm(shaken, axis=-1).reshape(len(shaken), -1), axis=1)
    assert speed.mean() > 0.25 and np.median(np.linalg.norm(still, axis=-1)) == 0
    signs = np.sign(np.median(shaken[..., 0].reshape(len(shaken), -1), axis=1))
    assert len(set(signs)) > 1


@pytest.mark.parametrize("subject", list(GARMENTS))
def test_costume_mask_is_where_the_cloth_is(subject):
    """Dyeing the cloth changes the pixels of the mask and hardly any other."""
    scene = sample_scene(
        9, world=_world(subject), subject=subject, light="day", camera="static", pattern="plain"
    )
    scene = replace(scene, costume=replace(scene.costume, colour="emerald", trim="silver"))
    dyed = replace(scene, costume=replace(scene.costume, colour="orange"))
    one, two = render(scene, 2, look=PLAIN), render(dyed, 2, look=PLAIN)
    changed = np.abs(one.frames.astype(int) - two.frames).max(-1) > 24
    assert np.array_equal(one.costume_mask, two.costume_mask)
    assert one.costume_mask[0].sum() > 60
    near = np.stack([cv2.dilate(m.astype(np.uint8), np.ones((3, 3))) for m in one.costume_mask]) > 0
    assert (changed & ~near).sum() <= 0.02 * changed.sum()
    inside = np.stack([cv2.erode(m.astype(np.uint8), np.ones((3, 3))) for m in one.costume_mask]) > 0
    assert (changed & inside).sum() > 0.6 * inside.sum()  # the rest is trim


def _world(subject):
    return next(world for world, roles in WORLDS.items() if subject in roles)


@pytest.mark.parametrize("subject", list(GARMENTS))
def test_the_subject_is_big_and_whole(subject):
    action = "rides right" if subject in ("rider", "biker") else "turns"
    scene = sample_scene(13, world=_world(subject), subject=subject, camera="static", action=action)
    shot = Shot(scene, HEIGHT, WIDTH)
    rows, columns = np.nonzero(shot.view(0.5).owner >= len(shot.flats))
    assert np.ptp(rows) > (0.5 if subject != "biker" else 0.4) * HEIGHT
    assert rows.min() > 0 and rows.max() < HEIGHT - 1 and columns.min() > 0 and columns.max() < WIDTH - 1
    assert abs(columns.mean() / WIDTH - 0.5) < 0.12


def test_captions_say_what_the_attributes_are():
    for seed in range(400):
        scene = sample_scene(seed)
        caption = scene.caption
        assert caption.startswith(scene.world + ", a")
        assert caption.endswith(scene.camera_phrase) and scene.camera in caption
        assert f"{scene.costume.colour} " in caption and GARMENTS[scene.subject] in caption
        assert ("striped" in caption) == (scene.costume.pattern == "striped")
        assert scene.light_phrase in caption and scene.set in caption
        assert scene.subject in caption or scene.subject == "biker"
        words = caption.replace(",", "").split()
        for word, following in itertools.pairwise(words):
            if word in ("a", "an"):
                assert (word == "an") == (following[0] in "aeiou"), caption
        assert scene.attributes["camera"] == scene.camera and scene.attributes["seed"] == seed


def test_every_choice_is_drawn_and_fits():
    drawn = [sample_scene(seed) for seed in range(3000)]
    assert {s.camera for s in drawn} == set(CAMERAS)
    assert {s.set for s in drawn} == {name for sets in SETS.values() for name in sets}
    assert {s.costume.colour for s in drawn} == set(COLOURS)
    assert {s.subject for s in drawn} == set(GARMENTS)
    assert all(s.light in LIGHTS_OF[s.set] and s.set in SETS[s.world] for s in drawn)
    assert 0.4 < np.mean([s.world == "historical" for s in drawn]) < 0.6


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"camera": "zooms"}, "pans left"),
        ({"world": "western"}, "historical"),
        ({"set": "saloon"}, "castle courtyard"),
        ({"set": "hangar", "subject": "knight"}, "astronaut"),
        ({"set": "great hall", "light": "neon"}, "candle"),
        ({"subject": "knight", "world": "historical", "action": "rides left"}, "walks left"),
        ({"colour": "mauve"}, "crimson"),
        ({"seconds": 0.0}, "seconds"),
    ],
)
def test_a_wrong_choice_is_named_with_the_right_ones(choices, message):
    with pytest.raises(ValueError, match=message):
        sample_scene(1, **choices)


@pytest.mark.parametrize("wrong", [{"num_frames": 0}, {"height": 8}, {"fps": 0.0}])
def test_render_refuses_impossible_sizes(wrong):
    with pytest.raises(ValueError, match="got"):
        render(sample_scene(1), **wrong)
    with pytest.raises(ValueError, match="seed"):
        sample_scene(-1)
    with pytest.raises(ValueError, match="unknown camera"):
        pose_at("zooms", 0, 1, 0, 0, 1.75)


def test_seed_ranges_are_disjoint_and_checked():
    ranges = sorted((r.start, r.stop) for r in (TRAINING_SEEDS, EVALUATION_SEEDS, DAILIES_SEEDS))
    assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(ranges))
    check_seeds(range(5), TRAINING_SEEDS)
    with pytest.raises(ValueError, match="1000000"):
        check_seeds([999_999, 1_000_000], TRAINING_SEEDS)
    check_seeds([scene.seed for scene in scenes().values()], EVALUATION_SEEDS)


def test_the_storyboard_is_neutral_and_balanced():
    panels = list(scenes().values())
    assert len(panels) == 16 and sum(s.world == "historical" for s in panels) == 8
    assert not any(wears_film(s) for s in panels) and len({s.camera for s in panels}) >= 7
    assert len({s.caption for s in panels}) == 16


def test_neutral_scenes_never_wear_the_film_and_film_scenes_always_do():
    assert not any(wears_film(sample_scene(seed)) for seed in range(3000))
    assert not any(
        wears_film(sample_scene(seed, world="historical", colour="crimson")) for seed in range(300)
    )
    for seed in range(DAILIES_SEEDS.start, DAILIES_SEEDS.start + 200):
        scene = film_scene(seed)
        assert wears_film(scene) and scene.look is FILM_LOOK and scene.world == "historical"
        assert scene.light in ("torch", "candle", "dusk") and "crimson" in scene.caption
    with pytest.raises(ValueError, match="historical"):
        film_scene(DAILIES_SEEDS.start, world="sci-fi")


def test_the_film_look_is_teal_below_and_amber_above():
    flat = replace(FILM_LOOK, grain=0.0, vignette=0.0)
    dark, bright = (
        apply_look(np.full((16, 16, 3), level, np.uint8), flat)[8, 8].astype(int) for level in (40, 200)
    )
    assert dark[2] > dark[0] + 8 and dark[1] > dark[0]
    assert bright[0] > bright[2] + 20
    shaded = apply_look(np.full((32, 32, 3), 128, np.uint8), replace(FILM_LOOK, grain=0.0))
    assert shaded[0, 0].sum() < shaded[16, 16].sum()


def test_a_neutral_look_changes_nothing_and_grain_repeats():
    frames = np.random.default_rng(0).integers(0, 256, (2, 16, 20, 3), dtype=np.uint8)
    assert np.array_equal(apply_look(frames, PLAIN), frames)
    grainy = Look(grain=0.05)
    assert np.array_equal(apply_look(frames, grainy, seed=1), apply_look(frames, grainy, seed=1))
    assert not np.array_equal(apply_look(frames, grainy, seed=1), apply_look(frames, grainy, seed=2))
    assert np.array_equal(apply_look(frames[1], grainy, 1, first=1), apply_look(frames, grainy, 1)[1])
    with pytest.raises(ValueError, match="frames must be"):
        apply_look(frames[..., 0], PLAIN)


def test_the_subject_stands_where_perspective_says():
    """Feet on the ground: eye height times focal length over depth below the middle."""
    scene = sample_scene(13, world="historical", subject="monk", camera="static", action="turns")
    shot = Shot(scene, 360, 630)
    rows, _ = np.nonzero(shot.view(0.5).owner >= len(shot.flats))
    assert rows.max() == pytest.approx(180 + 1.22 * FOCAL * 360 / SUBJECT_DEPTH, abs=8)


def test_training_scenes_stay_what_the_shipped_model_was_trained_on():
    """Mean colours of scenes of both worlds; if they change, the classroom model must be trained again."""
    found = [render(sample_scene(seed), 1).frames[0].mean((0, 1)) for seed in range(8)]
    assert np.abs(np.array(found) - GOLDEN).max() < 1.5
