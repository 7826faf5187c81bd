"""Notebook 02: latents and embeddings, computed once. An entry's name is a hash of all that it depends on.

So an entry cannot be stale: other clips, weights, sizes or grades have other names. Each file also
carries what it was made from, and a damaged or non-finite one is made again.
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from cinelib.files import write_tensors

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
    """A folder of safetensors files, one an entry. Several threads may ask it for entries."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.report = Report()
        self._lock = threading.Lock()

    def entry(self, kind: str, key: Mapping[str, Any], make: Callable[[], Tensors]) -> Path:
        """The file that holds the tensors for `key`, calling `make` only if there is no good one.

        Raises:
            ValueError: `make` returned NaN or infinity; nothing is written.
            OSError: it could not be written, and is not there.
        """
        return self.entries([(kind, key)], lambda missing: [make()])[0]

    def entries(
        self, wanted: Sequence[tuple[str, Mapping[str, Any]]], make: Callable[[list[int]], list[Tensors]]
    ) -> list[Path]:
        """As `entry` for several; `make` is given the places of those that are missing, if there are any."""
        texts = [json.dumps({"kind": kind, **key}, sort_keys=True, allow_nan=False) for kind, key in wanted]
        paths = [self._path(kind, text) for (kind, _), text in zip(wanted, texts, strict=True)]
        missing = []
        for place, (path, text) in enumerate(zip(paths, texts, strict=True)):
            kind, fault = wanted[place][0], _fault(path, text)
            if fault is None:
                self._count(self.report.reused, kind)
                continue
            missing.append(place)
            if path.exists():
                self.report.replaced.append(f"{kind} {path.name}: {fault}")
        for place, made in zip(missing, make(missing) if missing else (), strict=True):
            kind = wanted[place][0]
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in made.items()}
            if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
                raise ValueError(f"{kind} of {texts[place]} holds NaN or infinity")
            write_tensors(paths[place], tensors, {"key": texts[place]})
            self._count(self.report.encoded, kind)
        return paths

    def _count(self, counter: Counter, kind: str) -> None:
        with self._lock:
            counter[kind] += 1

    def _path(self, kind: str, text: str) -> Path:
        return self.folder / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"


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
