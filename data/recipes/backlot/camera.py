"""The camera: a pinhole on a moving head, and planes seen through it.

World axes: x right, y up, z away from the camera's starting point; metres. The focal length is in
frame heights, so a picture does not depend on its size.
"""

from dataclasses import dataclass

import numpy as np

CAMERAS = (
    "static", "pans left", "pans right", "tilts up", "tilts down",
    "dollies in", "dollies out", "cranes up", "handheld",
)  # fmt: skip
FOCAL = 2.0
EYE = 1.22
# The most that a move may cover, however long the take, so that it never leaves the painted flats.
LONGEST = {"pans": 0.70, "tilts": 0.34, "dollies": 0.60, "cranes": 1.2}
# Per second: pan in frame widths, tilt in frame heights, dolly in log scale of the backdrop, crane in metres.
SPEEDS = {"pans": (0.18, 0.26), "tilts": (0.22, 0.30), "dollies": (0.17, 0.24), "cranes": (0.7, 0.95)}


@dataclass(frozen=True)
class Pose:
    """Where the camera stands and looks at one moment (metres, radians; zoom multiplies the focal length)."""

    position: tuple[float, float, float]
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    zoom: float = 1.0

    def matrix(self, height: int, width: int) -> np.ndarray:
        """(3, 4) projection from homogeneous world points to pixels (pixel centres at integers)."""
        focal = FOCAL * self.zoom * height
        intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, -focal, (height - 1) / 2], [0, 0, 1]])
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        lean = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
        rotation = lean @ nod @ turn
        return intrinsics @ rotation @ np.hstack([np.eye(3), -np.array(self.position)[:, None]])


@dataclass(frozen=True)
class Plane:
    """The flat {origin + a u + b v}; (a, b) in metres."""

    origin: tuple[float, float, float]
    u: tuple[float, float, float] = (1.0, 0.0, 0.0)
    v: tuple[float, float, float] = (0.0, 1.0, 0.0)

    def homography(self, pose: Pose, height: int, width: int) -> np.ndarray:
        """(3, 3) from plane coordinates (a, b, 1) to pixel coordinates."""
        basis = np.array([[*self.u, 0], [*self.v, 0], [*self.origin, 1]]).T
        return pose.matrix(height, width) @ basis

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        """World points (..., 3) of plane coordinates (..., 2)."""
        a, b = coordinates[..., :1], coordinates[..., 1:]
        return np.array(self.origin) + a * np.array(self.u) + b * np.array(self.v)


def per_second(camera: str, strength: float, seconds: float) -> float:
    """Speed of a move (units of SPEEDS), slowed where `seconds` of it would leave the set."""
    kind = camera.split()[0]
    if kind not in SPEEDS:
        return 0.0
    slow, fast = SPEEDS[kind]
    return min(slow + (fast - slow) * strength, LONGEST[kind] / max(seconds, 1e-6))


def pose_at(camera: str, strength: float, seconds: float, phase: float, t: float, aspect: float) -> Pose:
    """The pose at `t` seconds of a move laid out to be half done at seconds / 2.

    Raises:
        ValueError: unknown camera word.
    """
    if camera not in CAMERAS:
        raise ValueError(f"unknown camera {camera!r}; known: {', '.join(CAMERAS)}")
    kind, _, way = camera.partition(" ")
    travel = per_second(camera, strength, seconds) * (t - seconds / 2)
    if kind == "pans":
        shift = travel * aspect / FOCAL
        return Pose((0, EYE, 0), yaw=np.arctan(shift if way == "right" else -shift))
    if kind == "tilts":
        shift = travel / FOCAL
        return Pose((0, EYE, 0), pitch=np.arctan(shift if way == "up" else -shift))
    if kind == "dollies":
        travel = travel if way == "in" else -travel
        return Pose((0, EYE, 4.0 * travel), zoom=float(np.exp(0.6 * travel)))
    if kind == "cranes":
        return Pose((0, EYE + 0.12 + travel, 0))
    if kind == "handheld":
        return _handheld(phase, t)
    return Pose((0, EYE, 0))


def _handheld(phase: float, t: float) -> Pose:
    def sway(rate: float, offset: float) -> float:
        slow = np.sin(2 * np.pi * rate * t + phase * offset)
        fast = np.sin(2 * np.pi * 2.3 * rate * t + 1.7 * phase * offset)
        return float(0.75 * slow + 0.45 * fast)

    return Pose(
        (0.03 * sway(0.9, 2.0), EYE + 0.03 * sway(1.3, 5.0), 0),
        yaw=0.016 * sway(1.1, 1.0),
        pitch=0.012 * sway(1.5, 3.0),
        roll=0.014 * sway(0.8, 4.0),
    )
