"""Files for other tools: the citation, the changelog, the container, the workflow of who forks it."""

import os
import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_citation_has_what_its_format_requires_and_agrees_with_the_package():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    for author in citation["authors"]:
        assert author.get("name") or author.get("family-names")
    assert (str(citation["version"]), citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert isinstance(citation["date-released"], str)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", citation["date-released"])


def test_the_changelog_has_this_version_and_the_formats_headings():
    text = read("CHANGELOG.md")
    versions = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert any(line.split(" - ")[0] == PROJECT["version"] for line in versions)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", line) for line in versions[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)", text, re.MULTILINE)) <= kinds


def test_the_container_starts_from_a_supported_python_and_makes_what_make_knows():
    lines = re.sub(r"\\\n\s*", "", read(".ci/Containerfile")).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert steps[0][0] == "FROM" and steps[0][1].endswith("python:3.11-slim")
    assert {name for name, _ in steps} <= {"FROM", "RUN", "WORKDIR", "COPY", "CMD"}
    targets = re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE)
    named = [text.split()[1] for name, text in steps if name == "RUN" and text.startswith("make ")]
    assert named == [".venv/.installed"]
    assert "VENV := .venv\n" in MAKEFILE and "INSTALLED := $(VENV)/.installed\n" in MAKEFILE
    command = yaml.safe_load(steps[-1][1])
    assert steps[-1][0] == "CMD" and command[0] == "make" and command[1] in targets


def test_the_container_leaves_out_what_was_built_or_executed_here():
    ignored = read(".ci/Containerfile.dockerignore").split("\n")
    for line in read(".gitignore").splitlines():
        name = line.strip("/!").removesuffix("/*").rstrip("/")
        if name != "build":
            assert any(name in other for other in ignored), line


def test_the_workflow_runs_what_ci_runs_on_supported_pythons():
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    assert set(workflow[True]) == {"push", "pull_request"}, "YAML 1.1 reads `on` as True"
    (job,) = workflow["jobs"].values()
    ran = [step["run"] for step in job["steps"] if "run" in step]
    assert ran == [".ci/run"] and os.access(ROOT / ran[0], os.X_OK)
    lowest, below = re.findall(r"3\.(\d+)", PROJECT["requires-python"])
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(int(lowest), int(below))]
    assert workflow["permissions"] == {"contents": "read"}


def test_every_make_target_of_a_page_exists():
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    for page in ("CONTRIBUTING.md", "papermill_runs/README.md", "notebooks/source/README.md"):
        named = set(re.findall(r"(?:`|^)make ([a-z]+)", read(page), re.MULTILINE))
        assert named and named <= targets, page
    assert set(re.findall(r"cinelib make ([a-z]+)", read(".ci/Containerfile"))) <= targets
