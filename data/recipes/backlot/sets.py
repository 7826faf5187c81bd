"""The sets of each world: who paints them, which light suits them, how one says where it is."""

from collections.abc import Callable

from backlot import castle, colony, starship, village
from backlot.stage import Stage

SETS: dict[str, dict[str, Callable[[Stage], None]]] = {
    "historical": {
        "castle courtyard": castle.castle_courtyard,
        "village street": village.village_street,
        "great hall": castle.great_hall,
        "forest road": village.forest_road,
    },
    "sci-fi": {
        "spaceship corridor": starship.spaceship_corridor,
        "neon city": colony.neon_city,
        "hangar": starship.hangar,
        "alien desert": colony.alien_desert,
    },
}
LIGHTS_OF = {
    "castle courtyard": ("day", "dusk", "torch"),
    "village street": ("day", "dusk", "torch"),
    "great hall": ("day", "candle"),
    "forest road": ("day", "dusk", "torch"),
    "spaceship corridor": ("day", "dusk", "neon"),
    "neon city": ("day", "dusk", "neon"),
    "hangar": ("day", "dusk", "neon"),
    "alien desert": ("day", "dusk", "neon"),
}
FILM_LIGHTS = {
    "castle courtyard": ("torch", "dusk"),
    "village street": ("torch", "dusk"),
    "great hall": ("candle",),
    "forest road": ("torch", "dusk"),
}
INDOORS = ("great hall", "spaceship corridor")
PLACES = {  # set -> (where one stands, where one moves)
    "castle courtyard": ("in a castle courtyard", "through a castle courtyard"),
    "village street": ("in a village street", "along a village street"),
    "great hall": ("in a great hall", "through a great hall"),
    "forest road": ("on a forest road", "along a forest road"),
    "spaceship corridor": ("in a spaceship corridor", "through a spaceship corridor"),
    "neon city": ("in a neon city street", "along a neon city street"),
    "hangar": ("in a hangar", "through a hangar"),
    "alien desert": ("in an alien desert", "through an alien desert"),
}
