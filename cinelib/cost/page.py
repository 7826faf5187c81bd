"""An outlook as tables, and the verdict on each GPU."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.columns import Columns
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cinelib.cost.hardware import Gpu
from cinelib.cost.memory import Memory
from cinelib.cost.outlook import Outlook
from cinelib.units import readable_bytes, readable_seconds

ASSUMPTIONS = (
    "exact: weights, adapters, operations, files (every clip at full length; videos and figures left out)",
    "memory: live tensors of diffusers' own code, what the allocator keeps beyond them, 1 GiB a GPU for the "
    "driver; ± of a step and of denoising: the largest miss on an H100; of VAE and encoders: assumed",
    "fits: yes even at the high end of the ±; tight within it; no not even at the low end",
    "it takes for granted: one encoder at a time while the cache is filled; a base that is stored or divided "
    "before it comes to the GPU; sampling by one process with a whole base, transformer and VAE in turn",
    "time in: optimiser steps of film and control, none stopped early; out: loading, filling the cache, "
    "held-out losses, all clips that are sampled",
    "not reckoned: memory of the host",
)


def tables(outlook: Outlook, gpus: Sequence[Gpu]) -> Group:
    """All that is known before a training starts."""
    above = Columns([_weights(outlook), _disk(outlook)], padding=(0, 4))
    said = Text("\n".join(ASSUMPTIONS))
    return Group(above, _moments(outlook), _settings(outlook, gpus), _time(outlook, gpus), Text(), said)


def as_dict(outlook: Outlook, gpus: Sequence[Gpu]) -> dict[str, Any]:
    """The same as plain numbers: bytes, operations, seconds."""
    kept, params, moments = outlook.storage, outlook.params, outlook.moments.items()
    return {
        "parameters": outlook.parameters,
        "adapter": outlook.adapter,
        "cache_bytes": kept.cache,
        "adapter_bytes": kept.adapters,
        "checkpoint_bytes": kept.checkpoints,
        "memory_bytes": {n: {**vars(m), "total": m.total, "error": m.error} for n, m in moments},
        "peak_bytes": outlook.peak.total,
        "peak_error_bytes": outlook.peak.error,
        "operations_per_step": outlook.operations,
        "steps": {
            "experts": outlook.experts,
            "film": params.max_train_steps,
            "control": params.max_train_steps,
            "total": outlook.training_steps,
        },
        "gpus": {gpu.name: _on(outlook, gpu) for gpu in gpus},
    }


def _on(outlook: Outlook, gpu: Gpu) -> dict[str, Any]:
    return {
        "fits": outlook.fits(gpu),
        "seconds_per_step": outlook.seconds(gpu),
        "seconds_of_all_steps": outlook.training_seconds(gpu),
        "seconds_per_clip": outlook.clip_seconds(gpu),
        "error": gpu.error,
        "share_from": gpu.source,
    }


def verdicts(outlook: Outlook, gpus: Sequence[Gpu]) -> tuple[list[str], list[str]]:
    """(of GPUs that it cannot fit, of GPUs that it may not fit): which moment, and what fits surely."""
    refused, doubted = [], []
    for gpu in gpus:
        verdict = outlook.fits(gpu)
        if verdict != "yes":
            (refused if verdict == "no" else doubted).append(f"{gpu.name}: {_why(outlook, gpu)}")
    return refused, doubted


def _why(outlook: Outlook, gpu: Gpu) -> str:
    order = ("yes", "tight", "no")
    worst, name = max(
        ((moment, name) for name, moment in outlook.moments.items()),
        key=lambda pair: (order.index(gpu.holds(pair[0])), pair[0].total + pair[0].error),
    )
    line = f"{name} needs {_with_error(worst)}, it has {gpu.free:.1f} GiB; "
    near = outlook.nearest(gpu)
    if near is None:
        return line + "no setting of this model was found that surely fits it"
    other, changes = near
    options = " ".join(f"-p 02.{name}={value}" for name, value in changes.items())
    return line + f"the nearest that surely fits is {options} ({_with_error(other.peak)})"


def _weights(outlook: Outlook) -> Table:
    table = _table(f"model {outlook.params.model}", "part", "parameters", "stored as")
    half = outlook.params.precision == "bf16"
    for part, count in outlook.parameters.items():
        kind = "bf16" if part == "text_encoder" or (part.startswith("transformer") and half) else "fp32"
        if part.startswith("transformer") and outlook.params.base_precision:
            kind = f"{outlook.params.base_precision}, the rest {kind}"
        table.add_row(part, f"{count:,}", kind)
    each = ", one for each expert" if outlook.experts > 1 else ""
    name = f"LoRA, rank {outlook.params.rank}, {outlook.params.targets}{each}"
    table.add_row(name, f"{outlook.adapter:,}", "fp32")
    return table


def _disk(outlook: Outlook) -> Table:
    kept = outlook.storage
    table = _table(f"on disk, {outlook.clips} clips and their negative control", "what", "size")
    experts = "of both experts, " if outlook.experts > 1 else ""
    average = ", averages" if outlook.params.ema_decay else ""
    checkpoints = f"checkpoints, {experts}{outlook.params.checkpoints_kept} of film and control{average}"
    rows = {"cache: latents": kept.latents, "cache: conditions": kept.conditions, "cache: prompts": kept.text}
    rows |= {"cache, all": kept.cache, f"adapters, {experts}film twice, control": kept.adapters}
    for name, size in {**rows, checkpoints: kept.checkpoints}.items():
        table.add_row(name, readable_bytes(size))
    return table


def _moments(outlook: Outlook) -> Table:
    title = f"GPU memory, {outlook.geometry.tokens:,} tokens a clip, {_setting(outlook)}"
    table = _table(title, "moment", "weights", "adapter", "activations", "passing", "in all")
    for name, moment in outlook.moments.items():
        sizes = (moment.base, moment.adapter, moment.activations, moment.passing)
        shown = (readable_bytes(size) if size else "" for size in sizes)
        fullest = "  <- fullest" if moment is outlook.peak else ""
        table.add_row(name + fullest, *shown, _with_error(moment))
    return table


def _settings(outlook: Outlook, gpus: Sequence[Gpu]) -> Table:
    phases = ("encoding", "training", "sampling")
    title = "GPU memory of other settings, the fullest moment of each phase, and whether it fits"
    table = _table(title, "setting", *phases, "peak", *(gpu.name for gpu in gpus))
    for row in _alternatives(outlook):
        sizes = [
            readable_bytes(max(m.total for name, m in row.moments.items() if name.startswith(phase)))
            for phase in phases
        ]
        given = " <- given" if row.params == outlook.params else ""
        table.add_row(_setting(row) + given, *sizes, _with_error(row.peak), *map(row.fits, gpus))
    return table


def _alternatives(outlook: Outlook) -> Iterator[Outlook]:
    """The given setting and its neighbours, each once."""
    alone = {"processes": 1, "strategy": "single"}
    wanted: list[dict[str, Any]] = [
        {**alone, "base_precision": "", "gradient_checkpointing": False},
        *({**alone, "base_precision": name, "gradient_checkpointing": True} for name in ("", "fp8", "nf4")),
        *({"base_precision": "", "processes": n, "strategy": "fsdp2"} for n in (2, 4, 8)),
    ]
    found = [outlook.with_changes(**changes) for changes in wanted]
    if all(row.params != outlook.params for row in found):
        found.insert(0, outlook)
    yield from found


def _setting(outlook: Outlook) -> str:
    params = outlook.params
    shared = {
        "single": "",
        "fsdp2": f"FSDP over {params.processes}, ",
        "ddp": f"a copy on each of {params.processes}, ",
        "deepspeed_zero2": f"ZeRO-2 over {params.processes}, ",
    }[params.strategy]
    kept = "checkpointing" if params.gradient_checkpointing else "no checkpointing"
    return f"{shared}base in {params.base_precision or params.precision}, {kept}"


def _with_error(moment: Memory) -> str:
    return f"{readable_bytes(moment.total)} ± {readable_bytes(moment.error)}"


def _time(outlook: Outlook, gpus: Sequence[Gpu]) -> Table:
    params = outlook.params
    clips = params.train_batch_size * params.gradient_accumulation_steps * params.processes
    steps = f"{params.max_train_steps} + {params.max_train_steps} of the control"
    steps = f"{outlook.experts} experts x ({steps})" if outlook.experts > 1 else steps
    title = f"time: {steps} = {outlook.training_steps} steps of {clips} clips"
    table = _table(title, "GPU", "fits", "a step", "all steps", "a clip sampled", "error", "share of peak")
    for gpu in gpus:
        seconds, clip = outlook.seconds(gpu), readable_seconds(outlook.clip_seconds(gpu))
        times = readable_seconds(seconds), _long(outlook.training_seconds(gpu)), clip
        peak = f"{gpu.share:.0%} of {gpu.peak:g} TFLOP/s"
        name = f"{params.processes} x {gpu.name}"
        table.add_row(name, outlook.fits(gpu), *times, f"±{gpu.error:.0%}", peak)
    sources = (f"share of {gpu.name}: {gpu.source}" for gpu in gpus)
    table.caption = "\n".join([f"{outlook.operations:.3g} operations a step and process", *sources])
    return table


def _long(seconds: float) -> str:
    """Days or hours: with an error of a third, nobody asks for the minutes."""
    hours = seconds / 3600
    if hours < 1:
        return readable_seconds(seconds)
    return f"{hours:.3g} h" if hours < 48 else f"{hours / 24:.3g} days"


def _table(title: str, *columns: str) -> Table:
    plain = {"box": box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False}
    table = Table(title=f"\n{title}", title_justify="left", caption_justify="left", **plain)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="left" if number == 0 else "right")
    return table
