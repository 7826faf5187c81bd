"""Notebook 04: TaylorSeer, which predicts attention and feed-forward outputs in the steps between."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from diffusers import ModelMixin, TaylorSeerCacheConfig

from cinelib.acceleration.step_cache import BlockCounter, NoEffect, step_cache

# diffusers' own default patterns match no module of Wan, and the cache then does nothing.
MODULES = [r"blocks\.\d+\.(attn1|attn2|ffn)"]


@dataclass(frozen=True)
class TaylorSeer:
    """Compute the first `warmup` steps and then one in `interval`; predict the others to first order."""

    steps: int
    interval: int
    warmup: int = 3

    @property
    def name(self) -> str:
        """As tables show it."""
        return f"TaylorSeer /{self.interval}"

    @property
    def computed(self) -> list[bool]:
        """Whether each step runs in full: the warm-up, then one in `interval`, the second after it first."""
        after = (step - self.warmup for step in range(self.steps))
        return [k < 0 or (k - 1) % self.interval == 0 for k in after]

    def apply(self, transformer: ModelMixin) -> AbstractContextManager[BlockCounter]:
        """Switch it on. Raises NoEffect where the patterns match no block."""
        config = TaylorSeerCacheConfig(
            cache_interval=self.interval,
            disable_cache_before_step=self.warmup,
            max_order=1,
            taylor_factors_dtype=torch.float32,
            cache_identifiers=MODULES,
        )
        return step_cache(transformer, config)

    def prove(self, counter: BlockCounter) -> None:
        """Every step of the schedule runs in full, the others not at all. Raises NoEffect otherwise."""
        expected = [counter.blocks * runs for runs in self.computed for _ in ("cond", "uncond")]
        if counter.per_call().tolist() != expected:
            raise NoEffect(f"{self.name}: the calls ran {counter.per_call().tolist()} blocks, not {expected}")
