"""Step caches that are proved to act, times that can be compared, and what Wan's authors published.

A cache that hooks nothing, or a speed measured on a cold machine, looks like a result. So `step_cache`
refuses a cache without hooks and counts every block evaluation, and `interleaved` warms up and alternates.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from diffusers import ModelMixin


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
