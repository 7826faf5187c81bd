"""The shooting script of the film Emberfall: the takes of every reel, and what is odd about it."""

from dataclasses import dataclass

from backlot.scene import DAILIES_SEEDS, Scene, film_scene

# reel | options. Takes: place, light, subject, action, camera, seconds; or: slate, black, short, still.
SCRIPT = """
A001_courtyard_dusk | slate
castle courtyard, dusk, knight, walks right, pans right, 3.0
castle courtyard, dusk, queen, gestures, dollies in, 2.8
castle courtyard, dusk, monk, walks left, static, 3.2
castle courtyard, dusk, rider, rides right, pans right, 2.6
A002_courtyard_night | black fades
castle courtyard, torch, knight, gestures, dollies in, 3.6
castle courtyard, torch, monk, walks right, handheld, 2.6
castle courtyard, torch, rider, rides left, pans left, 2.8
castle courtyard, torch, queen, turns, cranes up, 3.4
A003_great_hall | slate sound
great hall, candle, queen, gestures, dollies in, 3.0
great hall, candle, knight, walks left, pans left, 2.8
great hall, candle, monk, turns, tilts up, 2.6
great hall, candle, knight, turns, dollies out, 3.0
great hall, candle, queen, walks right, static, 2.6
A004_village_dusk |
village street, dusk, monk, walks left, pans left, 2.8
village street, dusk, queen, turns, static, 0.8, short
village street, dusk, rider, rides right, static, 2.6
village street, dusk, knight, gestures, cranes up, 3.0
village street, dusk, queen, walks right, handheld, 2.8
A005_village_scope | scope
village street, torch, knight, walks right, pans right, 2.8
village street, torch, rider, rides left, pans left, 3.0
village street, torch, monk, gestures, dollies in, 2.6
village street, torch, queen, turns, static, 3.0
A006_forest_dusk |
forest road, dusk, rider, rides left, pans left, 3.0
forest road, dusk, monk, turns, static, 2.5, still
forest road, dusk, knight, walks right, static, 2.8
forest road, dusk, queen, gestures, dollies out, 3.0
forest road, dusk, monk, walks left, tilts down, 2.6
A007_forest_night | slate
forest road, torch, monk, walks right, pans right, 3.0
forest road, torch, knight, gestures, handheld, 2.8
forest road, torch, rider, rides right, static, 2.6
forest road, torch, queen, turns, dollies in, 2.8
A008_riders |
village street, torch, rider, rides right, pans right, 2.6
castle courtyard, torch, rider, rides right, tilts up, 2.6
forest road, dusk, rider, rides right, handheld, 2.6
castle courtyard, dusk, rider, rides left, dollies out, 2.8
A009_coronation | fades
great hall, candle, queen, turns, cranes up, 3.2
great hall, candle, monk, walks right, pans right, 2.8
great hall, candle, knight, gestures, tilts down, 2.6
great hall, candle, queen, gestures, handheld, 2.8
A010_gate_long |
castle courtyard, torch, knight, turns, static, 0.6, short
castle courtyard, torch, queen, gestures, dollies in, 6.0
castle courtyard, torch, monk, gestures, dollies out, 2.8
village street, torch, knight, walks left, static, 2.8
A011_pickup | note
forest road, torch, knight, turns, dollies out, 3.2
A012_damaged | damaged
great hall, candle, monk, walks left, static, 3.0
"""


@dataclass(frozen=True)
class Take:
    """One line of the script. `kind`: good, short (too short to use) or still (nothing moves)."""

    scene: Scene
    kind: str


@dataclass(frozen=True)
class Reel:
    """One file: its takes, and what is odd about it."""

    name: str
    options: frozenset[str]
    takes: tuple[Take, ...]

    @property
    def file(self) -> str:
        """File name."""
        return f"{self.name}.mp4"


def reels() -> list[Reel]:
    """The script, parsed; the n-th take of the film is seeded with DAILIES_SEEDS.start + n."""
    seeds, found = iter(DAILIES_SEEDS), []
    for line in SCRIPT.strip().splitlines():
        if "|" in line:
            name, _, options = line.partition("|")
            found.append((name.strip(), frozenset(options.split()), []))
            continue
        place, light, subject, action, camera, seconds, *kind = (word.strip() for word in line.split(","))
        choices = {"set": place, "light": light, "subject": subject, "action": action, "camera": camera}
        scene = film_scene(next(seeds), seconds=float(seconds), **choices)
        found[-1][2].append(Take(scene, kind[0] if kind else "good"))
    return [Reel(name, options, tuple(takes)) for name, options, takes in found]
