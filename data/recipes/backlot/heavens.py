"""What is far away: sky, moon, sun, clouds, hills, planets."""

import numpy as np

from backlot.canvas import Canvas, ellipse
from backlot.palette import RGB, mix, tint
from backlot.stage import Stage


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


def planet(sky: Canvas, x: float, y: float, r: float, colour: RGB, ring: bool) -> None:
    """A banded planet of radius r, half in shade, with or without a ring."""
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
