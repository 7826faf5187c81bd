"""Files and folders that a stage reads and that no other stage made: footage, stills, checkpoints."""

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cinelib.files import Hashes
from cinelib.parameters import StageParameters
from cinelib.provenance import parse


def input_kind(params: type[StageParameters] | StageParameters, name: str) -> str:
    """ "folder", "model" or "" for a parameter that names no input."""
    extra = type(params).model_fields if isinstance(params, StageParameters) else params.model_fields
    marks = extra[name].json_schema_extra
    return str(marks.get("input", "")) if isinstance(marks, dict) else ""


def given(params: StageParameters) -> Iterator[tuple[str, str, str]]:
    """Name, kind and value of each parameter that names an input; once for each value of a list."""
    for name in type(params).model_fields:
        if kind := input_kind(params, name):
            value = getattr(params, name)
            yield from ((name, kind, one) for one in (value if isinstance(value, list) else [value]) if one)


def marked(root: Path, params: StageParameters) -> dict[str, Path]:
    """Local paths among the parameters that name an input, and the person's own files for the stage.

    A hub id is its own name; it has no local path.
    """
    names = [*(value for _, _, value in given(params)), *params.own_files()]
    return {value: root / value for value in names if (root / value).exists()}


def named(root: Path, code: Iterable[str]) -> dict[str, Path]:
    """Paths under `data/` that the code names in full, so that data without a parameter counts too."""
    names = {name for source in code for name in _names(source)}
    return {name: root / name for name in sorted(names) if "\n" not in name and (root / name).exists()}


@cache
def _names(source: str) -> frozenset[str]:
    constants = (node.value for node in ast.walk(parse(source)) if isinstance(node, ast.Constant))
    return frozenset(text for text in constants if isinstance(text, str) and text.startswith("data/"))


def provenance(
    root: Path, params: StageParameters, known: Mapping[str, str], hashes: Hashes
) -> dict[str, Any]:
    """For each input its content's hash; for a model its weights' hash and, from the hub, its revision."""
    found: dict[str, Any] = {}
    for name, value in known.items():
        found[name] = {"sha256": value}
    for _, kind, value in given(params):
        if kind == "model":
            path = root / value
            entry = found.setdefault(value, {})
            if path.is_dir():
                entry["weights_sha256"] = hashes.tree(path, lambda p: p.suffix == ".safetensors")
            else:
                entry["revision"] = hub_revision(value)
    return found


def hub_revision(repository: str) -> str | None:
    """The commit of a model in the local hub cache, None when it is not there."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    reference = cache / f"models--{repository.replace('/', '--')}" / "refs" / "main"
    return reference.read_text().strip() if reference.is_file() else None
