"""Notebooks and benchmarks name only what there is: a rename is noticed without executing them."""

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("cinelib", "backlot", "classroom", "dailies")
SOURCES = [
    *sorted((ROOT / "notebooks" / "source").glob("[0-9][0-9]_*.py")),
    *sorted((ROOT / "tests" / "benchmarks").glob("*.py")),
]


def lacking(tree: ast.Module) -> list[str]:
    """What the code imports from our packages, or takes from their modules, and does not exist."""
    modules, missing = {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            for alias in node.names:
                found = member(node.module, alias.name)
                if found is None:
                    missing.append(f"{node.module}.{alias.name}")
                elif isinstance(found, ModuleType):
                    modules[alias.asname or alias.name] = found
    assigned = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id not in assigned
        ):
            module = modules.get(node.value.id)
            if module is not None and member(module.__name__, node.attr) is None:
                missing.append(f"{module.__name__}.{node.attr}")
    return missing


def member(module: str, name: str) -> object | None:
    """The attribute or submodule `name` of a module, None if there is neither."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        return None
    if hasattr(found, name):
        return getattr(found, name)
    try:
        return importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_name_of_ours_exists(path):
    assert not lacking(ast.parse(path.read_text("utf-8")))


def test_a_renamed_class_module_or_function_is_noticed():
    code = (
        "from cinelib.preparation.storyboard import Scene\nfrom cinelib.wan import sampling\nsampling.Scene\n"
    )
    assert lacking(ast.parse(code)) == ["cinelib.preparation.storyboard.Scene", "cinelib.wan.sampling.Scene"]
