"""Sets of other worlds: the neon city street and the alien desert."""

import numpy as np

from backlot.canvas import Canvas, box, ellipse
from backlot.heavens import planet
from backlot.palette import RGB, mix, tint
from backlot.stage import Stage
from backlot.starship import AMBER, CYAN, MAGENTA, lampshade


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
            stage.lamp(x, 2.4, z, reach=3.6, strength=1.1, which=k)


def _tower(stage: Stage, canvas: Canvas, left: float, width: float, height: float, z: float) -> None:
    rng = stage.rng
    tone = mix((0.30, 0.38, 0.56), (0.58, 0.50, 0.50), rng.random())
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


def alien_desert(stage: Stage) -> None:
    """Dunes and rock spires under a ringed planet, a dome habitat with lit windows."""
    rng, light = stage.rng, stage.light
    hue = ((0.86, 0.48, 0.30), (0.80, 0.62, 0.36), (0.62, 0.42, 0.60))[int(rng.integers(3))]
    globe = ((0.88, 0.66, 0.42), (0.46, 0.66, 0.78), (0.75, 0.48, 0.58))[int(rng.integers(3))]
    side = int(rng.choice([-1, 1]))

    def view(sky: Canvas) -> None:
        planet(
            sky,
            side * rng.uniform(12, 18),
            rng.uniform(17, 20),
            rng.uniform(7, 9),
            mix(globe, light.sky[1], 0.25),
            True,
        )
        planet(
            sky,
            -side * rng.uniform(14, 22),
            rng.uniform(20, 24),
            2.4,
            mix((0.9, 0.9, 0.88), light.sky[0], 0.25),
            False,
        )

    stage.sky(view)
    stage.ground(hue, lambda c: (c.noise(rng, 0.10, 3.0, 0.35), c.noise(rng, 0.06, 0.5)))
    _mesas(stage, hue)
    _spires(stage, hue)
    _dome(stage, -side * rng.uniform(3.8, 4.6))
    _dunes(stage, hue)


def _mesas(stage: Stage, hue: RGB) -> None:
    rng = stage.rng
    mesas = stage.backdrop(50, bottom=-0.6, top=18)
    mesas.box(mesas.left, -0.6, mesas.right, 1.0, tint(hue, 0.85))
    for x in np.arange(-40, 41, 10):
        x, w, h = x + rng.uniform(-3, 3), rng.uniform(2, 4), rng.uniform(3, 8)
        mesas.polygon([[x - w * 1.5, 0], [x - w, h], [x + w, h], [x + w * 1.5, 0]], tint(hue, 0.62))
        mesas.polygon([[x + w * 0.3, 0], [x + w * 0.2, h], [x + w, h], [x + w * 1.5, 0]], tint(hue, 0.75))


def _spires(stage: Stage, hue: RGB) -> None:
    rng = stage.rng
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


def _dunes(stage: Stage, hue: RGB) -> None:
    rng = stage.rng
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
