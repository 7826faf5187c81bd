"""From neutral stills to a styled sequence: keyframes first, then the frames between them.

1. `style_keyframes`: each still of a scene starts a short clip under the LoRA; its first frame, now in
   the film's look, is the keyframe.
2. `expand`: the frames from one keyframe to the next, with both ends given to the model.
3. `sequence`: all segments of a scene joined; the frame that two segments share appears once.

A segment depends on its two keyframes, the prompt and a generator of its own. So segments can be
computed in any order or in several processes, and come out the same.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from cinelib import cores, wan
from cinelib.storyboard import Scene, open_still

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Sampling:
    """How clips are sampled; `seed` and a clip's key decide its noise on any device."""

    height: int
    width: int
    num_frames: int
    num_inference_steps: int = 12
    guidance_scale: float = 3.0
    seed: int = 0


def generator(seed: int, *key: str | int) -> torch.Generator:
    """A CPU generator that depends on seed and key only: the same noise on every device."""
    digest = hashlib.sha256(json.dumps([seed, *key]).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") % 2**63)


@torch.no_grad()
def generate_latents(
    pipe: wan.FirstLastPipeline,
    first: Image.Image,
    prompt: str,
    sampling: Sampling,
    key: Sequence[str | int] = (),
    last: Image.Image | None = None,
) -> torch.Tensor:
    """Normalised latents (1, 16, t, h, w) of a clip from `first` and, if given, to `last`.

    Raises:
        ValueError: an image that is not (width, height) of `sampling`: resize it first, so that VAE and
            image encoder see the same picture.
    """
    for image in filter(None, (first, last)):
        if image.size != (sampling.width, sampling.height):
            raise ValueError(
                f"an image is {image.size[1]}x{image.size[0]}, clips are "
                f"{sampling.height}x{sampling.width}; open it with open_still"
            )
    return pipe(
        image=first,
        last_image=last,
        prompt=prompt,
        negative_prompt="",
        height=sampling.height,
        width=sampling.width,
        num_frames=sampling.num_frames,
        num_inference_steps=sampling.num_inference_steps,
        guidance_scale=sampling.guidance_scale,
        generator=generator(sampling.seed, *key),
        output_type="latent",
    ).frames


def generate(
    pipe: wan.FirstLastPipeline,
    first: Image.Image,
    prompt: str,
    sampling: Sampling,
    key: Sequence[str | int] = (),
    last: Image.Image | None = None,
) -> np.ndarray:
    """One clip (T, H, W, 3) uint8; arguments and errors as `generate_latents`."""
    latents = generate_latents(pipe, first, prompt, sampling, key, last)
    return wan.to_frames(wan.decode_video(pipe.vae, latents))


def each(
    pipe: wan.FirstLastPipeline,
    work: Callable[[wan.FirstLastPipeline, Item], Result],
    items: Sequence[Item],
    sampling: Sampling,
) -> list[Result]:
    """`work(pipe, item)` of each item, in order; on a CPU small clips are sampled side by side.

    Each call gets a pipeline of its own with the same weights, so `work` must not switch adapters.
    """
    pixels = sampling.height * sampling.width
    # `pipe.device` is the CPU while an accelerator's components are offloaded
    return cores.each(lambda item: work(wan.twin(pipe), item), items, pipe._execution_device, pixels)


def style_keyframes(
    pipe: wan.FirstLastPipeline, scene: Scene, sampling: Sampling, trigger: str = ""
) -> list[np.ndarray]:
    """Each still of the scene in the adapter's look, as frames (H, W, 3) uint8.

    All stills of a scene share their noise, so that what the LoRA makes up stays alike between them. Only
    the first latent frame is decoded: the VAE is causal, so later ones could not change it.
    """
    frames = []
    for path in scene.stills:
        still = open_still(path, sampling.height, sampling.width)
        latents = generate_latents(pipe, still, trigger + scene.text, sampling, (scene.name, "keyframe"))
        frames.append(wan.to_frames(wan.decode_video(pipe.vae, latents[:, :, :1]))[0])
    return frames


def expand(
    pipe: wan.FirstLastPipeline,
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
    pipe: wan.FirstLastPipeline,
    scene: Scene,
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


def seams(frames: np.ndarray, segment_frames: int) -> np.ndarray:
    """How each keyframe between two segments jumps, against the steps around it: 1 is no seam.

    The change from the frame before the keyframe to the one after it, over twice the median change
    between neighbours in those two segments; for steady motion that is 1. Shape: (segments - 1,).

    Raises:
        ValueError: the clip is not a whole number of segments.
    """
    step = segment_frames - 1
    if step < 2 or (len(frames) - 1) % step:
        raise ValueError(f"{len(frames)} frames are not segments of {segment_frames} that share their ends")
    values = frames.astype(np.float32)
    change = np.abs(np.diff(values, axis=0)).mean(axis=(1, 2, 3))  # (T - 1,)
    found = []
    for at in range(step, len(frames) - 1, step):
        nearby = np.delete(change[at - step : at + step], [step - 1, step])
        around = change[at - 1] + change[at]
        found.append(around / max(2 * float(np.median(nearby)), 1e-6))
    return np.array(found)
