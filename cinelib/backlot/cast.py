"""Who acts: the roles of both worlds, what they wear, how they are called."""

from cinelib.backlot.courtiers import knight, monk, queen
from cinelib.backlot.crew import astronaut, ranger, robot
from cinelib.backlot.figure import Figure
from cinelib.backlot.mount import horse, hoverbike
from cinelib.backlot.palette import RGB
from cinelib.backlot.wardrobe import Costume

GARMENTS = {
    "knight": "cloak", "queen": "gown", "monk": "robe", "rider": "cloak",
    "astronaut": "space suit", "robot": "armour", "ranger": "coat", "biker": "jacket",
}  # fmt: skip
NOUNS = {"rider": "rider on a horse", "biker": "rider on a hoverbike"}
WORLDS = {
    "historical": ("knight", "queen", "monk", "rider"),
    "sci-fi": ("astronaut", "robot", "ranger", "biker"),
}


ON_FOOT = {
    "knight": knight, "queen": queen, "monk": monk,
    "astronaut": astronaut, "robot": robot, "ranger": ranger,
}  # fmt: skip
MOUNTED = {"rider": horse, "biker": hoverbike}


def dress(role: str, costume: Costume, skin: RGB, front: bool) -> Figure:
    """The figure for a role; `front` faces the camera, else the figure faces +x.

    Raises:
        ValueError: unknown role.
    """
    if role in MOUNTED:
        return MOUNTED[role](costume, skin)
    if role not in ON_FOOT:
        raise ValueError(f"unknown role {role!r}; known: {', '.join(GARMENTS)}")
    return ON_FOOT[role](costume, skin, front)
