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

    A block counts as evaluated when a layer of its self-attention, cross-attention or feed-forward ran. These
    layers lie inside whatever a cache replaces, so what a cache predicts or skips does not count.
    """
    counter = BlockCounter(len(transformer.blocks))
    handles = [transformer.register_forward_pre_hook(lambda *_: counter.calls.append(set()))]
    for index, block in enumerate(transformer.blocks):

        def note(*_: Any, index: int = index) -> None:
            counter.calls[-1].add(index)

        for layer in (block.attn1.to_q, block.attn2.to_q, block.ffn.net[0]):
            handles.append(layer.register_forward_pre_hook(note))
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def step_cache(transformer: ModelMixin, config: Any) -> Iterator[BlockCounter]:
    """Enable a diffusers cache config while the context is open, and count the blocks that run.

    Raises:
        NoEffect: the config's patterns matched nothing in one of the blocks, or in all.
    """
    with count_blocks(transformer) as counter:
        before = _hooks(transformer)
        transformer.enable_cache(config)
        try:
            attached = [now - then for now, then in zip(_hooks(transformer), before, strict=True)]
            if missed := attached.count(0):
                raise NoEffect(
                    f"{type(config).__name__} attached nothing to {missed} of {len(attached)} blocks: its "
                    "patterns do not match this model"
                )
            yield counter
        finally:
            transformer.disable_cache()


def _hooks(transformer: ModelMixin) -> list[int]:
    """Hooks of diffusers in each block and its layers."""
    found = []
    for block in transformer.blocks:
        registries = (getattr(module, "_diffusers_hook", None) for module in block.modules())
        found.append(sum(len(registry.hooks) for registry in registries if registry is not None))
    return found
