"""Notebook 04: times that can be compared: warmed up, interleaved, with their conditions."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Result = TypeVar("Result")


@dataclass(frozen=True)
class Timing:
    """Seconds of one configuration over the rounds in which all were measured."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median over rounds."""
        return float(np.median(self.seconds))

    def speedup(self, baseline: "Timing") -> tuple[float, float, float]:
        """Median, lowest and highest ratio baseline / this, round by round: drift of the machine cancels."""
        ratios = np.divide(baseline.seconds, self.seconds)
        return float(np.median(ratios)), float(ratios.min()), float(ratios.max())


def interleaved(
    calls: Mapping[str, Callable[[int], Result]], rounds: int, warmup: int = 1
) -> tuple[dict[str, Timing], dict[str, list[Result]]]:
    """Run every call in every round, in an order that rotates from round to round, after `warmup` runs each.

    Args:
        calls: name to a function of the round's number; a warm-up gets round 0.

    Raises:
        ValueError: no calls, or fewer than one round.
    """
    if not calls or rounds < 1:
        raise ValueError(f"timing needs at least one call and one round, got {len(calls)} and {rounds}")
    names = list(calls)
    for name in names:
        for _ in range(warmup):
            calls[name](0)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    results: dict[str, list[Result]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            _synchronize()
            started = time.perf_counter()
            result = calls[name](number)
            _synchronize()
            seconds[name].append(time.perf_counter() - started)
            results[name].append(result)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}, results


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def busy_share(seconds: float = 1.0) -> float:
    """Share of all cores in use while this program sleeps, in [0, 1]; above 0.25, times mislead."""
    import psutil

    return psutil.cpu_percent(interval=seconds) / 100


def conditions() -> str:
    """One line that a timing cannot be read without: device, threads, versions, load."""
    import diffusers
    import torch

    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else f"CPU, {len(os.sched_getaffinity(0))} cores"
    return (
        f"{device}; {torch.get_num_threads()} torch threads; torch {torch.__version__}, diffusers "
        f"{diffusers.__version__}; load average {os.getloadavg()[0]:.1f}"
    )
