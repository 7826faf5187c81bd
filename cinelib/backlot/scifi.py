"""Sets of the science-fiction world: spaceship corridor, neon city street, hangar, alien desert."""

import numpy as np

from cinelib.backlot.canvas import Canvas, box, ellipse
from cinelib.backlot.palette import RGB, mix, tint
from cinelib.backlot.stage import Stage

HULL: RGB = (0.62, 0.66, 0.72)
CYAN: RGB = (0.25, 0.92, 1.0)
MAGENTA: RGB = (1.0, 0.22, 0.68)
AMBER: RGB = (1.0, 0.74, 0.28)


def lampshade(stage: Stage, k: int) -> RGB:
    """Colour of the k-th light strip: neon pairs at night, white by day, amber at dusk."""
    if stage.light.name == "neon":
        return (MAGENTA, CYAN)[k % 2]
    return (0.88, 0.97, 1.0) if stage.light.name == "day" else AMBER


def _planet(sky: Canvas, x: float, y: float, r: float, colour: RGB, ring: bool) -> None:
    if ring:
        back = ellipse(x, y, r * 2.0, r * 0.42)
        sky.polygon(back, tint(mix(colour, (1, 1, 1), 0.45), 0.9))
        sky.polygon(ellipse(x, y, r * 1.55, r * 0.28), tint(colour, 0.45))
    sky.polygon(ellipse(x, y, r, r), tint(colour, 0.62))
    sky.polygon(ellipse(x - 0.10 * r, y + 0.08 * r, r * 0.90, r * 0.90), colour)
    for k, dy in enumerate((-0.4, 0.0, 0.42)):
        w = np.sqrt(1 - dy**2) * 0.86 * r
        sky.shade(ellipse(x - 0.08 * r, y + dy * r, w, 0.09 * r), tint(colour, 1.25 if k % 2 else 0.7), 0.55)
    if ring:
        front = ellipse(x, y, r * 2.0, r * 0.42, np.pi, 2 * np.pi)
        inner = ellipse(x, y, r * 1.55, r * 0.28, np.pi, 2 * np.pi)[::-1]
        sky.polygon(np.vstack([front, inner]), mix(colour, (1, 1, 1), 0.55))


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
    end = stage.backdrop(far, bottom=-0.05, top=4.0)
    end.box(end.left, -0.05, end.right, 4.0, tint(wall, 0.8))
    end.polygon(ellipse(0, 1.75, 1.75, 1.75), tint(wall, 1.2))
    end.polygon(ellipse(0, 1.75, 1.45, 1.45), (0.22, 0.24, 0.30))
    end.box(-0.05, 0.3, 0.05, 3.2, (0.08, 0.09, 0.12))
    end.glow(box(-0.35, 2.35, 0.35, 2.55), lampshade(stage, 0), 0.7)
    for side in (-1, 1):
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
        for k, z in enumerate((7.0, 10.5, 14.0)):
            stage.lamp(side * 2.6, 1.9, z, reach=2.3, which=int(side > 0) + k * 0)
    for z in (8.6, 12.4):
        rib = stage.backdrop(z, bottom=-0.05, top=4.6)
        for side in (-1, 1):
            rib.polygon(
                np.array(
                    [
                        [side * 3.5, 0],
                        [side * 2.75, 0],
                        [side * 2.75, 2.5],
                        [side * 2.0, 3.35],
                        [side * 2.0, 3.8],
                        [side * 3.5, 3.8],
                    ]
                ),
                tint(wall, 0.62),
            )
            rib.polygon(
                np.array([[side * 2.86, 0], [side * 2.75, 0], [side * 2.75, 2.5], [side * 2.86, 2.56]]),
                tint(wall, 1.3),
            )
            rib.glow(
                box(side * 3.05 - 0.05, 0.5, side * 3.05 + 0.05, 2.3), lampshade(stage, int(side > 0)), 0.6
            )
        rib.box(-2.1, 3.35, 2.1, 3.8, tint(wall, 0.62))


def neon_city(stage: Stage) -> None:
    """A wet street between towers with lit windows and signs."""
    rng, light = stage.rng, stage.light
    stage.sky()
    bright = light.name == "day"

    def street(canvas: Canvas) -> None:
        canvas.noise(rng, 0.10, 1.2)
        if not bright:
            for _ in range(16):
                x, z = rng.uniform(-7, 7), rng.uniform(4, 12)
                tone = (MAGENTA, CYAN, AMBER)[int(rng.integers(3))]
                canvas.shade(
                    ellipse(x, z, rng.uniform(0.25, 0.6), rng.uniform(0.8, 2.2)), tone, 0.55, blur=0.12
                )
        for z in np.arange(3.2, 13, 2.0):
            canvas.box(-0.09, z, 0.09, z + 1.0, (0.85, 0.82, 0.62))

    stage.ground((0.27, 0.28, 0.34), street)
    for z, inner, count, tall in ((55, 0.0, 16, 24), (30, 3.0, 6, 15), (15.5, 3.5, 3, 9.5)):
        row = stage.backdrop(z, bottom=-0.5)
        for side in (-1, 1):
            x = inner
            for _ in range(count):
                w, h = rng.uniform(0.11, 0.2) * z, tall * rng.uniform(0.6, 1.25)
                _tower(stage, row, x if side > 0 else -x - w, w, h, z)
                x += w + 0.02 * z
    for side in (-1, 1):
        for k, (z, x) in enumerate(((15.3, 4.2), (11.0, 3.6))):
            _sign(stage, side * x, z, k + int(side > 0))
    if not bright:
        for x, z, k in ((-3.2, 7.5, 0), (3.2, 7.5, 1), (-3.5, 13, 1), (3.5, 13, 0)):
            stage.lamp(x, 2.4, z, reach=2.8, which=k)


def _tower(stage: Stage, canvas: Canvas, left: float, width: float, height: float, z: float) -> None:
    rng = stage.rng
    tone = mix((0.34, 0.36, 0.46), (0.50, 0.52, 0.58), rng.random())
    canvas.box(left, -0.5, left + width, height, tone)
    canvas.box(left, -0.5, left + 0.22 * width, height, tint(tone, 0.72))
    canvas.box(left + 0.4 * width, height, left + 0.44 * width, height + 0.08 * z, tint(tone, 0.7))
    step = 0.034 * z
    columns = np.arange(left + 0.3 * width, left + 0.92 * width, step)
    for y in np.arange(0.09 * z, height - step, step * 1.25):
        for x in columns:
            if rng.random() < 0.62:
                pane = box(x, y, x + 0.55 * step, y + 0.6 * step)
                if stage.light.name == "day":
                    canvas.polygon(pane, (0.62, 0.78, 0.90))
                else:
                    tone = ((1.0, 0.82, 0.45), (0.55, 0.85, 1.0), (0.95, 0.5, 0.85))[int(rng.integers(3))]
                    canvas.polygon(pane, tone) if z > 40 else canvas.glow(pane, tint(tone, 0.85), 0.0)


def _sign(stage: Stage, x: float, z: float, k: int) -> None:
    rng = stage.rng
    canvas = stage.piece(z, x - 1.7, x + 1.7, 0.2, 5.6)
    tone = (MAGENTA, CYAN, AMBER, (0.35, 1.0, 0.45))[(k + int(rng.integers(4))) % 4]
    dark = (0.10, 0.08, 0.14)
    canvas.box(x - 0.55, 1.6, x + 0.55, 4.6, dark)
    for left, right in ((x - 0.55, x - 0.47), (x + 0.47, x + 0.55)):
        canvas.glow(box(left, 1.6, right, 4.6), tone, 0.8)
    for y in (3.7, 2.8, 1.9):
        kind = rng.integers(3)
        if kind == 0:
            canvas.glow(box(x - 0.3, y, x + 0.3, y + 0.14), tone, 0.7)
            canvas.glow(box(x - 0.07, y, x + 0.07, y + 0.6), tone, 0.7)
        elif kind == 1:
            canvas.glow(ellipse(x, y + 0.3, 0.3, 0.3), tone, 0.7)
            canvas.glow(ellipse(x, y + 0.3, 0.16, 0.16), dark, 0.0)
        else:
            for dy in (0.0, 0.24, 0.48):
                canvas.glow(box(x - 0.3, y + dy, x + 0.3, y + dy + 0.12), tone, 0.6)
    canvas.box(x - 0.06, 0.2, x + 0.06, 1.6, (0.2, 0.2, 0.24))


def hangar(stage: Stage) -> None:
    """A fighter in a hangar whose gate opens on space or sky."""
    rng, light = stage.rng, stage.light

    def view(sky: Canvas) -> None:
        _planet(
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
                    np.array([[x - 0.2, z], [x + 0.2, z + 0.2], [x + 0.2, z + 0.6], [x - 0.2, z + 0.4]]),
                    (0.95, 0.78, 0.15),
                )

    stage.ground((0.50, 0.52, 0.56), floor, far=22.0)
    gate = stage.backdrop(22, bottom=-0.2)
    gate.box(gate.left, -0.2, -6.0, gate.top, tint(HULL, 0.7))
    gate.box(6.0, -0.2, gate.right, gate.top, tint(HULL, 0.7))
    gate.box(-6.2, 6.2, 6.2, gate.top, tint(HULL, 0.62))
    for side in (-1, 1):
        gate.polygon(np.array([[side * 6.1, 6.3], [side * 3.6, 6.3], [side * 6.1, 3.8]]), tint(HULL, 0.62))
        gate.glow(box(side * 6.35 - 0.12, 0.3, side * 6.35 + 0.12, 5.8), lampshade(stage, int(side > 0)), 0.6)
        for x in np.arange(7.5, gate.right, 2.2):
            gate.box(side * x - 0.15, -0.2, side * x + 0.15, gate.top, tint(HULL, 0.5))
    for x in np.arange(-5.2, 5.3, 2.6):
        gate.glow(box(x - 0.5, 6.75, x + 0.5, 6.95), lampshade(stage, int(x > 0)), 0.5)
    for x, which in ((-4.5, 0), (4.5, 1), (0, 0)):
        stage.lamp(x, 5.0, 11, reach=3.6, which=which)
        stage.lamp(x, 3.5, 20, reach=3.0, which=which + 1)
    _fighter(stage, rng.choice([-1, 1]) * rng.uniform(3.0, 3.8))
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
            np.array(
                [[x + side * 0.6, 1.9], [x + side * 4.9, 1.0], [x + side * 5.1, 1.3], [x + side * 0.6, 2.7]]
            ),
            tint(grey, 0.82),
        )
        c.polygon(
            np.array(
                [[x + side * 3.0, 1.55], [x + side * 4.9, 1.1], [x + side * 5.1, 1.3], [x + side * 3.0, 2.0]]
            ),
            paint,
        )
        c.polygon(ellipse(x + side * 1.7, 1.75, 0.55, 0.55), tint(grey, 0.6))
        c.glow(ellipse(x + side * 1.7, 1.75, 0.34, 0.34), CYAN if stage.light.name != "dusk" else AMBER, 0.6)
        c.box(x + side * 1.2 - 0.08, 0, x + side * 1.2 + 0.08, 1.4, (0.3, 0.3, 0.34))
        c.polygon(
            np.array(
                [[x + side * 0.4, 2.6], [x + side * 1.3, 4.4], [x + side * 1.5, 4.4], [x + side * 0.9, 2.4]]
            ),
            paint,
        )
    c.polygon(ellipse(x, 2.1, 1.15, 0.95), grey)
    c.polygon(ellipse(x, 1.9, 1.10, 0.72), tint(grey, 0.85))
    c.polygon(ellipse(x, 2.5, 0.62, 0.48), (0.12, 0.18, 0.30))
    c.polygon(ellipse(x - 0.15, 2.62, 0.28, 0.2), (0.55, 0.75, 0.90))


def alien_desert(stage: Stage) -> None:
    """Dunes and rock spires under a ringed planet, a dome habitat with lit windows."""
    rng, light = stage.rng, stage.light
    hue = ((0.86, 0.48, 0.30), (0.80, 0.62, 0.36), (0.62, 0.42, 0.60))[int(rng.integers(3))]
    planet = ((0.88, 0.66, 0.42), (0.46, 0.66, 0.78), (0.75, 0.48, 0.58))[int(rng.integers(3))]
    side = int(rng.choice([-1, 1]))

    def view(sky: Canvas) -> None:
        _planet(
            sky,
            side * rng.uniform(12, 18),
            rng.uniform(17, 20),
            rng.uniform(7, 9),
            mix(planet, light.sky[1], 0.25),
            True,
        )
        _planet(
            sky,
            -side * rng.uniform(14, 22),
            rng.uniform(20, 24),
            2.4,
            mix((0.9, 0.9, 0.88), light.sky[0], 0.25),
            False,
        )

    stage.sky(view)
    stage.ground(hue, lambda c: (c.noise(rng, 0.10, 3.0, 0.35), c.noise(rng, 0.06, 0.5)))
    mesas = stage.backdrop(50, bottom=-0.6, top=18)
    mesas.box(mesas.left, -0.6, mesas.right, 1.0, tint(hue, 0.85))
    for x in np.arange(-40, 41, 10):
        x, w, h = x + rng.uniform(-3, 3), rng.uniform(2, 4), rng.uniform(3, 8)
        mesas.polygon(np.array([[x - w * 1.5, 0], [x - w, h], [x + w, h], [x + w * 1.5, 0]]), tint(hue, 0.62))
        mesas.polygon(
            np.array([[x + w * 0.3, 0], [x + w * 0.2, h], [x + w, h], [x + w * 1.5, 0]]), tint(hue, 0.75)
        )
    rocks = stage.backdrop(20, bottom=-0.1, top=11)
    for _ in range(7):
        x = rng.uniform(3.5, rocks.right) * rng.choice([-1, 1])
        w, h = rng.uniform(0.7, 1.5), rng.uniform(2.5, 6.5)
        spire = np.array(
            [
                [x - w, -0.1],
                [x - 0.75 * w, 0.55 * h],
                [x - 0.35 * w, h],
                [x + 0.25 * w, 0.92 * h],
                [x + 0.6 * w, 0.4 * h],
                [x + 1.1 * w, -0.1],
            ]
        )
        rocks.polygon(spire, tint(hue, 0.55))
        rocks.polygon(np.vstack([spire[2:], [[x - 0.1 * w, -0.1]]]), tint(hue, 0.78))
    _dome(stage, -side * rng.uniform(3.8, 4.6))
    dunes = stage.backdrop(28, bottom=-0.2, top=4)
    x = np.linspace(dunes.left, dunes.right, 80)
    y = 0.9 + 0.7 * np.sin(x / 3.1 + rng.uniform(0, 6)) + 0.3 * np.sin(x / 1.3 + rng.uniform(0, 6))
    dunes.polygon(
        np.vstack([np.stack([x, y], 1), [[dunes.right, -0.2], [dunes.left, -0.2]]]), tint(hue, 0.92)
    )


def _dome(stage: Stage, x: float) -> None:
    c = stage.piece(15, x - 3.2, x + 3.2, -0.1, 4.2)
    shell = (0.82, 0.84, 0.86)
    c.polygon(ellipse(x, 0, 2.6, 2.7, 0, np.pi), tint(shell, 0.7))
    c.polygon(ellipse(x + 0.25, 0, 2.2, 2.5, 0, np.pi), shell)
    for k in (-0.9, 0.0, 0.9):
        c.box(x + k * 2.0 - 0.04, 0, x + k * 2.0 + 0.04, 2.4 * np.sqrt(1 - 0.7 * k * k), tint(shell, 0.6))
    c.box(x - 2.6, 0.9, x + 2.6, 1.0, tint(shell, 0.6))
    c.polygon(ellipse(x, 0, 0.62, 1.3, 0, np.pi), (0.18, 0.2, 0.24))
    for dx in (-1.5, 1.5):
        c.glow(
            ellipse(x + dx, 1.35, 0.3, 0.24),
            lampshade(stage, int(dx > 0)) if stage.light.name != "day" else (0.35, 0.6, 0.8),
            0.5,
        )
    c.box(x + 0.9, 2.2, x + 0.97, 4.0, (0.4, 0.4, 0.44))
    c.glow(ellipse(x + 0.93, 4.02, 0.1, 0.1), (1.0, 0.3, 0.2), 0.8)
    if stage.night or stage.light.name == "dusk":
        for k, dx in enumerate((-1.8, 1.8)):
            stage.lamp(x + dx, 1.6, 13.6, reach=2.4, which=k)


SETS = {
    "spaceship corridor": spaceship_corridor,
    "neon city": neon_city,
    "hangar": hangar,
    "alien desert": alien_desert,
}
LIGHTS_OF = {
    "spaceship corridor": ("day", "dusk", "neon"),
    "neon city": ("day", "dusk", "neon"),
    "hangar": ("day", "dusk", "neon"),
    "alien desert": ("day", "dusk", "neon"),
}
