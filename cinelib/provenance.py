"""What code and data made this: one answer for stages, caches, checkpoints and scores.

Code is followed by its imports, through cinelib and through the recipes beside it that made `data/`. What
runs a stage (`stages`, `runs`, `cli`) does not count, nor do modules named `parameters`: their effect
arrives as resolved values, and these are hashed themselves.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cinelib
from cinelib.files import Hashes, digest
from cinelib.function_source import standalone

DECODERS = ("av", "pillow")  # PyAV reads, Pillow resizes
_PACKAGE = Path(cinelib.__file__).parent
_RUNS_A_STAGE = ("stages", "runs", "cli")


@cache
def code_of(*modules: str, package: Path = _PACKAGE) -> str:
    """Hash of modules of cinelib, by dotted name, and of all of cinelib that they import.

    Comments, layout and docstrings do not count: better wording measures nothing again.
    """
    files = module_files(package, [f"import {name}" for name in modules])
    return digest({name: code_digest(path.read_text("utf-8")) for name, path in files.items()})


def code_of_function(function: Callable, *modules: str, package: Path = _PACKAGE) -> str:
    """Hash of a function, such as the loss in a notebook's cell, and of `modules`, as in `code_of`.

    It changes with the function's source, with what that uses, and with all of cinelib that either imports.

    Raises:
        ValueError: as `function_source.standalone`.
    """
    source = standalone(function)
    used = module_files(package, [source])
    return digest([code_digest(source), code_of(*modules, *used, package=package)])


def versions_of(*packages: str) -> Mapping[str, str]:
    """Distribution name to version; "not installed" where that is so."""
    return {name: _version(name) for name in sorted(packages)}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


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
    """Modules that the code imports, and those that these import, by dotted name.

    They are those of `package` and of the packages in `data/recipes` beside it. A string that is a module's
    name (`"-m", "cinelib.style.launch"`) counts as an import: who launches a process uses its module too.
    """
    roots = _roots(package)
    found: dict[str, Path] = {}
    todo = [name for source in code for name in _references(source, roots, "")]
    while todo:
        for name, path in _files(roots, todo.pop()):
            if name not in found:
                found[name] = path
                inside = name if path.name == "__init__.py" else name.rpartition(".")[0]
                todo += _references(path.read_text(encoding="utf-8"), roots, inside)
    return dict(sorted(found.items()))


def _roots(package: Path) -> dict[str, Path]:
    recipes = sorted((package.parent / "data" / "recipes").glob("*/__init__.py"))
    return {folder.name: folder for folder in (package, *(path.parent for path in recipes))}


def _references(source: str, roots: Mapping[str, Path], inside: str) -> Iterator[str]:
    named = re.compile(rf"(?:{'|'.join(map(re.escape, roots))})(\.\w+)+")
    for node in ast.walk(parse(source)):
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
        yield from (name for name in names if name.split(".")[0] in roots)


def _files(roots: Mapping[str, Path], dotted: str) -> Iterator[tuple[str, Path]]:
    """Files that importing `dotted` executes: each package's `__init__` on the way, and the module.

    A package's `__main__` counts too: `-m package` runs it.
    """
    parts = dotted.split(".")
    if parts[1:2] and parts[1] in _RUNS_A_STAGE:
        return
    package = roots[parts[0]]
    for end in range(1, len(parts) + 1):
        if parts[end - 1] == "parameters":
            return
        stem = package.joinpath(*parts[1:end])
        for path in (stem / "__init__.py", stem / "__main__.py", stem.with_suffix(".py")):
            if path.is_file():
                yield ".".join([*parts[:end], *(["__main__"] if path.stem == "__main__" else [])]), path


def parse(source: str) -> ast.Module:
    """The syntax tree of a module or a cell, without IPython's % and ! lines; empty for what is neither."""
    try:
        return ast.parse(source)
    except SyntaxError:
        kept = (line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))
        try:
            return ast.parse("\n".join(kept))
        except SyntaxError:
            return ast.Module(body=[], type_ignores=[])
