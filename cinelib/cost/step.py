"""One training step of a LoRA on the Wan transformer: its operations, and the bytes that it holds."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from cinelib.cost.rehearsal import Pass, operations, saved_bytes
from cinelib.wan import layers

_SIDES = (128, 256)  # pixels of two small clips: what is saved grows along a line with the tokens


@dataclass(frozen=True)
class Step(Pass):
    """One forward and backward pass over `clips` clips."""

    clips: int = 1

    @cached_property
    def operations(self) -> float:
        """Floating-point operations, as `torch.utils.flop_counter` counts them."""
        return self.clips * self._of_all_blocks(operations)

    @cached_property
    def saved_bytes(self) -> float:
        """Activations that wait for the backward pass when the forward pass has ended."""
        return self.clips * self._by_size(lambda small: small._of_all_blocks(saved_bytes))

    @cached_property
    def passing_bytes(self) -> float:
        """At the peak of the backward pass: a recomputed block's activations, gradients, casts.

        The largest of three moments, with coefficients fitted to peaks of live tensors on a CPU (tests hold
        them to it): the prediction's own gradients, a feed-forward layer's, and a text projection's.
        """
        config = self.geometry.configs["transformer"]
        n, d = self.geometry.tokens, self.geometry.width_of_model
        outputs = config["out_channels"] * math.prod(config["patch_size"])  # numbers answered for a token
        feed_forward = (1 if self.half else 2) * n * (2 * d + 3.5 * config["ffn_dim"])
        gradients = max(16 * n * outputs, feed_forward, 16 * self.geometry.text_tokens * d)
        return self.clips * ((self._block_bytes if self.checkpointing else 0.0) + gradients)

    @property
    def _block_bytes(self) -> float:
        """What a block saves of one clip when it is not recomputed."""
        plain = replace(self, checkpointing=False)
        if self._alike:
            return plain._by_size(lambda small: saved_bytes(small._with(3)) - saved_bytes(small._with(2)))
        numbers = (int(name.split(".")[1]) for name in self._adapted if name.startswith("blocks."))
        saving = self._depth - min(numbers, default=0)  # blocks before the first adapted one save nothing
        return plain._by_size(lambda small: saved_bytes(small._with(self._depth))) / saving

    def _of_all_blocks(self, measure: Callable[[Pass], float]) -> float:
        """Where blocks are adapted alike, those from the second on cost the same: three tell of forty."""
        if not self._alike or self._depth <= 3:
            return measure(self._with(self._depth))
        two, three = (measure(self._with(blocks)) for blocks in (2, 3))
        return two + (self._depth - 2) * (three - two)

    def _with(self, blocks: int) -> Pass:
        configs = self.geometry.configs
        shallow = {**configs, "transformer": {**configs["transformer"], "num_layers": blocks}}
        return replace(self, geometry=replace(self.geometry, configs=shallow), clips=1)

    def _by_size(self, measure: Callable[["Step"], float]) -> float:
        """`measure` of a clip of this size, along the line through two small ones."""
        small, large = (
            replace(self, geometry=replace(self.geometry, height=side, width=side, num_frames=9))
            for side in _SIDES
        )
        at = small.geometry.tokens
        slope = (measure(large) - measure(small)) / (large.geometry.tokens - at)
        return measure(small) + slope * (self.geometry.tokens - at)

    @property
    def _depth(self) -> int:
        return self.geometry.configs["transformer"]["num_layers"]

    @cached_property
    def _adapted(self) -> list[str]:
        """Names of the adapted layers. Raises ValueError when `targets` name none."""
        return list(layers.adapted_layers(self.geometry.configs["transformer"], self.targets))

    @cached_property
    def _alike(self) -> bool:
        """Whether the same layers are adapted in every block."""
        names = {re.sub(r"^blocks\.\d+", "", name) for name in self._adapted}
        return len(self._adapted) == self._depth * len(names)
