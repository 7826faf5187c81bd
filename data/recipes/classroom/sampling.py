"""Many clips at once from a classroom checkpoint: the sampler of the pipeline, batched, for evaluation."""

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from classroom import autoencoder, encoding
from classroom.attention import short_text

if TYPE_CHECKING:
    from diffusers import WanImageToVideoPipeline

TOGETHER = 8  # clips denoised in one batch


@torch.no_grad()
def generate(
    pipe: "WanImageToVideoPipeline",
    first: np.ndarray,
    captions: list[str],
    num_frames: int,
    last: np.ndarray | None = None,
    num_inference_steps: int = 12,
    guidance_scale: float = 3.0,
    seed: int = 0,
    bf16: bool = False,
) -> np.ndarray:
    """Clips uint8 (B, T, H, W, 3) that start with `first` (B, H, W, 3) and end with `last` if given.

    Clip number k starts from the noise of seed `seed + k`, whatever the batch.
    """
    parts = []
    with short_text(pipe.transformer):
        for start in range(0, len(captions), TOGETHER):
            rows = slice(start, start + TOGETHER)
            ending = None if last is None else last[rows]
            given = _given(pipe, first[rows], ending, captions[rows], num_frames)
            with torch.autocast(pipe.vae.device.type, torch.bfloat16, enabled=bf16):
                latents = _denoise(pipe, given, num_inference_steps, guidance_scale, seed + start)
                parts.append(decode(pipe, latents))
    return np.concatenate(parts)


def decode(pipe: "WanImageToVideoPipeline", latents: Tensor) -> np.ndarray:
    """Normalised latents (B, 16, t, h, w) to frames uint8 (B, T, H, W, 3)."""
    config, shape = pipe.vae.config, (1, -1, 1, 1, 1)
    mean, std = (
        torch.tensor(values).view(shape).to(latents) for values in (config.latents_mean, config.latents_std)
    )
    pixels = autoencoder.decode(pipe.vae, latents * std + mean).float().clamp(-1, 1)
    return ((pixels + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 4, 1).cpu().numpy()


def _given(
    pipe: "WanImageToVideoPipeline",
    first: np.ndarray,
    last: np.ndarray | None,
    captions: list[str],
    num_frames: int,
) -> tuple[Tensor, Tensor, Tensor]:
    video = np.full((len(first), num_frames, *first.shape[1:]), 127, np.uint8)
    video[:, 0] = first
    image = encoding.image_tokens(pipe, first)
    if last is not None:
        video[:, -1] = last
        image = torch.cat([image, encoding.image_tokens(pipe, last)], dim=1)
    condition = encoding.condition(pipe.vae, encoding.to_pixels(video), last is not None, bf16=False)
    text = encoding.text_tokens(pipe, [*captions, *[""] * len(captions)])
    device = pipe.transformer.device
    return condition.to(device), image.to(device), F.pad(text, (0, 0, 0, 1)).to(device)


def _denoise(
    pipe: "WanImageToVideoPipeline",
    given: tuple[Tensor, Tensor, Tensor],
    steps: int,
    guidance: float,
    seed: int,
) -> Tensor:
    condition, image, text = given
    shape = (1, 16, *condition.shape[2:])
    latents = torch.cat(
        [
            torch.randn(shape, generator=torch.Generator().manual_seed(seed + row))
            for row in range(len(condition))
        ]
    ).to(condition)
    scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps:
        both = torch.cat([latents, condition], dim=1).repeat(2, 1, 1, 1, 1)
        velocity = pipe.transformer(
            hidden_states=both,
            timestep=timestep.expand(len(both)).to(condition.device),
            encoder_hidden_states=text,
            encoder_hidden_states_image=image.repeat(2, 1, 1),
            return_dict=False,
        )[0].float()
        told, untold = velocity.chunk(2)
        latents = scheduler.step(untold + guidance * (told - untold), timestep, latents, return_dict=False)[0]
    return latents
