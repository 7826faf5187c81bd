"""Sampling clips: the one call of the pipeline, and its loop alone, for who measures or changes the loop.

A clip's noise depends on a seed and a key of its own. So clips can be computed in any order or in several
processes, and come out the same.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from cinelib.wan import conditioning, pipeline, threads

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
def call(
    pipe: DiffusionPipeline,
    prompt: str,
    sampling: Sampling,
    key: Sequence[str | int],
    output_type: str,
    **images: Image.Image | None,
) -> Any:
    """Frames as any text- or image-to-video pipeline of diffusers gives them; its `image`, `last_image`."""
    return pipe(
        **images,
        prompt=prompt,
        negative_prompt="",
        height=sampling.height,
        width=sampling.width,
        num_frames=sampling.num_frames,
        num_inference_steps=sampling.num_inference_steps,
        guidance_scale=sampling.guidance_scale,
        generator=generator(sampling.seed, *key),
        output_type=output_type,
    ).frames


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
        ValueError: an image of another size: VAE and image encoder would not see the same picture.
    """
    _check(first, sampling)
    _check(last or first, sampling)
    return call(pipe, prompt, sampling, key, "latent", image=first, last_image=last)


def _check(image: Image.Image, sampling: Sampling) -> None:
    size = (sampling.width, sampling.height)
    if image.size != size:
        has, wanted = (f"{height}x{width}" for width, height in (image.size, size))
        raise ValueError(f"an image is {has}, clips are {wanted}; open it with open_still")


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


@dataclass(frozen=True)
class Start:
    """What the sampler's loop needs for one clip, on the model's device."""

    noise: torch.Tensor  # (1, 16, t, h, w)
    condition: torch.Tensor  # (1, 20, t, h, w): mask and first frame
    texts: dict[str, torch.Tensor]  # (1, 512, D) each: with the prompt, "cond", and without, "uncond"
    image: torch.Tensor  # (1, N, D)


def prepare(
    pipe: pipeline.FirstLastPipeline,
    first: Image.Image,
    prompt: str,
    sampling: Sampling,
    key: Sequence[str | int] = (),
) -> Start:
    """Encode what a Wan2.1 clip from `first` starts with. Raises ValueError as `generate_latents`."""
    _check(first, sampling)
    dtype, device = pipe.transformer.dtype, pipe.transformer.device
    pixels = pipeline.to_pixels(np.asarray(first)[None])[:, :, 0].to(device)  # (1, 3, H, W)
    condition = conditioning.condition(pipe.vae, pixels, sampling.num_frames).to(dtype)
    noise = torch.randn((1, 16, *condition.shape[2:]), generator=generator(sampling.seed, *key)).to(device)
    texts = pipeline.encode_text(pipe, [prompt, ""]).to(dtype).split(1)
    image = pipeline.encode_image(pipe, [first]).to(dtype)
    return Start(noise, condition, dict(zip(("cond", "uncond"), texts, strict=True)), image)


@torch.no_grad()
def denoise(
    pipe: pipeline.FirstLastPipeline, start: Start, num_inference_steps: int, guidance_scale: float
) -> torch.Tensor:
    """Latents (1, 16, t, h, w): the pipeline's guided loop without its encoders; notebook 03 explains it."""
    pipe.scheduler.set_timesteps(num_inference_steps, device=start.noise.device)
    latents = start.noise
    for t in pipe.scheduler.timesteps:
        shown = torch.cat([latents.to(start.condition), start.condition], dim=1)  # (1, 36, t, h, w)
        velocity = {}
        for branch, text in start.texts.items():
            with pipe.transformer.cache_context(branch):  # a step cache remembers the two apart
                answer = pipe.transformer(shown, t.expand(1), text, start.image, return_dict=False)
            velocity[branch] = answer[0]
        guided = velocity["uncond"] + guidance_scale * (velocity["cond"] - velocity["uncond"])
        latents = pipe.scheduler.step(guided, t, latents, return_dict=False)[0]
    pipe.maybe_free_model_hooks()  # the clip ends: a step cache forgets it
    return latents


def each(
    pipe: pipeline.FirstLastPipeline,
    work: Callable[[pipeline.FirstLastPipeline, Item], Result],
    items: Sequence[Item],
    sampling: Sampling,
) -> list[Result]:
    """`work(pipe, item)` of each item, in order; on a CPU small clips are sampled side by side.

    Each call gets a pipeline of its own with the same weights, so `work` must not switch adapters.
    """
    device = pipe._execution_device  # `pipe.device` is the CPU while components are offloaded
    pixels = sampling.height * sampling.width
    return threads.each(lambda item: work(pipeline.share_weights(pipe), item), items, device, pixels)
