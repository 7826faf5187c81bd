"""A clip: the frames of a scene with the exact optical flow and costume mask of every pixel."""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from backlot import action, camera
from backlot.camera import FOCAL, Plane
from backlot.canvas import ellipse, fill, opaque, outline
from backlot.cast import dress
from backlot.figure import Figure
from backlot.look import Look, apply_look
from backlot.palette import LIGHTS, SKIN, Light, tint
from backlot.scene import Scene
from backlot.sets import SETS
from backlot.stage import Flat, Stage

SUBJECT_DEPTH = 5.6
SUBJECT = Plane((0, 0, SUBJECT_DEPTH))


@dataclass(frozen=True)
class Clip:
    """Frames (T, H, W, 3) uint8, flow (T-1, H, W, 2) float32 in pixels from frame t to t+1, costume_mask
    (T, H, W) bool, the caption and the attributes that it was made from."""

    frames: np.ndarray
    flow: np.ndarray
    costume_mask: np.ndarray
    caption: str
    attributes: dict[str, Any] = field(default_factory=dict)


def render(
    scene: Scene, num_frames: int = 17, height: int = 64, width: int = 112, fps: float = 16.0,
    start: float = 0.0, look: Look | None = None,
) -> Clip:  # fmt: skip
    """Render frames at start + k / fps seconds. `look` replaces the scene's own.

    Raises:
        ValueError: sizes, counts or rates that are not positive.
    """
    if num_frames < 1 or height < 16 or width < 16 or not fps > 0:
        raise ValueError(
            f"need num_frames >= 1, sides >= 16, fps > 0; got {num_frames}, {height}x{width}, {fps}"
        )
    shot = Shot(scene, height, width)
    moments = [start + k / fps for k in range(num_frames)]
    views = [shot.view(t) for t in moments]
    flow = [shot.flow(views[k], moments[k], moments[k + 1]) for k in range(num_frames - 1)]
    frames = np.stack([view.frame for view in views])
    graded = apply_look(frames, scene.look if look is None else look, scene.seed, round(start * fps))
    flow = np.stack(flow) if flow else np.zeros((0, height, width, 2), np.float32)
    attributes = scene.attributes | {"look": (look or scene.look).name}
    return Clip(graded, flow, np.stack([view.mask for view in views]), scene.caption, attributes)


@dataclass(frozen=True)
class View:
    """One frame before grading, what is where, and the costume."""

    frame: np.ndarray  # (H, W, 3) float32 in 0..1
    owner: np.ndarray  # (H, W) index into Shot.surfaces
    mask: np.ndarray  # (H, W) bool


class Shot:
    """The painted set and the dressed figure of a scene, ready to be seen at any time."""

    def __init__(self, scene: Scene, height: int, width: int) -> None:
        self.scene, self.height, self.width = scene, height, width
        self.over = 2 if height <= 240 else 1
        self.light: Light = LIGHTS[scene.light]
        rng = np.random.default_rng([scene.seed, 2])
        self.phase = float(rng.uniform(0, 2 * np.pi))
        self.facing = int(rng.choice([-1, 1]))
        skin = SKIN[int(rng.integers(len(SKIN)))]
        stage = Stage(self.light, rng, self.over * height * FOCAL, width / height)
        SETS[scene.world][scene.set](stage)
        self.flats: list[Flat] = stage.finish()
        self.figure: Figure = dress(scene.subject, scene.costume, skin, action.faces_camera(scene.action))
        self.parts = {part.name: len(self.flats) + k for k, part in enumerate(self.figure.parts)}

    def pose(self, t: float) -> camera.Pose:
        """The camera at `t` seconds."""
        s = self.scene
        return camera.pose_at(s.camera, s.strength, s.seconds, self.phase, t, self.width / self.height)

    def surfaces(self, t: float, over: int = 1) -> list[np.ndarray]:
        """(3, 3) homography of every flat, then every part, from its own metres to pixels at `t`."""
        pose, size = self.pose(t), (self.height * over, self.width * over)
        flats = [flat.plane.homography(pose, *size) for flat in self.flats]
        root = action.root_at(
            self.scene.action, self.scene.subject, self.facing, self.scene.seconds, t, self.phase
        )
        joints = action.pose_at(self.scene.action, self.scene.subject, t, self.phase)
        placed = self.figure.transforms(joints, root)
        plane = SUBJECT.homography(pose, *size)
        return flats + [plane @ placed[name] for name in self.parts]

    def view(self, t: float) -> View:
        """Draw the frame at `t` seconds."""
        over, surfaces = self.over, self.surfaces(t, self.over)
        size = (self.width * over, self.height * over)
        rgb = np.zeros((size[1], size[0], 3), np.float32)
        owner = np.zeros((size[1], size[0]), np.uint8)
        behind = [k for k, flat in enumerate(self.flats) if flat.depth > SUBJECT_DEPTH]
        for k in behind:
            self._lay(rgb, owner, k, surfaces[k], size)
        self._shadow(rgb, t)
        mask = self._act(rgb, owner, surfaces)
        for k in range(len(behind), len(self.flats)):
            self._lay(rgb, owner, k, surfaces[k], size)
        gain = 1 + self.light.flicker * 0.5 * (
            np.sin(2 * np.pi * 3.1 * t + self.phase) + np.sin(2 * np.pi * 5.3 * t)
        )
        frame = np.clip(rgb / 255 * gain, 0, 1)
        if over > 1:
            frame = cv2.resize(frame, (self.width, self.height), interpolation=cv2.INTER_AREA)
            mask = cv2.resize(mask, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return View(frame, owner[over // 2 :: over, over // 2 :: over], mask > 127)

    def _lay(
        self, rgb: np.ndarray, owner: np.ndarray, k: int, surface: np.ndarray, size: tuple[int, int]
    ) -> None:
        canvas = self.flats[k].canvas
        layer = cv2.warpPerspective(canvas.pixels, surface @ canvas.metres, size, flags=cv2.INTER_LINEAR)
        alpha = layer[..., 3]
        rgb *= (1 - alpha.astype(np.float32) / 255)[..., None]
        rgb += layer[..., :3]
        owner[alpha > 127] = k

    def _shadow(self, rgb: np.ndarray, t: float) -> None:
        root = action.root_at(
            self.scene.action, self.scene.subject, self.facing, self.scene.seconds, t, self.phase
        )
        wide = 1.1 if self.scene.subject in action.MOUNTED else 0.62
        ground = Plane((0, 0, 0), (1, 0, 0), (0, 0, 1)).homography(self.pose(t), *rgb.shape[:2])
        mask = np.zeros(rgb.shape[:2], np.uint8)
        for k in range(4):
            size = wide * (1.25 - 0.22 * k)
            fill(mask, project(ground, ellipse(root[0, 2], SUBJECT_DEPTH, size, 0.55 * size)), (40 + 36 * k,))
        mask = cv2.GaussianBlur(mask, (0, 0), 0.008 * rgb.shape[0])
        rgb *= (1 - mask.astype(np.float32) / 255)[..., None]

    def _act(self, rgb: np.ndarray, owner: np.ndarray, surfaces: list[np.ndarray]) -> np.ndarray:
        layer = np.zeros((*rgb.shape[:2], 4), np.uint8)
        cloth = np.zeros(rgb.shape[:2], np.uint8)
        shines = np.zeros(rgb.shape[:2], np.uint8)
        for part in self.figure.parts:
            for shape in part.shapes:
                corners = project(surfaces[self.parts[part.name]], shape.points)
                if shape is part.shapes[0]:
                    outline(layer, corners, opaque(tint(shape.colour, 0.45)), 0.006 * rgb.shape[0])
                fill(layer, corners, opaque(shape.colour))
                fill(cloth, corners, (255 if shape.costume else 0,))
                fill(shines, corners, (255 if shape.shines else 0,))
                fill(owner, corners, (self.parts[part.name],), antialias=False)
        alpha = layer[..., 3:].astype(np.float32) / 255
        paint = self._model(layer, shines)
        rgb *= 1 - alpha
        rgb += paint
        return cloth

    def _model(self, layer: np.ndarray, shines: np.ndarray) -> np.ndarray:
        # The blurred silhouette stands in for the body's roundness: its slope is where the light grazes.
        alpha = layer[..., 3].astype(np.float32) / 255
        round_ = cv2.GaussianBlur(alpha, (0, 0), max(1.0, 0.012 * layer.shape[0]))
        slope = cv2.Sobel(round_, cv2.CV_32F, 1, 0, ksize=3)
        slope *= 0.5 * 0.012 * layer.shape[0] * self.facing
        rim = np.clip(slope, 0, 1)[..., None] * np.float32(self.light.rim) * 0.6 * 255 * alpha[..., None]
        dim = (1 - 0.45 * np.clip(-slope, 0, 1))[..., None]
        lit = layer[..., :3] * np.float32(self.light.figure) * dim + rim
        shine = (shines.astype(np.float32) / 255)[..., None]
        return lit * (1 - shine) + layer[..., :3] * shine

    def flow(self, view: View, t: float, later: float) -> np.ndarray:
        """(H, W, 2) float32 displacement in pixels of what each pixel of `view` shows, from t to later.

        What is drawn follows it to 1/64 px: OpenCV warps in steps of 1/32.
        """
        now, then = self.surfaces(t), self.surfaces(later)
        flow = np.zeros((self.height, self.width, 2), np.float32)
        for k in np.unique(view.owner):
            if np.array_equal(now[k], then[k]):
                continue
            rows, columns = np.nonzero(view.owner == k)
            here = np.stack([columns, rows], 1).astype(float)
            there = project(then[k] @ np.linalg.inv(now[k]), here)
            flow[rows, columns] = there - here
        return flow


def project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a (3, 3) homography to points (N, 2)."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return moved[:, :2] / moved[:, 2:]
