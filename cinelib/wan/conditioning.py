"""What Wan's transformer is shown beside the noise: the given frames, and where they are.

The layouts follow `WanImageToVideoPipeline.prepare_latents` of diffusers exactly (tests compare them bit
by bit), so that what a LoRA is trained on is what the sampler feeds the transformer.
"""

import torch
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline

from cinelib.wan import layout, pipeline


def shown(first: torch.Tensor, num_frames: int, last: torch.Tensor | None = None) -> torch.Tensor:
    """A video (B, 3, T, H, W): `first` (B, 3, H, W) in [-1, 1], then grey, and `last` at its end."""
    video = first.new_zeros(*first.shape[:2], num_frames, *first.shape[2:])
    video[:, :, 0] = first
    if last is not None:
        video[:, :, -1] = last
    return video


def masked(latents: torch.Tensor, num_frames: int, last: bool) -> torch.Tensor:
    """`latents` (B, 16, t, h, w) of what is shown, behind 4 channels that are 1 where a frame is given.

    They are the 4 pixel frames behind each latent frame (the first latent frame has one, repeated).
    """
    batch, _, _, height, width = latents.shape
    known = torch.zeros(num_frames)
    known[0] = 1
    if last:
        known[-1] = 1
    known = torch.cat([known[:1].repeat(4), known[1:]]).view(-1, 4).T  # (4, t)
    mask = known.view(1, 4, -1, 1, 1).expand(batch, -1, -1, height, width)
    return torch.cat([mask.to(latents), latents], dim=1)


def condition(
    vae: AutoencoderKLWan, first: torch.Tensor, num_frames: int, last: torch.Tensor | None = None
) -> torch.Tensor:
    """What Wan concatenates to the noisy latents, (B, 20, t, h, w): see `shown` and `masked`."""
    return masked(pipeline.encode_video(vae, shown(first, num_frames, last)), num_frames, last is not None)


def condition_video(
    pipe: WanImageToVideoPipeline, first: torch.Tensor, num_frames: int, last: torch.Tensor | None = None
) -> torch.Tensor:
    """The video whose latents become `pipe`'s condition of the frames `first` and `last` (B, 3, H, W).

    `shown` for most; the first frame alone where it stands in place of noise.
    """
    in_place = layout.of_index(pipe.config).first_frame_in_place
    return first[:, :, None] if in_place else shown(first, num_frames, last)


def condition_of(
    pipe: WanImageToVideoPipeline, latents: torch.Tensor, num_frames: int, last: bool
) -> torch.Tensor:
    """The condition that `pipe`'s transformer is given, from the latents of `condition_video`.

    `masked` for most, (B, 20, t, h, w); Wan2.2 TI2V takes the latents (B, 48, 1, h, w) in place of noise.
    """
    in_place = layout.of_index(pipe.config).first_frame_in_place
    return latents if in_place else masked(latents, num_frames, last)


def model_input(
    noisy: torch.Tensor, condition: torch.Tensor, sigma: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """What the transformer is shown of noisy latents (B, C, t, h, w) at noise levels `sigma` (B,).

    A condition with the latents' own channels is a first frame that replaces noise, and its tokens have
    timestep 0 (Wan2.2 TI2V); any other is joined along the channels.

    Returns:
        hidden_states; timestep, (B,) or (B, tokens); how many latent frames were given, hence not asked for.
    """
    if not layout.takes_the_place(condition.shape[1], noisy.shape[1]):
        return torch.cat([noisy, condition], dim=1), 1000 * sigma, 0
    hidden_states = torch.cat([condition, noisy[:, :, 1:]], dim=2)
    frames, height, width = noisy.shape[2:]
    timestep = (1000 * sigma).view(-1, 1, 1).repeat(1, frames, (height // 2) * (width // 2))
    timestep[:, 0] = 0
    return hidden_states, timestep.flatten(1), 1
