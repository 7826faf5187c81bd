"""A run before it runs: its stages in order, with ids, and for each whether and why it must be executed."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cinelib.files import Hashes, read_json
from cinelib.parameters import ParameterError, StageParameters, resolve
from cinelib.runs import manifest
from cinelib.runs.execution import Job
from cinelib.runs.identity import changes, identify
from cinelib.runs.inputs import given
from cinelib.runs.selection import Overrides, with_dependencies
from cinelib.runs.workbook import Workbook
from cinelib.style import checks
from cinelib.style.parameters import StyleStage
from cinelib.wan.catalogue import refusal

RESERVED = ("stages", "failed", "lab", "locks", "cache", "reference")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class PreflightError(ValueError):
    """Everything that would stop the run, found before any kernel starts; one message a line."""


@dataclass(frozen=True)
class Step:
    """One stage of a plan. `reason` is empty when its folder can be reused as it is."""

    job: Job
    reason: str
    given: tuple[str, ...] = ()  # parameters that differ from the profile's values

    @property
    def done(self) -> bool:
        """Whether nothing has to be executed."""
        return not self.reason


@dataclass(frozen=True)
class Plan:
    """A run's name, profile and steps, each after what it needs."""

    workbook: Workbook
    name: str
    profile: str
    steps: tuple[Step, ...]

    @property
    def folder(self) -> Path:
        """The run's own folder: `run.yaml` and `report.html`."""
        return self.workbook.runs / self.name


def check_name(name: str) -> str:
    """A run's name, when it can be a folder's. Raises ParameterError."""
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ParameterError(
            f"run name {name!r}: letters, digits, dot, dash and underscore, and none of {', '.join(RESERVED)}"
        )
    return name


def make(
    workbook: Workbook,
    named: Sequence[str],
    profile: str,
    overrides: Overrides,
    name: str | None,
    hashes: Hashes,
) -> Plan:
    """Check everything that can be checked and find out what there is to do.

    Raises:
        PreflightError: all that is wrong with names, values, inputs and space.
    """
    problems: list[str] = []
    resolved: dict[str, StageParameters] = {}
    stages = with_dependencies(workbook, named)
    for stage in stages:
        try:
            resolved[stage] = resolve(
                workbook.stages[stage], profile, overrides.get(stage, {}), workbook.profiles
            )
        except ParameterError as error:
            problems.append(str(error))
    problems += [
        f"{stage} is not part of this run; add it or drop its parameters"
        for stage in overrides.keys() - stages
    ]
    for stage, params in resolved.items():
        problems += _missing_inputs(workbook, params)
        if params.needs and (reason := refusal(params)):
            problems.append(reason)
        if isinstance(params, StyleStage):
            problems += _obstacles(workbook, params, resolved.get(params.needs[0]))
        if not workbook.notebook(stage).is_file():
            problems.append(f"{workbook.notebook(stage)} is missing; build it with: make notebooks")
    problems += _space(workbook, profile)
    if problems:
        raise PreflightError("\n".join(dict.fromkeys(problems)))
    steps = _steps(workbook, resolved, overrides, hashes)
    if problems := _unfit_clips(steps):
        raise PreflightError("\n".join(problems))
    return Plan(workbook, check_name(name or profile), profile, tuple(steps))


def _steps(
    workbook: Workbook, resolved: dict[str, StageParameters], overrides: Overrides, hashes: Hashes
) -> list[Step]:
    steps: list[Step] = []
    jobs: dict[str, Job] = {}
    to_do: set[str] = set()
    for stage, params in resolved.items():
        needs = {needed: jobs[needed] for needed in params.needs}
        ids = {needed: job.identity.id for needed, job in needs.items()}
        folders = {needed: job.folder for needed, job in needs.items()}
        job = Job(workbook, params, identify(workbook, params, ids, hashes), folders)
        jobs[stage] = job
        reason = job.problem(hashes)
        if reason == "never ran":
            reason = _what_changed(job)
        again = [needed for needed in params.needs if needed in to_do]
        if again and not reason:
            reason = f"{', '.join(again)} is executed first; reused if its files come out the same"
        if reason:
            to_do.add(stage)
        steps.append(Step(job, reason, tuple(f"{k}={v}" for k, v in overrides.get(stage, {}).items())))
    return steps


def _what_changed(job: Job) -> str:
    """Why no execution with this id exists: what differs from the last one of the same profile."""
    last = manifest.newest(job.workbook.runs, job.stage, job.params.profile, visits=False)
    parts = (read_json(last / manifest.FILE) or {}).get("identity") if last else None
    return "; ".join(changes(job.identity.parts, parts)) or "never ran" if parts else "never ran"


def _obstacles(workbook: Workbook, params: StyleStage, prepared: StageParameters | None) -> list[str]:
    found = [*checks.of_model(params, workbook.root), *checks.of_machine(params)]
    if prepared is not None:
        found += checks.of_count(params, prepared.max_clips, f"{prepared.stage}.max_clips is")
    return [f"stage {params.stage}: {reason}" for reason in found]


def _unfit_clips(steps: Sequence[Step]) -> list[str]:
    """What the clips that an earlier execution left rule out, where they will not be made again."""
    ready = {step.job.stage for step in steps if step.done}
    found = []
    for step in steps:
        params = step.job.params
        if isinstance(params, StyleStage) and not step.done and ready.issuperset(params.needs):
            dataset = step.job.upstream[params.needs[0]] / "dataset"
            found += [f"stage {params.stage}: {reason}" for reason in checks.of_dataset(params, dataset)]
    return found


def _missing_inputs(workbook: Workbook, params: StageParameters) -> list[str]:
    found = []
    for name, kind, value in given(params):
        path = workbook.root / value
        where = f"{params.stage}: {name} = {value!r}"
        if kind == "folder" and not path.is_dir():
            found.append(f"{where} is not a folder" if path.exists() else f"{where}: no such folder")
        elif kind == "folder" and not any(path.iterdir()):
            found.append(f"{where} is empty")
        elif kind == "model" and not path.exists() and _looks_local(workbook.root, value):
            found.append(f"{where}: no such folder, and not a hub id either")
    return found


def _looks_local(root: Path, value: str) -> bool:
    """A hub id is `owner/name`; anything else, or an owner that is a folder here, was meant as a path."""
    return value.count("/") != 1 or value.startswith((".", "/", "~")) or (root / value.split("/")[0]).is_dir()


def _space(workbook: Workbook, profile: str) -> list[str]:
    requirement = workbook.requirements.get(profile)
    free = shutil.disk_usage(workbook.root).free / 2**30
    if requirement is None or free >= requirement.disk:
        return []
    return [f"disk: {free:.1f} GiB free at {workbook.root}, profile {profile} needs {requirement.disk:g} GiB"]
