"""Dense optical flow without weights: OpenCV's DIS on contrast-normalised luma, forward and backward."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cinelib.metrics.camera import camera_homography, settled, warp
from cinelib.metrics.clip import as_clip

SHORT_SIDE = 256
_SIGMA, _NOISE = 8.0, 4.0
_BLACK, _FLAT = 40, 16

Item, Result = TypeVar("Item"), TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Map in parallel threads, OpenCV single-threaded in each.

    DIS cuts an image into one stripe a thread, so OpenCV's own threading would make its numbers depend on
    the machine; this way they do not, and every core works.
    """
    with _one_opencv_thread(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, items))


@dataclass(frozen=True)
class Planes:
    """What flow needs of a clip without its bars, short side 256.

    `luma` (T, h, w) float32 in [0, 255]; `normalised` (T, h, w) uint8, its local contrast evened out;
    `texture`, the share of pixels whose local standard deviation is above 2 grey levels, under which flow is
    a guess.
    """

    luma: np.ndarray
    normalised: np.ndarray
    texture: float


def planes_of(frames: np.ndarray) -> Planes:
    """Prepare frames (T, H, W, 3) uint8 RGB for `flow_between`.

    z = (x - G8*x) / sqrt(var8 + 4), so that gamma, exposure and a grade change little; z in [-3, 3] is
    spread over uint8 because DIS reads bytes.
    """
    import cv2

    gray = in_threads(lambda frame: cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), as_clip(frames))
    rows, columns = _picture(gray)
    luma, even, texture = zip(*in_threads(lambda plane: _planes(plane[rows, columns]), gray), strict=True)
    return Planes(np.stack(luma), np.stack(even), float(np.mean(texture)))


def flow_between(planes: Planes, pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Flow from frame a to b of each pair, and back: two of (len(pairs), h, w, 2) float32, pixels (x, y).

    DIS (medium preset), then the camera's motion wherever that fits as well (`camera.settled`).
    """
    import cv2

    even, luma = planes.normalised, planes.luma

    def both(pair: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        a, b = pair
        engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        there, back = engine.calc(even[a], even[b], None), engine.calc(even[b], even[a], None)
        matrix = camera_homography(there)
        if matrix is None:
            return there, back
        there = settled(there, matrix, luma[a], luma[b])
        return there, settled(back, np.linalg.inv(matrix), luma[b], luma[a])

    forward, backward = zip(*in_threads(both, pairs), strict=True)
    return np.stack(forward), np.stack(backward)


def coherent(forward: np.ndarray, backward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that return when flow is followed forward and back (Sundaram et al. 2010), and pixels inside.

    |F + W(B)|^2 < .01 (|F|^2 + |W(B)|^2) + .5; both results are (h, w) bool.
    """
    returning, inside = warp(backward, forward)
    gap = length(forward + returning) ** 2
    return gap < 0.01 * (length(forward) ** 2 + length(returning) ** 2) + 0.5, inside


def length(flow: np.ndarray) -> np.ndarray:
    """|F| of flow (..., 2)."""
    return np.sqrt(flow[..., 0] ** 2 + flow[..., 1] ** 2)


def _planes(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    import cv2

    scale = SHORT_SIDE / min(gray.shape)
    size = round(gray.shape[1] * scale), round(gray.shape[0] * scale)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    luma = cv2.resize(gray, size, interpolation=how).astype(np.float32)
    mean = cv2.GaussianBlur(luma, (0, 0), _SIGMA)
    variance = np.maximum(cv2.GaussianBlur(luma * luma, (0, 0), _SIGMA) - mean * mean, 0)
    z = (luma - mean) / np.sqrt(variance + _NOISE)
    return (
        luma,
        np.clip(np.rint(127.5 + 42.5 * z), 0, 255).astype(np.uint8),
        float((variance > _NOISE).mean()),
    )


def _picture(gray: list[np.ndarray]) -> tuple[slice, slice]:
    """Rows and columns inside black bars: dark, flat, static, on both sides, at most a third each."""
    bright, dark = gray[0], gray[0]
    for plane in gray[1:]:
        bright, dark = np.maximum(bright, plane), np.minimum(dark, plane)
    return tuple(_inside(bright.max(axis), dark.min(axis)) for axis in (1, 0))


def _inside(bright: np.ndarray, dark: np.ndarray) -> slice:
    bar = (bright <= _BLACK) & (bright.astype(int) - dark <= _FLAT)
    first, last = int(np.argmin(bar)), int(np.argmin(bar[::-1]))
    both = first > 0 and last > 0 and max(first, last) <= len(bar) // 3
    return slice(first, len(bar) - last) if both else slice(None)


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
