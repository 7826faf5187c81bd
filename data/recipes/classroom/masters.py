"""Weights kept in full precision beside the network that computes with them, and their moving averages."""

import torch
from torch import Tensor, nn


class Masters:
    """The trained weights of `net` in float32 and averages of several lengths; `net` may become bfloat16."""

    def __init__(self, net: nn.Module, averages: tuple[float, ...], half: bool = False) -> None:
        self.decays, self.half, self.steps = averages, half, 0
        self.names = [name for name, _ in net.named_parameters()]
        own = [weight.detach().float().clone() if half else weight for weight in net.parameters()]
        self.weights = [nn.Parameter(weight) if half else weight for weight in own]
        if half:
            net.bfloat16()
        self.computing = list(net.parameters())
        self.averages = [self._copies() for _ in averages]
        self._good = [self._copies() for _ in range(1 + len(averages))]

    def _copies(self) -> list[Tensor]:
        return [weight.detach().clone() for weight in self.weights]

    def _plain(self) -> list[Tensor]:
        return [weight.detach() for weight in self.weights]

    @torch.no_grad()
    def step(self, optimizers: list[torch.optim.Optimizer], rate: float, clip: float = 1.0) -> None:
        """Update from the gradients that lie in `net` at learning rate `rate`."""
        if self.half:
            for weight, computing in zip(self.weights, self.computing, strict=True):
                weight.grad = None if computing.grad is None else computing.grad.float()
                computing.grad = None
        nn.utils.clip_grad_norm_(self.weights, clip)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._show()
        self.steps += 1
        for average, length in zip(self.averages, self.decays, strict=True):
            # early on a long average would still hold the start
            decay = min(length, (1 + self.steps) / (10 + self.steps))
            torch._foreach_lerp_(average, self._plain(), 1 - decay)

    def _show(self) -> None:
        if self.half:
            torch._foreach_copy_([weight.detach() for weight in self.computing], self._plain())

    def averaged(self, number: int = 0) -> dict[str, Tensor]:
        """One of the moving averages by name."""
        return dict(zip(self.names, self.averages[number], strict=True))

    @torch.no_grad()
    def remember(self) -> None:
        """All is well: this is where `restart` goes back to."""
        for kept, now in zip(self._good, [self._plain(), *self.averages], strict=True):
            torch._foreach_copy_(kept, now)

    @torch.no_grad()
    def restart(self, optimizers: list[torch.optim.Optimizer]) -> None:
        """Back to where all was well, with fresh optimisers."""
        for now, kept in zip([self._plain(), *self.averages], self._good, strict=True):
            torch._foreach_copy_(now, kept)
        self._show()
        for optimizer in optimizers:
            optimizer.state.clear()
