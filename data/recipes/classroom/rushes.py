"""Training clips that keep coming: worker processes film scene after scene while something else learns.

Every clip comes with the caption of its mirror image, made from the exchanged attributes, so that each scene
teaches twice.
"""

import multiprocessing
import os
import queue
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from classroom.scenes import FPS, Shape, window

if TYPE_CHECKING:
    from backlot import Scene

BLOCK = 16  # clips that a worker hands over at once
WAITING = 256  # blocks that may wait to be taken before the workers pause
_SIDES = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Rushes:
    """frames: uint8 (N, T, H, W, 3); a caption for each clip and one for its mirror image, its seed."""

    frames: np.ndarray
    captions: list[str]
    mirrored: list[str]
    seeds: list[int]

    def __len__(self) -> int:
        return len(self.captions)


def mirrored(scene: "Scene") -> "Scene":
    """The scene that `scene` is in a mirror: camera and subject go the other way."""
    return replace(scene, camera=_exchanged(scene.camera), action=_exchanged(scene.action))


def _exchanged(phrase: str) -> str:
    return " ".join(_SIDES.get(word, word) for word in phrase.split())


def film(seeds: Sequence[int], shape: Shape) -> Rushes:
    """The clips of `scenes.render_clips`, without flow and masks, which cost a sixth of the time."""
    from backlot import sample_scene

    frames = np.empty((len(seeds), shape.num_frames, shape.height, shape.width, 3), np.uint8)
    told, told_mirrored = [], []
    for row, seed in enumerate(seeds):
        seconds, start = window(seed)
        scene = sample_scene(seed, seconds=seconds)
        frames[row] = _filmed(scene, shape, start)
        told.append(scene.caption)
        told_mirrored.append(mirrored(scene).caption)
    return Rushes(frames, told, told_mirrored, list(seeds))


def _filmed(scene: "Scene", shape: Shape, start: float) -> np.ndarray:
    from backlot import apply_look
    from backlot.clip import Shot

    shot = Shot(scene, shape.height, shape.width)
    views = [shot.view(start + k / FPS).frame for k in range(shape.num_frames)]
    return apply_look(np.stack(views), scene.look, scene.seed, round(start * FPS))


def blocks(worker: int, workers: int, seeds: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """The parts of `seeds`, each `size` long, that fall to one of the workers."""
    for number in count(worker, workers):
        part = seeds[number * size : (number + 1) * size]
        if not len(part):
            return
        yield part


def _work(
    results: "multiprocessing.Queue[Rushes]",
    mine: tuple[int, int, Sequence[int], int],
    shape: Shape,
    boss: int,
) -> None:
    import cv2

    cv2.setNumThreads(1)
    for part in blocks(*mine):
        if os.getppid() != boss:  # nobody is left to film for
            os._exit(0)
        finished = film(part, shape)
        while not _handed_over(results, finished):
            if os.getppid() != boss:
                os._exit(0)
    while os.getppid() == boss:  # leaving now would wait for good for a boss that was killed
        time.sleep(1)
    os._exit(0)


def _handed_over(results: "multiprocessing.Queue[Rushes]", finished: Rushes) -> bool:
    try:
        results.put(finished, timeout=5)
    except queue.Full:
        return False
    return True


class Crew:
    """Workers that film `seeds` one after the other, from entering the context to leaving it."""

    def __init__(self, workers: int, seeds: Sequence[int], shape: Shape, block: int = BLOCK) -> None:
        # spawn: a forked child deadlocks in OpenCV or torch when the parent's threads held a lock
        spawn = multiprocessing.get_context("spawn")
        self._results = spawn.Queue(WAITING)
        self._workers = [
            spawn.Process(
                target=_work,
                args=(self._results, (number, workers, seeds, block), shape, os.getpid()),
                daemon=True,
            )
            for number in range(workers)
        ]

    def __enter__(self) -> "Crew":
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.terminate()
        self._results.cancel_join_thread()
        self._results.close()

    def delivered(self, at_most: int = 4) -> list[Rushes]:
        """Blocks that are finished and not yet taken, without waiting for any."""
        taken: list[Rushes] = []
        while len(taken) < at_most:
            try:
                taken.append(self._results.get_nowait())
            except queue.Empty:
                break
        return taken

    @property
    def working(self) -> bool:
        """Whether more may come."""
        return any(worker.is_alive() for worker in self._workers) or not self._results.empty()
