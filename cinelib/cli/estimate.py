"""`cinelib estimate`: what training a LoRA takes, before it is paid for."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cinelib.cli.shell import PROFILES, AsJson, Parameter, asked, complain, console

_GPU = typer.Option(metavar="NAME", help="may be repeated [default: A100-80GB]")
_SHARED = "GPUs that share the weights (FSDP, base in bf16) [default: 02.processes]"


def estimate(
    context: typer.Context,
    profile: Annotated[str, typer.Option("--profile", help=PROFILES)] = "a100",
    parameter: Parameter = None,
    gpu: Annotated[list[str] | None, _GPU] = None,
    processes: Annotated[int | None, typer.Option(min=1, help=_SHARED)] = None,
    clips: Annotated[int | None, typer.Option(min=1, help="training clips [default: 01.max_clips]")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what training a LoRA takes before it is paid for: weights, disk, memory, time.

    Exit code 2: it cannot fit a GPU that was named; the error says what would.
    """
    from cinelib.cost import hardware, page
    from cinelib.cost.outlook import Outlook

    with asked(context, ValueError) as workbook:
        params, count = _resolve(workbook, profile, parameter or [], processes)
        outlook = Outlook(params, clips or count)
        gpus = [hardware.find(name) for name in gpu or ["A100-80GB"]]
        found = page.as_dict(outlook, gpus) if as_json else page.tables(outlook, gpus)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        console().print(found)
    if processes is not None:
        stands = (f"-p 02.{name}={getattr(params, name)}" for name in _over(processes, {}))
        complain(f"--processes {processes} stands for {' '.join(stands)}", "note")
    refused, doubted = page.verdicts(outlook, gpus)
    complain("\n".join(doubted), "warning")
    complain("\n".join(refused))
    raise typer.Exit(2 if refused else 0)


def _over(processes: int, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters that `--processes` stands for: FSDP and a base that it can divide, unless `given`."""
    from cinelib.parameters import ParameterError

    if given.get("processes", processes) != processes:
        raise ParameterError(f"--processes {processes} and 02.processes {given['processes']}: give one")
    strategy = given.get("strategy", "fsdp2" if processes > 1 else "single")
    whole = {"base_precision": ""} if strategy == "fsdp2" else {}
    return {"processes": processes, "strategy": strategy, **whole}


def _resolve(workbook: Any, profile: str, options: list[str], processes: int | None) -> tuple[Any, int]:
    """The style stage's parameters and the clips that the stage before it keeps."""
    from cinelib.parameters import ParameterError, resolve
    from cinelib.runs import selection
    from cinelib.style import checks
    from cinelib.style.parameters import StyleStage
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
