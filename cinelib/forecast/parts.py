"""The parts of a checkpoint on the meta device: exact counts of weights, and not a byte of them."""

import functools
import json
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import nn

from cinelib import lora


def build(part: str, config: Mapping[str, Any]) -> nn.Module:
    """One part of a diffusers folder, by its name in it, without memory for its weights."""
    from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

    with torch.device("meta"):
        if part.startswith("transformer"):
            return WanTransformer3DModel.from_config(dict(config))
        if part == "vae":
            return AutoencoderKLWan.from_config(dict(config))
        if part == "text_encoder":
            return UMT5EncoderModel(UMT5Config(**config))
        return CLIPVisionModel(CLIPVisionConfig(**config))


def count(part: str, config: Mapping[str, Any]) -> int:
    """Weights of one part, each shared one counted once."""
    return _count(part, json.dumps(dict(config), sort_keys=True))


@functools.lru_cache(maxsize=32)
def _count(part: str, config: str) -> int:
    return sum(parameter.numel() for parameter in build(part, json.loads(config)).parameters())


def adapted_layers(config: Mapping[str, Any], targets: str) -> dict[str, tuple[int, int]]:
    """(in, out) of each linear layer that `targets` names in a transformer of this config.

    Raises:
        ValueError: as `lora.target_layers`.
    """
    return dict(_adapted(json.dumps(dict(config), sort_keys=True), targets))


@functools.lru_cache(maxsize=32)
def _adapted(config: str, targets: str) -> tuple[tuple[str, tuple[int, int]], ...]:
    layers = lora.target_layers(build("transformer", json.loads(config)), targets)
    return tuple((name, (layer.in_features, layer.out_features)) for name, layer in layers.items())


def block_layers(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """(in, out) of each linear layer of the blocks."""
    return adapted_layers(config, r"blocks\.\d+\..*")
