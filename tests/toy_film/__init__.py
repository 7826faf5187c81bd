"""A workbook of tiny notebooks, with the shape of the real one, for tests of stages and runs.

`make(root)` writes it; `python -m toy_film run ...` in that folder is the `cinelib` command on it.
"""

import json
import shutil
from pathlib import Path

from cinelib.profiles import Requirements
from cinelib.runs.workbook import Workbook
from toy_film.parameters import Cut, Grade, Prints, Sound

PROFILES = {"nano": {}, "smoke": {"*": {"width": 2}}, "huge": {}}
REQUIREMENTS = {"huge": Requirements(memory=1e6, disk=1e6)}

OPENING = """
from cinelib.profiles import from_notebook
from cinelib.runs.stage import open_stage
from toy_film.parameters import {model}
params = from_notebook({model}, globals())
stage = open_stage(params)
"""

CODE = {
    Sound: [
        "import os, time",
        "(stage.folder / 'sound.txt').write_text('la')",
        "stage.log(f'pid {os.getpid()}')",
    ],
    Cut: [
        "from pathlib import Path\nfrom toy_film.paint import colour",
        "takes = sorted(Path(params.footage).iterdir())",
        "(stage.folder / 'cut.txt').write_text(colour(len(takes), params.width))",
        "stage.save_metrics({'takes': len(takes), 'share': {'value': 0.5, 'interval': [0.4, 0.6], 'n': 8}})",
    ],
    Grade: [
        "cut = (stage.upstream('01_cut') / 'cut.txt').read_text()",
        "import time\nstage.log('grading')\ntime.sleep(params.seconds)",
        "if params.fail: raise ValueError('the film tore')",
        "(stage.folder / 'grade.txt').write_text(cut * params.strength)",
        "stage.save_metrics({'strength': params.strength})",
    ],
    Prints: ["grade = (stage.upstream('02_grade') / 'grade.txt').read_text()", "stage.log(grade)"],
}


def make(root: Path) -> Workbook:
    """Write the toy workbook's notebooks, package and footage under `root`."""
    (root / "notebooks").mkdir(parents=True)
    (root / "footage").mkdir()
    for name in ("a.txt", "b.txt"):
        (root / "footage" / name).write_text(name)
    shutil.copytree(Path(__file__).parent, root / "toy_film", ignore=shutil.ignore_patterns("__pycache__"))
    workbook = opened(root)
    for model, code in CODE.items():
        write_notebook(workbook, model, code)
    return workbook


def opened(root: Path) -> Workbook:
    """The toy workbook that lies at `root`."""
    stages = {model.stage: model for model in CODE}
    return Workbook(root, stages, PROFILES, REQUIREMENTS, package=root / "toy_film")


def write_notebook(workbook: Workbook, model: type, code: list[str], close: bool = True) -> Path:
    """One notebook: parameters, the opening, `code` a cell each, and `stage.close()`."""
    lines = [f"{name} = {field.default!r}" for name, field in model.model_fields.items()]
    cells = [OPENING.format(model=model.__name__), *code, *(["stage.close()"] if close else [])]
    title = {"cell_type": "markdown", "metadata": {}, "source": f"# {model.stage}\n\nA *toy* of <one> cell."}
    notebook = {
        "cells": [title, _code("\n".join(lines), ["parameters"]), *(_code(cell, []) for cell in cells)],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number}"
    path = workbook.notebook(model.stage)
    path.write_text(json.dumps(notebook))
    return path


def _code(source: str, tags: list[str]) -> dict:
    return {
        "cell_type": "code",
        "metadata": {"tags": tags},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
