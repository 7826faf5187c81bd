"""`cinelib score`: any folder of videos measured, as tables or JSON."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cinelib.cli.shell import AsJson, complain, console, say, user_errors

_SHOWN = 40
_COLUMNS = ("MotionScore", "mean speed", "look drift", "look flicker", "grade distance")
_FEATURES = typer.Option(help="data/nano-viewer, or a VideoMAE by folder or hub id, for FD[...]")
_METRICS = "motion,raft,style,clip,costume,perceptual,features,vbench [default: what inputs allow]"
_RAFT = typer.Option(help="RAFT weights, for MotionScore[raft-...] beside that of DIS")


def score(
    path: Annotated[Path, typer.Argument(help="a folder of videos, or one video")],
    reference: Annotated[Path | None, typer.Option(help="folder of real clips to compare with")] = None,
    prompts: Annotated[Path | None, typer.Option(help=".jsonl, .csv or .json: file_name, text")] = None,
    metrics: Annotated[str, typer.Option(help=_METRICS)] = "",
    as_json: AsJson = False,
    seconds: Annotated[float, typer.Option(help="look at the first seconds of each clip")] = 10.0,
    window: Annotated[float, typer.Option(help="seconds of a clip that a feature vector sees")] = 1.0,
    clip_model: Annotated[str, typer.Option(help="CLIPModel folder or hub id; '' for none")] = "nano",
    features: Annotated[str, _FEATURES] = "",
    i3d: Annotated[str, typer.Option(help="I3D torchscript file, for FVD")] = "",
    i3d_sha256: Annotated[str, typer.Option(help="SHA-256 of that file")] = "",
    alexnet: Annotated[str, typer.Option(help="AlexNet weights, for LPIPS")] = "",
    raft: Annotated[str, _RAFT] = "",
    costume: Annotated[str, typer.Option(help="what somebody wears, in words: 'a crimson gown'")] = "",
    wrong_costume: Annotated[str, typer.Option(help="the wrong costume, to compare with")] = "",
    cache: Annotated[Path | None, typer.Option(help="where measured clips are remembered")] = None,
) -> None:
    """Measure any folder of videos: numbers for each clip and for all, with intervals.

    What was measured before is reused. Exit code 1: a video did not decode, or a metric that was asked for
    has no number; 2: the request cannot be answered.
    """
    from transformers.utils.logging import disable_progress_bar

    from cinelib.evaluation.clips import ScoreError
    from cinelib.evaluation.score import score as measure
    from cinelib.evaluation.selection import Request

    chosen = tuple(name.strip() for name in metrics.split(",") if name.strip())
    shipped = Path(__file__).resolve().parents[2] / "data" / "nano-clip"  # whatever the current folder is
    model = str(shipped) if clip_model == "nano" else clip_model
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cinelib" / "scores"
    try:
        with user_errors(ScoreError):
            request = Request(
                path, cache or home, reference, prompts, chosen, seconds, window,
                model, features, i3d, i3d_sha256, alexnet, raft, costume, wrong_costume,
            )  # fmt: skip
            disable_progress_bar()  # of transformers, for every small network
            result = _watched(measure, request)
    except KeyboardInterrupt:
        complain("stopped; measured clips are kept, the same command goes on")
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _show(result)
    for failure in result["failures"]:
        whose = "reference " if failure.get("reference") else ""
        complain(f"{whose}{failure['file']}: {failure['reason']}")
    raise typer.Exit(1 if result["failures"] or _empty(result, chosen, prompts is not None) else 0)


def _watched(measure: Callable[..., dict[str, Any]], request: Any) -> dict[str, Any]:
    """A bar in a terminal, a line for each clip elsewhere; both on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    if not terminal.is_terminal:
        return measure(request, _line)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=terminal, transient=True) as bar:
        task = bar.add_task("", total=None)
        return measure(
            request,
            lambda done, total, name: bar.update(task, completed=done, total=total, description=name),
        )


def _line(done: int, total: int, name: str) -> None:
    if name:
        print(f"{done + 1}/{total} {name}", file=sys.stderr)


def _empty(result: dict[str, Any], chosen: tuple[str, ...], prompted: bool) -> bool:
    """Whether a metric that was named has no number at all, or prompts were given and none was compared."""
    measured = {name: entry["measure"] for name, entry in result["summary"].items() if "value" in entry}
    compared = any(name.endswith("clip_text") for name in measured)
    asked = prompted and "clip" in chosen
    return (asked and not compared) or any(name not in measured.values() for name in chosen)


def _show(result: dict[str, Any]) -> None:
    from cinelib.cli import tables

    rows = result["clips"]
    names = [*_COLUMNS, *(name for name in result["summary"] if "clip_t" in name or name.endswith("margin"))]
    columns = [name for name in names if any(name in row["values"] for row in rows)]
    table = tables.make(f"{len(rows)} clips of {result['path']}", [], ["clip", "size", "fps", *columns])
    for row in rows[:_SHOWN]:
        numbers = [f"{row['values'][name]:.4g}" if name in row["values"] else "" for name in columns]
        table.add_row(row["file"], f"{row['width']}x{row['height']}", f"{row['fps'] or 0:.4g}", *numbers)
    console().print(table)
    for row in rows[:_SHOWN]:
        left = [f"no {name}: {reason}" for name, reason in row["excluded"].items() if name in columns]
        for remark in left + row["notes"]:
            say(f"{row['file']}: {remark}")
    if len(rows) > _SHOWN:
        say(f"{len(rows) - _SHOWN} more clips: --json shows all")
    columns = ["metric", "value", "interval", "n", "left out"]
    table = tables.make("all clips: mean, 95 % interval", [], columns)
    for name, entry in result["summary"].items():
        span, reasons = entry.get("interval"), entry.get("notes", {})
        why = entry.get("remark") or reasons.get("interval", "")
        shown = f"[{span[0]:.4g}, {span[1]:.4g}]" if span else why
        if "floor" in entry:
            shown += f", floor {entry['floor']:.4g}"
        elif "floor" in reasons:
            shown += f", no floor: {reasons['floor']}"
        value = f"{entry['value']:.4g}" if "value" in entry else "none"
        left = "; ".join(f"{count}: {reason}" for reason, count in entry.get("excluded", {}).items())
        table.add_row(name, value, shown, str(entry["n"]), left)
    console().print(table)
    for note in result["notes"]:
        say(f"note: {note}")
