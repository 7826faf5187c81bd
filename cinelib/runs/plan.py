"""A run before it runs: its stages in order, with ids, and for each whether and why it must be executed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from cinelib.files import Hashes, digest, read_json
from cinelib.parameters import ParameterError, StageParameters, resolve
from cinelib.runs import duration, manifest, space
from cinelib.runs.execution import StageJob
from cinelib.runs.identity import changes, identify
from cinelib.runs.inputs import given
from cinelib.runs.selection import Overrides, merge, run_name, with_dependencies
from cinelib.runs.workbook import Workbook
from cinelib.stages import Requirements
from cinelib.style.parameters import StyleStage
from cinelib.wan.catalogue import refusal

Chosen = Mapping[str, StageParameters]  # by notebook


class PreflightError(ParameterError):
    """Everything that would stop the run, found before any kernel starts; one message a line."""


@dataclass(frozen=True)
class Step:
    """One stage of a plan. `reason` is None when its folder can be reused as it is."""

    job: StageJob
    reason: str | None
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
        return self.workbook.run_folder(self.name)

    def seconds(self) -> float | None:
        """About how long what is to do takes, one stage after another; None where a stage never ran."""
        known = [
            duration.expected(self.workbook, step.job.stage, self.profile)
            for step in self.steps
            if not step.done
        ]
        return None if None in known else sum(known)


def make(
    workbook: Workbook,
    named: Sequence[str],
    profile: str,
    overrides: Overrides,
    name: str | None,
    hashes: Hashes,
    variants: Sequence[Overrides] = (),
) -> Plan:
    """Check everything that can be checked and find out what there is to do.

    Each of `variants` is laid over `overrides` and asks for all stages: a grid. Variants share every stage
    whose parameters and upstream are the same; a notebook whose are not is executed once for each.

    Raises:
        ParameterError: the name cannot be a run's.
        PreflightError: all that is wrong with stages, values, inputs and space.
    """
    name = name or run_name(workbook, named, profile, overrides, *variants)
    workbook.run_folder(name)
    stages = with_dependencies(workbook, named)
    layers = [merge(overrides, variant) for variant in variants or ({},)]
    problems: list[str] = []
    chosen = [_resolved(workbook, stages, profile, layer, problems) for layer in layers]
    for layer, params in zip(layers, chosen, strict=True):
        strange = layer.keys() - stages
        problems += [f"{stage} is not part of this run; add it or drop its parameters" for stage in strange]
        problems += _obstacles(workbook, params)
    problems += [
        f"{workbook.notebook(stage)} is missing; build it with: make notebooks"
        for stage in stages
        if not workbook.notebook(stage).is_file()
    ]
    needed = workbook.requirements.get(profile, Requirements(memory=0, disk=0)).disk
    problems += space.problems(workbook.runs, profile, needed)
    if problems:
        raise PreflightError("\n".join(dict.fromkeys(problems)))
    steps: dict[str, Step] = {}
    chains = _chains(workbook, stages, chosen, hashes)
    for stage, (chain, layer) in product(stages, zip(chains, layers, strict=True)):
        if chain[stage].id not in steps:
            steps[chain[stage].id] = _step(chain[stage], steps, layer.get(stage, {}), hashes)
    if problems := _unfit_clips(steps):
        raise PreflightError("\n".join(problems))
    return Plan(workbook, name, profile, tuple(steps.values()))


def _resolved(
    workbook: Workbook, stages: Sequence[str], profile: str, overrides: Overrides, problems: list[str]
) -> Chosen:
    found = {}
    for stage in stages:
        try:
            model, values = workbook.stages[stage], overrides.get(stage, {})
            found[stage] = resolve(model, profile, values, workbook.profiles)
        except ParameterError as error:
            problems.append(str(error))
    return found


def _chains(
    workbook: Workbook, stages: Sequence[str], chosen: Sequence[Chosen], hashes: Hashes
) -> list[dict[str, StageJob]]:
    """The jobs of each variant by notebook; variants have a job in common where it is the same."""
    differing = {
        stage: [
            name
            for name in type(chosen[0][stage]).model_fields
            if any(getattr(params[stage], name) != getattr(chosen[0][stage], name) for params in chosen)
        ]
        for stage in stages
    }
    chains: list[dict[str, StageJob]] = [{} for _ in chosen]
    for stage in stages:
        made: list[StageJob] = []
        for chain, params in zip(chains, chosen, strict=True):
            upstream = {needed: chain[needed] for needed in params[stage].needs}
            ids = {needed: job.id for needed, job in upstream.items()}
            same = [job for job in made if job.params == params[stage] and job.needs == ids]
            if not same:
                folders = {needed: job.folder for needed, job in upstream.items()}
                variant = tuple(
                    f"{above.split('_', 1)[0]}.{name}={_brief(getattr(params[above], name))}"
                    for above in with_dependencies(workbook, [stage])
                    for name in differing[above]
                )
                identity = identify(workbook, params[stage], ids, hashes)
                made.append(StageJob(workbook, params[stage], identity, folders, variant))
            chain[stage] = same[0] if same else made[-1]
    return chains


def _brief(value: object) -> str:
    """A value in a label; a long one, such as a prompt, is cut and still told from others."""
    text = " ".join(str(value).split())
    return text if len(text) <= 32 else f"{text[:24]}…{digest(text)[:6]}"


def _step(job: StageJob, before: Mapping[str, Step], given: Mapping[str, Any], hashes: Hashes) -> Step:
    reason = job.problem(hashes)
    if reason == "never ran":
        reason = _what_changed(job)
    again = [stage for stage, needed in job.needs.items() if not before[needed].done]
    if again and not reason:
        reason = f"{', '.join(again)} is executed first; reused if its files come out the same"
    return Step(job, reason, tuple(f"{name}={value}" for name, value in given.items()))


def _what_changed(job: StageJob) -> str:
    """Why no execution with this id exists: what differs from the last one of the same profile."""
    last = manifest.newest(job.workbook.runs, job.stage, job.params.profile)
    parts = (read_json(last / manifest.FILE) or {}).get("identity") if last else None
    return "; ".join(changes(job.identity.parts, parts)) or "never ran" if parts else "never ran"


def _obstacles(workbook: Workbook, chosen: Chosen) -> list[str]:
    """What stands in the way of stages with these parameters."""
    found = []
    for params in chosen.values():
        found += _missing_inputs(workbook, params)
        if params.needs and (reason := refusal(params)):
            found.append(reason)
        if isinstance(params, StyleStage):
            from cinelib.style import checks  # with numpy, which a plan without training does not need

            reasons = [*checks.of_model(params, workbook.root), *checks.of_machine(params)]
            if prepared := chosen.get(params.needs[0]):
                reasons += checks.of_count(params, prepared.max_clips, f"{prepared.stage}.max_clips is")
            found += [f"stage {params.stage}: {reason}" for reason in reasons]
    return found


def _unfit_clips(steps: Mapping[str, Step]) -> list[str]:
    """What the clips that an earlier execution left rule out, where they will not be made again."""
    found = []
    for step in steps.values():
        params = step.job.params
        if isinstance(params, StyleStage) and not step.done:
            from cinelib.style import checks

            if all(steps[needed].done for needed in step.job.needs.values()):
                dataset = step.job.upstream[params.needs[0]] / "dataset"
                found += [f"stage {params.stage}: {reason}" for reason in checks.of_dataset(params, dataset)]
    return list(dict.fromkeys(found))


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
