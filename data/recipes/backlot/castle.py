"""Castle sets: the courtyard and the great hall, and the masonry they are made of."""

import numpy as np

from backlot.canvas import Canvas, box, ellipse
from backlot.heavens import heavens
from backlot.palette import RGB, mix, tint
from backlot.stage import Stage

STONE: RGB = (0.60, 0.57, 0.53)
WOOD: RGB = (0.36, 0.24, 0.15)
BANNERS: tuple[RGB, ...] = ((0.20, 0.32, 0.62), (0.16, 0.45, 0.33), (0.62, 0.56, 0.34), (0.45, 0.25, 0.52))


def torch(stage: Stage, canvas: Canvas, x: float, y: float, z: float, size: float = 1.0) -> None:
    """A wall torch: bracket, flame, and its light."""
    canvas.polygon(box(x - 0.06 * size, y - 0.7 * size, x + 0.06 * size, y), WOOD)
    if stage.light.lamps > 0:
        stage.lamp(x, y + 0.25, z - 0.6, reach=2.2 * size, strength=0.85)
        flame = (
            np.array([[-0.17, 0.05], [0.17, 0.05], [0.2, 0.3], [0.06, 0.72], [-0.04, 0.5], [-0.2, 0.32]])
            * size
        )
        canvas.glow(flame + np.array([x, y]), (1.0, 0.55, 0.12), 0.8)
        canvas.glow(flame * 0.55 + np.array([x, y + 0.05]), (1.0, 0.93, 0.55), 0.0)


def battlement(
    canvas: Canvas, left: float, right: float, bottom: float, top: float, colour: RGB, merlon: float = 0.9
) -> None:
    """A stone wall with crenellations."""
    canvas.box(left, bottom, right, top, colour)
    count = max(2, round((right - left) / (2 * merlon)))
    for k in range(count):
        x = left + (k + 0.25) * (right - left) / count
        canvas.box(x, top - 0.02, x + (right - left) / count / 2, top + 0.75 * merlon, colour)


def arched(left: float, right: float, bottom: float, spring: float, pointed: bool = False) -> np.ndarray:
    """Outline of an arched opening."""
    mid, half = (left + right) / 2, (right - left) / 2
    angle = np.linspace(0, np.pi, 17)
    rise = half * (1.5 if pointed else 1.0)
    y = spring + rise * np.sin(angle) ** (0.75 if pointed else 1.0)
    return np.vstack([[[left, bottom], [right, bottom]], np.stack([mid + half * np.cos(angle), y], 1)])


def window(stage: Stage, canvas: Canvas, x: float, y: float, w: float, h: float) -> None:
    """A small arched window, lit after sunset."""
    shape = arched(x - w, x + w, y, y + h)
    if stage.light.name == "day":
        canvas.polygon(shape, (0.15, 0.15, 0.18))
    else:
        canvas.glow(shape, (1.0, 0.70, 0.30), 0.35)


def banner(canvas: Canvas, x: float, top: float, width: float, length: float, colour: RGB) -> None:
    """A hanging swallow-tailed banner with a pale emblem."""
    cloth = [
        [x - width, top],
        [x + width, top],
        [x + width, top - length],
        [x, top - length * 0.86],
        [x - width, top - length],
    ]
    canvas.polygon(np.array(cloth), colour)
    canvas.polygon(ellipse(x, top - 0.4 * length, width * 0.5, width * 0.5), (0.85, 0.80, 0.62))
    canvas.box(x - width * 1.15, top, x + width * 1.15, top + 0.09, WOOD)


def castle_courtyard(stage: Stage) -> None:
    """A gatehouse in a crenellated wall, towers with pointed roofs, a keep behind, torches and banners."""
    rng = stage.rng
    heavens(stage)
    stone = tint(STONE, rng.uniform(0.9, 1.1))
    stage.ground(
        (0.50, 0.46, 0.41), lambda c: (c.bricks(rng, None, 0.7, 0.55, 0.16), c.noise(rng, 0.08, 1.5))
    )
    keep = stage.backdrop(26, bottom=-0.1, top=13)
    lean = float(rng.uniform(-3.5, 3.5))
    battlement(keep, lean - 3.6, lean + 3.6, -0.1, 6.6, tint(stone, 0.84), 0.7)
    for x in (lean - 4.2, lean + 4.2):
        turret(stage, keep, x, 1.05, 6.4, tint(stone, 0.90))
    keep.bricks(rng, None, 1.3, 0.6)
    wall = stage.backdrop(15, bottom=-0.2, top=9.5)
    battlement(wall, wall.left, wall.right, -0.2, 2.7, stone, 0.65)
    battlement(wall, -2.3, 2.3, -0.2, 3.7, tint(stone, 1.08), 0.5)
    for x in (-6.6, 6.6):
        turret(stage, wall, x, 1.15, 4.0, tint(stone, 1.05))
    wall.bricks(rng, None, 0.95, 0.48)
    for x in (-7.75, -5.45, -2.3, 2.3, 5.45, 7.75):
        _shadow(wall, x, 2.6)
    gate(wall)
    colour = BANNERS[rng.integers(len(BANNERS))]
    for side in (-1, 1):
        banner(wall, side * 3.9, 2.45, 0.48, 1.9, colour)
        torch(stage, wall, side * 1.75, 1.75, 15)
        torch(stage, wall, side * 5.0, 1.75, 15)
    for side in (-1, 1):
        prop = stage.piece(9.5, side * 3.4 - 1.2, side * 3.4 + 1.2, -0.02, 1.6)
        barrel(prop, side * 3.4 - 0.4, 0.9)
        barrel(prop, side * 3.4 + 0.4, 0.75)


def turret(stage: Stage, canvas: Canvas, x: float, half: float, height: float, stone: RGB) -> None:
    """A round tower with a pointed roof, a flag and a window."""
    canvas.box(x - half, -0.2, x + half, height, tint(stone, 0.8))
    canvas.box(x - 0.45 * half, -0.2, x + half, height, stone)
    canvas.box(x - 1.12 * half, height - 0.5, x + 1.12 * half, height, tint(stone, 0.9))
    peak = height + 2.3 * half
    canvas.polygon([[x - 1.3 * half, height], [x + 1.3 * half, height], [x, peak]], (0.30, 0.22, 0.34))
    canvas.polygon([[x - 0.1 * half, height], [x + 1.3 * half, height], [x, peak]], (0.42, 0.30, 0.44))
    canvas.box(x - 0.03, peak - 0.1, x + 0.03, peak + 0.8, WOOD)
    canvas.polygon([[x, peak + 0.8], [x + 0.9, peak + 0.6], [x, peak + 0.4]], (0.75, 0.62, 0.30))
    window(stage, canvas, x, height - 1.5, 0.2 * half, 0.42)


def gate(canvas: Canvas) -> None:
    """An arched gate with a portcullis."""
    canvas.polygon(arched(-1.28, 1.28, -0.2, 1.55), (0.38, 0.35, 0.33))
    canvas.polygon(arched(-1.08, 1.08, -0.2, 1.5), (0.11, 0.09, 0.10))
    for x in np.arange(-0.8, 0.9, 0.4):
        top = 1.5 + np.sqrt(1.08**2 - x * x)
        canvas.box(x - 0.045, 0.5, x + 0.045, top, (0.30, 0.25, 0.22))
    for y in (0.8, 1.4):
        canvas.box(-1.05, y, 1.05, y + 0.08, (0.30, 0.25, 0.22))


def _shadow(wall: Canvas, x: float, top: float) -> None:
    wall.shade(box(x - 0.2, -0.2, x + 0.2, top), (0.1, 0.1, 0.15), 0.35, blur=0.15)


def barrel(canvas: Canvas, x: float, height: float) -> None:
    """A wooden barrel with two hoops."""
    w = 0.34 * height
    canvas.polygon(
        [
            [x - w, 0],
            [x + w, 0],
            [x + w * 1.25, height / 2],
            [x + w, height],
            [x - w, height],
            [x - w * 1.25, height / 2],
        ],
        WOOD,
    )
    canvas.polygon(
        [[x + w * 0.2, 0], [x + w, 0], [x + w * 1.25, height / 2], [x + w, height], [x + w * 0.2, height]],
        tint(WOOD, 1.35),
    )
    for y in (0.22, 0.72):
        canvas.box(x - 1.18 * w, y * height, x + 1.18 * w, (y + 0.08) * height, (0.25, 0.25, 0.27))


def great_hall(stage: Stage) -> None:
    """A long hall: tall windows, pillars, banners, a fireplace and candle wheels."""
    rng = stage.rng
    stage.backdrop(40, bottom=-8, top=26).box(-80, -8, 80, 26, (0.05, 0.04, 0.05))
    stone = tint((0.58, 0.52, 0.46), rng.uniform(0.9, 1.1))
    pale, dark = (0.60, 0.50, 0.38), (0.34, 0.26, 0.20)

    def floor(canvas: Canvas) -> None:
        for i, x in enumerate(np.arange(np.floor(canvas.left), canvas.right, 1.0)):
            for j, z in enumerate(np.arange(2.0, canvas.top, 1.0)):
                if (i + j) % 2:
                    canvas.box(x, z, x + 1, min(z + 1, canvas.top), dark)
        canvas.noise(rng, 0.06, 0.7)

    stage.ground(pale, floor, far=16.0)
    back = stage.backdrop(16, bottom=-0.1)
    back.box(back.left, back.bottom, back.right, back.top, stone)
    back.bricks(rng, None, 1.2, 0.55, 0.09)
    _tall_windows(stage, back, stone)
    _fireplace(stage, back, stone)
    banner(back, 0, 5.6, 0.75, 2.2, BANNERS[rng.integers(len(BANNERS))])
    for z, x in ((12.5, 4.6), (9.2, 3.9)):
        pillars = stage.backdrop(z, bottom=-0.05)
        for side in (-1, 1):
            _pillar(stage, pillars, side * x, z, stone)
        beams = (0.24, 0.16, 0.11)
        pillars.box(pillars.left, 5.0, pillars.right, 5.5, beams)
        for side in (-1, 1):
            pillars.polygon(
                [
                    [side * (x - 0.3), 3.6],
                    [side * (x - 0.3), 4.2],
                    [side * (x - 1.6), 5.0],
                    [side * (x - 2.3), 5.0],
                ],
                beams,
            )


def _tall_windows(stage: Stage, back: Canvas, stone: RGB) -> None:
    light = stage.light
    glass = mix(light.sky[1], (0.75, 0.85, 0.95), 0.2) if light.name != "candle" else (0.16, 0.22, 0.46)
    for x in (-7.2, -3.6, 3.6, 7.2):
        back.polygon(arched(x - 0.85, x + 0.85, 1.7, 4.6, True), tint(stone, 0.6))
        back.glow(
            arched(x - 0.68, x + 0.68, 1.85, 4.55, True), glass, 0.30 if light.name != "candle" else 0.06
        )
        back.glow(box(x - 0.05, 1.85, x + 0.05, 5.6), tint(stone, 0.25), 0.0)
        for y in (2.6, 3.5, 4.4):
            back.glow(box(x - 0.68, y, x + 0.68, y + 0.09), tint(stone, 0.25), 0.0)


def _fireplace(stage: Stage, back: Canvas, stone: RGB) -> None:
    back.polygon(arched(-1.7, 1.7, -0.1, 1.5), tint(stone, 1.25))
    back.polygon(arched(-1.25, 1.25, -0.1, 1.2), (0.10, 0.06, 0.05))
    stage.lamp(0, 0.9, 15.0, reach=3.4, strength=1.3)
    fire = np.array(
        [[-0.8, 0], [0.8, 0], [0.7, 0.5], [0.35, 0.85], [0.2, 0.6], [-0.05, 1.35], [-0.3, 0.7], [-0.6, 0.9]]
    )
    back.glow(fire, (1.0, 0.50, 0.10), 0.6)
    back.glow(fire * [0.55, 0.6], (1.0, 0.9, 0.5), 0.0)


def _pillar(stage: Stage, canvas: Canvas, x: float, z: float, stone: RGB) -> None:
    canvas.box(x - 0.36, 0, x + 0.36, 6.5, tint(stone, 0.82))
    canvas.box(x - 0.12, 0, x + 0.20, 6.5, tint(stone, 1.05))
    canvas.box(x - 0.5, 0, x + 0.5, 0.4, tint(stone, 0.95))
    canvas.box(x - 0.55, 4.3, x + 0.55, 4.7, tint(stone, 0.95))
    stage.lamp(x, 2.3, z - 0.7, reach=2.0, strength=0.9)
    canvas.box(x - 0.3, 1.95, x + 0.3, 2.03, (0.2, 0.18, 0.16))
    for dx in (-0.22, 0.0, 0.22):
        canvas.glow(box(x + dx - 0.045, 2.03, x + dx + 0.045, 2.30), (0.95, 0.90, 0.75), 0.0)
        canvas.glow(ellipse(x + dx, 2.42, 0.06, 0.13), (1.0, 0.80, 0.35), 1.2)
