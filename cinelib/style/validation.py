"""Notebook 02: what a training measures on its way, of the weights that would be shipped."""

import resource
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list

from cinelib.style import distributed, lora
from cinelib.style.flow_matching import validate, validation_sigmas
from cinelib.style.history import EarlyStopping, History, TrainingBoard
from cinelib.style.samples import Samples
from cinelib.style.training_job import TrainingJob
from cinelib.style.training_state import TrainingState


class Validation:
    """Held-out loss, sample clips and adapter norm of one training, and when they end it.

    The loss is also measured on as many of the training's own clips as are held out.

    Raises:
        ValueError: the recipe stops on what is not measured, or clips are to be sampled with a
            transformer that is trained for some noise levels only.
    """

    def __init__(self, job: TrainingJob, samples: Samples | None) -> None:
        self.job, self.recipe, self.samples = job, job.recipe, samples
        self.stopping: dict[str, EarlyStopping] = {}
        self.board: TrainingBoard | None = None
        if samples and self.recipe.sigma_range != (0.0, 1.0):
            raise ValueError(f"no clip can be sampled from noise levels {self.recipe.sigma_range} alone")
        stops = self.recipe.early_stopping
        if self.recipe.patience and stops in ("loss", "either"):
            if not job.validation:
                raise ValueError(f"early_stopping {stops!r} needs held-out examples, there are none")
            self.stopping["validation"] = EarlyStopping("held-out loss")
        if self.recipe.patience and stops in ("perceptual", "either"):
            if samples is None:
                raise ValueError(f"early_stopping {stops!r} needs sample clips, there are none")
            self.stopping["samples"] = EarlyStopping(samples.distance.name)

    def settings(self) -> dict[str, Any]:
        """What a continued training must have in common, beside its recipe and examples."""
        if "samples" not in self.stopping:
            return {}
        chosen = self.samples.settings
        return {
            "samples": [chosen.every, chosen.clips, chosen.num_inference_steps, self.samples.distance.name]
        }

    def open_board(self, folder: Path, history: History) -> None:
        """Start TensorBoard's files with all that is known already."""
        self.board = TrainingBoard(folder)
        for curve in ("train", "validation", "samples"):
            self.board.rows(curve, getattr(history, curve))

    def close(self) -> None:
        """Write what is left."""
        if self.board:
            self.board.close()

    def measure(self, state: TrainingState, history: History) -> None:
        """Measure what is due at this step; sets `history.stopped`."""
        last = history.step == self.recipe.max_train_steps
        held_out = self.job.validation and (last or history.step % self.recipe.validation_every == 0)
        samples = self.samples and (last or history.step % self.samples.settings.every == 0)
        if not (held_out or samples):
            return
        with state.averaged():
            if held_out:
                self._note("validation", "loss", self._held_out(state, history.step), state, history)
            if samples:
                self._note("samples", "distance", self._sample(state, history.step), state, history)
        reasons = [curve.reason(self.recipe.patience) for curve in self.stopping.values()]
        history.stopped = "; ".join(filter(None, reasons)) or None

    def best(self) -> dict[str, torch.Tensor] | None:
        """The best weights by the curve that stopped the training, None if none did."""
        stopped = (c for c in self.stopping.values() if c.reason(self.recipe.patience))
        return next((c.weights for c in stopped), None)

    def train_row(self, row: dict[str, float], history: History) -> None:
        """One optimiser step's numbers."""
        history.train.append(row)
        if self.board:
            self.board.rows("train", [row])

    def _held_out(self, state: TrainingState, step: int) -> dict[str, float]:
        how = self.job.loss, validation_sigmas(self.recipe.sigma_range), self.recipe.precision
        row = validate(state.model, self.job.validation, *how)
        trained_on = self.job.examples[: len(self.job.validation)]
        # at the same levels with the same noise: the gap to it is what is learned by heart
        own = validate(state.model, trained_on, *how)["loss"]
        return {
            "step": step,
            **row,
            "train_loss": own,
            "adapter_norm": lora.norm(state.model, self.job.adapter),
        }

    def _sample(self, state: TrainingState, step: int) -> dict[str, float]:
        drawn = self.samples.draw(state.model, self.recipe.precision)
        if not state.accelerator.is_main_process:
            return {}
        row, frames = self.samples.measure(drawn, step)
        if self.board:
            self.board.pictures("samples/last_frames", frames, step)
        return row

    def _note(
        self, curve: str, key: str, row: dict[str, float], state: TrainingState, history: History
    ) -> None:
        (row,) = broadcast_object_list([row])  # were they to differ, one process might stop alone
        getattr(history, curve).append(row)
        if self.board:
            self.board.rows(curve, [row])
        if curve in self.stopping:
            self.stopping[curve].note(row[key], history.step, lambda: distributed.copy(state.weights))

    def line(self, history: History, device: torch.device, recent: int) -> str:
        """Where the training stands: the mean over the last `recent` steps, and what was measured last."""
        rows = history.train[-recent:]
        mean = {name: sum(r[name] for r in rows) / len(rows) for name in ("loss", "seconds")}
        line = f"step {history.step}/{self.recipe.max_train_steps} loss {mean['loss']:.4f}"
        if history.validation:
            line += f" held-out {history.validation[-1]['loss']:.4f}"
        if history.samples:
            line += f" {self.samples.distance.name} {history.samples[-1]['distance']:.4f}"
        line += f" {mean['seconds']:.2f} s/step peak {peak_gib(device):.2f} GiB"
        return line + (f"; stopped: {history.stopped}" if history.stopped else "")


def peak_gib(device: torch.device) -> float:
    """Peak memory so far: of the accelerator where there is one, else of the process (resident)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
