"""Notebook 04: a step cache that hooks nothing is refused, and every block that runs is counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diffusers import ModelMixin


class NoEffect(RuntimeError):
    """A technique did not do what it is for."""


@dataclass
class BlockCounter:
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


@contextmanager
def count_blocks(transformer: ModelMixin) -> Iterator[BlockCounter]:
    """Count the blocks that a Wan transformer evaluates while the context is open.

    A block counts as evaluated when its self-attention's query projection ran: that layer lies inside
    whatever a cache replaces, so what a cache predicts or skips does not count.
    """
    counter = BlockCounter(len(transformer.blocks))
    handles = [transformer.register_forward_pre_hook(lambda *_: counter.calls.append(set()))]
    for index, block in enumerate(transformer.blocks):

        def note(*_: Any, index: int = index) -> None:
            counter.calls[-1].add(index)

        handles.append(block.attn1.to_q.register_forward_pre_hook(note))
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def step_cache(transformer: ModelMixin, config: Any) -> Iterator[BlockCounter]:
    """Enable a diffusers cache config while the context is open, and count the blocks that run.

    Raises:
        NoEffect: the config's patterns matched no module, or fewer modules than there are blocks.
    """
    with count_blocks(transformer) as counter:
        before = _hooks(transformer)
        transformer.enable_cache(config)
        try:
            attached = _hooks(transformer) - before
            if attached < len(transformer.blocks):
                raise NoEffect(
                    f"{type(config).__name__} attached {attached} hooks to a transformer of "
                    f"{len(transformer.blocks)} blocks: its patterns do not match this model"
                )
            yield counter
        finally:
            transformer.disable_cache()


def _hooks(transformer: ModelMixin) -> int:
    registries = (getattr(module, "_diffusers_hook", None) for module in transformer.modules())
    return sum(len(registry.hooks) for registry in registries if registry is not None)
