"""The adapter for other tools: the original Wan key layout (ComfyUI and others), and a card for the Hub."""

import os
import re
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cinelib.lora import WEIGHTS, read_card

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


def export_original(folder: str | Path) -> Path:
    """Write the adapter in `folder` a second time, with the key names of Wan's own code.

    Each layer gets an `alpha` entry, which such loaders divide by the rank; under rsLoRA it is chosen so
    that they arrive at the same scale.

    Raises:
        FileNotFoundError, ValueError: as `lora.read_card`; ValueError for a layer without an original name.
    """
    card = read_card(folder)
    alpha = card.alpha * (card.rank**0.5 if card.use_rslora else 1.0)
    converted = {}
    for key, value in load_file(Path(folder) / WEIGHTS).items():
        match = re.fullmatch(r"transformer\.(blocks\.\d+)\.(.+)\.lora_([AB])\.weight", key)
        if match is None or match[2] not in _NAMES:
            raise ValueError(f"{key} has no name in Wan's original layout")
        layer = f"diffusion_model.{match[1]}.{_NAMES[match[2]]}"
        converted[f"{layer}.lora_{'down' if match[3] == 'A' else 'up'}.weight"] = value
        converted[f"{layer}.alpha"] = torch.tensor(alpha)
    path = Path(folder) / ORIGINAL
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(converted, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def write_card(folder: str | Path, title: str, numbers: dict[str, float]) -> Path:
    """`README.md` beside the weights, in the Hub's model card format, with measured `numbers`."""
    card = read_card(folder)
    with safe_open(Path(folder) / WEIGHTS, "pt") as file:
        count = sum(file.get_tensor(key).numel() for key in file.keys())  # noqa: SIM118 (not a dict)
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in numbers.items())
    kind = f"rank {card.rank}, alpha {card.alpha:g}{' (rsLoRA)' if card.use_rslora else ''}"
    text = f"""---
base_model: {card.base_model}
tags: [lora, diffusers, image-to-video, wan]
library_name: diffusers
instance_prompt: "{card.trigger}"
---

# {title}

A LoRA of {kind}, on `{card.targets}`: {count:,} weights, {card.steps} steps.
Open prompts with "{card.trigger}, ".

```python
pipe.load_lora_weights("FOLDER", weight_name="{WEIGHTS}", adapter_name="style")
pipe.set_adapters(["style"], [1.0])
```

| measured | value |
|---|---|
{rows}

Base weights (SHA-256): `{card.base_hash}`. Dataset (SHA-256): `{card.dataset_hash}`.
"""
    path = Path(folder) / "README.md"
    path.write_text(text, "utf-8")
    return path
