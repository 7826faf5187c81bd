"""An articulated figure: parts that turn about joints, each an affine map, so its motion is known exactly."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from backlot.palette import RGB, tint

Pose = Mapping[str, np.ndarray]  # part -> (2, 2) matrix applied about the part's joint


@dataclass(frozen=True)
class Shape:
    """A polygon in rest-pose metres (feet at the origin, facing +x, y up)."""

    points: np.ndarray
    colour: RGB
    costume: bool = False
    shines: bool = False


@dataclass
class Part:
    """Shapes that move together; `joint` in rest-pose metres, `parent` empty for the root."""

    name: str
    parent: str
    joint: tuple[float, float]
    shapes: list[Shape] = field(default_factory=list)

    def add(self, points: np.ndarray, colour: RGB, costume: bool = False, shines: bool = False) -> "Part":
        """Add a polygon; returns the part."""
        self.shapes.append(Shape(np.asarray(points, float), colour, costume, shines))
        return self


@dataclass
class Figure:
    """Parts in drawing order (later ones in front)."""

    parts: list[Part]

    def transforms(self, pose: Pose, root: np.ndarray) -> dict[str, np.ndarray]:
        """(3, 3) rest-pose-to-stage matrix of every part under `pose`."""
        parts = {part.name: part for part in self.parts}
        done: dict[str, np.ndarray] = {}

        def place(part: Part) -> np.ndarray:
            if part.name not in done:
                parent = place(parts[part.parent]) if part.parent else root
                done[part.name] = parent @ about(pose.get(part.name), part.joint)
            return done[part.name]

        for part in self.parts:
            place(part)
        return done


def about(matrix: np.ndarray | None, joint: tuple[float, float]) -> np.ndarray:
    """(3, 3) of a 2 x 2 matrix applied about a joint."""
    full = np.eye(3)
    if matrix is not None:
        full[:2, :2] = matrix
        full[:2, 2] = np.array(joint) - matrix @ np.array(joint)
    return full


def turn(angle: float) -> np.ndarray:
    """Rotation, counter-clockwise, radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def sway(shear: float, stretch: float = 1.0) -> np.ndarray:
    """Hanging cloth: x moves with height (shear) and widens (stretch)."""
    return np.array([[stretch, shear], [0.0, 1.0]])


def at(x: float, y: float, flip: bool = False, width: float = 1.0) -> np.ndarray:
    """(3, 3) root transform: feet at (x, y), mirrored when `flip`, narrowed by `width`."""
    return np.array([[-width if flip else width, 0, x], [0, 1.0, y], [0, 0, 1.0]])


def limb(start: tuple[float, float], end: tuple[float, float], r0: float, r1: float) -> np.ndarray:
    """A tapered capsule between two joints."""
    a, b = np.array(start), np.array(end)
    angle = np.arctan2(*(b - a)[::-1])
    arc = np.linspace(np.pi / 2, 3 * np.pi / 2, 9)
    first = a + r0 * np.stack([np.cos(angle + arc), np.sin(angle + arc)], 1)
    last = b + r1 * np.stack([np.cos(angle + arc + np.pi), np.sin(angle + arc + np.pi)], 1)
    return np.vstack([first, last])


def bands(part: Part, outline: np.ndarray, colour: RGB, bottom: float, top: float, count: int) -> None:
    """Horizontal stripes across a convex outline between two heights, cut to the outline."""
    step = (top - bottom) / (2 * count)
    for k in range(count):
        low = bottom + (2 * k + 0.5) * step
        strip = clip_band(outline, low, low + step)
        if len(strip) >= 3:
            part.add(strip, colour, costume=True)


def clip_band(outline: np.ndarray, low: float, high: float) -> np.ndarray:
    """The part of a convex polygon with low <= y <= high."""
    for level, sign in ((low, 1), (high, -1)):
        kept = []
        for p, q in zip(outline, np.roll(outline, -1, 0), strict=True):
            inside, leaving = sign * (p[1] - level) >= 0, sign * (q[1] - level) >= 0
            if inside:
                kept.append(p)
            if inside != leaving:
                kept.append(p + (q - p) * (level - p[1]) / (q[1] - p[1]))
        outline = np.array(kept)
        if len(outline) < 3:
            return outline
    return outline


def shaded(part: Part, outline: np.ndarray, colour: RGB, costume: bool = False, dark: float = 0.72) -> Part:
    """An outline whose rear half (smaller x) is darker, so that it reads as round."""
    part.add(outline, tint(colour, dark), costume)
    mid = (outline[:, 0].min() + outline[:, 0].max()) / 2
    flipped = clip_band(outline[:, ::-1], mid - 0.25 * np.ptp(outline[:, 0]), np.inf)
    if len(flipped) >= 3:
        part.add(flipped[:, ::-1], colour, costume)
    return part
