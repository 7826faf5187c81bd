"""Sets of the historical world: castle courtyard, village street, great hall, forest road."""

import numpy as np

from cinelib.backlot.canvas import Canvas, box, ellipse
from cinelib.backlot.palette import RGB, mix, tint
from cinelib.backlot.stage import Stage

STONE: RGB = (0.60, 0.57, 0.53)
WOOD: RGB = (0.36, 0.24, 0.15)
BANNERS: tuple[RGB, ...] = ((0.20, 0.32, 0.62), (0.16, 0.45, 0.33), (0.62, 0.56, 0.34), (0.45, 0.25, 0.52))


def heavens(stage: Stage) -> None:
    """Sky with a moon, a low sun or clouds, and hills on the horizon."""
    rng, light = stage.rng, stage.light

    def paint(sky: Canvas) -> None:
        x = rng.uniform(10, 26) * rng.choice([-1, 1])
        if light.stars:
            sky.glow(ellipse(x, 22, 3.2, 3.2), (0.96, 0.95, 0.85), 0.35)
        elif light.name == "dusk":
            sky.glow(ellipse(x, 6.5, 3.6, 3.6), (1.0, 0.86, 0.52), 0.6)
        if not light.stars:
            tone = (1.0, 0.70, 0.55) if light.name == "dusk" else (1.0, 1.0, 1.0)
            for _ in range(12):
                cx, cy, w = rng.uniform(-70, 70), rng.uniform(13, 34), rng.uniform(5, 13)
                sky.shade(ellipse(cx, cy, w, w * 0.14), tone, 0.75, blur=0.5)
                sky.shade(ellipse(cx + w * 0.2, cy + w * 0.12, w * 0.5, w * 0.16), tone, 0.7, blur=0.5)

    stage.sky(paint)
    hills = stage.backdrop(61, bottom=-8, top=12)
    for level, tone in ((5.5, 0.8), (3.2, 0.62)):
        x = np.linspace(hills.left, hills.right, 60)
        y = level + 1.6 * np.sin(x / 9 + rng.uniform(0, 6)) + 0.9 * np.sin(x / 4.1 + rng.uniform(0, 6))
        ridge = np.vstack([np.stack([x, y], 1), [[hills.right, -8], [hills.left, -8]]])
        hills.polygon(ridge, tint((0.36, 0.50, 0.38), tone))


def torch(stage: Stage, canvas: Canvas, x: float, y: float, z: float, size: float = 1.0) -> None:
    """A wall torch: bracket, flame, and its light."""
    canvas.polygon(box(x - 0.06 * size, y - 0.7 * size, x + 0.06 * size, y), WOOD)
    if stage.light.lamps > 0:
        stage.lamp(x, y + 0.25, z - 0.6, reach=2.6 * size)
        flame = (
            np.array([[-0.17, 0.05], [0.17, 0.05], [0.2, 0.3], [0.06, 0.72], [-0.04, 0.5], [-0.2, 0.32]])
            * size
        )
        canvas.glow(flame + [x, y], (1.0, 0.55, 0.12), 0.8)
        canvas.glow(flame * [0.55, 0.55] + [x, y + 0.05], (1.0, 0.93, 0.55), 0.0)


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
    """A keep with a gate between round towers, torches and banners."""
    rng = stage.rng
    heavens(stage)
    stone = tint(STONE, rng.uniform(0.9, 1.1))
    stage.ground(
        (0.50, 0.46, 0.41), lambda c: (c.bricks(rng, None, 0.7, 0.55, 0.16), c.noise(rng, 0.08, 1.5))
    )
    keep = stage.backdrop(22, bottom=-0.1, top=13)
    battlement(keep, -7.5, 7.5, -0.3, 7.6, tint(stone, 0.92))
    keep.bricks(rng, None, 1.3, 0.6)
    for side in (-1, 1):
        window(stage, keep, side * 4.6, 5.2, 0.34, 0.8)
    wall = stage.backdrop(15, bottom=-0.2, top=9.5)
    battlement(wall, wall.left, wall.right, -0.2, 3.6, stone)
    for x in (-3.1, 3.1):
        battlement(wall, x - 1.35, x + 1.35, -0.2, 6.2, tint(stone, 1.08), 0.55)
    for x in (-8.8, 8.8):
        wall.box(x - 1.1, -0.2, x + 1.1, 5.6, tint(stone, 1.02))
        wall.polygon(np.array([[x - 1.5, 5.5], [x + 1.5, 5.5], [x, 8.6]]), (0.42, 0.24, 0.22))
        window(stage, wall, x, 3.9, 0.2, 0.5)
    wall.bricks(rng, None, 0.95, 0.48)
    wall.polygon(arched(-1.5, 1.5, -0.2, 2.0), (0.13, 0.10, 0.10))
    for x in np.arange(-1.2, 1.3, 0.4):
        wall.box(x - 0.05, -0.2, x + 0.05, 3.3, (0.25, 0.20, 0.17))
    colour = BANNERS[rng.integers(len(BANNERS))]
    for side in (-1, 1):
        window(stage, wall, side * 3.1, 4.6, 0.22, 0.5)
        banner(wall, side * 5.9, 3.2, 0.55, 2.3, colour)
        torch(stage, wall, side * 1.95, 2.0, 15)
        torch(stage, wall, side * 7.4, 2.0, 15)
        _shadow(wall, side * 4.45)
    for side in (-1, 1):
        prop = stage.piece(9.5, side * 3.4 - 1.2, side * 3.4 + 1.2, -0.02, 1.6)
        barrel(prop, side * 3.4 - 0.4, 0.9)
        barrel(prop, side * 3.4 + 0.4, 0.75)


def _shadow(wall: Canvas, x: float) -> None:
    wall.shade(box(x - 0.25, -0.2, x + 0.25, 3.6), (0.1, 0.1, 0.15), 0.35, blur=0.15)


def barrel(canvas: Canvas, x: float, height: float) -> None:
    """A wooden barrel with two hoops."""
    w = 0.34 * height
    canvas.polygon(
        np.array(
            [
                [x - w, 0],
                [x + w, 0],
                [x + w * 1.25, height / 2],
                [x + w, height],
                [x - w, height],
                [x - w * 1.25, height / 2],
            ]
        ),
        WOOD,
    )
    canvas.polygon(
        np.array(
            [[x + w * 0.2, 0], [x + w, 0], [x + w * 1.25, height / 2], [x + w, height], [x + w * 0.2, height]]
        ),
        tint(WOOD, 1.35),
    )
    for y in (0.22, 0.72):
        canvas.box(x - 1.18 * w, y * height, x + 1.18 * w, (y + 0.08) * height, (0.25, 0.25, 0.27))


def _house(stage: Stage, canvas: Canvas, left: float, width: float, eaves: float, colour: RGB) -> None:
    right, mid = left + width, left + width / 2
    canvas.box(left, -0.1, right, eaves, colour)
    canvas.box(left, -0.1, right, 0.7, (0.48, 0.45, 0.42))
    roof = np.array([[left - 0.45, eaves - 0.1], [right + 0.45, eaves - 0.1], [mid, eaves + 0.62 * width]])
    canvas.polygon(np.array([[left, eaves - 0.1], [right, eaves - 0.1], [mid, eaves + 0.5 * width]]), colour)
    tiles = stage.rng.choice([0.85, 1.0, 1.15])
    for edge in (0, 1):
        canvas.polygon(
            np.array(
                [roof[edge], roof[2], roof[2] - [0, 0.55], roof[edge] + [0.55 if edge == 0 else -0.55, 0]]
            ),
            tint((0.46, 0.25, 0.18), tiles),
        )
    beam = 0.09
    for x in (left, mid - beam, right - 2 * beam):
        canvas.box(x, 0.7, x + 2 * beam, eaves, WOOD)
    canvas.box(left, eaves - 0.2, right, eaves, WOOD)
    canvas.box(left, eaves * 0.52, right, eaves * 0.52 + 0.18, WOOD)
    for x in (left + 0.27 * width, left + 0.75 * width):
        window(stage, canvas, x, eaves * 0.66, 0.11 * width, 0.4)
    canvas.polygon(arched(left + 0.62 * width, left + 0.88 * width, 0, 1.35), tint(WOOD, 0.75))


def village_street(stage: Stage) -> None:
    """Timber-framed houses on both sides of a dirt street, a church behind."""
    rng = stage.rng
    heavens(stage)

    def road(canvas: Canvas) -> None:
        canvas.noise(rng, 0.14, 0.8)
        for x in (-0.9, 0.9):
            canvas.shade(box(x - 0.2, canvas.bottom, x + 0.2, canvas.top), (0.26, 0.19, 0.13), 0.6, blur=0.06)

    stage.ground((0.55, 0.44, 0.32), road)
    church = stage.backdrop(34, bottom=-0.1, top=16)
    church.box(-2.0, -0.1, 2.0, 9.0, (0.64, 0.62, 0.60))
    church.polygon(np.array([[-2.5, 9], [2.5, 9], [0, 15.0]]), (0.35, 0.30, 0.36))
    church.box(2.0, -0.1, 9.0, 5.0, (0.60, 0.58, 0.56))
    church.polygon(np.array([[1.8, 5], [9.5, 5], [8.4, 7.6], [2.0, 7.6]]), (0.35, 0.30, 0.36))
    window(stage, church, 0, 6.0, 0.5, 1.0)
    plaster = ((0.86, 0.78, 0.62), (0.80, 0.66, 0.50), (0.74, 0.74, 0.68), (0.84, 0.70, 0.56))
    for z, inner in ((19, 3.4), (12.5, 3.0)):
        row = stage.backdrop(z, bottom=-0.1, top=9.5)
        for side in (-1, 1):
            edge = inner
            while edge < row.right - 1:
                width = rng.uniform(2.8, 3.8)
                left = edge if side > 0 else -edge - width
                _house(stage, row, left, width, rng.uniform(3.0, 3.9), plaster[rng.integers(4)])
                edge += width + 0.3
            if stage.night or stage.light.name == "dusk":
                torch(stage, row, side * (inner + 0.15), 1.9, z)
    cart = stage.piece(9.0, 2.4, 5.2, -0.02, 1.9)
    cart.box(2.6, 0.62, 5.0, 1.2, tint(WOOD, 1.2))
    cart.polygon(
        np.array([[2.6, 1.15], [5.0, 1.15], [4.6, 1.65], [3.4, 1.75], [2.9, 1.5]]), (0.80, 0.66, 0.30)
    )
    for x in (3.1, 4.5):
        cart.polygon(ellipse(x, 0.45, 0.45, 0.45), tint(WOOD, 0.7))
        cart.polygon(ellipse(x, 0.45, 0.32, 0.32), tint(WOOD, 1.4))
        cart.polygon(ellipse(x, 0.45, 0.1, 0.1), tint(WOOD, 0.6))


def great_hall(stage: Stage) -> None:
    """A long hall: tall windows, pillars, banners, a fireplace and candle wheels."""
    rng, light = stage.rng, stage.light
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
    glass = mix(light.sky[1], (0.75, 0.85, 0.95), 0.2) if light.name != "candle" else (0.16, 0.22, 0.46)
    for x in (-7.2, -3.6, 3.6, 7.2):
        back.polygon(arched(x - 0.85, x + 0.85, 1.7, 4.6, True), tint(stone, 0.6))
        back.glow(
            arched(x - 0.68, x + 0.68, 1.85, 4.55, True), glass, 0.30 if light.name != "candle" else 0.06
        )
        back.glow(box(x - 0.05, 1.85, x + 0.05, 5.6), tint(stone, 0.25), 0.0)
        for y in (2.6, 3.5, 4.4):
            back.glow(box(x - 0.68, y, x + 0.68, y + 0.09), tint(stone, 0.25), 0.0)
    back.polygon(arched(-1.7, 1.7, -0.1, 1.5), tint(stone, 1.25))
    back.polygon(arched(-1.25, 1.25, -0.1, 1.2), (0.10, 0.06, 0.05))
    stage.lamp(0, 0.9, 15.0, reach=3.4, strength=1.3)
    fire = np.array(
        [[-0.8, 0], [0.8, 0], [0.7, 0.5], [0.35, 0.85], [0.2, 0.6], [-0.05, 1.35], [-0.3, 0.7], [-0.6, 0.9]]
    )
    back.glow(fire, (1.0, 0.50, 0.10), 0.6)
    back.glow(fire * [0.55, 0.6], (1.0, 0.9, 0.5), 0.0)
    banner(back, 0, 5.6, 0.75, 2.2, BANNERS[rng.integers(len(BANNERS))])
    for z, x in ((12.5, 4.6), (9.2, 3.9)):
        pillars = stage.backdrop(z, bottom=-0.05)
        for side in (-1, 1):
            _pillar(stage, pillars, side * x, z, stone)
        beams = (0.24, 0.16, 0.11)
        pillars.box(pillars.left, 5.0, pillars.right, 5.5, beams)
        for side in (-1, 1):
            pillars.polygon(
                np.array(
                    [
                        [side * (x - 0.3), 3.6],
                        [side * (x - 0.3), 4.2],
                        [side * (x - 1.6), 5.0],
                        [side * (x - 2.3), 5.0],
                    ]
                ),
                beams,
            )


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


def forest_road(stage: Stage) -> None:
    """A road between tall trees, misty trunks behind, mushrooms and ferns in front."""
    rng = stage.rng
    heavens(stage)

    def road(canvas: Canvas) -> None:
        canvas.noise(rng, 0.22, 0.6)
        canvas.shade(box(-1.9, canvas.bottom, 1.9, canvas.top), (0.58, 0.46, 0.32), 0.9, blur=0.3)
        for x in (-0.7, 0.7):
            canvas.shade(
                box(x - 0.16, canvas.bottom, x + 0.16, canvas.top), (0.33, 0.25, 0.17), 0.6, blur=0.08
            )

    stage.ground((0.28, 0.38, 0.20), road)
    for z, step, gap, tone in ((32, 2.4, 2.0, 0.62), (21, 2.6, 2.6, 0.8), (13.5, 2.9, 3.1, 1.0)):
        trees = stage.backdrop(z, bottom=-0.2)
        for side in (-1, 1):
            x = gap
            while x < trees.right:
                _tree(stage, trees, side * x, z, tone)
                x += step * rng.uniform(0.7, 1.3)
    post = stage.piece(10.0, -4.6, -2.4, -0.02, 3.2)
    post.box(-3.6, 0, -3.42, 2.5, WOOD)
    post.polygon(
        np.array([[-4.4, 1.9], [-2.9, 1.9], [-2.55, 2.12], [-2.9, 2.34], [-4.4, 2.34]]), tint(WOOD, 1.5)
    )
    if stage.light.lamps > 0:
        stage.lamp(-3.5, 2.6, 9.3, reach=3.2, strength=1.2)
        stage.lamp(3.0, 2.2, 9.0, reach=2.4, strength=0.8)
        post.glow(box(-3.68, 2.5, -3.34, 2.9), (1.0, 0.72, 0.30), 1.0)


def _tree(stage: Stage, canvas: Canvas, x: float, z: float, tone: float) -> None:
    rng = stage.rng
    r, top = rng.uniform(0.22, 0.36) * (z / 16) ** 0.4, rng.uniform(7, 10) * (z / 16) ** 0.4
    bark = tint((0.34, 0.26, 0.20), tone)
    canvas.polygon(
        np.array(
            [[x - 1.6 * r, -0.2], [x + 1.6 * r, -0.2], [x + 0.6 * r, top * 0.8], [x - 0.6 * r, top * 0.8]]
        ),
        bark,
    )
    canvas.polygon(
        np.array(
            [[x + 0.3 * r, -0.2], [x + 1.3 * r, -0.2], [x + 0.6 * r, top * 0.7], [x + 0.2 * r, top * 0.7]]
        ),
        tint(bark, 1.4),
    )
    leaf = tint((0.20, 0.40, 0.20), tone * rng.uniform(0.85, 1.2))
    if rng.random() < 0.5:
        for k in range(4):
            y, w = top * (0.34 + 0.17 * k), (1.75 - 0.36 * k) * (z / 16) ** 0.4
            canvas.polygon(
                np.array([[x - w, y], [x + w, y], [x, y + top * 0.30]]), tint(leaf, 0.75 + 0.13 * k)
            )
        return
    for k in range(7):
        dx, dy = rng.uniform(-1.3, 1.3), rng.uniform(0.55, 1.0)
        size = rng.uniform(0.7, 1.1)
        canvas.polygon(ellipse(x + dx, top * dy, size * 1.1, size * 0.9), tint(leaf, 0.7 + 0.08 * k))


SETS = {
    "castle courtyard": castle_courtyard,
    "village street": village_street,
    "great hall": great_hall,
    "forest road": forest_road,
}
LIGHTS_OF = {
    "castle courtyard": ("day", "dusk", "torch"),
    "village street": ("day", "dusk", "torch"),
    "great hall": ("day", "candle"),
    "forest road": ("day", "dusk", "torch"),
}
