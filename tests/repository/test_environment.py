"""One source of pins for pip and conda, closed over what is installed; cheap imports; make's messages."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEVELOPMENT = PROJECT["optional-dependencies"]["dev"]
NAMED_BY_THE_USER = "torch diffusers peft accelerate jupyterlab papermill ipywidgets matplotlib lpips decord"


def pins(lines):
    found = {}
    for line in lines:
        requirement = Requirement(line)
        (clause,) = requirement.specifier
        assert clause.operator == "==", f"{line} is not pinned"
        found[canonicalize_name(requirement.name)] = clause.version
    return found


def constraints():
    lines = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    return pins(line for line in lines if line.strip() and not line.startswith("#"))


def test_every_dependency_is_pinned_and_the_constraints_agree():
    declared = pins(PROJECT["dependencies"] + DEVELOPMENT)
    locked = constraints()
    assert {name: locked.get(name) for name in declared} == declared


def test_the_packages_that_the_user_named_are_there():
    assert set(NAMED_BY_THE_USER.split()) <= set(pins(PROJECT["dependencies"]))


def test_the_constraints_are_closed_and_installed():
    """Each package that another one needs here is pinned, at the version that is installed."""
    locked = constraints()
    todo = [Requirement(line) for line in PROJECT["dependencies"] + DEVELOPMENT]
    seen, unpinned, different = set(), set(), {}
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, str(requirement.extras)) in seen:
            continue
        seen.add((name, str(requirement.extras)))
        distribution = metadata.distribution(name)
        if name not in locked:
            unpinned.add(name)
        elif locked[name] != distribution.version:
            different[name] = (locked[name], distribution.version)
        extras = requirement.extras or {""}
        for line in distribution.requires or []:
            needed = Requirement(line)
            environments = ({**default_environment(), "extra": extra} for extra in extras)
            if needed.marker is None or any(
                needed.marker.evaluate(environment) for environment in environments
            ):
                todo.append(needed)
    assert not unpinned
    assert not different


def test_torch_is_not_the_release_whose_cpu_build_breaks_torchvision():
    assert not constraints()["torch"].startswith("2.13.")


def test_conda_installs_from_the_same_files():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == ["-c .ci/constraints.txt", "-e .[dev]"]
    from_conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert from_conda == ["python=3.11", "pip"]


def test_make_installs_from_the_same_files():
    text = (ROOT / "Makefile").read_text()
    installs = [line for line in text.splitlines() if "pip install" in line and "$(UV)" not in line]
    assert installs
    assert all("-c .ci/constraints.txt -e '.[dev]'" in line for line in installs)


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize("python", ["/bin/false", "/no/such/python", ""])
def test_make_says_which_python_it_needs(tmp_path, python):
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    answer = subprocess.run(
        ["make", f"PYTHON={python}", "run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode != 0
    assert "Cinelib needs Python 3.11 or 3.12" in answer.stderr
    assert not (tmp_path / ".venv").exists()


PACKAGES = {"cinelib", "backlot", "classroom", "dailies"}


def test_a_built_wheel_holds_the_four_packages_with_their_files(tmp_path):
    for name in ("cinelib", "data/recipes"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    code = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    kinds = (".py", ".j2", ".css", ".yaml")
    sources = {
        path.relative_to(folder).as_posix()
        for folder in (tmp_path, tmp_path / "data" / "recipes")
        for name in PACKAGES
        for path in (folder / name).rglob("*")
        if path.suffix in kinds
    }
    assert packed == sources
    assert {name.split("/")[0] for name in packed} == PACKAGES


def test_the_four_packages_are_installed():
    """So a notebook's kernel imports them, whose path is its own folder."""
    code = f"import {', '.join(sorted(PACKAGES))}"
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run([sys.executable, "-c", code], cwd="/", env=plain, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_the_notebooks_scripts_run_from_any_folder(tmp_path):
    for command in (["course.py", "build", "--check"], ["reference.py", "--help"]):
        script = [sys.executable, str(ROOT / "notebooks" / "source" / command[0]), *command[1:]]
        answer = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr


def modules_after(code):
    script = f"{code}\nimport sys; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


@pytest.mark.parametrize("module", ["cinelib", "cinelib.stages", "cinelib.cli", "cinelib.runs.pipeline"])
def test_cheap_modules_import_nothing_heavy(module):
    heavy = {"torch", "diffusers", "transformers", "cv2", "pandas", "matplotlib", "scipy", "av", "papermill"}
    assert not heavy & modules_after(f"import {module}")


def test_importing_cinelib_takes_under_a_second():
    code = "import time; t = time.process_time(); import cinelib; print(time.process_time() - t)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(answer.stdout) < 1


def test_the_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text()
    assert re.search(r"Apache License\s+Version 2.0, January 2004", text)
    assert "APPENDIX: How to apply the Apache License" in text
