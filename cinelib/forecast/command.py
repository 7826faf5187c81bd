"""`cinelib plan` as the shell sees it: options, tables or JSON, exit code."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cinelib.parameters import ParameterError, StyleStage
from cinelib.profiles import PROFILES, resolve
from cinelib.runs import selection
from cinelib.runs.plan import PreflightError
from cinelib.runs.workbook import Workbook, find_root


def plan(
    context: typer.Context,
    profile: Annotated[str, typer.Option("--profile", help=f"{', '.join(PROFILES)}")] = "a100",
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="STAGE.NAME=VALUE", help="a value; may be repeated"),
    ] = None,
    gpu: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="may be repeated [default: A100-80GB]")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="GPUs that share the weights (FSDP) [default: 02.processes]")
    ] = None,
    clips: Annotated[int | None, typer.Option(min=1, help="training clips [default: 01.max_clips]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """Say what training a LoRA takes before it is paid for: weights, disk, memory, time.

    Exit code 2: it does not fit a GPU that was named; the error says what would.
    """
    from cinelib.forecast import hardware, page
    from cinelib.forecast.outlook import Outlook

    try:
        params, count = _resolve(context.obj or Workbook(find_root()), profile, parameter or [], processes)
        outlook = Outlook(params, clips or count)
        gpus = [hardware.find(name) for name in gpu or ["A100-80GB"]]
        found = page.as_dict(outlook, gpus) if as_json else page.tables(outlook, gpus)
    except (ParameterError, PreflightError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        Console(markup=False).print(found)
    refused = page.refusals(outlook, gpus)
    for line in refused:
        print(f"error: {line}", file=sys.stderr)
    raise typer.Exit(2 if refused else 0)


def _resolve(
    workbook: Workbook, profile: str, options: list[str], processes: int | None
) -> tuple[StyleStage, int]:
    """The style stage's parameters and the clips that the stage before it keeps."""
    from cinelib.catalogue import refusal

    overrides = selection.overrides_from_options(workbook, [StyleStage.stage], options)
    overrides = selection.local_paths(workbook, overrides, Path.cwd())
    changes = overrides.get(StyleStage.stage, {})
    if processes is not None:
        changes |= {"processes": processes, "launch": "fsdp2" if processes > 1 else "single"}
    params = resolve(StyleStage, profile, changes, workbook.profiles)
    if reason := refusal(params):
        raise ParameterError(reason)
    first = params.needs[0]
    prepared = resolve(workbook.stages[first], profile, overrides.get(first, {}), workbook.profiles)
    return params, prepared.max_clips
