"""A function as source that stands alone: what a hash can name it by, and what another process can run.

Notebook 02 trains with the loss in its own cell. The checkpoints must be named by that loss, and several
processes must train with it, wherever it was written.
"""

import ast
import builtins
import dis
import inspect
import linecache
import sys
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any


def standalone(function: Callable) -> str:
    """Source that defines `function` anywhere: its own, and what it uses of the notebook around it.

    Packages are imported. Functions, numbers and texts of the notebook are written out before it.

    Raises:
        ValueError: it uses something else, such as a tensor, or its source is not to be had.
    """
    parts: dict[str, str] = {}
    _write_out(getattr(function, "__name__", repr(function)), function, parts, ())
    return "\n".join(parts.values()) + "\n"


def rebuilt(source: str, name: str) -> Callable:
    """The function `name` from what `standalone` made of it; error reports show its lines."""
    file = f"<{name} {len(linecache.cache)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), names)
    return names[name]


def _write_out(name: str, value: Any, parts: dict[str, str], users: tuple[str, ...]) -> None:
    """Add to `parts` what makes `value` known as `name`, after what that needs itself."""
    if name in parts or name in users:  # a function may call itself
        return
    if line := _import(name, value):
        parts[name] = line
    elif isinstance(value, FunctionType) and value.__name__.isidentifier():
        _write_out_function(value, parts, users)
        if name != value.__name__:
            parts[name] = f"{name} = {value.__name__}"
    elif _is_literal(value):
        parts[name] = f"{name} = {value!r}"
    else:
        kind = type(value).__name__
        raise ValueError(
            (f"{users[-1]} uses {name}, a {kind}" if users else f"{name} is a {kind}, no plain function")
            + ": nobody can tell when that changes, nor hand it to another process; write it with numbers, "
            "texts, imported packages and functions of the notebook"
        )


def _write_out_function(value: FunctionType, parts: dict[str, str], users: tuple[str, ...]) -> None:
    name, inner = value.__name__, inspect.unwrap(value)
    try:
        source = textwrap.dedent(inspect.getsource(inner))
    except OSError as error:
        raise ValueError(f"the source of {name} is not to be had: {error}") from error
    known = {**vars(builtins), **inner.__globals__, **inspect.getclosurevars(inner).nonlocals}
    for used in sorted(_names_read(compile(source, name, "exec")) - {name}):
        if used not in known:
            raise ValueError(f"{name} uses {used}, which is not defined")
        if known[used] is not getattr(builtins, used, None):
            _write_out(used, known[used], parts, (*users, name))
    parts[name] = source


def _import(name: str, value: Any) -> str | None:
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}" if _is_importable(value.__name__) else None
    module, qualified = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if module and qualified.isidentifier() and _is_importable(module):
        return f"from {module} import {qualified} as {name}"
    return None


def _is_importable(module: str) -> bool:
    """Whether it is in a package, of Python's own or installed: not the notebook, nor a loose file."""
    if hasattr(sys.modules.get(module.partition(".")[0]), "__path__"):
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    paths = [sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")]
    return module != "__main__" and (not file or any(Path(file).is_relative_to(path) for path in paths))


def _names_read(code: CodeType) -> set[str]:
    """What code reads of its surroundings, its inner functions too."""
    read = [step for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
    inner = (_names_read(part) for part in code.co_consts if isinstance(part, CodeType))
    return {step.argval for step in read}.union(*inner)


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, RecursionError):  # no literal, or one without a truth value
        return False
