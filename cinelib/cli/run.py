"""`cinelib run`, `status` and `report`: notebooks executed as stages, and what became of them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cinelib.cli.shell import PROFILES, AsJson, Parameter, Runs, answer, asked, complain, console, say

_NOTEBOOKS = typer.Argument(help="by number, name or start of it, with what they need; default: all")
_FILE = typer.Option("-f", "--file", help="YAML: profile, name, notebooks, parameters")
_JOBS = typer.Option(min=1, help="stages at a time [default: 2, with more than 5 cores up to 4]")
_DRY = typer.Option("--dry-run", help="show what would be done, and why; execute nothing")


def run(
    context: typer.Context,
    notebooks: Annotated[list[str] | None, _NOTEBOOKS] = None,
    profile: Annotated[str | None, typer.Option(help=f"{PROFILES} [default: nano]")] = None,
    parameter: Parameter = None,
    file: Annotated[Path | None, _FILE] = None,
    name: Annotated[
        str | None, typer.Option(help="the run's name [default: from profile, notebooks, values]")
    ] = None,
    jobs: Annotated[int | None, _JOBS] = None,
    dry_run: Annotated[bool, _DRY] = False,
    runs: Runs = None,
    as_json: AsJson = False,
) -> None:
    """Execute notebooks as stages, reusing every stage that nothing has changed for, and write a report."""
    from cinelib.cli import answers, tables
    from cinelib.files import Hashes
    from cinelib.runs import plan as plans
    from cinelib.runs import record as records
    from cinelib.runs import selection
    from cinelib.wan.catalogue import advice

    with asked(context, runs=runs) as workbook:
        content = selection.read_file(file) if file else {}
        texts = notebooks or content.get("notebooks") or []
        named = [selection.find_stage(workbook, str(text)) for text in texts]
        overrides = selection.merge(
            selection.overrides_from_mapping(workbook, named, content.get("parameters") or {}),
            selection.overrides_from_options(workbook, named, parameter or []),
        )
        overrides = selection.local_paths(workbook, overrides, Path.cwd())
        chosen = profile or content.get("profile") or "nano"
        hashes = Hashes(workbook.runs / "locks" / "hashes.json")
        plan = plans.make(workbook, named, chosen, overrides, name or content.get("name"), hashes)
        hashes.save()
    for note in dict.fromkeys(note for step in plan.steps for note in advice(step.job.params)):
        complain(note, "note")
    taken = records.conflict(plan)
    if not dry_run:
        complain(taken or "")
        raise typer.Exit(2 if taken else _execute(plan, hashes, jobs, as_json))
    if as_json:
        answer(answers.of_plan(plan))
    else:
        console().print(tables.of_plan(plan))
    complain(taken or "", "note")


def _execute(plan: Any, hashes: Any, jobs: int | None, as_json: bool) -> int:
    from cinelib.runs import space

    try:
        return _executed(plan, hashes, jobs, as_json)
    except KeyboardInterrupt:
        complain("stopped; finished stages are kept, the same command goes on from there")
        return 130
    except OSError as error:  # a full disk, a folder that may not be written
        complain(f"{space.explained(str(error), plan.workbook.runs)}; finished stages are kept")
        return 1


def _executed(plan: Any, hashes: Any, jobs: int | None, as_json: bool) -> int:
    from cinelib.cli import answers
    from cinelib.runs import pipeline, progress
    from cinelib.runs import report as reports
    from cinelib.runs.duration import roughly

    told = console(stderr=as_json)  # with --json, standard output has the answer and nothing else
    to_do, seconds = sum(not step.done for step in plan.steps), plan.seconds()
    about = f", {roughly(seconds)} one after another" if seconds else ""
    say(f"run {plan.name}: {len(plan.steps)} stages, {to_do} to execute{about}", told)
    outcome = pipeline.run(plan, hashes, progress.board(told), jobs)
    for error in outcome.failed.values():
        kept = [error.folder / name for name in ("out.ipynb", "log.txt")]
        complain("\n".join([str(error), *(f"  kept: {path}" for path in kept if path.exists())]))
    if outcome.blocked:
        complain(f"not executed, because of that: {', '.join(job.label for job in outcome.blocked)}")
    say(f"executed {len(outcome.executed)}, reused {len(outcome.reused)}", told)
    report = reports.write(plan.workbook, plan.name)
    say(f"report: {report}", told)
    if as_json:
        answer(answers.of_outcome(plan, outcome, str(report)))
    return 0 if outcome.ok else 1


def status(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[RUN]", help="default: every run")] = None,
    runs: Runs = None,
    as_json: AsJson = False,
) -> None:
    """Say which stages of a run are done, running, failed or still to do."""
    from cinelib.cli import answers, tables
    from cinelib.parameters import ParameterError
    from cinelib.runs import state

    with asked(context, runs=runs) as workbook:
        names = [name] if name else state.names(workbook)
        if not names and not as_json:
            raise ParameterError("no runs yet; start one with: cinelib run")
        found = [state.load(workbook, run_name) for run_name in names]
    if as_json:
        answer([answers.of_run(run) for run in found])
    else:
        say("\n\n".join(map(tables.of_run, found)))


def report(
    context: typer.Context, name: Annotated[str, typer.Argument(metavar="RUN")], runs: Runs = None
) -> None:
    """Write a run's report: one HTML file with pictures, clips, metrics, parameters and manifests."""
    from cinelib.runs import report as reports

    with asked(context, runs=runs) as workbook:
        path = reports.write(workbook, name)
    say(f"report: {path}")
