"""An autoencoder whose latents are easy to model: calm under noise, and the same picture at half the size.

A transformer of this size never predicts latents exactly. Noise on the latents while the autoencoder learns
teaches it to keep what survives such errors; half-size latents that must decode to the half-size picture
(EQ-VAE, arXiv 2502.09509) teach it that neighbouring latents mean neighbouring things.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from classroom import autoencoder, vae

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

NOISE = 0.5  # the most noise on the latents, in units of their own scale; a quarter on average


@dataclass(frozen=True)
class Weights:
    """What counts beside the absolute error of the pixels."""

    squared: float = 4.0
    edges: float = 0.5
    motion: float = 1.0  # differences between frames
    half: float = 0.5  # the half-size picture
    spread: float = 1e-2


def graded(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """`vae.graded` for whole batches (B, 3, T, H, W) in [-1, 1]: half of them in a random grade each."""
    draw = torch.rand(8, len(pixels), 1, 1, 1, 1, generator=generator, device=pixels.device) * 2 - 1
    tint = torch.rand(len(pixels), 3, 1, 1, 1, generator=generator, device=pixels.device) * 2 - 1
    plain = (pixels + 1) / 2
    grey = plain.mean(dim=1, keepdim=True)
    saturated = (grey + (plain - grey) * (1 + 0.4 * draw[0])).clamp(0, 1)
    gain = 1 + 0.2 * draw[1] + 0.15 * tint
    toned = ((saturated + 1e-6) ** torch.exp(0.3 * draw[5]) * gain + 0.06 * draw[6]).clamp(0, 1)
    return torch.where(draw[7] < 0, pixels, toned * 2 - 1)


def grey_inside(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """One clip in ten keeps its outer frames and is grey between: what Wan encodes as the condition."""
    draw = torch.rand(len(pixels), 1, 1, 1, 1, generator=generator, device=pixels.device)
    frame = torch.arange(pixels.shape[2], device=pixels.device).view(1, 1, -1, 1, 1)
    last = frame == pixels.shape[2] - 1
    hidden = (frame > 0) & ((draw < 0.05) | ((draw < 0.1) & ~last))
    return pixels.masked_fill(hidden, 0)


def fidelity(decoded: Tensor, pixels: Tensor, weights: Weights) -> Tensor:
    """Absolute and squared error of pixels, edges and differences between frames."""
    error = decoded - pixels
    value = error.abs().mean() + weights.squared * error.square().mean()
    value = value + weights.motion * error.diff(dim=2).abs().mean()
    return value + weights.edges * (error.diff(dim=3).abs().mean() + error.diff(dim=4).abs().mean()) / 2


WEIGHTS = Weights()


def half_size(video: Tensor) -> Tensor:
    """(B, C, t, h, w) -> (B, C, t, h / 2, w / 2), the mean of each 2 x 2."""
    return F.avg_pool3d(video, (1, 2, 2))


def loss(
    net: "AutoencoderKLWan",
    pixels: Tensor,
    generator: torch.Generator,
    weights: Weights = WEIGHTS,
) -> Tensor:
    """Of clips (B, 3, T, H, W): noisy latents, whole and at half size, against the picture of that size."""
    dtype = net.post_quant_conv.weight.dtype
    latents = autoencoder.encode(net, pixels.to(dtype)).float()
    level = torch.rand(len(pixels), 1, 1, 1, 1, generator=generator, device=pixels.device) * NOISE
    level = level * latents.detach().std()  # in their own units: growing would not help
    whole = autoencoder.decode(net, _noisy(latents, level, generator).to(dtype)).float()
    value = fidelity(whole, pixels, weights)
    if weights.half:
        small = autoencoder.decode(net, _noisy(half_size(latents), level, generator).to(dtype)).float()
        value = value + weights.half * fidelity(small, half_size(pixels), weights)
    return value + weights.spread * (latents.square().mean() - 1).clamp(min=0)


def _noisy(latents: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    return latents + level * torch.randn(latents.shape, generator=generator, device=latents.device)


@torch.no_grad()
def settle(net: "AutoencoderKLWan", pixels: Tensor, together: int = 16) -> dict[str, list[float]]:
    """Mean of each latent channel and one common spread, measured on clips, into the config of `net`.

    One spread for all: a channel that carries little stays small, and errors count alike in each.
    """
    latents = torch.cat([autoencoder.encode(net, part).float() for part in pixels.split(together)])
    mean = latents.mean(dim=(0, 2, 3, 4))
    spread = float((latents - mean.view(1, -1, 1, 1, 1)).square().mean().sqrt())
    found = {
        "latents_mean": [round(float(value), 5) for value in mean],
        "latents_std": [round(spread, 5)] * len(mean),
    }
    net.register_to_config(**found)
    return found


@torch.no_grad()
def measured(net: "AutoencoderKLWan", pixels: Tensor, together: int = 8) -> dict[str, object]:
    """Round trip of held-out clips: PSNR of each frame, error of frame differences, and how calm it is."""
    encoded = [autoencoder.encode(net, part).float() for part in pixels.split(together)]
    decoded = torch.cat([autoencoder.decode(net, part).float().clamp(-1, 1) for part in encoded])
    latents = torch.cat(encoded)
    centred = latents - latents.mean(dim=(0, 2, 3, 4), keepdim=True)
    power = centred.square().mean(dim=(0, 2, 3, 4))
    beside = (centred[..., 1:] * centred[..., :-1]).mean(dim=(0, 2, 3, 4)) / power
    flicker = (decoded.diff(dim=2) - pixels.diff(dim=2)).abs().mean() * 127.5
    return {
        "psnr": [round(float(value), 2) for value in vae.psnr(decoded, pixels).mean(0)],
        "temporal_difference_error": round(float(flicker), 3),
        "spread_of_channels": [round(float(value), 3) for value in power.sqrt()],
        "correlation_of_neighbours": [round(float(value), 3) for value in beside],
    }


@torch.no_grad()
def channel_weights(net: "AutoencoderKLWan", pixels: Tensor) -> Tensor:
    """(1, 16, 1, 1, 1), mean 1: half way between counting channels alike and by their effect on pixels."""
    spread = autoencoder.encode(net, pixels).float().std(dim=(0, 2, 3, 4))
    effects = vae.channel_effects(net, pixels).to(spread) / spread.square()  # of errors of equal size
    weights = effects.sqrt()
    weights = weights.clamp(max=4 * weights.median())
    return (weights / weights.mean()).view(1, -1, 1, 1, 1)


def channels_last(net: torch.nn.Module) -> None:
    """Lay the weights of convolutions out as tensor cores want them."""
    for weight in net.parameters():
        if weight.ndim in (4, 5):
            layout = torch.channels_last if weight.ndim == 4 else torch.channels_last_3d
            weight.data = weight.data.contiguous(memory_format=layout)
