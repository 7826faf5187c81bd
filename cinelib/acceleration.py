"""Step caches that are proved to act, times that can be compared, and what Wan's authors published.

A cache that hooks nothing, or a speed measured on a cold machine, looks like a result. So `step_cache`
refuses a cache without hooks and counts every block evaluation, and `interleaved` warms up and alternates.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from diffusers import ModelMixin

Result = TypeVar("Result")

# Seconds for Wan2.1 I2V-14B, 81 frames of 720x1280, 40 steps; from the table in Wan2.1's README.
# Published by its authors, not measured here. (card, number of cards) -> seconds
WAN_PUBLISHED_SECONDS = {
    **{("A100-80GB", n): s for n, s in ((1, 2715.5), (2, 1371.7), (4, 716.1), (8, 389.7))},
    **{("H100-80GB", n): s for n, s in ((1, 1491.6), (2, 753.9), (4, 403.9), (8, 238.8))},
}
WAN_PUBLISHED_PEAK_GB = {1: 76.7, 2: 58.5, 4: 40.6, 8: 31.6}

# diffusers' own default patterns for TaylorSeer match no module of Wan, and the cache then does nothing.
WAN_TAYLORSEER_MODULES = [r"blocks\.\d+\.(attn1|attn2|ffn)"]


class NoEffect(RuntimeError):
    """A cache was enabled and hooked nothing: it would have been reported as a speed-up of 1.0."""


@dataclass
class BlockLedger:
    """Which transformer blocks were really evaluated, one row a transformer call."""

    blocks: int
    calls: list[set[int]] = field(default_factory=list)

    def per_call(self) -> np.ndarray:
        """Blocks evaluated in each call (number of calls,); a guided step makes two calls."""
        return np.array([len(call) for call in self.calls], dtype=int)

    @property
    def evaluated(self) -> int:
        """Block evaluations that were computed."""
        return int(self.per_call().sum())

    @property
    def skipped(self) -> int:
        """Block evaluations that a cache saved."""
        return self.blocks * len(self.calls) - self.evaluated

    @property
    def skipped_share(self) -> float:
        """Saved share of all block evaluations, in [0, 1]."""
        return self.skipped / (self.blocks * len(self.calls)) if self.calls else 0.0

    def clear(self) -> None:
        """Forget the calls so far, between two clips."""
        self.calls.clear()


@contextmanager
def block_ledger(transformer: "ModelMixin") -> Iterator[BlockLedger]:
    """Count the blocks that a Wan transformer evaluates while the context is open.

    A block counts as evaluated when its self-attention's query projection ran: that layer lies inside
    whatever a cache replaces, so what a cache predicts or skips does not count.
    """
    ledger = BlockLedger(len(transformer.blocks))
    handles = [transformer.register_forward_pre_hook(lambda *_: ledger.calls.append(set()))]
    for index, block in enumerate(transformer.blocks):

        def note(*_: Any, index: int = index) -> None:
            ledger.calls[-1].add(index)

        handles.append(block.attn1.to_q.register_forward_pre_hook(note))
    try:
        yield ledger
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def step_cache(transformer: "ModelMixin", config: Any | None) -> Iterator[BlockLedger]:
    """Enable a diffusers cache config (None for the plain sampler) and count block evaluations.

    Raises:
        NoEffect: the config's patterns matched no module, or fewer modules than there are blocks.
    """
    with block_ledger(transformer) as ledger:
        if config is None:
            yield ledger
            return
        before = _hooks(transformer)
        transformer.enable_cache(config)
        try:
            attached = _hooks(transformer) - before
            if attached < len(transformer.blocks):
                raise NoEffect(
                    f"{type(config).__name__} attached {attached} hooks to a transformer of "
                    f"{len(transformer.blocks)} blocks: its patterns do not match this model"
                )
            yield ledger
        finally:
            transformer.disable_cache()


def hooked_modules(transformer: "ModelMixin") -> list[str]:
    """Names of the modules that carry a diffusers hook."""
    return [name for name, module in transformer.named_modules() if _own_hooks(module)]


def _hooks(transformer: "ModelMixin") -> int:
    return sum(_own_hooks(module) for module in transformer.modules())


def _own_hooks(module: Any) -> int:
    registry = getattr(module, "_diffusers_hook", None)
    return len(registry.hooks) if registry is not None else 0


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
