"""Notebook 02: a file of LoRA weights: its name, and what it says about itself."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from cinelib.files import Hashes

WEIGHTS = "pytorch_lora_weights.safetensors"  # the name that diffusers and the Hub look for
METADATA = "lora_adapter_metadata"  # the entry in it that diffusers reads rank and alpha from


@dataclass(frozen=True)
class AdapterCard:
    """What a file of LoRA weights says about itself, beside the weights.

    `base_hash` is the weights hash of the transformer that it was trained on; "" when unknown.
    """

    rank: int
    alpha: float
    targets: str
    use_rslora: bool = False
    base_model: str = ""
    base_hash: str = ""
    trigger: str = ""
    dataset_hash: str = ""
    steps: int = 0


def file_name(expert: str = "transformer") -> str:
    """Of one expert's adapter. The second's may not end like the first's, which diffusers finds unnamed."""
    return WEIGHTS if expert == "transformer" else WEIGHTS.replace(".", f"_{expert}.")


def read_card(folder: str | Path, expert: str = "transformer") -> AdapterCard:
    """What the adapter in `folder` says about itself.

    Raises:
        FileNotFoundError: no weights there.
        ValueError: damaged, or written by another tool without the card.
    """
    path = weights_in(folder, expert)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
    card = json.loads(metadata.get(METADATA, "{}")).get("cinelib")
    if card is None:
        raise ValueError(f"{path} carries no cinelib card; load it with pipe.load_lora_weights")
    return AdapterCard(**card)


def weights_in(folder: str | Path, expert: str = "transformer") -> Path:
    """The file of an expert's adapter. Raises FileNotFoundError."""
    path = Path(folder) / file_name(expert)
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {folder}")
    return path


def check_trainings(folders: Sequence[str | Path], adapters: Sequence[str] = ("lora", "control")) -> None:
    """Refuse folders that are not trainings of one recipe, each from a seed of its own.

    Raises:
        FileNotFoundError, ValueError: as `read_card`; ValueError also for another recipe, naming what
            differs, and for the same weights twice.
    """
    first, *others = map(Path, folders)
    for adapter in adapters:
        own = asdict(read_card(first / adapter))
        seen = {Hashes().file(weights_in(first / adapter)): first}
        for folder in others:
            card = asdict(read_card(folder / adapter))
            if apart := {name: (card[name], own[name]) for name in own if card[name] != own[name]}:
                raise ValueError(f"{folder / adapter} has another recipe than {first / adapter}: {apart}")
            weights = Hashes().file(weights_in(folder / adapter))
            if weights in seen:
                raise ValueError(f"{folder} and {seen[weights]} hold the same training: {adapter} is equal")
            seen[weights] = folder
