"""Notebook 02: a file of LoRA weights: its name, and what it says about itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from cinelib.files import Hashes
from cinelib.wan.layers import target_pattern

WEIGHTS = "pytorch_lora_weights.safetensors"  # the name that diffusers and the Hub look for
# Entries of peft that are patterns, or name code to import; `lora.save` leaves them empty.
_REFUSED = {"rank_pattern", "alpha_pattern", "layers_pattern", "exclude_modules", "megatron_config"}
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
    try:
        packed = json.loads(metadata.get(METADATA, "{}"))
        card = packed.get("cinelib")
    except (ValueError, RecursionError, AttributeError):
        raise ValueError(f"the card of {path} is damaged: not a JSON object") from None
    if card is None:
        raise ValueError(f"{path} carries no cinelib card; load it with pipe.load_lora_weights")
    return _checked(card, packed, path)


def _checked(card: Any, packed: Mapping[str, Any], path: Path) -> AdapterCard:
    """The card, once its fields and what other tools read beside it are what `lora.save` writes."""
    kinds = {field.name: field.type for field in fields(AdapterCard)}
    needed = {field.name for field in fields(AdapterCard) if field.default is MISSING}
    given = card if isinstance(card, dict) else {}
    wrong = [f"unknown field {name!r}" for name in given if name not in kinds]
    wrong += [f"no {name}" for name in sorted(needed - given.keys())]
    wrong += [
        f"{name} = {value!r} is no {kinds[name].__name__}"
        for name, value in given.items()
        if name in kinds and not _is(value, kinds[name])
    ]
    # peft reads these as regular expressions: a pattern that differs from the card's could run for ever.
    beside = [(key.rpartition(".")[2], value) for key, value in packed.items() if key != "cinelib"]
    wrong += [f"{name} beside it is not empty" for name, value in beside if name in _REFUSED and value]
    names = [value for name, value in beside if name == "target_modules" and isinstance(value, str)]
    if not wrong and any(name != target_pattern(given["targets"]) for name in names):
        wrong.append("target_modules beside it are not its targets")
    if wrong:
        raise ValueError(f"the card of {path} is damaged: {'; '.join(map(_short, wrong[:5]))}")
    return AdapterCard(**given)


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float) and 0 < value < 1e9
    return isinstance(value, kind) and (kind is not int or 0 <= value < 10**9)


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:119] + "…"


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
