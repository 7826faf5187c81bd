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
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from cinelib.wan import pipeline, threads

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
    pipe: pipeline.FirstLastPipeline,
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
    pipe: pipeline.FirstLastPipeline,
    first: Image.Image,
    prompt: str,
    sampling: Sampling,
    key: Sequence[str | int] = (),
    last: Image.Image | None = None,
) -> np.ndarray:
    """One clip (T, H, W, 3) uint8; arguments and errors as `generate_latents`."""
    latents = generate_latents(pipe, first, prompt, sampling, key, last)
    return pipeline.to_frames(pipeline.decode_video(pipe.vae, latents))


def each(
    pipe: pipeline.FirstLastPipeline,
    work: Callable[[pipeline.FirstLastPipeline, Item], Result],
    items: Sequence[Item],
    sampling: Sampling,
) -> list[Result]:
    """`work(pipe, item)` of each item, in order; on a CPU small clips are sampled side by side.

    Each call gets a pipeline of its own with the same weights, so `work` must not switch adapters.
    """
    pixels = sampling.height * sampling.width
    # `pipe.device` is the CPU while an accelerator's components are offloaded
    return threads.each(lambda item: work(pipeline.twin(pipe), item), items, pipe._execution_device, pixels)
