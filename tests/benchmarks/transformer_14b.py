"""A random Wan2.1 I2V-14B of which some blocks are computed, and how time and memory are read around it."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import WanTransformer3DModel


class Cut(TimeoutError):
    """A row passed its time limit."""


@contextmanager
def depth(transformer: WanTransformer3DModel, count: int) -> Iterator[WanTransformer3DModel]:
    """Only the first `count` blocks are computed; the others stay where they are."""
    blocks = transformer.blocks
    transformer.blocks = torch.nn.ModuleList(list(blocks)[:count])
    try:
        yield transformer
    finally:
        transformer.blocks = blocks


def synchronize(device: torch.device) -> None:
    """Wait for what the device still computes."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def clock(device: torch.device) -> float:
    """Seconds, once the device has finished."""
    synchronize(device)
    return time.perf_counter()


def seconds_of(call: Callable[[], Any], device: torch.device, repeats: int, until: float) -> list[float]:
    """Seconds of each of `repeats` calls, at least one, and no more than end before `until`."""
    found: list[float] = []
    while len(found) < repeats and (not found or time.perf_counter() + found[-1] < until):
        started = clock(device)
        call()
        found.append(clock(device) - started)
    return found


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """Median and every value."""
    return {"seconds": statistics.median(seconds), "all_seconds": [round(value, 4) for value in seconds]}


def fresh_peak(device: torch.device) -> None:
    """Give back what is kept in store, and forget the peak so far."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(device: torch.device) -> dict[str, int]:
    """Bytes at the fullest moment since `fresh_peak`: in tensors, and with the allocator's store."""
    if device.type != "cuda":
        return {}
    return {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
