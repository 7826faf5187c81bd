"""Dense optical flow without weights: OpenCV's DIS on contrast-normalised luma, forward and backward."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from cinelib.metrics.clip import as_clip

SHORT_SIDE = 256
_SIGMA, _NOISE = 8.0, 4.0
_BLACK, _FLAT = 40, 16
_GRID = 8

Item, Result = TypeVar("Item"), TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Map in parallel threads, OpenCV single-threaded in each.

    DIS cuts an image into one stripe a thread, so OpenCV's own threading would make its numbers depend on
    the machine; this way they do not, and every core works.
    """
    with _one_opencv_thread(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, items))


def normalised_luma(frames: np.ndarray) -> tuple[np.ndarray, float]:
    """Luma without letterbox bars, short side 256, local contrast normalised.

    z = (x - G8*x) / sqrt(var8 + 4), so that gamma, exposure and a grade change little; z in [-3, 3] is
    spread over uint8 because DIS reads bytes.

    Returns:
        (T, h, w) uint8 with min(h, w) = 256, and the share of pixels with texture: local standard
        deviation above 2 grey levels, under which flow is a guess.
    """
    import cv2

    gray = in_threads(lambda frame: cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), as_clip(frames))
    rows, columns = _picture(gray)
    planes, textured = zip(*in_threads(lambda plane: _normalised(plane[rows, columns]), gray), strict=True)
    return np.stack(planes), float(np.mean(textured))


def flow_between(luma: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    """DIS flow (medium preset) from luma[a] to luma[b]: (len(pairs), h, w, 2) float32, pixels (x, y)."""
    import cv2

    def flow(pair: tuple[int, int]) -> np.ndarray:
        engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        return engine.calc(luma[pair[0]], luma[pair[1]], None)

    return np.stack(in_threads(flow, pairs))


def warp(field: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sample `field` (h, w, C) at p + flow(p), and say which p stay in bounds (h, w) bool."""
    import cv2

    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), inside


def coherent(forward: np.ndarray, backward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that return when flow is followed forward and back (Sundaram et al. 2010), and pixels inside.

    |F + W(B)|^2 < .01 (|F|^2 + |W(B)|^2) + .5; both results are (h, w) bool.
    """
    returning, inside = warp(backward, forward)
    gap = length(forward + returning) ** 2
    return gap < 0.01 * (length(forward) ** 2 + length(returning) ** 2) + 0.5, inside


def camera_part(flow: np.ndarray, reliable: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Flow on every 8th reliable pixel, and that of the similarity (pan, roll, zoom) that most of it follows.

    Args:
        flow: (h, w, 2) pixels.
        reliable: (h, w) bool, default all; occluded pixels have no flow to explain.

    Returns:
        Two arrays (N, 2): the measured flow and the camera's, fitted by RANSAC.
    """
    import cv2

    height, width = flow.shape[:2]
    y, x = np.mgrid[_GRID // 2 : height : _GRID, _GRID // 2 : width : _GRID]
    kept = np.ones(x.shape, bool) if reliable is None else reliable[y, x]
    start = np.stack([x, y], -1)[kept].astype(np.float32)
    measured = flow[y, x][kept]
    if len(start) < 2:
        return measured, np.zeros_like(measured)
    cv2.setRNGSeed(0)
    matrix, _ = cv2.estimateAffinePartial2D(
        start, start + measured, method=cv2.RANSAC, ransacReprojThreshold=0.25
    )
    if matrix is None:
        return measured, np.zeros_like(measured)
    return measured, (start @ matrix[:, :2].T + matrix[:, 2] - start).astype(np.float32)


def length(flow: np.ndarray) -> np.ndarray:
    """|F| of flow (..., 2)."""
    return np.sqrt(flow[..., 0] ** 2 + flow[..., 1] ** 2)


def _normalised(gray: np.ndarray) -> tuple[np.ndarray, float]:
    import cv2

    scale = SHORT_SIDE / min(gray.shape)
    size = round(gray.shape[1] * scale), round(gray.shape[0] * scale)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    plane = cv2.resize(gray, size, interpolation=how).astype(np.float32)
    mean = cv2.GaussianBlur(plane, (0, 0), _SIGMA)
    variance = np.maximum(cv2.GaussianBlur(plane * plane, (0, 0), _SIGMA) - mean * mean, 0)
    z = (plane - mean) / np.sqrt(variance + _NOISE)
    return np.clip(np.rint(127.5 + 42.5 * z), 0, 255).astype(np.uint8), float((variance > _NOISE).mean())


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
