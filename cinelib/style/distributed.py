"""Notebook 02: what differs between one process, DDP, FSDP2 and DeepSpeed."""

import os
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import DistributedType, InitProcessGroupKwargs
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from cinelib.style.parameters import Recipe

_FULL = StateDictOptions(full_state_dict=True)


def accelerator(recipe: Recipe, device: torch.device) -> Accelerator:
    """The accelerator for a recipe, under whatever `accelerate launch` started this process with."""
    deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    on_cpu = device.type == "cpu"
    # With cpu=True accelerate leaves DeepSpeed out; without a backend named each CPU process works alone.
    gloo = [InitProcessGroupKwargs(backend="gloo")] if on_cpu and deepspeed else None
    found = Accelerator(
        mixed_precision="no",  # the loop's own autocast does it: told of bf16, DeepSpeed rounds the adapter
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        cpu=on_cpu and not deepspeed,
        kwargs_handlers=gloo,
    )
    if sharded_by_deepspeed(found):
        config = found.state.deepspeed_plugin.deepspeed_config
        config["train_micro_batch_size_per_gpu"] = recipe.train_batch_size
        config["gradient_accumulation_steps"] = recipe.gradient_accumulation_steps
        config["gradient_clipping"] = recipe.max_grad_norm
    return found


def sharded_by_deepspeed(accelerator: Accelerator) -> bool:
    """DeepSpeed steps, clips and saves its optimiser by itself."""
    return accelerator.distributed_type == DistributedType.DEEPSPEED


def divides_the_base() -> bool:
    """Whether `accelerate launch` started this process to hold a share of the model's weights (FSDP)."""
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


def whole(value: Any) -> Any:
    """A sharded tensor's full value, everything else as it is. All processes must ask together."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def copy(parameters: dict[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    """Full values on the CPU, detached from what training does to the originals."""
    return {name: whole(value.detach()).cpu().clone() for name, value in parameters.items()}


@torch.no_grad()
def fill(parameters: dict[str, torch.nn.Parameter], values: dict[str, torch.Tensor]) -> None:
    """Write full values into parameters, sharded or not."""
    for name, value in values.items():
        parameter = parameters[name]
        if isinstance(parameter, DTensor):
            value, mesh = value.to(parameter.device), parameter.device_mesh
            value = distribute_tensor(value, mesh, parameter.placements, src_data_rank=None)
        parameter.copy_(value)


def optimizer_state(model: torch.nn.Module, optimizer: AcceleratedOptimizer) -> dict[str, Any]:
    """The state of an optimiser by parameter name, with full tensors. All processes must ask together."""
    return get_optimizer_state_dict(model, optimizer.optimizer, options=_FULL)


def load_optimizer_state(
    model: torch.nn.Module, optimizer: AcceleratedOptimizer, state: dict[str, Any]
) -> None:
    """What `optimizer_state` gave, sharded as the parameters are."""
    betas = [group["betas"] for group in optimizer.optimizer.param_groups]
    set_optimizer_state_dict(model, optimizer.optimizer, state, options=_FULL)
    for group, kept in zip(optimizer.optimizer.param_groups, betas, strict=True):
        group["betas"] = type(kept)(group["betas"])  # torch gives a list back for the tuple that it was
