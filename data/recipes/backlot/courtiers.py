"""People of the historical world on foot: knight, queen, monk."""

import numpy as np

from backlot.canvas import box, ellipse
from backlot.figure import Figure, Part, bands, shaded
from backlot.palette import DARK, LEATHER, RGB, STEEL, TRIMS, tint
from backlot.wardrobe import Costume, assemble, face, gown, hands, skeleton


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


def _helmet(head: Part, costume: Costume, front: bool) -> None:
    shaded(head, np.vstack([ellipse(0, 1.72, 0.17, 0.17, 0, np.pi), [[-0.16, 1.53], [0.13, 1.50]]]), STEEL)
    head.add(box(-0.11 if front else 0.0, 1.655, 0.125 if front else 0.175, 1.70), DARK)
    head.add(box(-0.015, 1.52, 0.02, 1.66) if front else box(0.08, 1.52, 0.10, 1.66), DARK)
    plume = np.array(
        [[0.05, 1.88], [0.0, 2.02], [-0.14, 2.04], [-0.32, 1.90], [-0.34, 1.70], [-0.20, 1.84], [-0.05, 1.88]]
    )
    head.add(plume, costume.cloth, True)


def knight(costume: Costume, skin: RGB, front: bool) -> Figure:
    """Plate armour, tabard, plumed helmet, sword and cloak."""
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
    parts["torso"].add([[0.01, 1.40], [0.11, 1.25], [0.01, 1.08], [-0.09, 1.25]], costume.edge, True)
    parts["torso"].add(box(-wide * 0.95, 0.93, wide * 0.95, 1.0), LEATHER)
    _helmet(parts["head"], costume, front)
    x = 0.26 if front else 0.02
    hand = parts["near hand"]
    hand.add(
        [[x - 0.035, 0.78], [x + 0.035, 0.78], [x + 0.03, -0.02], [x, -0.14], [x - 0.03, -0.02]],
        (0.86, 0.9, 0.95),
    )
    hand.add(box(x - 0.13, 0.76, x + 0.13, 0.81), TRIMS["gold"])
    hands(parts, front, tint(STEEL, 0.8))
    return assemble(parts, front)


def queen(costume: Costume, skin: RGB, front: bool) -> Figure:
    """A crowned lady in a gown."""
    parts = skeleton(front, costume.cloth, DARK, 0.075, 0.09, cloth=True)
    wide = 0.24 if front else 0.15
    gown(parts, costume, front, 0.50)
    torso = np.array([[-wide, 1.46], [wide, 1.46], [0.15, 1.0], [-0.15, 1.0]])
    shaded(parts["torso"], torso, costume.cloth, True)
    parts["torso"].add([[-0.09, 1.48], [0.11, 1.48], [0.02, 1.30]], skin)
    parts["torso"].add(box(-0.16, 1.0, 0.16, 1.06), costume.edge, True)
    head, hair = parts["head"], (0.30, 0.16, 0.08)
    back = ellipse(-0.03 if front else -0.08, 1.60, 0.20 if front else 0.16, 0.27)
    head.add(back, tint(hair, 0.8))
    face(head, front, skin, hair)
    crown = [[-0.16, 1.79], [-0.19, 2.0], [-0.09, 1.90], [0.0, 2.06], [0.09, 1.90], [0.19, 2.0], [0.16, 1.79]]
    head.add(np.array(crown), (1.0, 0.82, 0.28))
    hands(parts, front, skin)
    return assemble(parts, front)


def monk(costume: Costume, skin: RGB, front: bool) -> Figure:
    """A hooded monk with a staff."""
    parts = skeleton(front, costume.cloth, DARK, 0.11, 0.09, cloth=True)
    wide = 0.29 if front else 0.22
    gown(parts, costume, front, 0.36, 0.22)
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
    hands(parts, front, skin)
    return assemble(parts, front)
