"""Notebook 02: flow matching with Wan's image-to-video conditioning: loss, noise levels, held-out loss.

The notebook writes the loss out for the reader and checks it against this one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import WanTransformer3DModel

from cinelib.style.encoded_clips import Batch, Example, read_batch
from cinelib.style.parameters import Recipe
from cinelib.wan import conditioning

Loss = Callable[[WanTransformer3DModel, Batch, torch.Tensor, torch.Tensor], torch.Tensor]

VALIDATION_SIGMAS = (0.1, 0.3, 0.5, 0.7, 0.9)


def flow_matching_loss(
    transformer: WanTransformer3DModel, batch: Batch, sigma: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """Mean squared error of the predicted velocity, one number a clip.

    On the straight path x_sigma = (1 - sigma) x + sigma noise the velocity is noise - x (Lipman et al.
    2023; Liu et al. 2023). Wan's I2V transformer sees the path's point beside the condition; where the
    first frame is given in place of noise (Wan2.2 TI2V), the loss is that of the other frames.
    """
    s = sigma.view(-1, 1, 1, 1, 1)
    noisy = (1 - s) * batch.latents + s * noise  # (B, 16, t, h, w)
    hidden_states, timestep, given = conditioning.model_input(noisy, batch.condition, sigma)
    velocity = transformer(
        hidden_states=hidden_states,  # (B, 36, t, h, w)
        timestep=timestep,
        encoder_hidden_states=batch.prompt_embeds,
        encoder_hidden_states_image=batch.image_embeds,
        return_dict=False,
    )[0]
    error = velocity.float() - (noise - batch.latents)
    return error[:, :, given:].square().mean(dim=(1, 2, 3, 4))


def sample_sigma(
    generator: torch.Generator,
    sampling: str = "uniform",
    shift: float = 1.0,
    within: tuple[float, float] = (0.0, 1.0),
) -> torch.Tensor:
    """One noise level in (0, 1): uniform or logit-normal (Esser et al. 2024), then shifted towards noise.

    sigma' = shift sigma / (1 + (shift - 1) sigma), the sampler's own shift. Levels outside `within` are
    drawn again, which keeps the shape of the distribution inside it.

    Raises:
        ValueError: an unknown distribution, or one that practically never falls into `within`.
    """
    for _ in range(10_000):
        if sampling == "uniform":
            sigma = torch.rand(1, generator=generator).clamp(1e-3, 1 - 1e-3)
        elif sampling == "logit_normal":
            sigma = torch.sigmoid(torch.randn(1, generator=generator))
        else:
            raise ValueError(f"timestep sampling {sampling!r}: known are uniform and logit_normal")
        sigma = shift * sigma / (1 + (shift - 1) * sigma)
        if within[0] <= sigma <= within[1]:
            return sigma
    raise ValueError(f"{sampling} noise levels with shift {shift:g} never fall between {within}")


@dataclass(frozen=True)
class Draw:
    """The random choices of sample k of a training."""

    index: int
    condition: int
    keep_look: bool
    drop_caption: bool
    generator: torch.Generator


def draw(recipe: Recipe, k: int, examples: Sequence[Example]) -> Draw:
    """Sample k's choices, from (seed, k) alone. Each epoch visits each example once, in its own order."""
    epoch, position = divmod(k, len(examples))
    index = int(np.random.default_rng([recipe.seed, 1, epoch]).permutation(len(examples))[position])
    # One condition for all of a batch: tokens of one and of two images do not stack.
    shared = np.random.default_rng([recipe.seed, 2, k // recipe.train_batch_size])
    kind, variants = shared.random(), len(examples[index].conditions) - 1
    keep = bool(variants and kind < recipe.preservation_share)
    unaltered = not variants or kind >= 1 - recipe.unaltered_share
    own = np.random.default_rng([recipe.seed, 3, k])
    drop = bool(own.random() < recipe.caption_dropout)
    generator = torch.Generator().manual_seed(int(own.integers(2**63)))
    condition = 0 if unaltered else 1 + int(shared.integers(variants))
    return Draw(index, condition, keep, drop, generator)


def read_samples(
    recipe: Recipe, place: int, examples: Sequence[Example], null_prompt: Path
) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """The batch at `place` in a training's order: tensors, sigma (B,), noise (B, 16, t, h, w)."""
    first = place * recipe.train_batch_size
    draws = [draw(recipe, k, examples) for k in range(first, first + recipe.train_batch_size)]
    chosen, keep = [examples[d.index] for d in draws], draws[0].keep_look
    prompts = [
        null_prompt if d.drop_caption else e.plain_prompt if keep else e.prompt
        for d, e in zip(draws, chosen, strict=True)
    ]
    batch = read_batch(chosen, draws[0].condition, prompts, keep)
    levels = recipe.timestep_sampling, recipe.timestep_shift, recipe.sigma_range
    sigma = [sample_sigma(d.generator, *levels) for d in draws]
    noise = [torch.randn(batch.latents.shape[1:], generator=d.generator) for d in draws]
    return batch, torch.cat(sigma), torch.stack(noise)


def validation_sigmas(within: tuple[float, float] = (0.0, 1.0)) -> tuple[float, ...]:
    """The fixed noise levels of the held-out loss, spread over the range that an adapter is trained on."""
    low, high = within
    return tuple(low + (high - low) * sigma for sigma in VALIDATION_SIGMAS)


@torch.no_grad()
def validate(
    transformer: WanTransformer3DModel,
    examples: Sequence[Example],
    loss: Loss = flow_matching_loss,
    sigmas: Sequence[float] = VALIDATION_SIGMAS,
    precision: str = "fp32",
) -> dict[str, float]:
    """Held-out loss at fixed noise levels with fixed noise, from a re-graded first frame.

    Comparable between steps, runs and adapters, unlike the training loss, whose noise levels vary.
    Keys: "0.1" ... and their mean "loss".
    """
    device = transformer.device
    rows = []
    for number, example in enumerate(examples):
        batch = read_batch([example], len(example.conditions) - 1)
        generator = torch.Generator().manual_seed(number)
        noise = torch.randn(batch.latents.shape, generator=generator).to(device)
        batch = batch.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            rows.append(
                [
                    float(loss(transformer, batch, torch.tensor([sigma], device=device), noise)[0])
                    for sigma in sigmas
                ]
            )
    means = np.mean(rows, axis=0)
    return {**{f"{s:g}": float(m) for s, m in zip(sigmas, means, strict=True)}, "loss": float(means.mean())}
