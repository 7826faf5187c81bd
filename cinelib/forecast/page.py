"""An outlook as tables, and the verdict on each GPU."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cinelib.forecast.hardware import RESERVED, Gpu
from cinelib.forecast.outlook import Outlook
from cinelib.quantities import readable_bytes, readable_seconds

_GIB = 2**30

ASSUMPTIONS = (
    "exact: weights, adapters, operations, latents and conditions on disk (every clip at full length)",
    "checked against autograd on small models: activations that wait for the backward pass; memory grows "
    "with the clip within 15 % of what diffusion-pipe's author measured on the 14B model",
    "estimated: what passes during the backward pass, 5 % for the allocator, 1 GiB for the driver",
    "time: operations over the share of the GPU's peak named below; encoding, validation and sample clips "
    "come on top",
    "not reckoned: activations of the encoders while the cache is filled, memory of the host",
)


def tables(outlook: Outlook, gpus: Sequence[Gpu]) -> Group:
    """All that is known before a training starts."""
    said = Text("\n".join(ASSUMPTIONS))
    return Group(_weights(outlook), _disk(outlook), _memory(outlook), _time(outlook, gpus), said)


def as_dict(outlook: Outlook, gpus: Sequence[Gpu]) -> dict[str, Any]:
    """The same as plain numbers: bytes, operations, seconds."""
    return {
        "parameters": outlook.parameters,
        "adapter": outlook.adapter,
        "cache_bytes": outlook.storage.cache,
        "checkpoint_bytes": outlook.storage.checkpoints,
        "memory_bytes": {**vars(outlook.memory), "total": outlook.memory.total},
        "operations_per_step": outlook.operations,
        "gpus": {
            gpu.name: {
                "fits": outlook.fits(gpu),
                "seconds_per_step": outlook.seconds(gpu),
                "seconds_per_clip": outlook.clip_seconds(gpu),
                "error": gpu.error,
                "share_from": gpu.source,
            }
            for gpu in gpus
        },
    }


def refusals(outlook: Outlook, gpus: Sequence[Gpu]) -> list[str]:
    """For each GPU that the training does not fit: by how much, and the nearest setting that does."""
    found = []
    for gpu in gpus:
        if outlook.fits(gpu):
            continue
        needed, has = outlook.memory.total / _GIB, gpu.memory - RESERVED
        line = f"{gpu.name}: a step needs {needed:.1f} GiB, it has {has:.1f}; "
        near = outlook.nearest(gpu)
        if near is None:
            found.append(line + "no setting of this model fits it")
            continue
        other, changes = near
        options = " ".join(f"-p 02.{name}={value}" for name, value in changes.items())
        found.append(line + f"the nearest that fits is {options} ({other.memory.total / _GIB:.1f} GiB)")
    return found


def _weights(outlook: Outlook) -> Table:
    table = _table(f"model {outlook.params.model}", "part", "parameters", "stored as")
    half = outlook.params.precision == "bf16"
    for part, count in outlook.parameters.items():
        kind = "fp32"
        if part == "text_encoder" or (part.startswith("transformer") and half):
            kind = "bf16"
        if part.startswith("transformer") and outlook.params.base_precision:
            kind = f"{outlook.params.base_precision}, the rest {kind}"
        table.add_row(part, f"{count:,}", kind)
    experts = sum(part.startswith("transformer") for part in outlook.parameters)
    each = ", one for each expert" if experts > 1 else ""
    name = f"LoRA, rank {outlook.params.rank}, {outlook.params.targets}{each}"
    table.add_row(name, f"{outlook.adapter:,}", "fp32")
    return table


def _disk(outlook: Outlook) -> Table:
    kept = outlook.storage
    table = _table(f"on disk, {outlook.clips} clips and their negative control", "what", "size")
    rows = {"latents": kept.latents, "conditions": kept.conditions, "prompts": kept.text}
    rows |= {"cache": kept.cache, "adapter": kept.adapter_file, "checkpoints, two kept": kept.checkpoints}
    for name, size in rows.items():
        table.add_row(name, readable_bytes(size))
    return table


def _memory(outlook: Outlook) -> Table:
    clip = outlook.geometry
    title = f"peak GPU memory of a step, {clip.tokens:,} tokens a clip, by what the base is stored in"
    table = _table(title, "setting", "base", "adapter", "activations", "passing", "peak")
    for checkpointing in (False, True):
        for stored in ("", "fp8", "nf4"):
            row = outlook.with_changes(gradient_checkpointing=checkpointing, base_precision=stored)
            if stored and row.params.launch == "fsdp2":
                continue
            name = f"{stored or 'own precision'}{', checkpointing' if checkpointing else ''}"
            table.add_row(name + (" <- given" if row.params == outlook.params else ""), *_sizes(row))
    for processes in (2, 4, 8):
        changes = {"base_precision": "", "processes": processes, "launch": "fsdp2"}
        row = outlook.with_changes(**changes)
        kind = ", checkpointing" if outlook.params.gradient_checkpointing else ""
        given = " <- given" if row.params == outlook.params else ""
        table.add_row(f"FSDP over {processes}{kind}{given}", *_sizes(row))
    encoders = readable_bytes(outlook.encoding_bytes)
    table.caption = f"before that, while the cache is filled: encoders' weights, {encoders}"
    return table


def _sizes(outlook: Outlook) -> list[str]:
    found = outlook.memory
    return [
        readable_bytes(size)
        for size in (found.base, found.adapter, found.activations, found.passing, found.total)
    ]


def _time(outlook: Outlook, gpus: Sequence[Gpu]) -> Table:
    params = outlook.params
    clips = params.train_batch_size * params.gradient_accumulation_steps * params.processes
    title = f"time, {outlook.operations:.3g} operations a step and process, {clips} clips a step"
    all_steps = f"{params.max_train_steps} steps"
    columns = ("GPU", "fits", "a step", all_steps, "a clip sampled", "error", "share of peak")
    table = _table(title, *columns)
    for gpu in gpus:
        seconds = outlook.seconds(gpu)
        table.add_row(
            f"{params.processes} x {gpu.name}",
            "yes" if outlook.fits(gpu) else "no",
            readable_seconds(seconds),
            readable_seconds(seconds * params.max_train_steps),
            readable_seconds(outlook.clip_seconds(gpu)),
            f"±{gpu.error:.0%}",
            f"{gpu.share:.0%} of {gpu.peak:g} TFLOP/s: {gpu.source}",
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="left" if number == 0 else "right")
    return table
