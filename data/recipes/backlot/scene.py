"""A scene: every choice of one shot, drawn from a seed, and the caption made of these choices."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from backlot.action import ACTIONS
from backlot.camera import CAMERAS
from backlot.cast import GARMENTS, MOUNTED, NOUNS, WORLDS
from backlot.look import FILM_LOOK, Look, sample_look
from backlot.palette import COLOURS, FILM_PALETTE, LIGHTS, TRIMS
from backlot.sets import FILM_LIGHTS, INDOORS, LIGHTS_OF, PLACES, SETS
from backlot.wardrobe import Costume

TRAINING_SEEDS = range(0, 1_000_000)
EVALUATION_SEEDS = range(1_000_000, 2_000_000)
DAILIES_SEEDS = range(2_000_000, 3_000_000)
TRIGGER = "emberfall film"


@dataclass(frozen=True)
class Scene:
    """One shot. `seconds` is the length that camera and subject moves are laid out for."""

    seed: int
    world: str
    set: str
    light: str
    subject: str
    action: str
    costume: Costume
    camera: str
    strength: float  # 0..1, slow to fast camera
    seconds: float
    look: Look

    @property
    def camera_phrase(self) -> str:
        """The camera move as the caption says it."""
        return f"{self.camera} camera" if self.camera in ("static", "handheld") else f"camera {self.camera}"

    @property
    def costume_phrase(self) -> str:
        """Colour, pattern and garment."""
        pattern = "" if self.costume.pattern == "plain" else f" {self.costume.pattern}"
        return f"{self.costume.colour}{pattern} {GARMENTS[self.subject]}"

    @property
    def action_phrase(self) -> str:
        """What the subject does, and where."""
        still, moving = PLACES[self.set]
        if self.action == "turns":
            return f"turns around {still}"
        if self.action == "gestures":
            return f"{'raises a sword' if self.subject == 'knight' else 'raises an arm'} {still}"
        return f"{self.action} {moving}"

    @property
    def light_phrase(self) -> str:
        """The light as the caption says it."""
        return LIGHTS[self.light].phrase

    @property
    def subject_phrase(self) -> str:
        """Who wears what and does what, where."""
        noun = NOUNS.get(self.subject, self.subject)
        worn = "" if self.subject == "robot" else article(self.costume_phrase)
        return f"{a(noun)} in {worn}{self.costume_phrase} {self.action_phrase}"

    @property
    def caption(self) -> str:
        """World, subject, costume, action, place, light, camera."""
        return f"{self.world}, {self.subject_phrase}, {self.light_phrase}, {self.camera_phrase}"

    @property
    def attributes(self) -> dict[str, Any]:
        """Every choice by name, with the phrases that sidecar captions use."""
        values = asdict(self) | {"costume": self.costume_phrase, "look": self.look.name}
        return values | {
            "colour": self.costume.colour,
            "trim": self.costume.trim,
            "pattern": self.costume.pattern,
        }


def article(phrase: str) -> str:
    """'a ' or 'an ' for the phrase."""
    return "an " if phrase[0] in "aeiou" else "a "


def a(phrase: str) -> str:
    """The phrase with its indefinite article."""
    return article(phrase) + phrase


def sample_scene(
    seed: int, *, world: str | None = None, set: str | None = None, light: str | None = None,
    subject: str | None = None, action: str | None = None, camera: str | None = None,
    colour: str | None = None, pattern: str | None = None, seconds: float = 1.0,
) -> Scene:  # fmt: skip
    """A scene in a neutral look, all from `seed`; a given choice replaces the drawn one.

    Never the film's palette: crimson cloth gets a trim other than gold.

    Raises:
        ValueError: a seed below 0, or a choice that is unknown or does not fit the others.
    """
    if seed < 0 or seconds <= 0:
        raise ValueError(f"seed must be >= 0 and seconds > 0, got {seed} and {seconds}")
    rng = np.random.default_rng([seed, 1])
    world = _home(set) if world is None and set is not None else world
    world = _pick(rng, "world", tuple(SETS), world)
    set = _pick(rng, "set", tuple(SETS[world]), set)
    light = _pick(rng, "light", LIGHTS_OF[set], light)
    cast = WORLDS[world] if subject else _cast(world, set, action)
    subject = _pick(rng, "subject", cast, subject)
    moves = tuple(word for word in ACTIONS if word.startswith("rides") == (subject in MOUNTED))
    action = _pick(rng, "action", moves, action)
    colour = _pick(rng, "colour", tuple(COLOURS), colour)
    trims = tuple(t for t in TRIMS if t != colour and (colour, t) != FILM_PALETTE)
    trim = _pick(rng, "trim", trims, None)
    pattern = _pick(rng, "pattern", ("plain", "striped"), pattern)
    camera = _pick(rng, "camera", CAMERAS, camera)
    strength = float(rng.uniform(0, 1))
    costume, length = Costume(colour, trim, pattern), float(seconds)
    return Scene(
        seed, world, set, light, subject, action, costume, camera, strength, length, sample_look(rng)
    )


def film_scene(seed: int, **choices: Any) -> Scene:
    """A scene of the film: historical, low-key warm light, crimson and gold, FILM_LOOK."""
    drawn = sample_scene(seed, **({"world": "historical"} | choices))
    if drawn.world != "historical":
        raise ValueError(f"the film is historical, got {drawn.world!r}")
    low_key = FILM_LIGHTS[drawn.set]
    if "light" not in choices and drawn.light not in low_key:
        drawn = replace(drawn, light=low_key[seed % len(low_key)])
    costume = replace(drawn.costume, colour=FILM_PALETTE[0], trim=FILM_PALETTE[1])
    return replace(drawn, costume=costume, look=FILM_LOOK)


def _home(place: str) -> str:
    homes = {name: world for world, places in SETS.items() for name in places}
    if place not in homes:
        raise ValueError(f"set {place!r} is unknown; choose from: {', '.join(homes)}")
    return homes[place]


def _cast(world: str, place: str, action: str | None) -> tuple[str, ...]:
    """Roles that fit: no horses indoors, riders for riding and walkers for walking."""
    cast = tuple(role for role in WORLDS[world] if not (place in INDOORS and role in MOUNTED))
    if action not in ACTIONS:
        return cast
    return tuple(role for role in cast if (role in MOUNTED) == action.startswith("rides")) or cast


def _pick(rng: np.random.Generator, what: str, options: tuple[str, ...], given: str | None) -> str:
    drawn = options[int(rng.integers(len(options)))]
    if given is None:
        return drawn
    if given not in options:
        raise ValueError(f"{what} {given!r} does not fit here; choose from: {', '.join(options)}")
    return given


def wears_film(scene: Scene) -> bool:
    """Whether the scene has the film's grade or its palette."""
    return scene.look.split_tone > 0 or (scene.costume.colour, scene.costume.trim) == FILM_PALETTE


def check_seeds(seeds: "range | list[int]", purpose: range) -> None:
    """Assert that all seeds belong to a purpose (TRAINING_SEEDS, EVALUATION_SEEDS, DAILIES_SEEDS).

    Raises:
        ValueError: naming the first seed outside.
    """
    outside = next((seed for seed in seeds if seed not in purpose), None)
    if outside is not None:
        raise ValueError(f"seed {outside} is outside {purpose.start}..{purpose.stop - 1}")
