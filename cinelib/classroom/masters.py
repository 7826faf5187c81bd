"""Weights kept in full precision beside the network that computes with them, and their moving average."""

import torch
from torch import Tensor, nn


class Masters:
    """The trained weights of `net` in float32 and their average; `net` itself may be in half precision."""

    def __init__(self, net: nn.Module, average: float, half: bool = False) -> None:
        self.net, self.decay, self.steps = net, average, 0
        self.names = [name for name, _ in net.named_parameters()]
        self.weights = [
            nn.Parameter(weight.detach().float().clone()) if half else weight for weight in net.parameters()
        ]
        if half:
            net.bfloat16()
        self.computing = list(net.parameters())
        self.half = half
        self.average = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def step(self, optimizers: list[torch.optim.Optimizer], rate: float, clip: float = 1.0) -> Tensor:
        """Update from the gradients that lie in `net` at learning rate `rate`; returns their norm."""
        if self.half:
            for weight, computing in zip(self.weights, self.computing, strict=True):
                weight.grad = None if computing.grad is None else computing.grad.float()
                computing.grad = None
        norm = nn.utils.clip_grad_norm_(self.weights, clip)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.half:
            torch._foreach_copy_(self.computing, self.weights)
        self.steps += 1
        # early on a long average would still hold the start
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.average, [weight.detach() for weight in self.weights], 1 - decay)
        return norm

    def averaged(self) -> dict[str, Tensor]:
        """The moving average by name."""
        return dict(zip(self.names, self.average, strict=True))

    @torch.no_grad()
    def restart(self) -> None:
        """Go back to the average, after a step that went wrong."""
        torch._foreach_copy_(self.weights, self.average)
        if self.half:
            torch._foreach_copy_(self.computing, self.weights)

    def follower(self, average: float) -> "Follower":
        """A second average of another length."""
        return Follower(self, average)


class Follower:
    """A moving average of `masters` of its own length."""

    def __init__(self, masters: Masters, decay: float) -> None:
        self.masters, self.decay = masters, decay
        self.average = [weight.detach().clone() for weight in masters.weights]

    @torch.no_grad()
    def step(self) -> None:
        """Once after each step of the masters."""
        steps = self.masters.steps
        decay = min(self.decay, (1 + steps) / (10 + steps))
        weights = [weight.detach() for weight in self.masters.weights]
        torch._foreach_lerp_(self.average, weights, 1 - decay)

    def averaged(self) -> dict[str, Tensor]:
        """The moving average by name."""
        return dict(zip(self.masters.names, self.average, strict=True))
