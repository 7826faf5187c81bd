"""Training clips from the backlot, rendered once and kept as arrays.

Only neutral looks and training seeds: the film's look and the evaluation scenes stay unseen.
"""

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

FPS = 16.0
BLOCK = 64  # clips a file: the unit that an interrupted rendering repeats


@dataclass(frozen=True)
class Shape:
    """Size of every clip, in frames and pixels."""

    num_frames: int
    height: int
    width: int


@dataclass(frozen=True)
class Clips:
    """frames: uint8 (N, T, H, W, 3); one caption and one dictionary of attributes per clip."""

    frames: np.ndarray
    captions: list[str]
    attributes: list[dict]

    def __len__(self) -> int:
        return len(self.captions)


def training_seeds(count: int) -> range:
    """The first `count` seeds of the training range."""
    from backlot import TRAINING_SEEDS

    if count > len(TRAINING_SEEDS):
        raise ValueError(
            f"{count} training clips asked for; the backlot sets {len(TRAINING_SEEDS)} seeds aside"
        )
    return TRAINING_SEEDS[:count]


def evaluation_seeds(count: int, offset: int = 500_000) -> range:
    """Held-out seeds, away from the storyboard's, which start at the range's beginning."""
    from backlot import EVALUATION_SEEDS

    return EVALUATION_SEEDS[offset : offset + count]


def window(seed: int) -> tuple[float, float]:
    """Length of the take in seconds and where the clip starts in it: half the takes last one second only."""
    rng = np.random.default_rng([seed, 2])
    seconds = float(rng.choice([1.0, 1.0, 2.0, 3.0]))
    return seconds, float(rng.uniform(0, seconds - 1.0))


def render_clips(seeds: range, shape: Shape, fps: float = FPS) -> Clips:
    """Render the scenes of `seeds` now, in this process."""
    from backlot import render, sample_scene

    frames = np.empty((len(seeds), shape.num_frames, shape.height, shape.width, 3), np.uint8)
    captions, attributes = [], []
    for row, seed in enumerate(seeds):
        seconds, start = window(seed)
        scene = sample_scene(seed, seconds=seconds)
        clip = render(scene, shape.num_frames, shape.height, shape.width, fps=fps, start=start)
        frames[row] = clip.frames
        captions.append(clip.caption)
        attributes.append(clip.attributes)
    return Clips(frames, captions, attributes)


def render_to(folder: Path, seeds: range, shape: Shape, workers: int = 1) -> Iterator[int]:
    """Render what is missing in `folder`, block by block; yields the number of clips that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [seeds[start : start + BLOCK] for start in range(0, len(seeds), BLOCK)]
    missing = [block for block in blocks if not _block_path(folder, block, shape).exists()]
    done = len(seeds) - sum(len(block) for block in missing)
    yield done
    if not missing:
        return
    # spawn: a forked child deadlocks in OpenCV or torch when the parent's threads held a lock
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_one_thread) as pool:
        for count in pool.map(partial(_render_block, folder, shape), missing):
            done += count
            yield done


def load(folder: Path, seeds: range, shape: Shape, partly: bool = False) -> Clips:
    """What `render_to` kept; with `partly`, the leading blocks that exist by now.

    Raises:
        FileNotFoundError: a block is missing (and `partly` is not set), or there is none at all.
    """
    kept = []
    for start in range(0, len(seeds), BLOCK):
        path = _block_path(folder, seeds[start : start + BLOCK], shape)
        if not path.exists():
            if partly and kept:
                break
            raise FileNotFoundError(f"{path} is missing: run the rendering stage first")
        with np.load(path) as block:
            kept.append((block["frames"], json.loads(str(block["texts"]))))
    frames = np.concatenate([frames for frames, _ in kept])
    texts = [text for _, texts in kept for text in texts]
    return Clips(frames, [text["caption"] for text in texts], [text["attributes"] for text in texts])


def _block_path(folder: Path, block: range, shape: Shape) -> Path:
    size = f"{shape.num_frames}x{shape.height}x{shape.width}"
    return folder / f"{size}-{block[0]:07d}-{len(block)}.npz"


def _render_block(folder: Path, shape: Shape, block: range) -> int:
    clips = render_clips(block, shape)
    texts = [
        {"caption": caption, "attributes": attributes}
        for caption, attributes in zip(clips.captions, clips.attributes, strict=True)
    ]
    path = _block_path(folder, block, shape)
    draft = path.with_suffix(".partial.npz")
    np.savez(draft, frames=clips.frames, texts=json.dumps(texts))
    draft.replace(path)
    return len(block)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
