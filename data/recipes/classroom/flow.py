"""The transformer's loss on an accelerator, and the same loss on held-out clips per frame and noise level."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from classroom import autoencoder, vae
from classroom.attention import KEPT_TOKENS
from classroom.budget import Budget
from classroom.denoiser import FLOW_SHIFT, LAST_FRAME, NO_CAPTION, Encoded, velocity
from classroom.store import statistics

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

LEVELS = (0.95, 0.6, 0.2)  # noise levels of the held-out loss


def sigmas(count: int, generator: torch.Generator, shift: float = FLOW_SHIFT) -> Tensor:
    """Noise levels (count,): half logit-normal, half as the sampler visits them; all shifted as it shifts."""
    draw = {"generator": generator, "device": generator.device}
    even = torch.rand(count, **draw)
    middle = torch.sigmoid(torch.randn(count, **draw))
    level = torch.where(torch.rand(count, **draw) < 0.5, even, middle).clamp(0.001, 1)
    return shift * level / (1 + (shift - 1) * level)


def loss(
    transformer: "WanTransformer3DModel",
    data: Encoded,
    generator: torch.Generator,
    weights: Tensor,
    last: bool,
) -> Tensor:
    """`denoiser.loss` of the batch `data` with all randomness on its device; `weights` (1, 16, 1, 1, 1)."""
    latents = data.latents.float()
    noise = torch.randn(latents.shape, generator=generator, device=latents.device)
    sigma = sigmas(len(latents), generator)
    level = sigma.view(-1, 1, 1, 1, 1)
    silent = torch.rand(len(latents), 1, 1, generator=generator, device=latents.device) < NO_CAPTION
    text = torch.where(silent, data.no_text, data.text)
    guess = velocity(transformer, (1 - level) * latents + level * noise, sigma, data, text, last)
    return ((guess - (noise - latents)).square() * weights).mean()


def made_up(budget: Budget, generator: torch.Generator) -> Encoded:
    """A batch of random numbers, to time a step with."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(budget.batch, *shape, generator=generator, device=generator.device).half()

    shape, size = budget.shape, budget.size
    grid = (shape.num_frames // 4 + 1, shape.height // 8, shape.width // 8)
    image = (1 + (size.image_size // size.image_patch) ** 2, size.image_dim)
    text = draw(KEPT_TOKENS, size.text_dim)
    conditions = [draw(20, *grid) for _ in range(2)]
    return Encoded(draw(16, *grid), *conditions, draw(*image), draw(*image), text, text[:1])


def gives_last(step: int, seed: int = 0) -> bool:
    """Whether the batch of this step shows the last frame too."""
    return (
        float(torch.rand((), generator=torch.Generator().manual_seed(seed * 1_000_003 + step))) < LAST_FRAME
    )


@dataclass(frozen=True)
class HeldOut:
    """Clips never trained on with noise that never changes."""

    data: Encoded
    pixels: Tensor  # (N, 3, T, H, W)
    noise: Tensor

    @classmethod
    def of(cls, data: Encoded, pixels: Tensor) -> "HeldOut":
        """With noise of seed 0."""
        noise = torch.randn(data.latents.shape, generator=torch.Generator().manual_seed(0))
        return cls(data, pixels, noise.to(data.latents.device))

    @torch.no_grad()
    def table(
        self, transformer: "WanTransformer3DModel", net: "AutoencoderKLWan"
    ) -> dict[str, dict[str, list[float]]]:
        """Per noise level: error of the velocity in each latent frame, PSNR of the one-step estimate's."""
        latents, table = self.data.latents.float(), {}
        mean, std = statistics(net)
        for level in LEVELS:
            sigma = torch.full((len(latents),), level, device=latents.device)
            noisy = (1 - level) * latents + level * self.noise
            guess = velocity(transformer, noisy, sigma, self.data, self.data.text, last=False)
            error = (guess - (self.noise - latents)).square().mean(dim=(0, 1, 3, 4))
            clean = (noisy - level * guess) * std + mean
            decoded = torch.cat([autoencoder.decode(net, part).float() for part in clean.split(8)])
            table[str(level)] = {
                "velocity_error": [round(float(value), 4) for value in error],
                "estimate_psnr": [round(float(value), 2) for value in vae.psnr(decoded, self.pixels).mean(0)],
            }
        return table


def total(table: dict[str, dict[str, list[float]]]) -> float:
    """One number of a held-out table: mean velocity error of the later latent frames."""
    rows = [row["velocity_error"][1:] for row in table.values()]
    return sum(sum(row) / len(row) for row in rows) / len(rows)
