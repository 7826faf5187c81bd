"""Notebook 02: low-rank adapters on the Wan transformer: added, measured, saved and loaded.

LoRA (Hu et al. 2021) adds s * B A x to a frozen linear layer W x, with A (r, in), B (out, r) and
s = alpha / r, or alpha / sqrt(r) for rsLoRA (Kalajdzievski 2023). B starts at zero: a fresh adapter adds 0.
"""

import json
import math
import re
import warnings
from dataclasses import asdict
from pathlib import Path

import torch
from diffusers import WanImageToVideoPipeline, WanTransformer3DModel
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file

from cinelib import provenance
from cinelib.files import write_tensors
from cinelib.style.adapter_card import METADATA, AdapterCard, file_name, read_card, weights_in
from cinelib.wan import layout
from cinelib.wan.layers import target_layers, target_pattern, trainable_count


def add(transformer: WanTransformer3DModel, card: AdapterCard, name: str = "style", seed: int = 0) -> int:
    """Freeze the transformer, insert a fresh adapter with fp32 weights, return its trainable count.

    A is drawn from `seed` alone, whatever the device, the base's precision or the global generator's state.

    Raises:
        ValueError: rank or alpha not positive, targets unknown, or the name in use.
    """
    if card.rank < 1 or not card.alpha > 0:
        raise ValueError(f"rank and alpha must be positive, got rank {card.rank}, alpha {card.alpha}")
    expected = trainable_count(transformer, card.targets, card.rank)
    scale = {"lora_alpha": card.alpha, "use_rslora": card.use_rslora}
    config = LoraConfig(r=card.rank, target_modules=target_pattern(card.targets), **scale)
    transformer.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        transformer.add_adapter(config, adapter_name=name)
    generator = torch.Generator().manual_seed(seed)
    adapter = parameters(transformer, name)
    for key, parameter in adapter.items():
        fresh = torch.zeros(parameter.shape)
        if "lora_A" in key:  # as peft draws it, but not rounded to what the base is stored in
            torch.nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
        parameter.data = fresh.to(parameter.device)
        parameter.requires_grad_(True)
    count = sum(parameter.numel() for parameter in adapter.values())
    trainable = sum(p.numel() for p in transformer.parameters() if p.requires_grad)
    assert count == trainable == expected, (count, trainable, expected)
    return count


def parameters(transformer: WanTransformer3DModel, name: str = "style") -> dict[str, torch.nn.Parameter]:
    """The adapter's weights by parameter name."""
    return {
        key: value for key, value in transformer.named_parameters() if f".{name}." in key and "lora_" in key
    }


@torch.no_grad()
def norm(transformer: WanTransformer3DModel, name: str = "style") -> float:
    """Frobenius norm of all updates s * B A together: how far the adapter has moved.

    |BA|^2 = tr(B^T B A A^T), which never forms the full matrix.
    """
    total = 0.0
    for module in transformer.modules():
        if isinstance(module, LoraLayer) and name in module.lora_A:
            a, b = module.lora_A[name].weight.float(), module.lora_B[name].weight.float()
            total += float(module.scaling[name] ** 2 * ((b.T @ b) * (a @ a.T)).sum())
    return math.sqrt(max(total, 0.0))


def save(
    folder: str | Path,
    transformer: WanTransformer3DModel,
    card: AdapterCard,
    name: str = "style",
    expert: str = "transformer",
) -> Path:
    """Write the weights atomically, as `pipe.load_lora_weights` reads them.

    diffusers takes rank and alpha from its own metadata entry; without it every loader assumes alpha = r.
    The file of `expert` `transformer_2` is loaded with `load_into_transformer_2=True`.
    """
    weights = get_peft_model_state_dict(transformer, adapter_name=name)
    weights = {f"transformer.{key}": value.detach().cpu().contiguous() for key, value in weights.items()}
    config = transformer.peft_config[name].to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    packed = {f"transformer.{key}": value for key, value in plain.items()}
    # One entry only: safetensors writes several in random order, and equal runs should give equal files.
    metadata = {METADATA: json.dumps({**packed, "cinelib": asdict(card)}, sort_keys=True)}
    return write_tensors(Path(folder) / file_name(expert), weights, metadata)


def load(
    pipe: WanImageToVideoPipeline,
    folder: str | Path,
    name: str = "style",
    memory: Path | None = None,
    any_base: bool = False,
) -> AdapterCard:
    """Load an adapter into `pipe`, each expert's own into it, after checking that it fits.

    The adapter must have been trained on these very weights, as far as its card and the pipeline say which
    they are; `any_base` loads it onto others of the same shape, such as Wan2.1's other resolution.

    Args:
        memory: file that remembers hashes (`provenance.weights_hash`); without it a local base is read once
            more, which takes a minute for 32 GB.

    Raises:
        FileNotFoundError, ValueError: as `read_card`; ValueError also for another base model's adapter.
    """
    card = read_card(folder)
    experts = [part for part in layout.EXPERTS if getattr(pipe, part, None) is not None]
    if len(experts) == 1 and (Path(folder) / file_name(layout.EXPERTS[1])).is_file():
        raise ValueError(f"the adapter in {folder} was trained on another base: one of two experts")
    for expert in experts:
        own = read_card(folder, expert)
        _check_fit(getattr(pipe, expert), weights_in(folder, expert), own)
        if own.base_hash and not any_base:
            _check_base(pipe, expert, own, folder, memory)
    for expert in experts:
        second = {"load_into_transformer_2": expert == layout.EXPERTS[1]}
        with warnings.catch_warnings():  # a second adapter beside the first is meant
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            only = {"weight_name": file_name(expert), "use_safetensors": True}  # else a pickle would do too
            pipe.load_lora_weights(str(folder), adapter_name=name, **only, **second)
        _widen(getattr(pipe, expert), weights_in(folder, expert), name)
    return card


def _check_fit(transformer: WanTransformer3DModel, path: Path, card: AdapterCard) -> None:
    another = f"the adapter in {path.parent} was trained on another base ({card.base_model or 'unnamed'})"
    layers, found = target_layers(transformer, card.targets), set()
    for key, value in load_file(path).items():
        match = re.fullmatch(r"transformer\.(.+)\.(lora_[AB])\.weight", key)
        if match is None:
            raise ValueError(f"{path} is no such adapter: it holds {key[:100]!r}")
        layer, kind = match.groups()
        found.add(layer)
        wanted = None
        if layer in layers:
            wide = layers[layer].in_features, layers[layer].out_features
            wanted = (card.rank, wide[0]) if kind == "lora_A" else (wide[1], card.rank)
        if tuple(value.shape) != wanted:
            raise ValueError(f"{another}: {key} is {tuple(value.shape)}, this transformer takes {wanted}")
    if lacking := sorted(layers.keys() - found):  # Wan2.2's experts have no projections of image tokens
        raise ValueError(f"{another}: this transformer has {lacking[0]} to adapt, the file nothing for it")


def _check_base(
    pipe: WanImageToVideoPipeline, expert: str, card: AdapterCard, folder: str | Path, memory: Path | None
) -> None:
    model = pipe.name_or_path
    try:
        here = provenance.weights_hash(model, expert, memory) if model else ""
    except OSError:  # no longer where it was loaded from
        here = ""
    if here and here != card.base_hash:
        raise ValueError(
            f"the adapter in {folder} was trained on another base: {card.base_model or 'unnamed'} "
            f"({card.base_hash[:12]}), this {expert} is {model}'s ({here[:12]}); the shapes fit, so if that "
            "is meant, load it with any_base=True"
        )


def _widen(transformer: WanTransformer3DModel, path: Path, name: str) -> None:
    """On a base in fp8 diffusers rounds the adapter to fp8 too, in which it cannot be computed."""
    weights = load_file(path)
    for key, parameter in parameters(transformer, name).items():
        if parameter.dtype == torch.float8_e4m3fn:
            value = weights[f"transformer.{key.replace(f'.{name}.', '.')}"]
            parameter.data = value.to(parameter.device, transformer.dtype)
