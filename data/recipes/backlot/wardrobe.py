"""What bodies have in common: costume, limbs, hands, face, gown."""

from dataclasses import dataclass

import numpy as np

from backlot.canvas import ellipse
from backlot.figure import Figure, Part, bands, limb, shaded
from backlot.palette import COLOURS, DARK, RGB, TRIMS, tint


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


def hands(parts: dict[str, Part], front: bool, colour: RGB) -> None:
    """Put a hand at the end of each arm."""
    for side, sign in (("far", -1), ("near", 1)):
        x = sign * (0.26 if front else 0.02)
        parts[f"{side} hand"].add(ellipse(x, 0.83, 0.065, 0.075), colour)


def face(head: Part, front: bool, skin: RGB, hair: RGB) -> None:
    """Skull, face and eyes."""
    head.add(ellipse(0, 1.69, 0.165, 0.185), hair)
    shift = 0.0 if front else 0.055
    head.add(ellipse(shift, 1.665, 0.12, 0.145), skin)
    eyes = (-0.05, 0.05) if front else (0.115,)
    for x in eyes:
        head.add(ellipse(x, 1.685, 0.02, 0.025), DARK)


def gown(parts: dict[str, Part], costume: Costume, front: bool, flare: float, waist: float = 0.17) -> None:
    """A skirt to the ground with a hem or stripes in the trim's colour."""
    skirt = np.array(
        [[-waist, 1.06], [waist, 1.06], [flare, 0.03], [-flare - (0.0 if front else 0.12), 0.03]]
    )
    shaded(parts["skirt"], skirt, costume.cloth, True)
    if costume.pattern == "striped":
        bands(parts["skirt"], skirt, costume.edge, 0.1, 0.95, 3)
    else:
        bands(parts["skirt"], skirt, costume.edge, 0.02, 0.16, 1)
