"""What a stage's result depends on, hashed: notebook, cinelib's modules, parameters, inputs, upstream ids.

Of the notebook only the code that makes the result counts: no prose, no exercise, no check.
Two executions with the same identity are the same stage, whichever run asks for it.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cinelib.files import Hashes, digest
from cinelib.parameters import StageParameters
from cinelib.provenance import code_digest, module_files
from cinelib.runs import inputs, notebook
from cinelib.runs.workbook import Workbook

_code_digest = cache(code_digest)  # by its text: stages have most modules in common


@dataclass(frozen=True)
class Identity:
    """`parts` is what was hashed, kept in the manifest so that a change can be named; `id` is its hash."""

    id: str
    parts: Mapping[str, Any]


def identify(
    workbook: Workbook, params: StageParameters, upstream: Mapping[str, str], hashes: Hashes
) -> Identity:
    """The identity of a stage with these parameters and upstream ids."""
    cells = notebook.read(workbook.notebook(params.stage))
    code = notebook.code(cells)
    files = module_files(workbook.package, code)
    modules = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    named = inputs.named(workbook.root, [*code, *modules.values()])
    read = {**inputs.marked(workbook.root, params), **named}
    parts = {
        "notebook": digest(notebook.code_digests(cells)),
        "modules": {name: _code_digest(text) for name, text in modules.items()},
        "parameters": params.model_dump(mode="json"),
        "definition": digest(_definition(type(params))),
        "inputs": {name: hashes.tree(path) for name, path in read.items()},
        "upstream": dict(upstream),
    }
    return Identity(digest(parts), parts)


def changes(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """What differs between two identities' parts, in words."""
    found = [
        f"{name} {old['parameters'][name]!r} -> {value!r}"
        for name, value in new["parameters"].items()
        if name in old["parameters"] and old["parameters"][name] != value
    ]
    if new["parameters"].keys() != old["parameters"].keys() or new["definition"] != old["definition"]:
        found.append("its parameters were redefined")
    if new["notebook"] != old["notebook"]:
        found.append("notebook changed")
    for part in ("modules", "inputs", "upstream"):
        names = sorted(new[part].keys() | old[part].keys())
        differ = [name for name in names if new[part].get(name) != old[part].get(name)]
        if differ:
            more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
            found.append(f"{', '.join(differ[:3])}{more} changed")
    return found


def _definition(model: type[StageParameters]) -> list[str]:
    """Source of the parameter model and its bases: validators and derived values, without other stages."""
    bases = (base for base in model.__mro__ if issubclass(base, StageParameters))
    return [inspect.getsource(base) for base in bases if base is not StageParameters]
