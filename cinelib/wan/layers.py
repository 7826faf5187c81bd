"""The parts of a checkpoint on the meta device: exact counts of weights, and not a byte of them."""

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from peft.tuners.lora import LoraLayer
from torch import nn

Answer = TypeVar("Answer")


def once(work: Callable[..., Answer]) -> Callable[..., Answer]:
    """Remember `work`'s answers; configs are mappings, which `functools.cache` does not take."""
    answers: dict[str, Answer] = {}

    @functools.wraps(work)
    def asked(*given: Any) -> Answer:
        key = json.dumps(given, sort_keys=True, default=dataclasses.asdict)
        if key not in answers:
            answers[key] = work(*given)
        return answers[key]

    return asked


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


@once
def count(part: str, config: Mapping[str, Any]) -> int:
    """Weights of one part, each shared one counted once."""
    return sum(parameter.numel() for parameter in build(part, config).parameters())


@once
def adapted_layers(config: Mapping[str, Any], targets: str) -> dict[str, tuple[int, int]]:
    """(in, out) of each linear layer that `targets` names in a transformer of this config.

    Raises:
        ValueError: as `target_layers`.
    """
    found = target_layers(build("transformer", config), targets)
    return {name: (layer.in_features, layer.out_features) for name, layer in found.items()}


def block_layers(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """(in, out) of each linear layer of the blocks."""
    return adapted_layers(config, r"blocks\.\d+\..*")


_ATTENTION = r"\.(?:to_q|to_k|to_v|to_out\.0|add_k_proj|add_v_proj)"
TARGETS: dict[str, str] = {
    "attn2": rf"blocks\.\d+\.attn2{_ATTENTION}",
    "attn1": rf"blocks\.\d+\.attn1{_ATTENTION}",
    "attn1+attn2": rf"blocks\.\d+\.attn[12]{_ATTENTION}",
    "ffn": r"blocks\.\d+\.ffn\.net\.(?:0\.proj|2)",
}


# What a given pattern may hold: letters, `.`, `\d`, sets, alternatives in groups, and `*`, `+`, `?`.
_TOKEN = re.compile(r"\\[.d]|\[\w+\]|[\w.]|\((?:\?:)?|[)|*+?]")
_LONGEST = 500
_MOST_WAYS = 20_000  # in which a pattern may try to match a name; each takes under a microsecond


def target_pattern(targets: str) -> str:
    """The regular expression behind `attn2`, `attn1`, `attn1+attn2`, any of them `+ffn`, or one given.

    A given one comes from anybody's file, so it is refused where matching it could take long: a repeated
    group, or several repetitions in a row.

    Raises:
        ValueError: neither a known name nor a valid regular expression of that kind.
    """
    base, plus, last = targets.rpartition("+")
    if targets in TARGETS:
        return TARGETS[targets]
    if plus and last == "ffn" and base in TARGETS:
        return f"(?:{TARGETS[base]}|{TARGETS['ffn']})"
    try:
        _refuse_slow(targets)
        re.compile(targets)
    except (re.error, ValueError, RecursionError, OverflowError) as error:
        shown = targets if len(targets) <= 100 else targets[:100] + "..."
        raise ValueError(f"targets {shown!r}: known are {', '.join(TARGETS)}, '+ffn'; {error}") from error
    return targets


def _refuse_slow(pattern: str) -> None:
    """Count in how many ways `pattern` can try a name of 64 letters: sums of alternatives, times in a row."""
    if len(pattern) > _LONGEST:
        raise ValueError(f"a pattern has at most {_LONGEST} characters")
    open_groups, last = [[0, 1]], ""  # for each group: ways of the alternatives before, and of this one
    at = 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            raise ValueError(f"a pattern may not hold {pattern[at]!r} at position {at}")
        at, word = token.end(), token[0]
        if word.startswith("("):
            open_groups.append([0, 1])
        elif word == "|":
            open_groups[-1] = [sum(open_groups[-1]), 1]
        elif word == ")":
            ways = sum(open_groups.pop())
            if not open_groups:
                raise ValueError(f"unbalanced parenthesis at position {at - 1}")
            open_groups[-1][1] *= ways
        elif word in "*+?":
            if not last or last in "()|*+?" or last == "(?:":
                raise ValueError(f"a pattern may repeat one letter or set, not a group (position {at - 1})")
            open_groups[-1][1] *= 2 if word == "?" else 64
        last = word
    if sum(open_groups[0]) > _MOST_WAYS:
        raise ValueError("it repeats so often that matching could take hours")


def target_layers(transformer: WanTransformer3DModel, targets: str) -> dict[str, torch.nn.Linear]:
    """The linear layers that `targets` names, by module name.

    Raises:
        ValueError: it names none, which would train nothing.
    """
    pattern = re.compile(target_pattern(targets))
    found = {}
    for name, module in transformer.named_modules():
        layer = module.get_base_layer() if isinstance(module, LoraLayer) else module
        if isinstance(layer, torch.nn.Linear) and pattern.fullmatch(name):
            found[name] = layer
    if not found:
        raise ValueError(f"targets {targets!r} match no linear layer; known names: {', '.join(TARGETS)}")
    return found


def trainable_count(transformer: WanTransformer3DModel, targets: str, rank: int) -> int:
    """r * sum(in + out) over the targeted layers: A is (r, in) and B is (out, r)."""
    layers = target_layers(transformer, targets).values()
    return rank * sum(layer.in_features + layer.out_features for layer in layers)
