"""A painted flat: premultiplied RGBA pixels with coordinates in metres, the same picture at any size."""

from collections.abc import Sequence

import cv2
import numpy as np

from backlot.palette import RGB

SUBPIXEL_BITS = 4


def fill(pixels: np.ndarray, points: np.ndarray, value: Sequence[int], antialias: bool = True) -> None:
    """Fill one polygon given in pixel coordinates (pixel centres at integers)."""
    corners = np.round(np.clip(points, -30000, 30000) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    line = cv2.LINE_AA if antialias else cv2.LINE_8
    cv2.fillPoly(pixels, [corners], tuple(int(v) for v in value), line, SUBPIXEL_BITS)


def outline(pixels: np.ndarray, points: np.ndarray, value: Sequence[int], thickness: float) -> None:
    """Draw the closed border of a polygon, `thickness` pixels wide."""
    corners = np.round(np.clip(points, -30000, 30000) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    width = max(1, round(thickness))
    cv2.polylines(pixels, [corners], True, tuple(int(v) for v in value), width, cv2.LINE_AA, SUBPIXEL_BITS)


def opaque(colour: RGB) -> tuple[int, int, int, int]:
    """A colour in 0..1 as RGBA bytes."""
    return (*(round(255 * min(1.0, max(0.0, channel))) for channel in colour), 255)


def ellipse(
    x: float, y: float, rx: float, ry: float, start: float = 0.0, end: float = 2 * np.pi
) -> np.ndarray:
    """Points of an elliptic arc, counter-clockwise."""
    angle = np.linspace(start, end, 41)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], 1)


def box(left: float, bottom: float, right: float, top: float) -> np.ndarray:
    """Corners of a rectangle."""
    return np.array([[left, bottom], [right, bottom], [right, top], [left, top]], float)


class Canvas:
    """RGBA pixels over the rectangle [left, right] x [bottom, top] metres, y up.

    `glow` shapes shine: they are drawn after the lighting and get a halo.
    """

    def __init__(
        self,
        left: float,
        right: float,
        bottom: float,
        top: float,
        density: float,
        density_y: float | None = None,
    ) -> None:
        self.left, self.right, self.bottom, self.top = left, right, bottom, top
        self.dx, self.dy = density, density_y or density
        width = max(2, round((right - left) * self.dx))
        height = max(2, round((top - bottom) * self.dy))
        self.dx, self.dy = width / (right - left), height / (top - bottom)
        self.pixels = np.zeros((height, width, 4), np.uint8)
        self.glows: list[tuple[np.ndarray, RGB, float]] = []

    @property
    def metres(self) -> np.ndarray:
        """(3, 3) matrix from pixel coordinates to metres."""
        return np.array(
            [
                [1 / self.dx, 0, self.left + 0.5 / self.dx],
                [0, -1 / self.dy, self.top - 0.5 / self.dy],
                [0, 0, 1.0],
            ]
        )

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Metres (N, 2) to pixel coordinates."""
        x = (points[:, 0] - self.left) * self.dx - 0.5
        y = (self.top - points[:, 1]) * self.dy - 0.5
        return np.stack([x, y], 1)

    def polygon(self, points: np.ndarray, colour: RGB) -> None:
        """An opaque polygon."""
        fill(self.pixels, self.to_pixels(np.asarray(points, float)), opaque(colour))

    def box(self, left: float, bottom: float, right: float, top: float, colour: RGB) -> None:
        """An opaque rectangle."""
        self.polygon(box(left, bottom, right, top), colour)

    def glow(self, points: np.ndarray, colour: RGB, halo: float = 0.5) -> None:
        """A shape that shines with a halo of that strength."""
        self.glows.append((np.asarray(points, float), colour, halo))

    def shade(self, points: np.ndarray, colour: RGB, alpha: float, blur: float = 0.0) -> None:
        """Blend a colour over what is already painted there (alpha of the flat unchanged)."""
        corners = self.to_pixels(np.asarray(points, float))
        spread = np.array([3 * blur * self.dx, 3 * blur * self.dy]) + 2
        height, width = self.pixels.shape[:2]
        x0, y0 = np.clip(np.floor(corners.min(0) - spread), 0, (width, height)).astype(int)
        x1, y1 = np.clip(np.ceil(corners.max(0) + spread), 0, (width, height)).astype(int)
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        fill(mask, corners - (x0, y0), (255,))
        if blur > 0:
            mask = cv2.GaussianBlur(mask, (0, 0), blur * self.dx, sigmaY=blur * self.dy)
        area = self.pixels[y0:y1, x0:x1]
        share = (mask.astype(np.float32) * (alpha / 255))[..., None]
        paint = np.float32(colour) * area[..., 3:]
        area[..., :3] = area[..., :3] * (1 - share) + paint * share

    def mask(self, points: np.ndarray) -> np.ndarray:
        """(H, W) uint8 coverage of a polygon."""
        mask = np.zeros(self.pixels.shape[:2], np.uint8)
        fill(mask, self.to_pixels(np.asarray(points, float)), (255,))
        return mask

    def sky(self, colours: tuple[RGB, RGB, RGB], horizon: float) -> None:
        """Fill with a vertical gradient: zenith at the top, third colour from `horizon` down."""
        y = np.linspace(1, (self.bottom - horizon) / (self.top - horizon), len(self.pixels))
        stops = np.float32(colours) * 255
        column = np.stack([np.interp(y, [0, 0.35, 1], stops[::-1, c]) for c in range(3)], 1)
        self.pixels[..., :3] = column[:, None]
        self.pixels[..., 3] = 255

    def noise(
        self, rng: np.random.Generator, amount: float, size: float, size_y: float | None = None
    ) -> None:
        """Mottle the paint: brightness times 1 +- amount, in blobs of about `size` metres."""
        height, width = self.pixels.shape[:2]
        columns = max(2, int((self.right - self.left) / size))
        rows = max(2, int((self.top - self.bottom) / (size_y or size)))
        field = rng.uniform(1 - amount, 1 + amount, (rows, columns)).astype(np.float32)
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
        rgb = self.pixels[..., :3] * field[..., None]
        self.pixels[..., :3] = np.minimum(rgb, self.pixels[..., 3:])

    def bricks(
        self, rng: np.random.Generator, area: np.ndarray | None, width: float, height: float,
        jitter: float = 0.12, mortar: float = 0.10, stagger: float = 0.5,
    ) -> None:  # fmt: skip
        """Turn the painted `area` (all when None) into courses of stones of width x height metres."""
        y = self.top - (np.arange(self.pixels.shape[0]) + 0.5) / self.dy
        x = self.left + (np.arange(self.pixels.shape[1]) + 0.5) / self.dx
        row = np.floor(y / height).astype(int)
        shifted = x[None] / width + stagger * (row % 2)[:, None]
        column = np.floor(shifted).astype(int)
        table = rng.uniform(1 - jitter, 1 + jitter, (64, 64)).astype(np.float32)
        gain = table[(row % 64)[:, None], column % 64]
        joint = (shifted - column < mortar * height / width) | ((y / height - row) < mortar)[:, None]
        gain = np.where(joint, gain * 0.72, gain)
        if area is not None:
            gain = 1 + (gain - 1) * (self.mask(area).astype(np.float32) / 255)
        rgb = self.pixels[..., :3] * gain[..., None]
        self.pixels[..., :3] = np.minimum(rgb, self.pixels[..., 3:])
