"""Latents and embeddings, computed once. An entry's name is a hash of all that it depends on.

So an entry cannot be stale: other clips, weights, sizes or grades have other names. Each file also
carries what it was made from, and a damaged or non-finite one is made again.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from cinelib.runs.files import Hashes

Tensors = dict[str, torch.Tensor]


@dataclass
class Report:
    """How many entries were encoded, reused or replaced, and which clips were refused and why."""

    encoded: Counter = field(default_factory=Counter)
    reused: Counter = field(default_factory=Counter)
    replaced: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report as text, one fact a line."""
        kinds = sorted(set(self.encoded) | set(self.reused))
        found = [f"{kind}: {self.encoded[kind]} encoded, {self.reused[kind]} reused" for kind in kinds]
        found += [f"replaced: {reason}" for reason in self.replaced]
        return found + [f"refused: {name}: {reason}" for name, reason in self.refused]


class Cache:
    """A folder of safetensors files, one an entry."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.report = Report()

    def entry(self, kind: str, key: Mapping[str, Any], make: Callable[[], Tensors]) -> Path:
        """The file that holds the tensors for `key`, calling `make` only if there is no good one.

        Raises:
            ValueError: `make` returned NaN or infinity; nothing is written.
        """
        text = json.dumps({"kind": kind, **key}, sort_keys=True, allow_nan=False)
        path = self.folder / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"
        fault = _fault(path, text)
        if fault is None:
            self.report.reused[kind] += 1
            return path
        if path.exists():
            self.report.replaced.append(f"{kind} {path.name}: {fault}")
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in make().items()}
        if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise ValueError(f"{kind} of {text} holds NaN or infinity")
        _write(path, tensors, text)
        self.report.encoded[kind] += 1
        return path


def read(path: Path) -> Tensors:
    """The tensors of one entry."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)


def _fault(path: Path, text: str) -> str | None:
    if not path.exists():
        return "missing"
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("key") != text:
                return "made from something else"
            if not all(torch.isfinite(file.get_tensor(name)).all() for name in file.keys()):  # noqa: SIM118
                return "not finite"
    except (SafetensorError, OSError) as error:
        return f"unreadable, {error}"
    return None


def _write(path: Path, tensors: Tensors, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, partial, {"key": text})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def weights_hash(model: str, component: str, memory: Path | None = None) -> str:
    """SHA-256 over the files of one component of a checkpoint folder or of a hub id's local snapshot.

    Raises:
        FileNotFoundError: the checkpoint has no such component here.
    """
    folder = Path(model)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(model, allow_patterns=[f"{component}/*"]))
    if not (folder / component).is_dir():
        raise FileNotFoundError(f"{model} has no component {component!r}")
    hashes = Hashes(memory)
    value = hashes.tree(folder / component)
    hashes.save()
    return value
