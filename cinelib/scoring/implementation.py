"""What a number depends on beside its clip: the code that computes it and the packages that this calls."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cinelib
from cinelib.runs.files import digest
from cinelib.runs.identity import code_digest, module_files

DECODERS = ("av", "decord", "pillow")  # decord reads, PyAV times and steps in, Pillow resizes
_PACKAGE = Path(cinelib.__file__).parent


@cache
def code_of(*modules: str, package: Path = _PACKAGE) -> str:
    """Hash of modules of cinelib, by dotted name, and of all of cinelib that they import.

    Comments, layout and docstrings do not count: better wording measures nothing again.
    """
    files = module_files(package, [f"import {name}" for name in modules])
    return digest({name: code_digest(path.read_text("utf-8")) for name, path in files.items()})


def versions_of(*packages: str) -> Mapping[str, str]:
    """Distribution name to version; "not installed" where that is so, as for decord on some machines."""
    return {name: _version(name) for name in sorted(packages)}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
