"""A training loop that can stop at any moment and continue to the same weights, bit for bit.

All randomness of a step comes from a generator seeded with (seed, step, rank), so no generator state has to
be kept; what is kept, atomically, is the weights, their moving average, the optimiser's state and the losses.
Under `torchrun` each process takes its share of the batch and gradients are averaged.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

Loss = Callable[[int, torch.Generator], Tensor]
Log = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How long and how fast: linear warm-up, then cosine to `floor` of the peak rate."""

    steps: int
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.01
    warmup: int = 100
    floor: float = 0.02
    clip: float = 1.0
    ema: float = 0.0  # 0 keeps no average
    bf16: bool = True
    seed: int = 0
    save_seconds: float = 120.0
    log_steps: int = 25
    milestones: tuple[int, ...] = ()  # steps whose average is kept for good, to look back at

    def rate(self, step: int) -> float:
        """Learning rate of `step` (0-based)."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (
            self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1, done)))
        )


def generator(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """The randomness of one step in one process."""
    return torch.Generator().manual_seed(((seed * 1_000_003 + step) * 64 + rank) % 2**63)


def rank() -> int:
    """Number of this process, 0 when there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(batch: int) -> int:
    """This process's part of a batch.

    Raises:
        ValueError: the batch cannot be divided evenly.
    """
    if batch % world():
        raise ValueError(f"a batch of {batch} cannot be divided among {world()} processes")
    return batch // world()


def milestone(path: Path, step: int) -> Path:
    """Where the averaged weights of `step` of the training kept in `path` are."""
    return path.parent / "milestones" / f"{path.stem}-{step:06d}.pt"


class Training:
    """Weights, average and optimiser of one stage, kept in `path`."""

    def __init__(self, model: nn.Module, plan: Plan, path: Path) -> None:
        self.model, self.plan, self.path = model, plan, path
        self.trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.average = (
            {name: weight.detach().clone() for name, weight in self.trained.items()} if plan.ema else {}
        )
        self.optimizer = torch.optim.AdamW(
            self.trained.values(),
            lr=plan.learning_rate,
            betas=plan.betas,
            weight_decay=plan.weight_decay,
            fused=True,
        )
        self.step = 0
        self.seconds = 0.0
        self.losses: list[tuple[int, float]] = []
        self.recent: list[Tensor] = []  # losses since the last entry
        if path.exists():
            self._load()

    @property
    def done(self) -> bool:
        """Whether every planned step was taken."""
        return self.step >= self.plan.steps

    def run(self, loss: Loss, log: Log = print, until: int | None = None) -> Iterator[int]:
        """Train up to `until` (default: the plan's end), yielding after each save.

        Raises:
            FloatingPointError: the loss is not finite; the last good checkpoint stays.
        """
        if self.done:
            return
        stop = self.plan.steps if until is None else min(until, self.plan.steps)
        saved = logged = time.monotonic()
        logged_step = self.step
        while self.step < stop:
            self.recent.append(self._take_step(loss))
            now = time.monotonic()
            if self.step % self.plan.log_steps == 0 or self.step == stop:
                mean = torch.stack(self.recent).mean().item()
                self.losses.append((self.step, mean))
                speed = (now - logged) / max(1, self.step - logged_step)
                rank() or log(f"step {self.step}/{self.plan.steps} loss {mean:.4f} {speed:.2f} s/step")
                self.recent, logged, logged_step = [], now, self.step
            if self.step in self.plan.milestones and not rank():
                self._keep()
            if now - saved > self.plan.save_seconds and self.step < stop:
                self.seconds, saved = self.seconds + now - saved, now
                self.save()
                yield self.step
        self.seconds += time.monotonic() - saved
        self.save()
        yield self.step

    def _take_step(self, loss: Loss) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate(self.step)
        device = next(iter(self.trained.values())).device
        cast = torch.autocast(device.type, torch.bfloat16) if self.plan.bf16 else nullcontext()
        with cast:
            value = loss(self.step, generator(self.plan.seed, self.step, rank()))
        if not torch.isfinite(value):
            raise FloatingPointError(f"{self.path.stem}: loss is {value.item()} at step {self.step}")
        value.backward()
        self._average_gradients()
        nn.utils.clip_grad_norm_(self.trained.values(), self.plan.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if self.average:
            # early on a long average would still hold the random start
            decay = min(self.plan.ema, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(list(self.average.values()), list(self.trained.values()), 1 - decay)
        return value.detach()

    def _average_gradients(self) -> None:
        if world() == 1:
            return
        gradients = [weight.grad for weight in self.trained.values() if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= world()
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def averaged(self) -> dict[str, Tensor]:
        """The weights to ship: the moving average where one is kept."""
        return {name: value.detach().clone() for name, value in (self.average or self.trained).items()}

    def save(self) -> None:
        """Replace the checkpoint in one step."""
        if rank():
            return
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
            "recent": self.recent,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".partial")
        torch.save(state, draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(self.path)

    def _keep(self) -> None:
        path = milestone(self.path, self.step)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".partial")
        torch.save(self.averaged(), draft)
        draft.replace(path)

    @torch.no_grad()
    def _load(self) -> None:
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, value in state["average"].items():
            self.average[name].copy_(value)
        self.step, self.seconds = state["step"], state["seconds"]
        self.recent = state.get("recent", [])
        self.losses = [(int(step), float(value)) for step, value in state["losses"]]
