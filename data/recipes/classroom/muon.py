"""Muon: momentum whose update is made orthogonal, for the matrices of a transformer.

Keller Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/), scaled as in arXiv 2502.16982 so that
AdamW's learning rates fit. Matrices of one shape are treated together: a small network has many of them, and
one product after the other would cost more than its training.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

MATCH = 0.2  # root mean square of an AdamW update


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """(n, rows, columns) with all singular values moved near 1, by Newton-Schulz in half precision."""
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Muon over two-dimensional parameters."""

    def __init__(
        self, matrices: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            alike = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append(weight)
            for weights in alike.values():
                self._update(weights, **{name: group[name] for name in ("lr", "momentum", "weight_decay")})

    def _update(self, weights: list[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        gradients = [weight.grad for weight in weights]
        for weight in weights:
            if weight not in self.state:
                self.state[weight]["average"] = torch.zeros_like(weight)
        averages = [self.state[weight]["average"] for weight in weights]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        ahead = torch._foreach_lerp(gradients, averages, momentum)
        turned = orthogonal(torch.stack(ahead)) * (MATCH * max(weights[0].shape) ** 0.5)
        torch._foreach_mul_(weights, 1 - lr * weight_decay)
        torch._foreach_add_(weights, list(turned.unbind()), alpha=-lr)


def optimizers(model: nn.Module, lr: float, inside: str = "blocks.") -> list[torch.optim.Optimizer]:
    """Muon for the matrices of `model` whose name starts with `inside`, AdamW for everything else."""
    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if name.startswith(inside) and weight.ndim == 2]
    others = [weight for name, weight in named if not (name.startswith(inside) and weight.ndim == 2)]
    adamw = torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    return [Muon(matrices, lr), adamw] if matrices else [adamw]
