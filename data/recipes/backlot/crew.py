"""People of the sci-fi world on foot: astronaut, robot, ranger."""

import numpy as np

from backlot.canvas import box, ellipse
from backlot.figure import Figure, bands, shaded
from backlot.palette import DARK, RGB, tint
from backlot.wardrobe import Costume, assemble, face, hands, skeleton


def astronaut(costume: Costume, skin: RGB, front: bool) -> Figure:
    """A space suit with a glass visor and a life-support pack."""
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
    hands(parts, front, (0.85, 0.86, 0.88))
    return assemble(parts, front)


def robot(costume: Costume, skin: RGB, front: bool) -> Figure:
    """Painted armour over metal limbs, a glowing visor."""
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
    hands(parts, front, tint(metal, 0.7))
    return assemble(parts, front)


def ranger(costume: Costume, skin: RGB, front: bool) -> Figure:
    """A long coat and a glowing visor."""
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
        [[-0.19, 1.56], [0.19, 1.56], [0.16, 1.40], [-0.16, 1.40]], tint(costume.cloth, 0.6), True
    )
    head = parts["head"]
    face(head, front, skin, (0.12, 0.10, 0.14))
    head.add(
        box(-0.14 if front else -0.02, 1.65, 0.15 if front else 0.19, 1.74), (1.0, 0.25, 0.55), shines=True
    )
    mohawk = np.array([[-0.16, 1.80], [-0.22, 1.96], [-0.08, 1.98], [0.06, 1.98], [0.12, 1.84], [0.0, 1.86]])
    head.add(mohawk, (0.12, 0.10, 0.14))
    hands(parts, front, DARK)
    return assemble(parts, front)
