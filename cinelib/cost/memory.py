"""Bytes of GPU memory of one process at one moment, and how far off they may be."""

import math
from dataclasses import dataclass

# Bytes a weight, scales included, of what a frozen linear layer of the blocks is stored in.
STORED = {"fp8": 1.0, "nf4": 0.5 + 4 / 64}
GIB = 2**30


@dataclass(frozen=True)
class Memory:
    """Bytes of one process when it is fullest.

    Attributes:
        base: weights of models, frozen.
        adapter: what is trained, with its gradients and moments.
        activations: what waits for the backward pass.
        passing: all else that comes and goes.
        unsure: how far off activations and passing may be, as a share of them, where no GPU has measured
            them: the VAE and the encoders. `base` and `adapter` are exact.
    """

    base: float
    adapter: float
    activations: float
    passing: float
    unsure: float = 0.0

    @property
    def live(self) -> float:
        """Bytes of tensors that come and go; an H100 held 6 % less to 2 % more in LoRA steps."""
        return self.activations + self.passing

    @property
    def kept(self) -> float:
        """What PyTorch's caching allocator keeps beyond that: a GiB for one, 7 GiB for 52.

        The root is a fit to an H100's LoRA steps and sampler passes, not a law.
        """
        return math.sqrt(self.live * GIB)

    @property
    def total(self) -> float:
        """Bytes that the process takes of the GPU."""
        return self.base + self.adapter + self.live + self.kept

    @property
    def error(self) -> float:
        """Bytes that `total` may be off by, either way.

        The largest miss of the measured steps and passes was 1.4 GiB. A step without recomputation took
        4.3 GiB less than this says. A small model cannot be off by more than what is kept for it.
        """
        return self.unsure * self.live + min(self.kept, 1.5 * GIB)
