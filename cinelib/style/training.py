"""Notebook 02: LoRA training, the loop around the loss that notebook 02 shows.

Every random choice of sample k comes from (seed, k) alone (see `flow_matching.draw`). So a resumed run
repeats an uninterrupted one bit by bit, and n processes with one clip each see what one process with n
accumulated clips sees.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import Any

import torch
from accelerate.utils import gather_object
from diffusers import WanTransformer3DModel

from cinelib import provenance
from cinelib.files import digest
from cinelib.style import checks, distributed
from cinelib.style.checkpoints import Checkpoints
from cinelib.style.flow_matching import read_samples
from cinelib.style.history import EarlyStopping, History
from cinelib.style.samples import Samples
from cinelib.style.training_job import COSMETIC, TrainingJob
from cinelib.style.training_state import TrainingState
from cinelib.style.validation import Validation


class TrainingDiverged(RuntimeError):
    """Loss or gradient is not finite; the last good weights are in the newest checkpoint."""


def train(
    transformer: WanTransformer3DModel,
    job: TrainingJob,
    samples: Samples | None = None,
    log: Callable[[str], None] = print,
    progress: Callable[[int, int], None] | None = None,
    device: torch.device | None = None,
) -> History:
    """Train the job's adapter in place, or continue from the newest good checkpoint in its folder.

    The adapter ends with the weights to be shipped: those of the best measurement if it stopped early,
    else the moving average if the recipe has one, else the last. Checkpoints of other settings, data or
    another loss are refused, never continued.

    Args:
        samples: what draws sample clips during training, None for none.
        progress: called with (step, max_train_steps) after each step.
        device: what trains it, where that is not where the transformer is: FSDP divides it first.

    Raises:
        TrainingDiverged: naming step and batch; the weights before it are in the newest checkpoint.
        CheckpointError: one could not be written, and the one before it is whole; or another training is
            in the folder.
        ValueError: no examples, batches of clips of different lengths, checkpoints of another training in
            the folder, a recipe that stops on what is not measured, or a loss that uses what cannot be
            written down (`function_source.standalone`).
    """
    if not job.examples:
        raise ValueError("no examples to train on")
    lengths = {example.name: example.num_frames for example in job.examples}
    batch, accumulated = job.recipe.train_batch_size, job.recipe.gradient_accumulation_steps
    if reason := checks.unequal_lengths(lengths, batch, accumulated):
        raise ValueError(reason)
    validation = Validation(job, samples)
    loop = _Loop(transformer, job, validation, log, device or transformer.device)
    with loop.alone(Checkpoints(job.folder, loop.fingerprint(), loop.log, job.recipe.checkpoints_kept)):
        loop.resume()
        if job.board and loop.accelerator.is_main_process:
            validation.open_board(job.board, loop.history)
        try:
            loop.run(progress or (lambda step, total: None))
            loop.state.ship(validation.best() if loop.history.stopped else None)
        finally:
            validation.close()
    return loop.history


class _Loop:
    def __init__(
        self,
        transformer: WanTransformer3DModel,
        job: TrainingJob,
        validation: Validation,
        log: Callable[[str], None],
        device: torch.device,
    ) -> None:
        self.job, self.recipe, self.validation, self.history = job, job.recipe, validation, History()
        self.accelerator = distributed.accelerator(job.recipe, device)
        self.log = log if self.accelerator.is_main_process else lambda line: None
        if job.recipe.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        else:
            transformer.disable_gradient_checkpointing()
        self.state = TrainingState(transformer, job.adapter, job.recipe, self.accelerator)

    def fingerprint(self) -> dict[str, Any]:
        """All that must be equal for a checkpoint to be continued, by name."""
        return {
            **self.recipe.model_dump(mode="json", exclude=COSMETIC),
            **self.validation.settings(),
            "loss": provenance.code_of_function(self.job.loss),
            "examples": digest([e.entries for e in (*self.job.examples, *self.job.validation)]),
            "adapter": self.state.origin,
            "processes": self.accelerator.num_processes,
            "strategy": self.accelerator.distributed_type.value,
        }

    @contextmanager
    def alone(self, checkpoints: Checkpoints) -> Iterator[None]:
        """With checkpoints that nobody else writes meanwhile."""
        self.checkpoints = checkpoints
        with checkpoints.reserved() if self.accelerator.is_main_process else nullcontext():
            self.accelerator.wait_for_everyone()  # none reads what another training may still be writing
            yield

    def resume(self) -> None:
        found = self.checkpoints.newest()
        if found is None:
            return
        self.history = History(**found["history"])
        self.state.load(found["state"], self.checkpoints.folder, self.history.step)
        self.validation.stopping = {key: EarlyStopping(**value) for key, value in found["stopping"].items()}
        self.history.resumed_at.append(self.history.step)
        self.log(f"resumed at step {self.history.step} of {self.recipe.max_train_steps}")

    def save(self) -> None:
        step = self.history.step
        state = self.state.save(self.checkpoints, step)  # by all processes: shares are gathered
        if self.accelerator.is_main_process:
            stopping = {key: vars(value) for key, value in self.validation.stopping.items()}
            found = {"state": state, "stopping": stopping, "history": asdict(self.history)}
            self.checkpoints.save(step, found)

    def run(self, progress: Callable[[int, int], None]) -> None:
        recipe, history, validation = self.recipe, self.history, self.validation
        started = time.monotonic() - history.seconds
        if not history.step and not history.validation:
            validation.measure(self.state, history)
        while history.step < recipe.max_train_steps and not history.stopped:
            before = time.monotonic()
            loss, gradient, clips = self.step()
            history.step += 1
            history.seconds = time.monotonic() - started
            row = {"step": history.step, "loss": loss, "learning_rate": self.state.schedule.get_last_lr()[0]}
            seconds = time.monotonic() - before
            row |= {"gradient": gradient, "seconds": seconds, "clips": clips}
            validation.train_row(row, history)
            validation.measure(self.state, history)
            last = history.stopped or history.step == recipe.max_train_steps
            if last or history.step % recipe.log_every == 0:
                self.log(validation.line(history, self.accelerator.device, recipe.log_every))
            if last or history.step % recipe.checkpoint_every == 0:
                self.save()
            progress(history.step, recipe.max_train_steps)

    def step(self) -> tuple[float, float, int]:
        """One optimiser step: mean loss of its clips, gradient norm before clipping, how many clips."""
        recipe, accelerator, device = self.recipe, self.accelerator, self.accelerator.device
        seen, mean, gradient = [], 0.0, 0.0
        for micro in range(recipe.gradient_accumulation_steps):
            place = self.history.step * recipe.gradient_accumulation_steps + micro
            place = place * accelerator.num_processes + accelerator.process_index
            batch, sigma, noise = read_samples(recipe, place, self.job.examples, self.job.null_prompt)
            with accelerator.accumulate(self.state.transformer):
                with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
                    model = self.state.transformer
                    losses = self.job.loss(model, batch.to(device), sigma.to(device), noise.to(device))
                accelerator.backward(losses.mean())
                seen += zip(batch.names, sigma.tolist(), losses.detach(), strict=True)
                if accelerator.sync_gradients:
                    norm = accelerator.clip_grad_norm_(self.state.weights.values(), recipe.max_grad_norm)
                    gradient = float(distributed.whole(norm))
                    own = torch.stack([loss for _, _, loss in seen]).mean()
                    mean = accelerator.reduce(own, "mean").item()
                    if not (math.isfinite(mean) and math.isfinite(gradient)):
                        self.diverged(mean, gradient, seen)
                    self.state.step()
        return mean, gradient, len(seen) * accelerator.num_processes

    def diverged(self, mean: float, gradient: float, seen: Sequence[tuple[str, float, torch.Tensor]]) -> None:
        """Save the weights as they are and say which clips it was; all processes come here together."""
        if not distributed.sharded_by_deepspeed(self.accelerator):  # that one has stepped already
            self.save()
        clips = gather_object([(name, sigma, loss.item()) for name, sigma, loss in seen])
        clips = [clip for clip in clips if not math.isfinite(clip[2])] or clips
        where = ", ".join(f"{name} at timestep {1000 * sigma:.0f}" for name, sigma, _ in clips)
        what = f"the gradient's norm is {gradient}" if math.isfinite(mean) else f"the loss is {mean}"
        raise TrainingDiverged(
            f"step {self.history.step + 1}: {what} on {where}. The weights before it are in "
            f"{self.checkpoints.folder}. A lower learning_rate than {self.recipe.learning_rate:g} or "
            "precision fp32 may help; look at that clip too."
        )
