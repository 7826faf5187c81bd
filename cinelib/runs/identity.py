"""What a stage's result depends on, hashed: notebook, cinelib's modules, parameters, inputs, upstream ids.

Two executions with the same identity are the same stage, whichever run asks for it.
"""

import ast
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cinelib.parameters import StageParameters
from cinelib.runs import inputs
from cinelib.runs.files import Hashes, digest
from cinelib.runs.workbook import Workbook

# Their effect on a result arrives as resolved parameters, hashed by value, or is none (how a stage is run).
_PLUMBING = ("runs", "parameters", "profiles", "cli", "doctor", "report", "course")


@dataclass(frozen=True)
class Identity:
    """`parts` is what was hashed, kept in the manifest so that a change can be named; `id` is its hash."""

    id: str
    parts: Mapping[str, Any]


def identify(
    workbook: Workbook, params: StageParameters, upstream: Mapping[str, str], hashes: Hashes
) -> Identity:
    """The identity of a stage with these parameters and upstream ids."""
    cells = notebook_cells(workbook.notebook(params.stage))
    code = [source for kind, source, tags in cells if kind == "code" and "parameters" not in tags]
    modules = module_files(workbook.package, code)
    texts = [*code, *(path.read_text(encoding="utf-8") for path in modules.values())]
    read = {**inputs.marked(workbook.root, params), **inputs.named(workbook.root, map(_parse, texts))}
    parts = {
        "notebook": digest(cells),
        "modules": {name: code_digest(path.read_text(encoding="utf-8")) for name, path in modules.items()},
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


def notebook_cells(path: Path) -> list[tuple[str, str, list[str]]]:
    """(type, source, tags) of each cell: what a notebook says, without outputs, counts and cell ids."""
    # Read as the JSON that it is: importing nbformat takes longer than finding out that nothing changed.
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", [])) for cell in cells]


def code_digest(source: str) -> str:
    """Hash of what a module does; comments, layout and docstrings do not count: wording costs no GPU-hour."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                first.value.value = ""
    return digest(ast.dump(tree))


def module_files(package: Path, code: Iterable[str]) -> dict[str, Path]:
    """Modules of `package` that the code imports, and those that these import, by dotted name.

    A string that is a module's name (`"-m", "cinelib.training"`) counts as an import: a notebook
    that launches processes uses that module too.
    """
    found: dict[str, Path] = {}
    todo = [name for source in code for name in _references(source, package.name, "")]
    while todo:
        for name, path in _files(package, todo.pop()):
            if name not in found:
                found[name] = path
                inside = name if path.name == "__init__.py" else name.rpartition(".")[0]
                todo += _references(path.read_text(encoding="utf-8"), package.name, inside)
    return dict(sorted(found.items()))


def _references(source: str, package: str, inside: str) -> Iterator[str]:
    named = re.compile(rf"{re.escape(package)}(\.\w+)+")
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = inside.split(".")[: len(inside.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and named.fullmatch(node.value):
            names = [node.value]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == package)


def _files(package: Path, dotted: str) -> Iterator[tuple[str, Path]]:
    """Files that importing `dotted` executes: each package's `__init__` on the way, and the module."""
    parts = dotted.split(".")
    if len(parts) > 1 and parts[1] in _PLUMBING:
        return
    for end in range(1, len(parts) + 1):
        stem = package.parent.joinpath(*parts[:end])
        for path in (stem / "__init__.py", stem.with_suffix(".py")):
            if path.is_file():
                yield ".".join(parts[:end]), path


def _parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError:  # a cell with IPython's % or ! lines
        kept = (line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))
        try:
            return ast.parse("\n".join(kept))
        except SyntaxError:
            return ast.Module(body=[], type_ignores=[])


def _definition(model: type[StageParameters]) -> list[str]:
    """Source of the parameter model and its bases: validators and derived values, without other stages."""
    mine = [
        base for base in model.__mro__ if issubclass(base, StageParameters) and base is not StageParameters
    ]
    return [inspect.getsource(base) for base in mine]
