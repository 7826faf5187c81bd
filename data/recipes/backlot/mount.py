"""Riders: a horse with four jointed legs and a hoverbike, each with its rider."""

import numpy as np

from backlot.canvas import box, ellipse
from backlot.figure import Figure, Part, bands, limb, shaded
from backlot.palette import DARK, LEATHER, RGB, tint
from backlot.wardrobe import Costume

COAT: RGB = (0.36, 0.21, 0.12)


def horse(costume: Costume, skin: RGB) -> Figure:
    """A horse facing +x with a cloaked rider."""
    body = Part("torso", "", (0, 1.0))
    shaded(body, ellipse(0, 1.02, 0.62, 0.27), COAT)
    body.add(limb((-0.48, 1.02), (-0.40, 0.98), 0.26, 0.26), tint(COAT, 0.9))
    body.add(limb((0.42, 1.06), (0.46, 1.02), 0.25, 0.24), tint(COAT, 1.1))
    blanket = np.array([[-0.36, 1.28], [0.24, 1.28], [0.22, 0.82], [-0.34, 0.82]])
    neck = _neck()
    tail = Part("tail", "torso", (-0.62, 1.14))
    tail.add([[-0.58, 1.20], [-0.80, 1.12], [-0.94, 0.62], [-0.80, 0.58], [-0.66, 1.0]], DARK)
    body.add(blanket, tint(costume.edge, 0.95), True)
    body.add([[-0.32, 1.28], [0.20, 1.28], [0.19, 0.89], [-0.31, 0.89]], tint(costume.cloth, 0.85), True)
    legs = _legs()
    cape, man, head = _rider(costume, skin)
    leg = Part("boot", "torso", (-0.05, 1.30))
    leg.add(limb((-0.05, 1.28), (0.08, 0.95), 0.105, 0.09), tint(LEATHER, 0.7)).add(
        limb((0.08, 0.95), (0.02, 0.68), 0.08, 0.065), tint(LEATHER, 0.6)
    )
    order = ["far hind leg", "far hind hoof", "far fore leg", "far fore hoof"]
    near = ["near hind leg", "near hind hoof", "near fore leg", "near fore hoof"]
    return Figure(
        [legs[n] for n in order] + [tail] + [legs[n] for n in near] + [neck, body, leg, cape, man, head]
    )


def _neck() -> Part:
    neck = Part("neck", "torso", (0.48, 1.12))
    neck.add([[0.30, 1.02], [0.62, 0.98], [0.92, 1.56], [0.66, 1.66]], tint(COAT, 1.1))
    neck.add([[0.26, 1.20], [0.44, 1.36], [0.72, 1.72], [0.58, 1.70], [0.34, 1.50]], DARK)
    neck.add(
        [[0.62, 1.70], [0.84, 1.70], [1.18, 1.40], [1.12, 1.28], [0.98, 1.30], [0.76, 1.46]], tint(COAT, 1.15)
    )
    neck.add([[0.66, 1.66], [0.68, 1.84], [0.78, 1.68]], COAT)
    neck.add(ellipse(0.88, 1.58, 0.028, 0.028), DARK)
    return neck


def _legs() -> dict[str, Part]:
    legs = {}
    for name, x, gain in (
        ("far hind", -0.42, 0.65),
        ("far fore", 0.48, 0.65),
        ("near hind", -0.50, 1.0),
        ("near fore", 0.40, 1.0),
    ):
        upper = Part(f"{name} leg", "", (x, 0.92))
        upper.add(limb((x, 0.92), (x, 0.48), 0.13, 0.075), tint(COAT, gain))
        lower = Part(f"{name} hoof", f"{name} leg", (x, 0.48))
        lower.add(limb((x, 0.48), (x, 0.08), 0.07, 0.05), tint(COAT, gain))
        lower.add(box(x - 0.075, 0.0, x + 0.085, 0.11), tint(DARK, gain))
        legs[upper.name], legs[lower.name] = upper, lower
    return legs


def _rider(costume: Costume, skin: RGB) -> tuple[Part, Part, Part]:
    cape = Part("cape", "torso", (-0.06, 1.85))
    outline = np.array([[0.06, 1.90], [-0.18, 1.90], [-0.78, 1.20], [-0.62, 1.02], [-0.10, 1.22]])
    cape.add(outline, costume.cloth, True)
    cape.add([[-0.10, 1.88], [-0.18, 1.90], [-0.78, 1.20], [-0.66, 1.12]], tint(costume.cloth, 0.68), True)
    if costume.pattern == "striped":
        bands(cape, outline, costume.edge, 1.1, 1.85, 2)
    man = Part("man", "torso", (-0.05, 1.28))
    shaded(man, np.array([[-0.22, 1.88], [0.14, 1.88], [0.13, 1.25], [-0.20, 1.25]]), costume.cloth, True)
    man.add(limb((0.0, 1.80), (0.20, 1.52), 0.09, 0.075), tint(costume.cloth, 0.85), True)
    man.add(limb((0.20, 1.52), (0.44, 1.48), 0.07, 0.06), tint(costume.cloth, 0.85), True)
    man.add(ellipse(0.48, 1.48, 0.06, 0.06), skin)
    head = Part("head", "man", (-0.02, 1.92))
    head.add(ellipse(-0.02, 2.06, 0.16, 0.17), (0.22, 0.13, 0.08)).add(ellipse(0.04, 2.05, 0.115, 0.14), skin)
    head.add(ellipse(0.10, 2.07, 0.02, 0.025), DARK)
    head.add(
        [[-0.26, 2.12], [0.26, 2.10], [0.10, 2.17], [0.06, 2.30], [-0.14, 2.30], [-0.16, 2.18]],
        tint(costume.cloth, 0.9),
        True,
    )
    head.add([[-0.12, 2.2], [-0.2, 2.42], [-0.36, 2.36], [-0.22, 2.28]], costume.edge, True)
    return cape, man, head


def hoverbike(costume: Costume, skin: RGB) -> Figure:
    """A hoverbike facing +x with a helmeted rider leaning forward."""
    hull = Part("torso", "", (0, 0.6))
    steel = (0.42, 0.45, 0.52)
    shaded(
        hull,
        np.array(
            [
                [-0.95, 0.62],
                [-0.80, 0.84],
                [0.15, 0.88],
                [0.60, 0.98],
                [1.15, 0.62],
                [0.70, 0.48],
                [-0.75, 0.44],
            ]
        ),
        steel,
    )
    hull.add([[-0.85, 0.66], [0.95, 0.66], [0.75, 0.58], [-0.80, 0.56]], costume.edge, True)
    hull.add(box(-0.50, 0.84, 0.20, 0.92), DARK)
    hull.add(ellipse(0.98, 0.66, 0.08, 0.06), (0.95, 0.98, 1.0), shines=True)
    hull.add([[-0.90, 0.70], [-0.90, 0.54], [-1.30, 0.60], [-1.30, 0.64]], (0.35, 0.85, 1.0), shines=True)
    for x in (-0.55, 0.55):
        hull.add(ellipse(x, 0.42, 0.24, 0.07), tint(steel, 0.6)).add(
            ellipse(x, 0.38, 0.20, 0.04), (0.35, 0.85, 1.0), shines=True
        )
    leg = Part("boot", "torso", (-0.15, 0.95))
    leg.add(limb((-0.20, 0.98), (0.22, 0.86), 0.12, 0.10), DARK).add(
        limb((0.22, 0.86), (0.02, 0.60), 0.085, 0.07), tint(DARK, 1.3)
    )
    scarf, man, head = _pilot(costume)
    return Figure([scarf, hull, man, head, leg])


def _pilot(costume: Costume) -> tuple[Part, Part, Part]:
    man = Part("man", "torso", (-0.20, 0.96))
    jacket = np.array([[-0.36, 0.92], [-0.02, 0.92], [0.34, 1.42], [0.20, 1.58], [-0.04, 1.54]])
    man.add(jacket, costume.cloth, True)
    man.add([[-0.36, 0.92], [-0.22, 0.92], [0.06, 1.56], [-0.04, 1.54]], tint(costume.cloth, 0.66), True)
    if costume.pattern == "striped":
        bands(man, jacket, costume.edge, 1.0, 1.5, 2)
    man.add(limb((0.20, 1.42), (0.42, 1.12), 0.095, 0.08), tint(costume.cloth, 0.82), True)
    man.add(limb((0.42, 1.12), (0.62, 1.02), 0.075, 0.065), tint(costume.cloth, 0.82), True).add(
        ellipse(0.64, 1.02, 0.06, 0.06), DARK
    )
    head = Part("head", "man", (0.24, 1.56))
    shaded(head, ellipse(0.32, 1.72, 0.20, 0.20), tint(costume.cloth, 0.95), True)
    head.add([[0.32, 1.78], [0.53, 1.76], [0.52, 1.62], [0.38, 1.64]], (0.08, 0.10, 0.16))
    scarf = Part("cape", "man", (0.14, 1.54))
    scarf.add(
        [[0.24, 1.58], [0.10, 1.48], [-0.45, 1.56], [-0.72, 1.44], [-0.60, 1.66], [-0.30, 1.70]],
        costume.edge,
        True,
    )
    return scarf, man, head
