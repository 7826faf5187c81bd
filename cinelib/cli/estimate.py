"""`cinelib plan` as the shell sees it: options, tables or JSON, exit code."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cinelib.parameters import ParameterError, resolve
from cinelib.runs import selection
from cinelib.runs.plan import PreflightError
from cinelib.runs.workbook import Workbook, find_root
from cinelib.stages import PROFILES
from cinelib.style.parameters import StyleStage

if TYPE_CHECKING:
    from cinelib.cost.hardware import Gpu
    from cinelib.cost.outlook import Outlook


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
        int | None,
        typer.Option(min=1, help="GPUs that share the weights (FSDP, base in bf16) [default: 02.processes]"),
    ] = None,
    clips: Annotated[int | None, typer.Option(min=1, help="training clips [default: 01.max_clips]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """Say what training a LoRA takes before it is paid for: weights, disk, memory, time.

    Exit code 2: it cannot fit a GPU that was named; the error says what would.
    """
    from cinelib.cost import hardware, page
    from cinelib.cost.outlook import Outlook

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
    if processes is not None:
        stands = (f"-p 02.{name}={getattr(params, name)}" for name in _over(processes, {}))
        print(f"note: --processes {processes} stands for {' '.join(stands)}", file=sys.stderr)
    raise typer.Exit(_judge(outlook, gpus))


def _judge(outlook: "Outlook", gpus: list["Gpu"]) -> int:
    """Say what does not fit, or may not; the exit code."""
    from cinelib.cost import page

    refused, doubted = page.verdicts(outlook, gpus)
    for kind, lines in (("warning", doubted), ("error", refused)):
        for line in lines:
            print(f"{kind}: {line}", file=sys.stderr)
    return 2 if refused else 0


def _over(processes: int, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters that `--processes` stands for: FSDP and a base that it can divide, unless `given`."""
    if given.get("processes", processes) != processes:
        raise ParameterError(f"--processes {processes} and 02.processes {given['processes']}: give one")
    strategy = given.get("strategy", "fsdp2" if processes > 1 else "single")
    whole = {"base_precision": ""} if strategy == "fsdp2" else {}
    return {"processes": processes, "strategy": strategy, **whole}


def _resolve(
    workbook: Workbook, profile: str, options: list[str], processes: int | None
) -> tuple[StyleStage, int]:
    """The style stage's parameters and the clips that the stage before it keeps."""
    from cinelib.style import checks
    from cinelib.wan.catalogue import refusal

    overrides = selection.overrides_from_options(workbook, [StyleStage.stage], options)
    overrides = selection.local_paths(workbook, overrides, Path.cwd())
    changes = overrides.get(StyleStage.stage, {})
    if processes is not None:
        changes = {**_over(processes, changes), **changes}
    params = resolve(StyleStage, profile, changes, workbook.profiles)
    if reason := refusal(params):
        raise ParameterError(reason)
    if found := checks.of_model(params, workbook.root):
        raise ParameterError(f"stage {params.stage}: " + "; ".join(found))
    first = params.needs[0]
    prepared = resolve(workbook.stages[first], profile, overrides.get(first, {}), workbook.profiles)
    return params, prepared.max_clips
