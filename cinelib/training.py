"""LoRA training: the loop around the loss that notebook 02 shows.

Every random choice of sample k comes from (seed, k) alone (see `flow_matching.draw`). So a resumed run
repeats an uninterrupted one bit by bit, and n processes with one clip each see what one process with n
accumulated clips sees.
"""

import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers import WanTransformer3DModel
from diffusers.optimization import get_cosine_schedule_with_warmup

from cinelib import flow_matching, lora
from cinelib.checkpoints import Checkpoints
from cinelib.examples import Example
from cinelib.flow_matching import Loss, Recipe, flow_matching_loss, read_samples, validate
from cinelib.runs.files import digest

_COSMETIC = {"log_every", "checkpoint_every"}  # may differ between a run and its continuation


class TrainingDiverged(RuntimeError):
    """Loss or gradient is not finite; the last good weights are in the newest checkpoint."""


@dataclass
class History:
    """Curves of one training, why it ended, and where its weights are from."""

    train: list[dict[str, float]] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    stopped: str = ""
    resumed_at: list[int] = field(default_factory=list)


def train(
    transformer: WanTransformer3DModel,
    examples: Sequence[Example],
    validation: Sequence[Example],
    null_prompt: Path,
    recipe: Recipe,
    folder: Path,
    loss: Loss = flow_matching_loss,
    adapter: str = "style",
    log: Callable[[str], None] = print,
    progress: Callable[[int, int], None] | None = None,
) -> History:
    """Train the adapter in place, or continue from the newest good checkpoint in `folder`.

    Args:
        validation: examples kept out of training; the held-out loss is measured on them.
        null_prompt: cache entry of the empty prompt, for caption dropout.
        folder: checkpoints; those of other settings or data are refused, never continued.
        progress: called with (step, max_train_steps) after each step.

    Raises:
        TrainingDiverged: naming step and batch; the weights before it are in the newest checkpoint.
        ValueError: no examples, or checkpoints of another training in `folder`.
    """
    if not examples:
        raise ValueError("no examples to train on")
    loop = _Loop(transformer, recipe, adapter, log)
    loop.data(examples, validation, null_prompt, loss)
    loop.resume(Checkpoints(Path(folder), loop.fingerprint(), log))
    try:
        loop.run(progress or (lambda step, total: None))
    finally:
        loop.accelerator.unwrap_model(loop.transformer, keep_fp32_wrapper=False)
    return loop.history


class _Loop:
    def __init__(
        self, transformer: WanTransformer3DModel, recipe: Recipe, adapter: str, log: Callable[[str], None]
    ) -> None:
        self.recipe, self.log, self.history = recipe, log, History()
        # Accelerate keeps its precision for the life of the process; a notebook trains more than once.
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(
            mixed_precision="bf16" if recipe.precision == "bf16" else "no",
            gradient_accumulation_steps=recipe.gradient_accumulation_steps,
            cpu=transformer.device.type == "cpu",
        )
        if recipe.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        else:
            transformer.disable_gradient_checkpointing()
        self.weights = lora.parameters(transformer, adapter)
        optimizer = torch.optim.AdamW(
            self.weights.values(), recipe.learning_rate, recipe.betas, weight_decay=recipe.weight_decay
        )
        warmup = math.ceil(recipe.warmup_ratio * recipe.max_train_steps)
        self.schedule = get_cosine_schedule_with_warmup(optimizer, warmup, recipe.max_train_steps)
        self.transformer, self.optimizer = self.accelerator.prepare(transformer, optimizer)
        self.best: dict[str, Any] = {"loss": math.inf, "step": 0, "weights": {}}

    def data(
        self, examples: Sequence[Example], validation: Sequence[Example], null_prompt: Path, loss: Loss
    ) -> None:
        self.examples, self.validation, self.null_prompt, self.loss = examples, validation, null_prompt, loss

    def fingerprint(self) -> dict[str, Any]:
        """All that must be equal for a checkpoint to be continued, by name."""
        first = {name: value.detach().double().sum().item() for name, value in self.weights.items()}
        names = [
            [e.latents.name, e.prompt.name, *(c.name for c in e.conditions)]
            for e in (*self.examples, *self.validation)
        ]
        recipe = {name: value for name, value in asdict(self.recipe).items() if name not in _COSMETIC}
        return {
            **{name: list(value) if isinstance(value, tuple) else value for name, value in recipe.items()},
            "examples": digest(names),
            "adapter": digest(first),
            "processes": self.accelerator.num_processes,
        }

    def resume(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        state = checkpoints.newest()
        if state is None:
            return
        for name, value in state["weights"].items():
            self.weights[name].data.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.best = state["best"]
        self.history = History(**state["history"])
        self.history.resumed_at.append(self.history.step)
        self.log(f"resumed at step {self.history.step} of {self.recipe.max_train_steps}")

    def save(self) -> None:
        if self.accelerator.is_main_process:
            self.checkpoints.save(
                self.history.step,
                {
                    "weights": {name: value.detach().cpu() for name, value in self.weights.items()},
                    "optimizer": self.optimizer.state_dict(),
                    "schedule": self.schedule.state_dict(),
                    "best": self.best,
                    "history": asdict(self.history),
                },
            )

    def run(self, progress: Callable[[int, int], None]) -> None:
        recipe, history = self.recipe, self.history
        started = time.monotonic() - history.seconds
        if not history.validation:
            self.measure()
        while history.step < recipe.max_train_steps and not history.stopped:
            before = time.monotonic()
            loss, gradient = self.step()
            history.step += 1
            history.seconds = time.monotonic() - started
            row = {"step": history.step, "loss": loss, "learning_rate": self.schedule.get_last_lr()[0]}
            history.train.append({**row, "gradient": gradient, "seconds": time.monotonic() - before})
            last = history.step == recipe.max_train_steps
            if last or history.step % recipe.validation_every == 0:
                self.measure()
            if last or history.stopped or history.step % recipe.log_every == 0:
                self.report()
            if last or history.stopped or history.step % recipe.checkpoint_every == 0:
                self.save()
            progress(history.step, recipe.max_train_steps)
        if history.stopped and self.best["weights"]:
            for name, value in self.best["weights"].items():
                self.weights[name].data.copy_(value)

    def step(self) -> tuple[float, float]:
        """One optimiser step: (mean loss of its clips, gradient norm before clipping)."""
        recipe, accelerator, losses, gradient = self.recipe, self.accelerator, [], torch.zeros(())
        for micro in range(recipe.gradient_accumulation_steps):
            place = self.history.step * recipe.gradient_accumulation_steps + micro
            place = place * accelerator.num_processes + accelerator.process_index
            batch, sigma, noise = read_samples(recipe, place, self.examples, self.null_prompt)
            device = accelerator.device
            with accelerator.accumulate(self.transformer):
                with accelerator.autocast():
                    loss = self.loss(
                        self.transformer, batch.to(device), sigma.to(device), noise.to(device)
                    ).mean()
                if not torch.isfinite(loss):
                    self.diverged(f"the loss is {loss.item()}", batch.names, sigma)
                accelerator.backward(loss)
                losses.append(loss.detach())
                if accelerator.sync_gradients:
                    gradient = accelerator.clip_grad_norm_(self.weights.values(), recipe.max_grad_norm)
                    if not torch.isfinite(gradient):
                        self.diverged(f"the gradient's norm is {gradient.item()}", batch.names, sigma)
                    self.optimizer.step()
                    self.schedule.step()
                    self.optimizer.zero_grad()
        mean = accelerator.reduce(torch.stack(losses).mean(), "mean")
        return mean.item(), float(gradient)

    def diverged(self, what: str, names: Sequence[str], sigma: torch.Tensor) -> None:
        self.save()
        clips = ", ".join(f"{name} at timestep {1000 * s:.0f}" for name, s in zip(names, sigma, strict=True))
        raise TrainingDiverged(
            f"step {self.history.step + 1}: {what} on {clips}. The weights before it are in "
            f"{self.checkpoints.folder}. A lower learning_rate than {self.recipe.learning_rate:g} or "
            "precision fp32 may help; look at that clip too."
        )

    def measure(self) -> None:
        """Held-out loss; notes the best weights and decides on early stopping."""
        if not self.validation:
            return
        model = self.accelerator.unwrap_model(self.transformer)
        sigmas = flow_matching.validation_sigmas(self.recipe.sigma_range)
        row = validate(model, self.validation, self.loss, sigmas, self.recipe.precision)
        adapter = math.sqrt(sum(float(w.detach().square().sum()) for w in self.weights.values()))
        self.history.validation.append({"step": self.history.step, **row, "weights_norm": adapter})
        if row["loss"] < self.best["loss"]:
            copies = {name: value.detach().cpu().clone() for name, value in self.weights.items()}
            self.best = {"loss": row["loss"], "step": self.history.step, "weights": copies}
        since = [r for r in self.history.validation if r["step"] > self.best["step"]]
        if self.recipe.patience and len(since) >= self.recipe.patience:
            self.history.stopped = (
                f"held-out loss has not fallen below {self.best['loss']:.4f} (step {self.best['step']}) "
                f"in {len(since)} validations; that step's weights are kept"
            )

    def report(self) -> None:
        recent = self.history.train[-self.recipe.log_every :]
        mean = {name: sum(r[name] for r in recent) / len(recent) for name in ("loss", "seconds")}
        line = f"step {self.history.step}/{self.recipe.max_train_steps} loss {mean['loss']:.4f}"
        if self.history.validation:
            line += f" held-out {self.history.validation[-1]['loss']:.4f}"
        line += f" {mean['seconds']:.2f} s/step peak {peak_gib(self.accelerator.device):.2f} GiB"
        self.log(line + (f"; stopped: {self.history.stopped}" if self.history.stopped else ""))


def peak_gib(device: torch.device) -> float:
    """Peak memory so far: of the accelerator where there is one, else of the process (resident)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
