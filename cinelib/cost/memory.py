"""Bytes of GPU memory of one process at one moment, and how far off they may be."""

from dataclasses import dataclass

# Bytes a weight, scales included, of what a frozen linear layer of the blocks is stored in.
STORED = {"fp8": 1.0, "nf4": 0.5 + 4 / 64}
_ALLOCATOR = 1.05  # share that PyTorch's caching allocator keeps beyond what is in use


@dataclass(frozen=True)
class Memory:
    """Bytes of one process when it is fullest.

    Attributes:
        base: weights of models, frozen.
        adapter: what is trained, with its gradients and moments.
        activations: what waits for the backward pass.
        passing: all else that comes and goes.
        unsure: how far off activations and passing may be, as a share of them. `base` and `adapter` are
            exact. A whole step of the 14B and 5B models on shapes alone is met within 4 % (a test). What no
            rehearsal sees is assumed: larger holes of the allocator, and kernels' room to work.
            `tests/benchmarks/lora_14b.py` measures them; it has not run on a GPU yet.
    """

    base: float
    adapter: float
    activations: float
    passing: float
    unsure: float = 0.1

    @property
    def total(self) -> float:
        """With the allocator's share on what comes and goes."""
        return self.base + self.adapter + _ALLOCATOR * (self.activations + self.passing)

    @property
    def error(self) -> float:
        """Bytes that `total` may be off by, either way."""
        return self.unsure * _ALLOCATOR * (self.activations + self.passing)
