"""Notebook 03: from neutral stills to a styled sequence, keyframes first, then the frames between them.

1. `style_keyframes`: each still of a scene starts a short clip under the LoRA; its first frame, now in
   the film's look, is the keyframe.
2. `expand`: the frames from one keyframe to the next, with both ends given to the model.
3. `sequence`: all segments of a scene joined; the frame that two segments share appears once.

A segment depends on its two keyframes, the prompt and a generator of its own. So segments can be
computed in any order or in several processes, and come out the same.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image

from cinelib.preparation.storyboard import StoryboardScene, open_still
from cinelib.wan import pipeline
from cinelib.wan.sampling import Sampling, generate, generate_latents


def style_keyframes(
    pipe: pipeline.FirstLastPipeline, scene: StoryboardScene, sampling: Sampling, trigger: str = ""
) -> list[np.ndarray]:
    """Each still of the scene in the adapter's look, as frames (H, W, 3) uint8.

    All stills of a scene share their noise, so that what the LoRA makes up stays alike between them. Only
    the first latent frame is decoded: the VAE is causal, so later ones could not change it.
    """
    frames = []
    for path in scene.stills:
        still = open_still(path, sampling.height, sampling.width)
        latents = generate_latents(pipe, still, trigger + scene.text, sampling, (scene.name, "keyframe"))
        frames.append(pipeline.to_frames(pipeline.decode_video(pipe.vae, latents[:, :, :1]))[0])
    return frames


def expand(
    pipe: pipeline.FirstLastPipeline,
    first: np.ndarray,
    last: np.ndarray,
    prompt: str,
    sampling: Sampling,
    key: Sequence[str | int],
) -> np.ndarray:
    """The segment (T, H, W, 3) from keyframe `first` to keyframe `last`, both (H, W, 3) uint8."""
    ends = [Image.fromarray(frame) for frame in (first, last)]
    return generate(pipe, ends[0], prompt, sampling, key, last=ends[1])


def sequence(
    pipe: pipeline.FirstLastPipeline,
    scene: StoryboardScene,
    keyframes: Sequence[np.ndarray],
    sampling: Sampling,
    trigger: str = "",
) -> np.ndarray:
    """All segments of a scene, joined: ((K - 1)(T - 1) + 1, H, W, 3) for K keyframes.

    Raises:
        ValueError: fewer than two keyframes.
    """
    if len(keyframes) < 2:
        raise ValueError(f"a sequence needs two keyframes or more, got {len(keyframes)}")
    segments = [
        expand(pipe, a, b, trigger + scene.text, sampling, (scene.name, "segment", number))
        for number, (a, b) in enumerate(pairwise(keyframes))
    ]
    return join(segments)


def join(segments: Sequence[np.ndarray]) -> np.ndarray:
    """Segments one after the other; the frame that neighbours share is taken from the earlier one."""
    return np.concatenate([segments[0], *(segment[1:] for segment in segments[1:])])


def dissolve(keyframes: Sequence[np.ndarray], num_frames: int) -> np.ndarray:
    """The naive baseline: each keyframe cross-fades into the next, `num_frames` a segment, ends included."""
    share = np.linspace(0, 1, num_frames)[:, None, None, None]
    fades = [(1 - share) * a + share * b for a, b in pairwise(np.asarray(keyframes, np.float32))]
    return join([np.round(fade).astype(np.uint8) for fade in fades])
