"""`cinelib.video` by OpenCV, where PyAV is not installed: good enough for paths, not for pixels."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np


def write_video(path: str | Path, frames: np.ndarray, fps: float, **_settings: object) -> None:
    """Frames (T, H, W, 3) uint8 as mp4v."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    size = (frames.shape[2], frames.shape[1])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, size)
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def read_video(path: str | Path) -> tuple[np.ndarray, float]:
    """Frames (T, H, W, 3) uint8 and their rate."""
    reader = cv2.VideoCapture(str(path))
    frames, fps = [], reader.get(cv2.CAP_PROP_FPS)
    while (found := reader.read())[0]:
        frames.append(found[1][..., ::-1])
    return np.stack(frames), fps


def stand_in() -> None:
    """Put this in the place of `cinelib.video` where that cannot be imported."""
    if importlib.util.find_spec("av") is None and "cinelib.video" not in sys.modules:
        module = ModuleType("cinelib.video")
        module.read_video, module.write_video = read_video, write_video
        sys.modules["cinelib.video"] = module
