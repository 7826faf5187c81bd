"""Dense optical flow without weights: OpenCV's DIS on contrast-normalised luma, forward and backward."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cinelib.metrics.flow.bars import Bars, bars_of, picture_in
from cinelib.metrics.flow.fields import coherent, warp
from cinelib.metrics.flow.surfaces import settled, surface_motions
from cinelib.metrics.result import as_clip

if TYPE_CHECKING:
    import cv2

SHORT_SIDE = 256
SIGMA = 8.0  # px: what lies within is compared with its mean
_NOISE = 4.0
_LOOKED_UP = 32  # parts of a pixel that OpenCV can tell apart when it warps
_STEP_WINDOW = (15, 15)
_DAMPING = 10.0  # squared levels of the normalised picture per pixel: weaker slopes are noise
_LONGEST_STEP = 0.1  # px; longer ones follow the blocks of a JPEG

Item, Result = TypeVar("Item"), TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Map in parallel threads, OpenCV single-threaded and without instructions of this CPU in each.

    DIS cuts an image into one stripe a thread, so OpenCV's own threading would make its numbers depend on
    the machine. So would AVX2 and IPP, which round otherwise: DIS decides by small differences, and what is
    7e-8 in a pixel is 0.2 % in a score. This way all x86 machines agree to six digits, and every core works.
    """
    workers = min(8, os.cpu_count() or 1)
    with _plain_opencv(), ThreadPoolExecutor(workers, initializer=_without_ipp) as pool:
        return list(pool.map(function, items))


@dataclass(frozen=True)
class Planes:
    """What flow needs of a clip without its bars, short side 256.

    Of each frame `luma` (h, w) uint8, `normalised` (h, w) uint8, its local contrast evened out, and
    `textured` (h, w) bool, where the local standard deviation is above 2 grey levels; elsewhere flow is a
    guess. `bars` are what was cut off.
    """

    luma: Sequence[np.ndarray]
    normalised: Sequence[np.ndarray]
    textured: Sequence[np.ndarray]
    bars: Bars

    @property
    def texture(self) -> float:
        """Share of pixels that are textured."""
        return float(np.mean([mask.mean() for mask in self.textured]))


def planes_of(frames: np.ndarray) -> Planes:
    """Prepare frames (T, H, W, 3) uint8 RGB for `flow_between`.

    z = (x - G8*x) / sqrt(var8 + 4), so that gamma, exposure and a grade change little; z in [-3, 3] is
    spread over uint8 because DIS reads bytes.
    """
    import cv2

    gray = in_threads(lambda frame: cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), as_clip(frames))
    bars = bars_of(gray)
    return Planes(*zip(*in_threads(lambda plane: _planes(plane[picture_in(bars)]), gray), strict=True), bars)


def in_picture(frames: np.ndarray) -> np.ndarray:
    """Frames (T, H, W, 3) uint8 in colour without their bars, short side 256, as `planes_of` sees them."""
    import cv2

    picture = picture_in(bars_of(in_threads(lambda frame: cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), frames)))
    return np.stack(in_threads(lambda frame: _small(frame[picture]), frames))


def dis() -> "cv2.DISOpticalFlow":
    """OpenCV's DIS as used here: the medium preset with cheaper numbers.

    Patches 4 px apart (not 3), 12 descents (not 25), 2 rounds of variational refinement (not 5): on the
    backlot as near to the exact flow as the preset, in two thirds of its time.
    """
    import cv2

    engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setPatchStride(4)
    engine.setGradientDescentIterations(12)
    engine.setVariationalRefinementIterations(2)
    return engine


def flow_between(planes: Planes, pairs: list[tuple[int, int]]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Flow from frame a to b of each pair, and back: two lists of (h, w, 2) float32, pixels (x, y).

    DIS, one step of Lucas and Kanade at full resolution, then the motion of a large surface wherever that
    fits as well (`surfaces.settled`); surfaces are found from flow that returns, on texture.
    """
    even, luma = planes.normalised, planes.luma

    def both(pair: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        a, b = pair
        engine = dis()
        there = _refined(engine.calc(even[a], even[b], None), even[a], even[b])
        back = _refined(engine.calc(even[b], even[a], None), even[b], even[a])
        returns, inside = coherent(there, back)
        motions = surface_motions(there, returns & inside & planes.textured[a])
        return settled((there, back), motions, (luma[a], luma[b]))

    forward, backward = zip(*in_threads(both, pairs), strict=True)
    return list(forward), list(backward)


def _refined(flow: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """`flow` after one damped least-squares step on 15 x 15 pixels (Lucas & Kanade 1981), 1/10 px at most.

    DIS works at half the resolution and is drawn to whole pixels there: half a pixel comes out as 0.53.
    """
    import cv2

    flow = np.rint(flow * _LOOKED_UP) / np.float32(_LOOKED_UP)
    found, _ = warp(there, flow)
    between = cv2.addWeighted(here, 0.5, found, 0.5, 0)
    slope_x = cv2.Sobel(between, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(between, cv2.CV_32F, 0, 1, scale=1 / 8)
    gap = cv2.subtract(here, found, dtype=cv2.CV_32F)
    pairs = ((slope_x, slope_x), (slope_x, slope_y), (slope_y, slope_y), (slope_x, gap), (slope_y, gap))
    xx, xy, yy, x, y = (cv2.blur(a * b, _STEP_WINDOW) for a, b in pairs)
    xx, yy = xx + _DAMPING, yy + _DAMPING
    scale = 1 / (xx * yy - xy * xy)
    step = cv2.merge([(yy * x - xy * y) * scale, (xx * y - xy * x) * scale])
    return flow + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)


def _planes(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import cv2

    small = _small(gray)
    luma = small.astype(np.float32)
    mean = cv2.GaussianBlur(luma, (0, 0), SIGMA)
    variance = np.maximum(cv2.GaussianBlur(luma * luma, (0, 0), SIGMA) - mean * mean, 0)
    z = (luma - mean) / np.sqrt(variance + _NOISE)
    return small, np.clip(np.rint(127.5 + 42.5 * z), 0, 255).astype(np.uint8), variance > _NOISE


def _small(picture: np.ndarray) -> np.ndarray:
    import cv2

    height, width = picture.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=how)


@contextmanager
def _plain_opencv() -> Iterator[None]:
    import cv2

    threads, optimized = cv2.getNumThreads(), cv2.useOptimized()
    cv2.setNumThreads(1)
    cv2.setUseOptimized(False)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        cv2.setUseOptimized(optimized)


def _without_ipp() -> None:
    import cv2

    cv2.ipp.setUseIPP(False)  # each thread has a switch of its own
