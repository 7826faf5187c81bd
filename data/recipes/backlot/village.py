"""Country sets: the village street and the forest road."""

import numpy as np

from backlot.canvas import Canvas, box, ellipse
from backlot.castle import WOOD, arched, torch, window
from backlot.heavens import heavens
from backlot.palette import RGB, tint
from backlot.stage import Stage


def _house(stage: Stage, canvas: Canvas, left: float, width: float, eaves: float, colour: RGB) -> None:
    right, mid = left + width, left + width / 2
    canvas.box(left, -0.1, right, eaves, colour)
    canvas.box(left, -0.1, right, 0.7, (0.48, 0.45, 0.42))
    roof = np.array([[left - 0.45, eaves - 0.1], [right + 0.45, eaves - 0.1], [mid, eaves + 0.62 * width]])
    canvas.polygon([[left, eaves - 0.1], [right, eaves - 0.1], [mid, eaves + 0.5 * width]], colour)
    tiles = stage.rng.choice([0.85, 1.0, 1.15])
    for edge in (0, 1):
        canvas.polygon(
            [roof[edge], roof[2], roof[2] - [0, 0.55], roof[edge] + [0.55 if edge == 0 else -0.55, 0]],
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
    _church(stage)
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
    _cart(stage)


def _church(stage: Stage) -> None:
    church = stage.backdrop(34, bottom=-0.1, top=16)
    church.box(-2.0, -0.1, 2.0, 9.0, (0.64, 0.62, 0.60))
    church.polygon([[-2.5, 9], [2.5, 9], [0, 15.0]], (0.35, 0.30, 0.36))
    church.box(2.0, -0.1, 9.0, 5.0, (0.60, 0.58, 0.56))
    church.polygon([[1.8, 5], [9.5, 5], [8.4, 7.6], [2.0, 7.6]], (0.35, 0.30, 0.36))
    window(stage, church, 0, 6.0, 0.5, 1.0)


def _cart(stage: Stage) -> None:
    cart = stage.piece(9.0, 2.4, 5.2, -0.02, 1.9)
    cart.box(2.6, 0.62, 5.0, 1.2, tint(WOOD, 1.2))
    cart.polygon([[2.6, 1.15], [5.0, 1.15], [4.6, 1.65], [3.4, 1.75], [2.9, 1.5]], (0.80, 0.66, 0.30))
    for x in (3.1, 4.5):
        cart.polygon(ellipse(x, 0.45, 0.45, 0.45), tint(WOOD, 0.7))
        cart.polygon(ellipse(x, 0.45, 0.32, 0.32), tint(WOOD, 1.4))
        cart.polygon(ellipse(x, 0.45, 0.1, 0.1), tint(WOOD, 0.6))


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
    post.polygon([[-4.4, 1.9], [-2.9, 1.9], [-2.55, 2.12], [-2.9, 2.34], [-4.4, 2.34]], tint(WOOD, 1.5))
    if stage.light.lamps > 0:
        stage.lamp(-3.5, 2.6, 9.3, reach=3.2, strength=1.2)
        stage.lamp(3.0, 2.2, 9.0, reach=2.4, strength=0.8)
        post.glow(box(-3.68, 2.5, -3.34, 2.9), (1.0, 0.72, 0.30), 1.0)


def _tree(stage: Stage, canvas: Canvas, x: float, z: float, tone: float) -> None:
    rng = stage.rng
    r, top = rng.uniform(0.22, 0.36) * (z / 16) ** 0.4, rng.uniform(7, 10) * (z / 16) ** 0.4
    bark = tint((0.34, 0.26, 0.20), tone)
    canvas.polygon(
        [[x - 1.6 * r, -0.2], [x + 1.6 * r, -0.2], [x + 0.6 * r, top * 0.8], [x - 0.6 * r, top * 0.8]], bark
    )
    canvas.polygon(
        [[x + 0.3 * r, -0.2], [x + 1.3 * r, -0.2], [x + 0.6 * r, top * 0.7], [x + 0.2 * r, top * 0.7]],
        tint(bark, 1.4),
    )
    leaf = tint((0.20, 0.40, 0.20), tone * rng.uniform(0.85, 1.2))
    if rng.random() < 0.5:
        for k in range(4):
            y, w = top * (0.34 + 0.17 * k), (1.75 - 0.36 * k) * (z / 16) ** 0.4
            canvas.polygon([[x - w, y], [x + w, y], [x, y + top * 0.30]], tint(leaf, 0.75 + 0.13 * k))
        return
    for k in range(7):
        dx, dy = rng.uniform(-1.3, 1.3), rng.uniform(0.55, 1.0)
        size = rng.uniform(0.7, 1.1)
        canvas.polygon(ellipse(x + dx, top * dy, size * 1.1, size * 0.9), tint(leaf, 0.7 + 0.08 * k))
