"""The backlot: a procedural film set of two worlds with exact flow, masks and captions.

>>> from backlot import sample_scene, render
>>> clip = render(sample_scene(7), num_frames=17, height=64, width=112)
"""

from backlot.clip import Clip, render
from backlot.look import FILM_LOOK, Look, apply_look
from backlot.scene import (
    DAILIES_SEEDS,
    EVALUATION_SEEDS,
    TRAINING_SEEDS,
    TRIGGER,
    Scene,
    check_seeds,
    film_scene,
    sample_scene,
    wears_film,
)

__all__ = [
    "DAILIES_SEEDS", "EVALUATION_SEEDS", "FILM_LOOK", "TRAINING_SEEDS", "TRIGGER", "Clip", "Look", "Scene",
    "apply_look", "check_seeds", "film_scene", "render", "sample_scene", "wears_film",
]  # fmt: skip
