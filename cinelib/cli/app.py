"""The `cinelib` command. A user's error is one line on standard error; exit code 2 is a refused request."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cinelib.cli import estimate as forecast
from cinelib.cli import tables
from cinelib.cli.score import score
from cinelib.parameters import ParameterError, profile_values
from cinelib.runs.plan import Plan, PreflightError, check_name
from cinelib.runs.workbook import Workbook, find_root
from cinelib.stages import PROFILES
from cinelib.wan.catalogue import advice

app = typer.Typer(
    help="Learn, run and review the fine-tuning of open video generators for cinema.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Profile = Annotated[str, typer.Option("--profile", help=f"{', '.join(PROFILES)}", show_default=True)]
Parameter = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="STAGE.NAME=VALUE", help="a value; may be repeated"),
]


@app.callback()
def _spin_briefly() -> None:
    # OpenMP's threads wait for each other by spinning: beside other busy programs one of them holds the core
    # that the other needs, and a training step of 0.1 s can take many seconds. So they spin as long as
    # OpenMP lets them where threads outnumber cores, then sleep. It reads this once, when torch is loaded,
    # here and in every process that is started from here.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


@app.command()
def run(
    context: typer.Context,
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(help="by number, name or start of it, with what they need; default: all"),
    ] = None,
    profile: Annotated[str | None, typer.Option(help=f"{', '.join(PROFILES)} [default: nano]")] = None,
    parameter: Parameter = None,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", help="YAML: profile, name, notebooks, parameters")
    ] = None,
    name: Annotated[str | None, typer.Option(help="the run's name [default: the profile's]")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="stages at a time [default: 2, with more than 5 cores up to 4]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show what would be done, and why; execute nothing")
    ] = False,
) -> None:
    """Execute notebooks as stages, reusing every stage that nothing has changed for, and write a report."""
    from cinelib.files import Hashes

    console = _console()
    with _user_errors():
        workbook = _workbook(context)
        hashes = Hashes(workbook.runs / "locks" / "hashes.json")
        plan = _plan(workbook, notebooks or [], profile, parameter or [], file, name, hashes)
        hashes.save()
    for note in dict.fromkeys(note for step in plan.steps for note in advice(step.job.params)):
        console.print(f"note: {note}", markup=False)
    if dry_run:
        console.print(tables.of_plan(plan))
        return
    raise typer.Exit(_execute(console, plan, hashes, jobs))


def _plan(
    workbook: Workbook,
    notebooks: list[str],
    profile: str | None,
    options: list[str],
    file: Path | None,
    name: str | None,
    hashes: Any,
) -> Plan:
    from cinelib.runs import plan, selection

    content = selection.read_file(file) if file else {}
    named = [
        selection.find_stage(workbook, str(text)) for text in notebooks or content.get("notebooks") or []
    ]
    overrides = selection.merge(
        selection.overrides_from_mapping(workbook, named, content.get("parameters") or {}),
        selection.overrides_from_options(workbook, named, options),
    )
    overrides = selection.local_paths(workbook, overrides, Path.cwd())
    chosen = profile or content.get("profile") or "nano"
    return plan.make(workbook, named, chosen, overrides, name or content.get("name"), hashes)


def _execute(console: Console, plan: Plan, hashes: Any, jobs: int | None) -> int:
    from cinelib.runs import pipeline, progress
    from cinelib.runs import report as reports

    to_do = [step.job.stage for step in plan.steps if not step.done]
    _say(console, f"run {plan.name}: {len(plan.steps)} stages, {len(to_do)} to execute")
    try:
        outcome = pipeline.run(plan, hashes, progress.board(console), jobs)
    except KeyboardInterrupt:
        _error("stopped; finished stages are kept, the same command goes on from there")
        return 130
    except OSError as error:  # a full disk, a folder that may not be written
        _error(f"{error}; finished stages are kept")
        return 1
    for error in outcome.failed.values():
        kept = [error.folder / name for name in ("out.ipynb", "log.txt")]
        _error("\n".join([str(error), *(f"  kept: {path}" for path in kept if path.exists())]))
    if outcome.blocked:
        _error(f"not executed, because of that: {', '.join(outcome.blocked)}")
    _say(console, f"executed {len(outcome.executed)}, reused {len(outcome.reused)}")
    _say(console, f"report: {reports.write(plan.workbook, plan.name)}")
    return 0 if outcome.ok else 1


@app.command()
def status(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[RUN]", help="default: every run")] = None,
) -> None:
    """Say which stages of a run are done, running, failed or still to do."""
    from cinelib.runs import state

    with _user_errors():
        workbook = _workbook(context)
        runs = [check_name(name)] if name else state.names(workbook)
        if not runs:
            raise ParameterError("no runs yet; start one with: cinelib run")
        for run_name in runs:
            _console().print(tables.of_run(state.load(workbook, run_name)))


@app.command()
def report(context: typer.Context, name: Annotated[str, typer.Argument(metavar="RUN")]) -> None:
    """Write a run's report: one HTML file with pictures, clips, metrics, parameters and manifests."""
    from cinelib.runs import report as reports

    with _user_errors():
        path = reports.write(_workbook(context), check_name(name))
    _say(_console(), f"report: {path}")


@app.command()
def doctor(
    context: typer.Context,
    profile: Profile = "nano",
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """Check whether this machine can run the workbook, and say how to mend what is missing."""
    from cinelib.runs import doctor as doctors

    with _user_errors():
        checks = doctors.examine(_workbook(context), profile)
    if as_json:
        print(json.dumps([check.as_dict() for check in checks], indent=2))
    else:
        for check in checks:
            _say(_console(), f"[{'OK' if check.ok else 'FAIL'}] {check.name}: {check.found}")
            if not check.ok:
                _say(_console(), f"       fix: {check.fix}")
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(context: typer.Context, profile: Profile = "nano") -> None:
    """Open JupyterLab on the notebooks; other options (--no-browser, --port) are JupyterLab's.

    Values that a notebook leaves untouched follow the profile.
    """
    with _user_errors():
        workbook = _workbook(context)
        for model in workbook.stages.values():
            profile_values(profile, model, workbook.profiles)
    environment = {**os.environ, "CINELIB_PROFILE": profile, "JUPYTER_PREFER_ENV_PATH": "1"}
    first = f"--LabApp.default_url=/lab/tree/notebooks/{min(workbook.stages)}.ipynb"
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={workbook.root}",
        first,
        *context.args,
    ]
    os.execve(sys.executable, command, environment)


@app.command()
def params(context: typer.Context, notebook: str, profile: Profile = "nano") -> None:
    """List a notebook's parameters with their values at a profile, and what they mean."""
    from cinelib.parameters import resolve
    from cinelib.runs.selection import find_stage

    with _user_errors():
        workbook = _workbook(context)
        model = workbook.stages[find_stage(workbook, notebook)]
        values = resolve(model, profile, {}, workbook.profiles)
    _console().print(tables.of_parameters(values))


app.command()(forecast.plan)
app.command()(score)


def _workbook(context: typer.Context) -> Workbook:
    """The workbook that the caller gave to `app(obj=...)`, else the one that this package belongs to."""
    return context.obj or Workbook(find_root())


@contextmanager
def _user_errors() -> Iterator[None]:
    """What a user can mend is told without a traceback."""
    try:
        yield
    except (ParameterError, PreflightError, OSError) as error:
        _error(str(error))
        raise typer.Exit(2) from None


def _console() -> Console:
    return Console(soft_wrap=False, markup=False)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _error(text: str) -> None:
    print(
        "\n".join(f"error: {line}" if line[:1] != " " else line for line in text.splitlines()),
        file=sys.stderr,
    )
