"""The costume's colour is measured, and the light on it is not, on the backlot's own attributes."""

from functools import cache
from itertools import combinations

import cv2
import numpy as np
import pytest
from backlot import FILM_LOOK, render, sample_scene

from cinelib.metrics.costume import CostumeMetric, costume_distance
from cinelib.metrics.metric import Clip

COLOURS = ("crimson", "blue", "yellow")
PLACES = {"castle courtyard": ("day", "torch"), "great hall": ("day", "candle"), "neon city": ("day", "neon")}


@cache
def still(place, light, colour, look=None):
    scene = sample_scene(1_600_000, set=place, light=light, colour=colour, pattern="plain", camera="static")
    clip = render(scene, 1, 64, 112, look=look)
    return clip.frames, clip.costume_mask


@pytest.mark.parametrize("place", PLACES)
def test_another_colour_moves_it_much_further_than_another_light(place):
    lights = PLACES[place]
    recoloured = [
        costume_distance(*still(place, light, one), *still(place, light, other))
        for light in lights
        for one, other in combinations(COLOURS, 2)
    ]
    relit = [costume_distance(*still(place, lights[0], c), *still(place, lights[1], c)) for c in COLOURS]
    assert np.mean(recoloured) > 4 * np.mean(relit)
    assert min(recoloured) > max(relit)


def test_the_films_grade_moves_it_less_than_any_other_colour():
    plain = {colour: still("great hall", "day", colour) for colour in COLOURS}
    graded = [costume_distance(*still("great hall", "day", c, FILM_LOOK), *plain[c]) for c in COLOURS]
    recoloured = [costume_distance(*plain[a], *plain[b]) for a, b in combinations(COLOURS, 2)]
    assert max(graded) < 0.5 * min(recoloured)


def test_the_same_costume_is_at_zero_and_exposure_changes_nothing_much():
    frames, mask = still("great hall", "day", "blue")
    assert costume_distance(frames, mask, frames, mask) == 0
    linear = (frames / 255.0) ** 2.2 * 0.5
    darker = np.rint(linear ** (1 / 2.2) * 255).astype(np.uint8)
    assert costume_distance(darker, mask, frames, mask) < 3


def test_masks_are_checked():
    frames, mask = still("great hall", "day", "blue")
    with pytest.raises(ValueError, match="reference_mask selects no pixel"):
        costume_distance(frames, mask, frames, np.zeros_like(mask))
    with pytest.raises(ValueError, match="mask selects every pixel"):
        costume_distance(frames, np.ones_like(mask), frames, mask)
    with pytest.raises(ValueError, match="mask must be bool"):
        costume_distance(frames, mask[:, :4], frames, mask)


def worn(colour, light):
    """A costume of CIELAB `colour` before grey, both under a light (3,) in linear RGB."""
    cloth = np.float32(cv2.cvtColor(np.float32([[colour]]), cv2.COLOR_LAB2LRGB)[0, 0])
    picture = np.ones((1, 16, 16, 3), np.float32) * light
    picture[:, 4:12, 4:12] *= cloth
    mask = np.zeros((1, 16, 16), bool)
    mask[:, 4:12, 4:12] = True
    display = np.where(picture <= 0.0031308, 12.92 * picture, 1.055 * picture ** (1 / 2.4) - 0.055)
    return np.rint(255 * display).astype(np.uint8), mask


def test_a_colour_that_differs_by_a_vector_scores_its_length_in_any_light():
    quarter = 57.08  # L* of luminance 0.25, to which all costumes are scaled
    lights = np.float32([0.6, 0.6, 0.6]), np.float32([0.7, 0.6, 0.4])
    one, other = (quarter, 20, 10), (quarter, -10, 30)
    for light in lights:
        assert costume_distance(*worn(one, lights[0]), *worn(other, light)) == pytest.approx(36.1, rel=0.03)
        assert costume_distance(*worn(one, lights[0]), *worn(one, light)) < 1


def test_the_metric_says_how_much_and_whether_it_lasts():
    class Words:
        name = "W"

        def margins(self, frames, right, wrong):
            assert (right, wrong) == ("a red gown", ("a blue gown",))
            return np.array([0.1, 0.2, 0.6])

    metric = CostumeMetric(Words(), ("a red gown", "a blue gown"))
    found = metric.of(Clip("a.mp4", np.zeros((3, 8, 8, 3), np.uint8), np.arange(3.0))).values
    assert found == pytest.approx({"W costume margin": 0.3, "W costume held": 0.5})
