"""Wan's attention for training a small model on a CPU: the library's numbers, a third of its time.

Two savings, both exact. All padding tokens of a text are equal, so n of them weigh as one whose score is
raised by log n: 41 text tokens instead of 512. And for a few hundred tokens plain matrix products are
several times faster than the fused kernel's backward pass. The shipped checkpoint runs on the library's own.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classroom.architecture import TEXT_TOKENS

if TYPE_CHECKING:
    from diffusers import WanTransformer3DModel

KEPT_TOKENS = 48  # no caption of the grammar is longer, behind a made-up phrase too; then zeros up to 512


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(d) + bias) v of (B, heads, tokens, d)."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    return scores.softmax(-1).to(value.dtype) @ value


def heads(attn: nn.Module, x: Tensor) -> Tensor:
    """(B, tokens, D) -> (B, heads, tokens, D / heads)."""
    return x.unflatten(2, (attn.heads, -1)).transpose(1, 2)


def _norm(layer: nn.RMSNorm, x: Tensor) -> Tensor:
    # a weight of the input's type keeps the operation fused under autocast
    return F.rms_norm(x, layer.normalized_shape, layer.weight.to(x.dtype), layer.eps)


def _out(attn: nn.Module, mixed: Tensor) -> Tensor:
    return attn.to_out[1](attn.to_out[0](mixed.transpose(1, 2).flatten(2)))


class Self:
    """Self-attention of video tokens with rotary position embedding."""

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Video tokens (B, n, D) to video tokens."""
        value = heads(attn, attn.to_v(hidden_states))
        query, key = (
            _rotated(_norm(norm, project(hidden_states)).unflatten(2, (attn.heads, -1)), *rotary_emb)
            for norm, project in ((attn.norm_q, attn.to_q), (attn.norm_k, attn.to_k))
        )
        return _out(attn, attend(query, key, value))


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    # (B, n, heads, d), pairs of neighbouring channels are rotated together
    real, imaginary = x[..., 0::2], x[..., 1::2]
    cos, sin = cos[..., 0::2].to(x.dtype), sin[..., 1::2].to(x.dtype)
    turned = torch.stack([real * cos - imaginary * sin, real * sin + imaginary * cos], dim=-1)
    return turned.flatten(-2).transpose(1, 2)


class PaddingOnce:
    """Cross-attention whose last text token stands for all the padding."""

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
        """Video tokens (B, n, D) look at image tokens followed by the kept text tokens."""
        image, text = encoder_hidden_states[:, : -self.tokens], encoder_hidden_states[:, -self.tokens :]
        query = heads(attn, _norm(attn.norm_q, attn.to_q(hidden_states)))
        key, value = heads(attn, _norm(attn.norm_k, attn.to_k(text))), heads(attn, attn.to_v(text))
        image_key = heads(attn, _norm(attn.norm_added_k, attn.add_k_proj(image)))
        image_value = heads(attn, attn.add_v_proj(image))
        bias = self.bias.to(value.device, value.dtype)
        mixed = attend(query, key, value, bias) + attend(query, image_key, image_value)
        return _out(attn, mixed)


@contextmanager
def short_text(transformer: "WanTransformer3DModel") -> Iterator[None]:
    """Within, the transformer takes KEPT_TOKENS + 1 text tokens, the last one zero, instead of 512."""
    for block in transformer.blocks:
        block.attn1.set_processor(Self())
        block.attn2.set_processor(PaddingOnce())
    try:
        yield
    finally:
        for block in transformer.blocks:
            for attn in (block.attn1, block.attn2):
                attn.set_processor(attn._default_processor_cls())
