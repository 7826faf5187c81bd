"""Who acts and what they wear: figures of both worlds, seen from the side or the front."""

from dataclasses import dataclass

import numpy as np

from cinelib.backlot.canvas import box, ellipse
from cinelib.backlot.figure import Figure, Part, bands, limb, shaded
from cinelib.backlot.palette import COLOURS, DARK, LEATHER, RGB, STEEL, TRIMS, tint


@dataclass(frozen=True)
class Costume:
    """Colour, trim and pattern of the garment."""

    colour: str
    trim: str
    pattern: str  # plain, striped

    @property
    def cloth(self) -> RGB:
        """The garment's main colour."""
        return COLOURS[self.colour]

    @property
    def edge(self) -> RGB:
        """The trim's colour."""
        return TRIMS[self.trim]


GARMENTS = {
    "knight": "cloak", "queen": "gown", "monk": "robe", "rider": "cloak",
    "astronaut": "space suit", "robot": "armour", "ranger": "coat", "biker": "jacket",
}  # fmt: skip
NOUNS = {"rider": "rider on a horse", "biker": "rider on a hoverbike"}
WORLDS = {
    "historical": ("knight", "queen", "monk", "rider"),
    "sci-fi": ("astronaut", "robot", "ranger", "biker"),
}


def dress(role: str, costume: Costume, skin: RGB, front: bool) -> Figure:
    """The figure for a role; `front` faces the camera, else the figure faces +x.

    Raises:
        ValueError: unknown role.
    """
    if role in ("rider", "biker"):
        from cinelib.backlot.mount import horse, hoverbike

        return horse(costume, skin) if role == "rider" else hoverbike(costume, skin)
    makers = {
        "knight": _knight,
        "queen": _queen,
        "monk": _monk,
        "astronaut": _astronaut,
        "robot": _robot,
        "ranger": _ranger,
    }
    if role not in makers:
        raise ValueError(f"unknown role {role!r}; known: {', '.join(GARMENTS)}")
    return makers[role](costume, skin, front)


def skeleton(
    front: bool, sleeve: RGB, leg: RGB, arm_width: float, leg_width: float, cloth: bool
) -> dict[str, Part]:
    """Arms and legs with two joints each, and empty torso, head and cape."""
    hip, shoulder = (0.12, 0.26) if front else (0.03, 0.02)
    parts = {"torso": Part("torso", "", (0, 0.95)), "head": Part("head", "torso", (0, 1.52))}
    parts["cape"] = Part("cape", "torso", (0, 1.45))
    parts["skirt"] = Part("skirt", "torso", (0, 1.0))
    for side, sign, gain in (("far", -1, 0.68), ("near", 1, 1.0)):
        x, y = sign * hip, 0.95
        thigh = Part(f"{side} thigh", "", (x, y)).add(
            limb((x, y), (x, 0.5), leg_width, 0.85 * leg_width), tint(leg, gain)
        )
        shin = Part(f"{side} shin", f"{side} thigh", (x, 0.5))
        shin.add(limb((x, 0.5), (x, 0.1), 0.85 * leg_width, 0.65 * leg_width), tint(leg, gain))
        shin.add(limb((x - 0.02, 0.06), (x + (0.04 if front else 0.16), 0.05), 0.075, 0.05), tint(DARK, gain))
        x = sign * shoulder
        upper = Part(f"{side} arm", "torso", (x, 1.42))
        upper.add(limb((x, 1.42), (x, 1.12), arm_width, 0.85 * arm_width), tint(sleeve, gain), cloth)
        fore = Part(f"{side} hand", f"{side} arm", (x, 1.12))
        fore.add(limb((x, 1.12), (x, 0.86), 0.85 * arm_width, 0.7 * arm_width), tint(sleeve, gain), cloth)
        parts |= {thigh.name: thigh, shin.name: shin, upper.name: upper, fore.name: fore}
    return parts


def assemble(parts: dict[str, Part], front: bool) -> Figure:
    """Drawing order of a standing or walking body."""
    order = ["cape", "far arm", "far hand", "far thigh", "far shin", "near thigh", "near shin"]
    order += ["skirt", "torso", "head", "near arm", "near hand"]
    return Figure([parts[name] for name in order])


def _hand(parts: dict[str, Part], front: bool, colour: RGB) -> None:
    for side, sign in (("far", -1), ("near", 1)):
        x = sign * (0.26 if front else 0.02)
        parts[f"{side} hand"].add(ellipse(x, 0.83, 0.065, 0.075), colour)


def _face(head: Part, front: bool, skin: RGB, hair: RGB) -> None:
    head.add(ellipse(0, 1.69, 0.165, 0.185), hair)
    shift = 0.0 if front else 0.055
    head.add(ellipse(shift, 1.665, 0.12, 0.145), skin)
    eyes = (-0.05, 0.05) if front else (0.115,)
    for x in eyes:
        head.add(ellipse(x, 1.685, 0.02, 0.025), DARK)


def _cape(part: Part, costume: Costume, front: bool, length: float = 0.28) -> None:
    if front:
        outline = np.array([[-0.24, 1.5], [0.24, 1.5], [0.50, length], [-0.50, length]])
        shade = np.array([[-0.10, 1.5], [0.10, 1.5], [0.22, length], [-0.22, length]])
    else:
        outline = np.array(
            [[0.10, 1.52], [-0.14, 1.52], [-0.62, length + 0.08], [-0.52, length], [-0.06, length]]
        )
        shade = np.array([[-0.08, 1.50], [-0.14, 1.50], [-0.60, length + 0.08], [-0.40, length + 0.02]])
    part.add(outline, costume.cloth, True).add(shade, tint(costume.cloth, 0.68), True)
    if costume.pattern == "striped":
        bands(part, outline, costume.edge, length + 0.1, 1.4, 3)
    else:
        bands(part, outline, costume.edge, length, length + 0.14, 1)


def _knight(costume: Costume, skin: RGB, front: bool) -> Figure:
    parts = skeleton(front, STEEL, STEEL, 0.095, 0.12, cloth=False)
    _cape(parts["cape"], costume, front)
    wide = 0.27 if front else 0.2
    torso = np.array(
        [
            [-wide, 1.48],
            [wide, 1.48],
            [wide * 0.85, 1.0],
            [wide * 1.05, 0.72],
            [-wide * 1.05, 0.72],
            [-wide * 0.85, 1.0],
        ]
    )
    shaded(parts["torso"], torso, STEEL)
    tabard = np.array([[-0.13, 1.48], [0.15, 1.48], [0.17, 0.66], [-0.15, 0.66]])
    parts["torso"].add(tabard, costume.cloth, True)
    parts["torso"].add(
        np.array([[0.01, 1.40], [0.11, 1.25], [0.01, 1.08], [-0.09, 1.25]]), costume.edge, True
    )
    parts["torso"].add(box(-wide * 0.95, 0.93, wide * 0.95, 1.0), LEATHER)
    head = parts["head"]
    shaded(head, np.vstack([ellipse(0, 1.72, 0.17, 0.17, 0, np.pi), [[-0.16, 1.53], [0.13, 1.50]]]), STEEL)
    head.add(box(-0.11 if front else 0.0, 1.655, 0.125 if front else 0.175, 1.70), DARK)
    head.add(box(-0.015, 1.52, 0.02, 1.66) if front else box(0.08, 1.52, 0.10, 1.66), DARK)
    plume = np.array(
        [[0.05, 1.88], [0.0, 2.02], [-0.14, 2.04], [-0.32, 1.90], [-0.34, 1.70], [-0.20, 1.84], [-0.05, 1.88]]
    )
    head.add(plume, costume.cloth, True)
    x = 0.26 if front else 0.02
    hand = parts["near hand"]
    hand.add(
        np.array([[x - 0.035, 0.78], [x + 0.035, 0.78], [x + 0.03, -0.02], [x, -0.14], [x - 0.03, -0.02]]),
        (0.86, 0.9, 0.95),
    )
    hand.add(box(x - 0.13, 0.76, x + 0.13, 0.81), TRIMS["gold"] if costume.trim != "gold" else costume.edge)
    _hand(parts, front, tint(STEEL, 0.8))
    return assemble(parts, front)


def _gown(parts: dict[str, Part], costume: Costume, front: bool, flare: float, waist: float = 0.17) -> None:
    skirt = np.array(
        [[-waist, 1.06], [waist, 1.06], [flare, 0.03], [-flare - (0.0 if front else 0.12), 0.03]]
    )
    shaded(parts["skirt"], skirt, costume.cloth, True)
    if costume.pattern == "striped":
        bands(parts["skirt"], skirt, costume.edge, 0.1, 0.95, 3)
    else:
        bands(parts["skirt"], skirt, costume.edge, 0.02, 0.16, 1)


def _queen(costume: Costume, skin: RGB, front: bool) -> Figure:
    parts = skeleton(front, costume.cloth, DARK, 0.075, 0.09, cloth=True)
    wide = 0.24 if front else 0.15
    _gown(parts, costume, front, 0.50)
    torso = np.array([[-wide, 1.46], [wide, 1.46], [0.15, 1.0], [-0.15, 1.0]])
    shaded(parts["torso"], torso, costume.cloth, True)
    parts["torso"].add(np.array([[-0.09, 1.48], [0.11, 1.48], [0.02, 1.30]]), skin)
    parts["torso"].add(box(-0.16, 1.0, 0.16, 1.06), costume.edge, True)
    head, hair = parts["head"], (0.30, 0.16, 0.08)
    back = ellipse(-0.03 if front else -0.08, 1.60, 0.20 if front else 0.16, 0.27)
    head.add(back, tint(hair, 0.8))
    _face(head, front, skin, hair)
    crown = [[-0.16, 1.79], [-0.19, 2.0], [-0.09, 1.90], [0.0, 2.06], [0.09, 1.90], [0.19, 2.0], [0.16, 1.79]]
    head.add(np.array(crown), (1.0, 0.82, 0.28))
    _hand(parts, front, skin)
    return assemble(parts, front)


def _monk(costume: Costume, skin: RGB, front: bool) -> Figure:
    parts = skeleton(front, costume.cloth, DARK, 0.11, 0.09, cloth=True)
    wide = 0.29 if front else 0.22
    _gown(parts, costume, front, 0.36, 0.22)
    torso = np.array(
        [[-wide * 0.7, 1.52], [wide * 0.7, 1.52], [wide, 1.38], [0.22, 0.98], [-0.22, 0.98], [-wide, 1.38]]
    )
    shaded(parts["torso"], torso, costume.cloth, True)
    parts["torso"].add(box(-0.23, 0.97, 0.23, 1.05), (0.86, 0.78, 0.58))
    parts["torso"].add(box(0.05, 0.6, 0.10, 1.0), (0.86, 0.78, 0.58))
    head = parts["head"]
    hood = np.array([[-0.20, 1.44], [0.18, 1.46], [0.20, 1.72], [0.06, 1.90], [-0.12, 1.92], [-0.26, 1.74]])
    shaded(head, hood, costume.cloth, True)
    head.add(ellipse(0.0 if front else 0.09, 1.67, 0.12, 0.15), (0.09, 0.06, 0.06))
    head.add(ellipse(0.0 if front else 0.12, 1.63, 0.085, 0.10), tint(skin, 0.85))
    x = 0.26 if front else 0.02
    parts["near hand"].add(box(x - 0.035, -0.02, x + 0.035, 1.75), (0.50, 0.34, 0.18))
    _hand(parts, front, skin)
    return assemble(parts, front)


def _astronaut(costume: Costume, skin: RGB, front: bool) -> Figure:
    parts = skeleton(front, costume.cloth, costume.cloth, 0.115, 0.145, cloth=True)
    for part in parts.values():
        part.shapes = [
            type(s)(s.points, s.colour, True) if "th" in part.name or "shin" in part.name else s
            for s in part.shapes
        ]
    wide = 0.30 if front else 0.22
    if not front:
        shaded(parts["cape"], box(-0.48, 0.95, -0.10, 1.55), (0.82, 0.84, 0.86))
    else:
        parts["cape"].add(box(-0.36, 1.0, 0.36, 1.60), (0.72, 0.74, 0.78))
    torso = np.array([[-wide, 1.50], [wide, 1.50], [wide * 0.92, 0.86], [-wide * 0.92, 0.86]])
    shaded(parts["torso"], torso, costume.cloth, True)
    if costume.pattern == "striped":
        bands(parts["torso"], torso, costume.edge, 0.9, 1.48, 2)
    parts["torso"].add(box(-0.13, 1.12, 0.15, 1.32), (0.88, 0.89, 0.9)).add(
        box(-0.08, 1.17, 0.0, 1.27), (0.9, 0.2, 0.15)
    )
    parts["torso"].add(box(-wide, 0.90, wide, 0.98), costume.edge, True)
    head = parts["head"]
    shaded(head, ellipse(0, 1.74, 0.27, 0.27), (0.93, 0.94, 0.96))
    head.add(ellipse(0.0 if front else 0.10, 1.74, 0.20 if front else 0.17, 0.165), (0.10, 0.14, 0.24))
    head.add(ellipse(0.06 if front else 0.15, 1.80, 0.07, 0.05), (0.75, 0.90, 1.0), shines=True)
    _hand(parts, front, (0.85, 0.86, 0.88))
    return assemble(parts, front)


def _robot(costume: Costume, skin: RGB, front: bool) -> Figure:
    metal = (0.56, 0.60, 0.66)
    parts = skeleton(front, metal, metal, 0.075, 0.085, cloth=False)
    wide = 0.31 if front else 0.24
    torso = np.array([[-wide, 1.52], [wide, 1.52], [wide * 0.68, 0.92], [-wide * 0.68, 0.92]])
    shaded(parts["torso"], torso, costume.cloth, True)
    if costume.pattern == "striped":
        bands(parts["torso"], torso, costume.edge, 0.95, 1.5, 2)
    parts["torso"].add(ellipse(0.03, 1.26, 0.10, 0.10), (0.35, 0.95, 1.0), shines=True)
    parts["torso"].add(box(-0.17, 0.84, 0.17, 0.94), tint(metal, 0.7))
    for side, sign in (("far", -1), ("near", 1)):
        x = sign * (0.28 if front else 0.02)
        parts[f"{side} arm"].add(
            ellipse(x, 1.44, 0.14, 0.13), tint(costume.cloth, 1.0 if sign > 0 else 0.7), True
        )
        x = sign * (0.12 if front else 0.03)
        parts[f"{side} shin"].add(
            box(x - 0.11, 0.06, x + 0.12, 0.42), tint(costume.cloth, 1.0 if sign > 0 else 0.7), True
        )
    head = parts["head"]
    head.add(box(-0.06, 1.5, 0.06, 1.6), tint(metal, 0.6))
    shaded(head, box(-0.20, 1.57, 0.20, 1.90), metal)
    head.add(
        box(-0.15 if front else 0.0, 1.68, 0.15 if front else 0.20, 1.79), (0.25, 1.0, 0.95), shines=True
    )
    head.add(box(-0.02, 1.90, 0.01, 2.06), metal).add(
        ellipse(-0.005, 2.08, 0.045, 0.045), (1.0, 0.25, 0.2), shines=True
    )
    _hand(parts, front, tint(metal, 0.7))
    return assemble(parts, front)


def _ranger(costume: Costume, skin: RGB, front: bool) -> Figure:
    parts = skeleton(front, costume.cloth, (0.22, 0.22, 0.27), 0.095, 0.10, cloth=True)
    wide = 0.27 if front else 0.2
    coat = np.array(
        [[-0.21, 1.06], [0.21, 1.06], [0.34, 0.34], [0.10, 0.30], [0.02, 0.7], [-0.12, 0.28], [-0.44, 0.32]]
    )
    parts["skirt"].add(coat, tint(costume.cloth, 0.85), True)
    torso = np.array([[-wide, 1.49], [wide, 1.49], [0.2, 1.0], [-0.2, 1.0]])
    shaded(parts["torso"], torso, costume.cloth, True)
    if costume.pattern == "striped":
        bands(parts["torso"], torso, costume.edge, 1.05, 1.45, 2)
    parts["torso"].add(box(-0.21, 0.97, 0.21, 1.05), DARK).add(
        box(-0.02, 0.96, 0.08, 1.06), costume.edge, True
    )
    parts["torso"].add(
        np.array([[-0.19, 1.56], [0.19, 1.56], [0.16, 1.40], [-0.16, 1.40]]), tint(costume.cloth, 0.6), True
    )
    head = parts["head"]
    _face(head, front, skin, (0.12, 0.10, 0.14))
    head.add(
        box(-0.14 if front else -0.02, 1.65, 0.15 if front else 0.19, 1.74), (1.0, 0.25, 0.55), shines=True
    )
    mohawk = np.array([[-0.16, 1.80], [-0.22, 1.96], [-0.08, 1.98], [0.06, 1.98], [0.12, 1.84], [0.0, 1.86]])
    head.add(mohawk, (0.12, 0.10, 0.14))
    _hand(parts, front, DARK)
    return assemble(parts, front)
