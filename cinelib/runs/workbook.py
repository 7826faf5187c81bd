"""A workbook: the folder that holds `notebooks/` and `papermill_runs/`, and the stages made of them."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cinelib
from cinelib.parameters import ParameterError, Profile, StageParameters
from cinelib.stages import PROFILES, REQUIREMENTS, STAGES, Requirements

RUN_FILE = "run.yaml"  # in a run's folder
RUNS_VARIABLE = "CINELIB_RUNS"  # a folder for what executions write, say on a larger disk
OWN_WORK = "my_work"  # the reader's copies of the notebooks, and captions edited by hand
_MARKERS = ("notebooks", "cinelib")
_RESERVED = ("stages", "failed", "lab", "locks", "cache", "reference")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,79}")


def find_root() -> Path:
    """The repository's root: where the package was installed from, else the nearest folder above this one.

    Raises:
        FileNotFoundError: neither holds `notebooks/`.
    """
    if given := os.environ.get("CINELIB_ROOT"):
        return Path(given)
    here = Path.cwd()
    for folder in (Path(__file__).resolve().parents[2], here, *here.parents):
        if all((folder / marker).is_dir() for marker in _MARKERS):
            return folder
    raise FileNotFoundError(
        f"no workbook found in {here} or above it; run inside a clone that was installed with 'make run' "
        "or 'pip install -e .'"
    )


def runs_folder(root: Path) -> Path:
    """Folder of everything that an execution writes: `papermill_runs`, or what CINELIB_RUNS names."""
    return Path(os.environ.get(RUNS_VARIABLE) or root / "papermill_runs").expanduser().absolute()


@dataclass(frozen=True)
class Workbook:
    """Where notebooks, stages and runs lie. `stages` maps a notebook's name to its parameter model."""

    root: Path
    stages: Mapping[str, type[StageParameters]] = field(default_factory=lambda: STAGES)
    profiles: Mapping[str, Profile] = field(default_factory=lambda: PROFILES)
    requirements: Mapping[str, Requirements] = field(default_factory=lambda: REQUIREMENTS)
    package: Path = Path(cinelib.__file__).parent  # whose modules' sources are part of a stage's identity
    elsewhere: Path | None = None  # a folder for runs that was named; else `runs_folder`

    @property
    def runs(self) -> Path:
        """Folder of everything that an execution writes."""
        return self.elsewhere or runs_folder(self.root)

    @property
    def reference(self) -> Path:
        """The committed reference run, wherever runs are written."""
        return self.root / "papermill_runs" / "reference"

    def notebook(self, stage: str) -> Path:
        """The committed notebook of `stage`."""
        return self.root / "notebooks" / f"{stage}.ipynb"

    def run_folder(self, name: str) -> Path:
        """Where a run's `run.yaml` and `report.html` lie. Raises ParameterError for a name that is none."""
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise ParameterError(
                f"run name {name!r}: letters, digits and . _ = -, and none of " + ", ".join(_RESERVED)
            )
        return self.runs / name

    def stage_folder(self, stage: str, stage_id: str) -> Path:
        """Where the execution with this id lies, whether it exists or not."""
        return self.runs / "stages" / f"{stage}-{stage_id[:12]}"

    def lock(self, folder: Path) -> Path:
        """Lock file of a stage folder."""
        return self.runs / "locks" / f"{folder.name}.lock"
