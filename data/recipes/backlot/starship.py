"""Spaceship sets: the corridor and the hangar."""

import numpy as np

from backlot.canvas import Canvas, box, ellipse
from backlot.heavens import planet
from backlot.palette import RGB, tint
from backlot.stage import Stage

HULL: RGB = (0.62, 0.66, 0.72)
CYAN: RGB = (0.25, 0.92, 1.0)
MAGENTA: RGB = (1.0, 0.22, 0.68)
AMBER: RGB = (1.0, 0.74, 0.28)


def lampshade(stage: Stage, k: int) -> RGB:
    """Colour of the k-th light strip: neon pairs at night, white by day, amber at dusk."""
    if stage.light.name == "neon":
        return (MAGENTA, CYAN)[k % 2]
    return (0.88, 0.97, 1.0) if stage.light.name == "day" else AMBER


def spaceship_corridor(stage: Stage) -> None:
    """A corridor of ribs and light strips that ends at a round hatch."""
    rng = stage.rng
    wall, far = tint(HULL, rng.uniform(0.85, 1.0)), 17.0
    stage.backdrop(40, bottom=-8, top=26).box(-80, -8, 80, 26, (0.03, 0.03, 0.05))

    def floor(canvas: Canvas) -> None:
        for z in np.arange(3, 17, 1.0):
            canvas.box(canvas.left, z, canvas.right, z + 0.12, (0.20, 0.22, 0.26))
        for x in (-1.5, 1.5):
            canvas.box(x - 0.1, canvas.bottom, x + 0.1, canvas.top, (0.20, 0.22, 0.26))
        for x in (-2.5, 2.5):
            canvas.glow(
                box(x - 0.07, canvas.bottom, x + 0.07, canvas.top), lampshade(stage, int(x > 0)), 0.35
            )

    stage.ground((0.42, 0.45, 0.50), floor, far=far)
    ceiling = stage.level(3.7, 3.0, far)
    ceiling.box(-30, 3, 30, far, tint(wall, 0.5))
    ceiling.glow(box(-0.6, 3.5, 0.6, far), lampshade(stage, 1), 0.3)
    _hatch(stage, wall, far)
    for side in (-1, 1):
        _panels(stage, side, wall, far)
    for z in (8.6, 12.4):
        _rib(stage, z, wall)


def _hatch(stage: Stage, wall: RGB, far: float) -> None:
    end = stage.backdrop(far, bottom=-0.05, top=4.0)
    end.box(end.left, -0.05, end.right, 4.0, tint(wall, 0.8))
    end.polygon(ellipse(0, 1.75, 1.75, 1.75), tint(wall, 1.2))
    end.polygon(ellipse(0, 1.75, 1.45, 1.45), (0.22, 0.24, 0.30))
    end.box(-0.05, 0.3, 0.05, 3.2, (0.08, 0.09, 0.12))
    end.glow(box(-0.35, 2.35, 0.35, 2.55), lampshade(stage, 0), 0.7)


def _panels(stage: Stage, side: int, wall: RGB, far: float) -> None:
    rng = stage.rng
    panel = stage.wall(side * 3.3, 3.0, far, 3.7)
    panel.box(3, -0.05, far, 3.7, wall)
    panel.box(3, 0, far, 0.5, tint(wall, 0.55))
    for k, z in enumerate(np.arange(3.2, far, 1.4)):
        panel.box(z, 0.7, z + 1.2, 1.5, tint(wall, rng.uniform(0.72, 0.95)))
        panel.box(z, 2.3, z + 1.2, 3.1, tint(wall, rng.uniform(0.8, 1.05)))
        if k % 2 == 0:
            panel.glow(
                box(z + 0.15, 2.45, z + 0.6, 2.9),
                (AMBER, CYAN, (0.3, 1.0, 0.5))[int(rng.integers(3))],
                0.3,
            )
    panel.glow(box(3, 1.75, far, 2.0), lampshade(stage, int(side > 0)), 0.5)
    for z in (7.0, 10.5, 14.0):
        stage.lamp(side * 2.6, 1.9, z, reach=2.3, which=int(side > 0))


def _rib(stage: Stage, z: float, wall: RGB) -> None:
    rib = stage.backdrop(z, bottom=-0.05, top=4.6)
    for side in (-1, 1):
        rib.polygon(
            [
                [side * 3.5, 0],
                [side * 2.75, 0],
                [side * 2.75, 2.5],
                [side * 2.0, 3.35],
                [side * 2.0, 3.8],
                [side * 3.5, 3.8],
            ],
            tint(wall, 0.62),
        )
        rib.polygon(
            [[side * 2.86, 0], [side * 2.75, 0], [side * 2.75, 2.5], [side * 2.86, 2.56]], tint(wall, 1.3)
        )
        rib.glow(box(side * 3.05 - 0.05, 0.5, side * 3.05 + 0.05, 2.3), lampshade(stage, int(side > 0)), 0.6)
    rib.box(-2.1, 3.35, 2.1, 3.8, tint(wall, 0.62))


def hangar(stage: Stage) -> None:
    """A fighter in a hangar whose gate opens on space or sky."""
    rng = stage.rng

    def view(sky: Canvas) -> None:
        planet(
            sky,
            rng.uniform(-12, 12),
            15,
            9,
            ((0.35, 0.55, 0.80), (0.80, 0.55, 0.38), (0.55, 0.70, 0.55))[int(rng.integers(3))],
            bool(rng.random() < 0.5),
        )

    stage.sky(view)

    def floor(canvas: Canvas) -> None:
        canvas.noise(rng, 0.05, 1.0)
        for z in np.arange(3, 13, 2.0):
            canvas.box(canvas.left, z, canvas.right, z + 0.06, (0.30, 0.32, 0.36))
        for x in (-2.6, 2.6):
            for z in np.arange(2.6, 13, 0.8):
                canvas.polygon(
                    [[x - 0.2, z], [x + 0.2, z + 0.2], [x + 0.2, z + 0.6], [x - 0.2, z + 0.4]],
                    (0.95, 0.78, 0.15),
                )

    stage.ground((0.50, 0.52, 0.56), floor, far=22.0)
    _hangar_gate(stage)
    for x, which in ((-4.5, 0), (4.5, 1), (0, 0)):
        stage.lamp(x, 5.0, 11, reach=3.6, which=which)
        stage.lamp(x, 3.5, 20, reach=3.0, which=which + 1)
    _fighter(stage, rng.choice([-1, 1]) * rng.uniform(3.0, 3.8))
    _crates(stage)


def _hangar_gate(stage: Stage) -> None:
    gate = stage.backdrop(22, bottom=-0.2)
    gate.box(gate.left, -0.2, -6.0, gate.top, tint(HULL, 0.7))
    gate.box(6.0, -0.2, gate.right, gate.top, tint(HULL, 0.7))
    gate.box(-6.2, 6.2, 6.2, gate.top, tint(HULL, 0.62))
    for side in (-1, 1):
        gate.polygon([[side * 6.1, 6.3], [side * 3.6, 6.3], [side * 6.1, 3.8]], tint(HULL, 0.62))
        gate.glow(box(side * 6.35 - 0.12, 0.3, side * 6.35 + 0.12, 5.8), lampshade(stage, int(side > 0)), 0.6)
        for x in np.arange(7.5, gate.right, 2.2):
            gate.box(side * x - 0.15, -0.2, side * x + 0.15, gate.top, tint(HULL, 0.5))
    for x in np.arange(-5.2, 5.3, 2.6):
        gate.glow(box(x - 0.5, 6.75, x + 0.5, 6.95), lampshade(stage, int(x > 0)), 0.5)


def _crates(stage: Stage) -> None:
    rng = stage.rng
    crates = stage.piece(8.8, -6, 6, -0.02, 2.0)
    side = rng.choice([-1, 1])
    for x, y, w in ((3.3, 0, 0.9), (4.3, 0, 0.8), (3.7, 0.8, 0.75)):
        colour = ((0.72, 0.46, 0.18), (0.28, 0.46, 0.40), (0.40, 0.42, 0.50))[int(rng.integers(3))]
        left = side * x - w / 2
        crates.box(left, y, left + w, y + 0.8, colour)
        crates.box(left + 0.08, y + 0.1, left + w - 0.08, y + 0.7, tint(colour, 0.75))
        crates.box(left + w / 2 - 0.06, y, left + w / 2 + 0.06, y + 0.8, colour)


def _fighter(stage: Stage, x: float) -> None:
    rng = stage.rng
    paint = ((0.82, 0.35, 0.22), (0.25, 0.45, 0.75), (0.85, 0.72, 0.25))[int(rng.integers(3))]
    c = stage.piece(14, x - 5.6, x + 5.6, -0.1, 4.8)
    grey = (0.74, 0.76, 0.80)
    for side in (-1, 1):
        c.polygon(
            [[x + side * 0.6, 1.9], [x + side * 4.9, 1.0], [x + side * 5.1, 1.3], [x + side * 0.6, 2.7]],
            tint(grey, 0.82),
        )
        c.polygon(
            [[x + side * 3.0, 1.55], [x + side * 4.9, 1.1], [x + side * 5.1, 1.3], [x + side * 3.0, 2.0]],
            paint,
        )
        c.polygon(ellipse(x + side * 1.7, 1.75, 0.55, 0.55), tint(grey, 0.6))
        c.glow(ellipse(x + side * 1.7, 1.75, 0.34, 0.34), CYAN if stage.light.name != "dusk" else AMBER, 0.6)
        c.box(x + side * 1.2 - 0.08, 0, x + side * 1.2 + 0.08, 1.4, (0.3, 0.3, 0.34))
        c.polygon(
            [[x + side * 0.4, 2.6], [x + side * 1.3, 4.4], [x + side * 1.5, 4.4], [x + side * 0.9, 2.4]],
            paint,
        )
    c.polygon(ellipse(x, 2.1, 1.15, 0.95), grey)
    c.polygon(ellipse(x, 1.9, 1.10, 0.72), tint(grey, 0.85))
    c.polygon(ellipse(x, 2.5, 0.62, 0.48), (0.12, 0.18, 0.30))
    c.polygon(ellipse(x - 0.15, 2.62, 0.28, 0.2), (0.55, 0.75, 0.90))
