"""Who acts: the roles of both worlds, what they wear, how they are called."""

from backlot.courtiers import knight, monk, queen
from backlot.crew import astronaut, ranger, robot
from backlot.figure import Figure
from backlot.mount import horse, hoverbike
from backlot.palette import RGB
from backlot.wardrobe import Costume

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
