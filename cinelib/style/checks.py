"""Notebook 02: what would stop it hours after its start, told before, in one sentence each.

From the parameters with the model's configuration, with this machine, and with the clips' metadata. Torch
is imported only where a parameter asks for what it alone knows.
"""

import importlib.util
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cinelib.parameters import ParameterError
from cinelib.preparation.dataset import Clip, DatasetError, VideoFolder, window_length
from cinelib.style.parameters import Strategy, StyleStage, check_strategy
from cinelib.wan import layout
from cinelib.wan.geometry import read_configs

if TYPE_CHECKING:
    import torch

ON_CPU = {
    "fsdp2": "accelerate turns FSDP on for accelerators only and would train with DDP instead",
}


def of_model(params: StyleStage, root: Path) -> list[str]:
    """What the model cannot do; nothing is said of a model whose configuration is not here."""
    local = root / params.model
    try:
        configs = read_configs(str(local) if local.is_dir() else params.model)
    except FileNotFoundError:
        return []
    found = []
    if len(layout.of_configs(configs).experts) > 1 and params.patience and params.early_stopping != "loss":
        found.append(
            f"early_stopping {params.early_stopping!r} needs sample clips, and one of the two experts of "
            f"{params.model} makes none alone; set early_stopping 'loss', or patience 0"
        )
    if params.targets != StyleStage.model_fields["targets"].default:  # which every Wan has
        from cinelib.wan.layers import adapted_layers

        try:
            adapted_layers(configs["transformer"], params.targets)
        except ValueError as error:
            found.append(str(error))
    return found


def of_machine(params: StyleStage) -> list[str]:
    """What is not installed here, or does not run on what is here."""
    found = []
    if params.base_precision == "nf4":
        from cinelib.wan import low_precision

        found += _said(low_precision.check, params.base_precision)
    if params.processes > 1:
        found += _said(check_processes, params.processes, params.strategy, params.base_precision)
    return found


def check_processes(
    processes: int, strategy: Strategy, base_precision: str = "", device: "torch.device | None" = None
) -> None:
    """Refuse what this machine or a strategy cannot run.

    Raises:
        ValueError: naming what is wrong and what would be right.
        ModuleNotFoundError: DeepSpeed is not installed.
    """
    import torch

    from cinelib.wan.pipeline import default_device

    kind = (device or default_device()).type
    devices = (os.cpu_count() or 1) if kind == "cpu" else torch.accelerator.device_count()
    if not 1 <= processes <= devices:
        what = "CPU cores" if kind == "cpu" else f"{kind} devices"
        raise ValueError(f"processes is {processes}, this machine has {devices} {what}")
    check_strategy(strategy, processes, base_precision)
    if kind == "cpu" and strategy in ON_CPU:
        raise ValueError(f"strategy {strategy} does not run on a CPU: {ON_CPU[strategy]}; use ddp")
    if strategy == "deepspeed_zero2" and importlib.util.find_spec("deepspeed") is None:
        raise ModuleNotFoundError("strategy deepspeed_zero2 needs DeepSpeed: pip install -e '.[accelerator]'")


def _said(check: Callable[..., None], *values: Any) -> list[str]:
    try:
        check(*values)
    except (ValueError, ModuleNotFoundError) as error:
        return [str(error)]
    return []


def of_count(params: StyleStage, clips: int, where: str) -> list[str]:
    """Too few clips to train on some and hold out others; `where` says what there are `clips` of."""
    if clips > params.validation_clips:
        return []
    return [
        f"validation_clips {params.validation_clips} leaves none to train on: {where} {clips}; "
        + (
            f"set validation_clips to {clips - 1} or less"
            if clips > 1
            else "a training needs two clips or more"
        )
    ]


def of_clips(params: StyleStage, clips: Sequence[Clip]) -> list[str]:
    """What the metadata of the prepared clips rule out."""
    found = of_count(params, len(clips), "the dataset's clips are")
    if params.train_batch_size > 1:
        lengths = {clip.file_name: window_length(clip.num_frames, params.num_frames) for clip in clips}
        usable = {name: length for name, length in lengths.items() if length}
        reason = unequal_lengths(usable, params.train_batch_size, params.gradient_accumulation_steps)
        found += [reason] if reason else []
    return found


def of_dataset(params: StyleStage, folder: Path) -> list[str]:
    """As `of_clips` for a dataset folder; nothing is said of one that is not there or not whole."""
    try:
        return of_clips(params, VideoFolder.open(folder))
    except DatasetError:
        return []


def refuse(params: StyleStage, clips: Sequence[Clip]) -> None:
    """Stop before anything is encoded; the workbook's root is the working directory.

    Raises:
        ParameterError: all that is in the way of model, machine and clips.
    """
    if found := [*of_model(params, Path()), *of_machine(params), *of_clips(params, clips)]:
        raise ParameterError(f"stage {params.stage}: " + "; ".join(found))


def unequal_lengths(lengths: Mapping[str, int], batch: int, accumulated: int) -> str | None:
    """Why clips of `lengths` frames cannot be trained on `batch` at a time; None when they can."""
    counts = Counter(lengths.values())
    if batch == 1 or len(counts) <= 1:
        return None
    usual, many = counts.most_common(1)[0]
    others = [f"{name} has {length}" for name, length in lengths.items() if length != usual]
    more = f" and {len(others) - 3} more have others" if len(others) > 3 else ""
    return (
        f"train_batch_size {batch} needs clips of one length: {many} of {len(lengths)} have {usual} frames, "
        f"{', '.join(others[:3])}{more}; set train_batch_size 1 and gradient_accumulation_steps "
        f"{batch * accumulated} (as many clips a step), or num_frames {min(counts)} (all are cut to it)"
    )
