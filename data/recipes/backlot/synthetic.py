"""Closed-form motions: textured layers that pan, zoom and turn, with the exact flow of every pixel.

No film: notebook 10 and tests of the motion metric ask them what the right answer is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_MARGIN = 256
_FINE = 4  # samples of the texture a pixel: OpenCV looks up to 1/32 of a sample only


@dataclass(frozen=True)
class Layer:
    """One textured sheet; speeds are per frame.

    `disc` is (x, y, radius) in shares of width, height and height: the layer shows only inside that disc,
    which moves with it. The first layer of a clip has none, and is the background.
    """

    dx: float = 0.0  # pixels to the right
    dy: float = 0.0  # pixels down
    zoom: float = 0.0  # log magnification
    turn: float = 0.0  # radians, clockwise
    disc: tuple[float, float, float] | None = None


def synthetic_clip(
    layers: Sequence[Layer], num_frames: int = 17, height: int = 256, width: int = 448, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Render layers, later ones in front.

    Returns:
        frames (T, H, W, 3) uint8 RGB and the exact flow (T-1, H, W, 2) float32 in pixels per frame.

    Raises:
        ValueError: no layers, or a pan that leaves the texture.
    """
    if not layers:
        raise ValueError("a synthetic clip needs at least one layer")
    reach = max(abs(value) for layer in layers for value in (layer.dx, layer.dy)) * (num_frames - 1)
    if reach > _MARGIN:
        raise ValueError(f"the layers move {reach:.0f} px in all; the texture allows {_MARGIN}")
    size = height + 2 * _MARGIN, width + 2 * _MARGIN
    sheets = [texture(seed + index, *size) for index in range(len(layers))]
    frames = [_frame(layers, sheets, t, height, width) for t in range(num_frames)]
    flow = [_flow(layers, t, height, width) for t in range(num_frames - 1)]
    return np.stack(frames), np.stack(flow) if flow else np.zeros((0, height, width, 2), np.float32)


@lru_cache(maxsize=3)
def texture(seed: int, height: int, width: int) -> np.ndarray:
    """Colour noise of five octaves, (4 H, 4 W, 3) uint8: detail at each scale, and no edge that aliases."""
    import cv2

    rng = np.random.default_rng(seed)
    sheet = np.full((_FINE * height, _FINE * width, 3), 128, np.float32)
    for scale, strength in ((4, 20), (8, 25), (16, 30), (32, 30), (64, 30)):
        noise = rng.normal(size=(height // scale + 2, width // scale + 2, 3)).astype(np.float32)
        sheet += strength * cv2.resize(noise, sheet.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    sheet = np.clip(np.rint(sheet), 0, 255).astype(np.uint8)
    sheet.flags.writeable = False
    return sheet


def _pose(layer: Layer, t: float, height: int, width: int) -> np.ndarray:
    """(2, 3) matrix from where a point is at frame 0 to where it is at frame t."""
    grow = np.exp(layer.zoom * t)
    cos, sin = grow * np.cos(layer.turn * t), grow * np.sin(layer.turn * t)
    linear = np.array([[cos, -sin], [sin, cos]])
    centre = np.array([width - 1, height - 1]) / 2
    shift = centre - linear @ centre + t * np.array([layer.dx, layer.dy])
    return np.column_stack([linear, shift])


def _covers(layer: Layer, points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Which points, given where they are at frame 0, lie on the layer."""
    if layer.disc is None:
        return np.ones(points.shape[:2], bool)
    x, y, radius = layer.disc
    return np.hypot(points[..., 0] - x * width, points[..., 1] - y * height) <= radius * height


def _origins(layer: Layer, t: float, height: int, width: int) -> np.ndarray:
    """Where each pixel of frame t is at frame 0: (H, W, 2)."""
    pose = _pose(layer, t, height, width)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float64)
    return (grid - pose[:, 2]) @ np.linalg.inv(pose[:, :2]).T


def _frame(
    layers: Sequence[Layer], sheets: Sequence[np.ndarray], t: int, height: int, width: int
) -> np.ndarray:
    import cv2

    frame = np.zeros((height, width, 3), np.uint8)
    for layer, sheet in zip(layers, sheets, strict=True):
        origins = _origins(layer, t, height, width)
        at = (_FINE * (origins + _MARGIN)).astype(np.float32)
        drawn = cv2.remap(sheet, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        covered = _covers(layer, origins, height, width)
        frame[covered] = drawn[covered]
    return frame


def _flow(layers: Sequence[Layer], t: int, height: int, width: int) -> np.ndarray:
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
    flow = np.zeros((height, width, 2), np.float32)
    for layer in layers:
        origins = _origins(layer, t, height, width)
        later = _pose(layer, t + 1, height, width)
        moved = origins @ later[:, :2].T + later[:, 2] - grid
        covered = _covers(layer, origins, height, width)
        flow[covered] = moved[covered]
    return flow
