"""Notebook 02: the adapter for other tools, ComfyUI among them, and a card for the Hub."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import torch
from huggingface_hub import ModelCardData
from safetensors import safe_open
from safetensors.torch import load_file

from cinelib.files import write_tensors, write_text
from cinelib.show.markup import escape
from cinelib.style import lora
from cinelib.wan import layout

ORIGINAL = "wan_original_lora.safetensors"

_PROJECTIONS = {
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "o",
    "add_k_proj": "k_img",
    "add_v_proj": "v_img",
}
_NAMES = {
    **{f"attn1.{ours}": f"self_attn.{theirs}" for ours, theirs in _PROJECTIONS.items()},
    **{f"attn2.{ours}": f"cross_attn.{theirs}" for ours, theirs in _PROJECTIONS.items()},
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
}


def export_original(folder: str | Path, expert: str = "transformer") -> Path:
    """Write the adapter in `folder` a second time, with the key names of Wan's own code.

    Each layer gets an `alpha` entry, which such loaders divide by the rank; under rsLoRA it is chosen so
    that they arrive at the same scale.

    Raises:
        FileNotFoundError, ValueError: as `lora.read_card`; ValueError for a layer without an original name.
    """
    card = lora.read_card(folder, expert)
    alpha = card.alpha * (card.rank**0.5 if card.use_rslora else 1.0)
    converted = {}
    for key, value in load_file(lora.weights_in(folder, expert)).items():
        match = re.fullmatch(r"transformer\.(blocks\.\d+)\.(.+)\.lora_([AB])\.weight", key)
        if match is None or match[2] not in _NAMES:
            raise ValueError(f"{key} has no name in Wan's original layout")
        layer = f"diffusion_model.{match[1]}.{_NAMES[match[2]]}"
        converted[f"{layer}.lora_{'down' if match[3] == 'A' else 'up'}.weight"] = value
        converted[f"{layer}.alpha"] = torch.tensor(alpha)
    path = Path(folder) / (ORIGINAL if expert == "transformer" else ORIGINAL.replace(".", f"_{expert}."))
    return write_tensors(path, converted, {"cinelib": json.dumps(asdict(card), sort_keys=True)})


def write_card(folder: str | Path, title: str, numbers: dict[str, float]) -> Path:
    """`README.md` beside the weights, in the Hub's model card format, with measured `numbers`."""
    folder, card = Path(folder), lora.read_card(folder)
    experts = [part for part in layout.EXPERTS if (folder / lora.file_name(part)).is_file()]
    count = 0
    for expert in experts:
        with safe_open(lora.weights_in(folder, expert), "pt") as file:
            count += sum(file.get_tensor(key).numel() for key in file.keys())  # noqa: SIM118 (not a dict)
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in numbers.items())
    kind = f"rank {card.rank}, alpha {card.alpha:g}{' (rsLoRA)' if card.use_rslora else ''}"
    text = f"""---
{_front_matter(card)}
---

# {title}

A LoRA of {kind}, on `{card.targets}`: {count:,} weights, {card.steps} steps.
{f'Open prompts with "{escape(card.trigger)}, ".' if card.trigger else "It needs no trigger words."}

```python
{chr(10).join(_load_line(expert) for expert in experts)}
pipe.set_adapters(["style"], [1.0])
```

| measured | value |
|---|---|
{rows}

Base model: `{card.base_model or "unnamed"}`, weights (SHA-256) `{card.base_hash}`. Dataset (SHA-256):
`{card.dataset_hash}`.
"""
    return write_text(folder / "README.md", text)


def _front_matter(card: lora.AdapterCard) -> str:
    """YAML that the Hub reads. It links `base_model` only where that is an id of its own, not a path."""
    is_hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", card.base_model) and not Path(card.base_model).exists()
    data = ModelCardData(
        base_model=card.base_model if is_hub_id else None,
        base_model_relation="adapter" if is_hub_id else None,
        library_name="diffusers",
        pipeline_tag="image-to-video",
        tags=["lora", "diffusers", "image-to-video", "wan", "template:diffusion-lora"],
        instance_prompt=card.trigger or None,
    )
    return data.to_yaml()


def _load_line(expert: str) -> str:
    second = "" if expert == "transformer" else f", load_into_{expert}=True"
    name = lora.file_name(expert)
    return f'pipe.load_lora_weights("FOLDER", weight_name="{name}", adapter_name="style"{second})'
