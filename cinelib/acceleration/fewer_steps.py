"""Notebook 04: fewer sampler steps, the plain way to be faster and the one that others have to beat."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from diffusers import ModelMixin

from cinelib.acceleration.step_cache import BlockCounter, NoEffect, count_blocks


@dataclass(frozen=True)
class FewerSteps:
    """The sampler as it is, with `steps` steps."""

    steps: int

    @property
    def name(self) -> str:
        """As tables show it."""
        return f"{self.steps} steps"

    def apply(self, transformer: ModelMixin) -> AbstractContextManager[BlockCounter]:
        """Change nothing and count."""
        return count_blocks(transformer)

    def prove(self, counter: BlockCounter) -> None:
        """Two calls a step, nothing skipped. Raises NoEffect otherwise."""
        if len(counter.calls) != 2 * self.steps or counter.skipped:
            raise NoEffect(
                f"{self.name}: {len(counter.calls)} calls and {counter.skipped} blocks skipped, "
                f"not {2 * self.steps} calls and none"
            )
