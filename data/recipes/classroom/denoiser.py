"""Stage 4, the transformer: flow matching on cached latents with Wan's image-to-video conditioning."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from classroom.attention import short_text
from classroom.loop import Log, Plan, Training, share

if TYPE_CHECKING:
    from diffusers import WanTransformer3DModel

LAST_FRAME = 0.35  # share of steps that also give the last frame
NO_CAPTION = 0.1
FLOW_SHIFT = 3.0


@dataclass(frozen=True)
class Encoded:
    """What the transformer sees of N clips, all normalised, in half precision."""

    latents: Tensor  # (N, 16, t, h, w)
    condition: Tensor  # (N, 20, t, h, w): mask and latents of the first frame
    condition_last: Tensor  # (N, 20, t, h, w): of the first and the last frame
    image: Tensor  # (N, tokens, image_dim) of the first frame
    image_last: Tensor  # (N, tokens, image_dim) of the last frame
    text: Tensor  # (N, KEPT_TOKENS, text_dim), zero after the caption's end
    no_text: Tensor  # (1, KEPT_TOKENS, text_dim): the empty caption

    def __len__(self) -> int:
        return len(self.latents)

    def at(self, rows: Tensor) -> "Encoded":
        """The clips of these rows."""
        own = [field.name for field in fields(self) if field.name != "no_text"]
        return replace(self, **{name: getattr(self, name)[rows] for name in own})


def sigmas(count: int, generator: torch.Generator, shift: float = FLOW_SHIFT) -> Tensor:
    """Noise levels (B,) in (0, 1): logit-normal, then shifted as Wan's sampler shifts its schedule."""
    uniform = torch.sigmoid(torch.randn(count, generator=generator))
    return shift * uniform / (1 + (shift - 1) * uniform)


def velocity(
    transformer: "WanTransformer3DModel",
    noisy: Tensor,
    sigma: Tensor,
    data: Encoded,
    text: Tensor,
    last: bool,
) -> Tensor:
    """Predicted noise - latents (B, 16, t, h, w) of the batch `data`; `text` (B, KEPT_TOKENS, text_dim)."""
    condition = data.condition_last if last else data.condition
    image = data.image.float()
    if last:
        image = torch.cat([image, data.image_last.float()], dim=1)
    return transformer(
        hidden_states=torch.cat([noisy, condition.float()], dim=1),
        timestep=sigma * 1000,
        encoder_hidden_states=F.pad(text.float(), (0, 0, 0, 1)),
        encoder_hidden_states_image=image,
        return_dict=False,
    )[0].float()


def loss(
    transformer: "WanTransformer3DModel",
    data: Encoded,
    rows: Tensor,
    generator: torch.Generator,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the velocity noise - latents at a random noise level, first frame given.

    `weights` (16,) counts channels by importance. It leaves what is learned of each channel the same, and
    decides what a small network spends itself on.
    """
    batch = data.at(rows)
    latents = batch.latents.float()
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    sigma = sigmas(len(rows), generator).to(latents)
    give_last = float(torch.rand((), generator=generator)) < LAST_FRAME
    silent = torch.rand(len(rows), generator=generator) < NO_CAPTION
    level = sigma.view(-1, 1, 1, 1, 1)
    text = torch.where(silent.view(-1, 1, 1).to(latents.device), data.no_text, batch.text)
    guess = velocity(transformer, (1 - level) * latents + level * noise, sigma, batch, text, give_last)
    error = (guess - (noise - latents)).square()
    if weights is not None:
        error = error * weights.view(1, -1, 1, 1, 1).to(error)
    return error.mean()


def train(
    transformer: "WanTransformer3DModel",
    data: Encoded,
    folder: Path,
    plan: Plan | None = None,
    batch: int = 16,
    weights: Tensor | None = None,
    emphasis: Tensor | None = None,
    log: Log = print,
) -> Iterator[Training]:
    """Train `transformer` in place, channels counted by `weights`; yields after each save.

    `emphasis` (N,) is how often a clip is drawn beside the others, alike by default.
    """
    plan = plan or Plan(steps=3000, learning_rate=1e-3, ema=0.998, save_seconds=120)
    training = Training(transformer, plan, folder / "denoiser.pt")
    chances = torch.ones(len(data)) if emphasis is None else emphasis

    def batch_loss(step: int, generator: torch.Generator) -> Tensor:
        rows = torch.multinomial(chances, share(batch), replacement=True, generator=generator)
        return loss(transformer, data, rows, generator, weights)

    with short_text(transformer):
        for _ in training.run(batch_loss, lambda line: log(f"denoiser: {line}")):
            yield training
