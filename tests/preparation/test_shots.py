"""Where takes begin, on films whose borders are known."""

import corpus
import numpy as np

from cinelib.preparation import shots


def scanned(path):
    steps = shots.scan(str(path))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_the_steps_of_a_fade_are_no_cuts_and_a_cut_soon_after_it_is_one(tmp_path):
    """The light comes in steps: the fade's own border, a large step 3 frames later, a cut after 0.7 s."""
    light = np.ones(18)
    light[:8] = (0.04, 0.1, 0.13, 0.16, 0.8, 0.85, 0.9, 0.95)
    faded = (corpus.panning_shot(18, 53) * light[:, None, None, None]).astype(np.uint8)
    black = np.zeros((24, 90, 160, 3), np.uint8)
    film = np.concatenate([corpus.panning_shot(48, 51), black, faded, corpus.panning_shot(48, 55)])
    corpus.write(tmp_path / "film.mp4", film, corpus.even_times(len(film) / 24, 24))
    assert scanned(tmp_path / "film.mp4").cuts == (48, 73, 90)
