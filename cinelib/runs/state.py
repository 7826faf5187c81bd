"""What became of a run, read from files alone: nothing that runs is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cinelib import files
from cinelib.files import read_json
from cinelib.parameters import ParameterError
from cinelib.runs import duration, manifest
from cinelib.runs.workbook import RUN_FILE, Workbook


@dataclass(frozen=True)
class StageState:
    """One execution of a notebook in a run.

    Attributes:
        id: of its identity; one notebook (`name`) may stand in a run more than once.
        given: parameters that differ from the profile's values.
        variant: what tells it from the run's other executions of the notebook.
        manifest: None unless it is done.
        progress: of one that runs: see `duration.progress`.
        failure: folder of the newest failed attempt.
    """

    id: str
    name: str
    state: str
    folder: Path
    given: tuple[str, ...]
    variant: tuple[str, ...]
    manifest: Mapping[str, Any] | None
    failure: Path | None
    progress: Mapping[str, Any] | None = None

    @property
    def label(self) -> str:
        """The notebook's name and what tells this execution from the run's others."""
        return " ".join((self.name, *self.variant))

    def told(self) -> tuple[str, str]:
        """The state in a word, and in words why or how far."""
        word, _, reason = self.state.partition(": ")
        if word.startswith("to do ("):
            word, reason = "to do", word.removeprefix("to do (").removesuffix(")")
        return word, duration.sentence(self.progress) if self.progress else reason


@dataclass(frozen=True)
class RunState:
    """A run as its files tell it."""

    name: str
    profile: str
    stages: tuple[StageState, ...]


def names(workbook: Workbook) -> list[str]:
    """Names of all runs, the newest last."""
    files = sorted(workbook.runs.glob(f"*/{RUN_FILE}"), key=lambda path: path.stat().st_mtime)
    return [path.parent.name for path in files if path.parent.name != "reference"]


def load(workbook: Workbook, name: str) -> RunState:
    """The run's stages and their states.

    Raises:
        ParameterError: no such run; names those that exist.
    """
    path = workbook.run_folder(name) / RUN_FILE
    if not path.is_file():
        known = ", ".join(names(workbook)) or "none yet"
        raise ParameterError(f"no run {name!r} in {workbook.runs}; known: {known}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        stages = tuple(_stage(workbook, key, entry) for key, entry in content["stages"].items())
        return RunState(name, content["profile"], stages)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ParameterError(
            f"{path} is damaged ({type(error).__name__}); start the run again to mend it"
        ) from None


def _stage(workbook: Workbook, key: str, entry: Mapping[str, Any]) -> StageState:
    name = entry.get("notebook", key)  # a run file of before had the name as its key, and the id inside
    folder = workbook.runs / entry["folder"]
    failures = sorted((workbook.runs / "failed").glob(f"{folder.name}-*"))
    content = manifest.read(folder)
    if content:
        state = "done"
    elif files.is_held(workbook.lock(folder)):
        state = "running"
    elif failures:
        state = f"failed: {_reason(failures[-1])}"
    elif folder.exists():
        state = f"to do ({manifest.problem(folder)})"
    else:
        state = "to do"
    failure = failures[-1] if failures and not content else None
    given, variant = (tuple(entry.get(part, ())) for part in ("given", "variant"))
    progress = duration.progress(folder) if state == "running" else None
    return StageState(entry.get("id", key), name, state, folder, given, variant, content, failure, progress)


def _reason(folder: Path) -> str:
    """Why an execution failed: as its runner wrote it, else as its log ends: a full disk may keep it back."""
    if told := (read_json(folder / "failure.json") or {}).get("reason"):
        return told
    log = folder / "log.txt"
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    lost = "no reason could be written, as on a full disk"
    return f"{lost}; its log ends with: {last[:200]}" if last else f"{lost}, nor a log"
