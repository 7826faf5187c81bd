"""Stage 4, the transformer: flow matching on cached latents with Wan's image-to-video conditioning."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinelib.classroom.architecture import TEXT_TOKENS
from cinelib.classroom.loop import Log, Plan, Training, share

if TYPE_CHECKING:
    from diffusers import WanTransformer3DModel

KEPT_TOKENS = 40  # no caption of the grammar is longer; what follows are the zeros that pad it to 512
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


class PaddingOnce:
    """Wan's attention with the zero padding of the text summed up in one token.

    All padding tokens are equal, so n of them weigh as one whose score is raised by log n: the same result
    from 49 text tokens instead of 512. For training only; the shipped pipeline uses the library's own.
    """

    def __init__(self, kept: int = KEPT_TOKENS) -> None:
        self.tokens = kept + 1
        self.bias = torch.zeros(1, 1, 1, self.tokens)
        self.bias[..., -1] = math.log(TEXT_TOKENS - kept)

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Cross-attention of video tokens (B, n, D) to image tokens followed by the kept text tokens."""

        def heads(x: Tensor) -> Tensor:
            return x.unflatten(2, (attn.heads, -1)).transpose(1, 2)  # (B, heads, tokens, head_dim)

        image, text = encoder_hidden_states[:, : -self.tokens], encoder_hidden_states[:, -self.tokens :]
        query = heads(attn.norm_q(attn.to_q(hidden_states)))
        key, value = heads(attn.norm_k(attn.to_k(text))), heads(attn.to_v(text))
        image_key, image_value = (
            heads(attn.norm_added_k(attn.add_k_proj(image))),
            heads(attn.add_v_proj(image)),
        )
        query, key, image_key = (x.to(value.dtype) for x in (query, key, image_key))
        bias = self.bias.to(value.device, value.dtype)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        mixed = mixed + F.scaled_dot_product_attention(query, image_key, image_value)
        return attn.to_out[1](attn.to_out[0](mixed.transpose(1, 2).flatten(2)))


def shorten_text(transformer: "WanTransformer3DModel") -> None:
    """Make the cross-attention take KEPT_TOKENS + 1 text tokens (the last one zero) instead of 512."""
    for block in transformer.blocks:
        block.attn2.set_processor(PaddingOnce())


def restore_text(transformer: "WanTransformer3DModel") -> None:
    """Give the library's attention back."""
    for block in transformer.blocks:
        block.attn2.set_processor(block.attn2._default_processor_cls())


def sigmas(count: int, generator: torch.Generator, shift: float = FLOW_SHIFT) -> Tensor:
    """Noise levels (B,) in (0, 1): logit-normal, then shifted as Wan's sampler shifts its schedule."""
    uniform = torch.sigmoid(torch.randn(count, generator=generator))
    return shift * uniform / (1 + (shift - 1) * uniform)


def loss(
    transformer: "WanTransformer3DModel", data: Encoded, rows: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean squared error of the velocity noise - latents at a random noise level, first frame given."""
    latents = data.latents[rows].float()
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    sigma = sigmas(len(rows), generator).to(latents)
    give_last = float(torch.rand((), generator=generator)) < LAST_FRAME
    silent = torch.rand(len(rows), generator=generator) < NO_CAPTION
    level = sigma.view(-1, 1, 1, 1, 1)
    noisy = (1 - level) * latents + level * noise
    condition = (data.condition_last if give_last else data.condition)[rows].float()
    image = data.image[rows].float()
    if give_last:
        image = torch.cat([image, data.image_last[rows].float()], dim=1)
    text = torch.where(silent.view(-1, 1, 1).to(latents.device), data.no_text, data.text[rows]).float()
    velocity = transformer(
        hidden_states=torch.cat([noisy, condition], dim=1),
        timestep=sigma * 1000,
        encoder_hidden_states=F.pad(text, (0, 0, 0, 1)),
        encoder_hidden_states_image=image,
        return_dict=False,
    )[0]
    return F.mse_loss(velocity.float(), noise - latents)


def train(
    transformer: "WanTransformer3DModel",
    data: Encoded,
    folder: Path,
    plan: Plan | None = None,
    batch: int = 16,
    log: Log = print,
) -> Iterator[Training]:
    """Train `transformer` in place; yields after each save. The library's attention is put back."""
    plan = plan or Plan(steps=3000, learning_rate=1e-3, ema=0.998, save_seconds=120)
    training = Training(transformer, plan, folder / "denoiser.pt")
    shorten_text(transformer)

    def batch_loss(step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(data), (share(batch),), generator=generator)
        return loss(transformer, data, rows, generator)

    try:
        for _ in training.run(batch_loss, lambda line: log(f"denoiser: {line}")):
            yield training
    finally:
        restore_text(transformer)
