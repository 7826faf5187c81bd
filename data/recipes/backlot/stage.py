"""A stage: painted flats at their depths, lamps between them, and the light that falls on the paint."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from backlot.camera import EYE, Plane
from backlot.canvas import Canvas, ellipse, fill, opaque
from backlot.palette import RGB, Light

SKY_DEPTH = 100.0


@dataclass(frozen=True)
class Lamp:
    """A point light: where (metres), its colour, strength and the distance of half strength."""

    position: tuple[float, float, float]
    colour: RGB
    strength: float
    reach: float


@dataclass
class Flat:
    """A canvas on its plane, and how far away it stands for the drawing order."""

    canvas: Canvas
    plane: Plane
    depth: float
    lit: bool = True


@dataclass
class Stage:
    """Collects flats and lamps of one set; `density` is pixels per metre at one metre's distance."""

    light: Light
    rng: np.random.Generator
    density: float
    aspect: float
    flats: list[Flat] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)

    @property
    def night(self) -> bool:
        """Whether the set's lamps carry the scene."""
        return self.light.lamps > 0.5

    def half(self, z: float) -> float:
        """Half the width (metres) that the camera may ever see at depth z."""
        return 0.45 * self.aspect * z + 1.0

    def backdrop(self, z: float, bottom: float = -0.3, top: float | None = None) -> Canvas:
        """An empty flat facing the camera at depth z."""
        top = EYE + 0.36 * z + 1.5 if top is None else top
        return self._add(
            Canvas(-self.half(z), self.half(z), bottom, top, self.density / z), Plane((0, 0, z)), z
        )

    def piece(self, z: float, left: float, right: float, bottom: float, top: float) -> Canvas:
        """A small flat facing the camera."""
        return self._add(Canvas(left, right, bottom, top, self.density / z), Plane((0, 0, z)), z)

    def wall(self, x: float, near: float, far: float, top: float) -> Canvas:
        """A side wall; its canvas runs along z from near to far."""
        canvas = Canvas(
            near, far, -0.05, top, self.density / (0.6 * near + 0.4 * far) * 0.5, self.density / (near * 1.3)
        )
        return self._add(canvas, Plane((x, 0, 0), (0, 0, 1), (0, 1, 0)), far + 0.01)

    def level(self, y: float, near: float, far: float, depth_order: float | None = None) -> Canvas:
        """A floor or ceiling at height y; canvas coordinates are (x, z)."""
        middle = near * 1.7
        across = self.density / middle
        along = self.density * max(abs(EYE - y), 0.8) / middle**2 * 1.5
        canvas = Canvas(-self.half(far), self.half(far), near, far, across, along)
        return self._add(canvas, Plane((0, y, 0), (1, 0, 0), (0, 0, 1)), depth_order or far + 0.02)

    def ground(self, colour: RGB, paint: Callable[[Canvas], None] | None = None, far: float = 60.0) -> None:
        """The ground: a detailed near strip and a coarse far one in the same colour."""
        if far > 13:
            self.level(0.0, 13.0, far, far + 0.04).box(-self.half(far), 0, self.half(far), far, colour)
        near = self.level(0.0, 2.6, min(far, 13.0), far + 0.03)
        near.box(near.left, near.bottom, near.right, near.top, colour)
        if paint:
            paint(near)

    def lamp(
        self, x: float, y: float, z: float, reach: float = 3.0, strength: float = 1.0, which: int = 0
    ) -> RGB:
        """Hang a lamp; returns its colour."""
        colour = self.light.lamp_colours[which % len(self.light.lamp_colours)]
        self.lamps.append(Lamp((x, y, z), colour, strength * self.light.lamps, reach))
        return colour

    def sky(self, painter: Callable[[Canvas], None] | None = None) -> Canvas:
        """The sky of this light, with stars and a moon at night, a sun at dusk and clouds by day."""
        canvas = self.backdrop(SKY_DEPTH, bottom=-45.0, top=55.0)
        self.flats[-1].lit, self.flats[-1].depth = False, 1000.0
        canvas.sky(self.light.sky, horizon=0.0)
        if self.light.stars:
            for x, y in self.rng.uniform((-70, 4), (70, 54), (160, 2)):
                canvas.polygon(ellipse(x, y, *(2 * [self.rng.uniform(0.08, 0.22)])), (0.9, 0.92, 1.0))
        if painter:
            painter(canvas)
        return canvas

    def _add(self, canvas: Canvas, plane: Plane, depth: float) -> Canvas:
        self.flats.append(Flat(canvas, plane, depth))
        return canvas

    def finish(self) -> list[Flat]:
        """Light every flat, then let the glows shine; far flats first."""
        for flat in self.flats:
            if flat.lit:
                self._illuminate(flat)
            _shine(flat.canvas)
        return sorted(self.flats, key=lambda flat: -flat.depth)

    def _illuminate(self, flat: Flat) -> None:
        canvas = flat.canvas
        height, width = canvas.pixels.shape[:2]
        a = np.linspace(canvas.left, canvas.right, max(4, min(96, width // 4)))
        b = np.linspace(canvas.top, canvas.bottom, max(4, min(64, height // 4)))
        points = flat.plane.points(np.stack(np.meshgrid(a, b), -1))
        gain = np.broadcast_to(np.float32(self.light.ambient), points.shape).astype(np.float32)
        gain = gain * (0.78 + 0.22 * np.clip(points[..., 1:2] / 3, 0, 1))
        for lamp in self.lamps:
            far = ((points - np.array(lamp.position)) ** 2).sum(-1, keepdims=True)
            gain = gain + np.float32(lamp.colour) * (lamp.strength / (1 + far / lamp.reach**2)) ** 1.15
        haze = 1 - np.exp(-self.light.density * np.maximum(points[..., 2:] - 4, 0))
        gain, fog = gain * (1 - haze), np.float32(self.light.haze) * haze
        gain = cv2.resize(gain.astype(np.float32), (width, height))
        fog = cv2.resize(fog.astype(np.float32), (width, height))
        rgb, alpha = canvas.pixels[..., :3], canvas.pixels[..., 3:]
        canvas.pixels[..., :3] = np.minimum(rgb * gain + fog * alpha, 255)


def _shine(canvas: Canvas) -> None:
    if not canvas.glows:
        return
    height, width = canvas.pixels.shape[:2]
    small = max(1, min(height, width) // 160)
    halo = np.zeros((height // small + 1, width // small + 1, 3), np.float32)
    for points, colour, strength in canvas.glows:
        fill(canvas.pixels, canvas.to_pixels(points), opaque(colour))
        if strength > 0:
            stamp = np.zeros(halo.shape[:2], np.uint8)
            fill(stamp, canvas.to_pixels(points) / small, (255,))
            halo += stamp[..., None] * np.float32(colour) * strength
    sigma = 0.35 * canvas.dx / small
    wide = cv2.GaussianBlur(halo, (0, 0), max(sigma, 0.6)) + 0.8 * cv2.GaussianBlur(
        halo, (0, 0), max(2.6 * sigma, 1.2)
    )
    wide = cv2.resize(wide, (width, height))
    canvas.pixels[..., :3] = np.minimum(canvas.pixels[..., :3] + wide * 0.5, 255)
