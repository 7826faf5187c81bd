"""Notebook 04: the first-block cache, which skips the other blocks while the first one changes little."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from diffusers import FirstBlockCacheConfig, ModelMixin

from cinelib.acceleration.step_cache import BlockCounter, NoEffect, step_cache


@dataclass(frozen=True)
class FirstBlockCache:
    """Skip where the first block's change, relative to the last computed step, is at most `threshold`."""

    steps: int
    threshold: float

    @property
    def name(self) -> str:
        """As tables show it."""
        return f"first-block {self.threshold:g}"

    def apply(self, transformer: ModelMixin) -> AbstractContextManager[BlockCounter]:
        """Switch it on. Raises NoEffect where it finds no blocks."""
        return step_cache(transformer, FirstBlockCacheConfig(threshold=self.threshold))

    def prove(self, counter: BlockCounter) -> None:
        """The first step runs in full, every later call all blocks or the first alone; at 0 none is skipped.

        Raises:
            NoEffect: the count is another.
        """
        ran = counter.per_call().tolist()
        allowed = {counter.blocks} if self.threshold == 0 else {1, counter.blocks}
        if len(ran) != 2 * self.steps or set(ran[:2]) != {counter.blocks} or not set(ran) <= allowed:
            raise NoEffect(f"{self.name}: of {counter.blocks} blocks, the calls ran {ran}")
