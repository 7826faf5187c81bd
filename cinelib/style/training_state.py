"""Notebook 02: all that an optimiser step changes, saved and restored."""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import WanTransformer3DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch.nn.parallel import DistributedDataParallel

from cinelib.files import digest
from cinelib.style import distributed, lora
from cinelib.style.checkpoints import CheckpointError, Checkpoints, shares_folder
from cinelib.style.parameters import Recipe

BETAS = (0.9, 0.999)  # the source's


class TrainingState:
    """The adapter `name` of a transformer and what trains it, under one process or several.

    Attributes:
        origin: digest of the weights that training starts from.
        transformer: to be called in training; `model` is the same without accelerate's wrapping.
    """

    def __init__(
        self, transformer: WanTransformer3DModel, name: str, recipe: Recipe, accelerator: Accelerator
    ) -> None:
        self.accelerator = accelerator
        weights = lora.parameters(transformer, name)
        self.origin = digest({key: value.detach().double().sum().item() for key, value in weights.items()})
        optimizer = torch.optim.AdamW(  # fused: one by one, hundreds of small tensors take thrice as long
            weights.values(),
            recipe.learning_rate,
            BETAS,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        optimizer.zero_grad()  # of a training that was interrupted between its backward passes
        warmup = math.ceil(recipe.warmup_ratio * recipe.max_train_steps)
        self.schedule = get_cosine_schedule_with_warmup(optimizer, warmup, recipe.max_train_steps)
        # Each process has read the base already; gloo could not even send one in fp8.
        frozen = [key for key, value in transformer.named_parameters() if not value.requires_grad]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(transformer, frozen)
        self.transformer, self.optimizer = accelerator.prepare(transformer, optimizer)
        self.model = accelerator.unwrap_model(self.transformer)
        self.weights = lora.parameters(self.model, name)  # a strategy that shards has put its own in place
        self.average = EMAModel(self.weights.values(), decay=recipe.ema_decay) if recipe.ema_decay else None

    def step(self) -> None:
        """Apply the gradients."""
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.step(self.weights.values())

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """With the moving average, where there is one, in place of the weights: what would be shipped now."""
        if self.average is None:
            yield
            return
        self.average.store(self.weights.values())
        self.average.copy_to(self.weights.values())
        try:
            yield
        finally:
            self.average.restore(self.weights.values())

    def ship(self, best: dict[str, torch.Tensor] | None = None) -> None:
        """Leave in the model what is shipped: the weights `best`, else the moving average, else the last."""
        if best:
            distributed.fill(self.weights, best)
        elif self.average is not None:
            self.average.copy_to(self.weights.values())

    def save(self, checkpoints: Checkpoints, step: int) -> dict[str, Any]:
        """Everything as full tensors; DeepSpeed writes its share of the optimiser beside them itself.

        Raises:
            CheckpointError: a share could not be written.
        """
        by_deepspeed = distributed.sharded_by_deepspeed(self.accelerator)
        if by_deepspeed:
            self._save_share(checkpoints, shares_folder(checkpoints.folder, step))
        average = None
        if self.average is not None:
            shadows = dict(zip(self.weights, self.average.shadow_params, strict=True))
            average = {"steps": self.average.optimization_step, "weights": distributed.copy(shadows)}
        return {
            "weights": distributed.copy(self.weights),
            "optimizer": None if by_deepspeed else distributed.optimizer_state(self.model, self.optimizer),
            "schedule": self.schedule.state_dict(),
            "average": average,
        }

    def _save_share(self, checkpoints: Checkpoints, place: Path) -> None:
        try:
            self.transformer.save_checkpoint(
                str(place.parent), place.name, exclude_frozen_parameters=True, save_latest=False
            )
        except (OSError, RuntimeError) as error:  # of a full disk torch says that its archive is broken
            shutil.rmtree(place, ignore_errors=True)
            raise CheckpointError(checkpoints.failure(place, str(error).splitlines()[0])) from error
        self.accelerator.wait_for_everyone()  # all shares are there before their digests are taken

    def load(self, state: dict[str, Any], folder: Path, step: int) -> None:
        """Continue from what `save` gave."""
        distributed.fill(self.weights, state["weights"])
        if distributed.sharded_by_deepspeed(self.accelerator):
            self.transformer.load_checkpoint(
                str(folder), shares_folder(folder, step).name, load_module_strict=False
            )
        else:
            distributed.load_optimizer_state(self.model, self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.optimization_step = state["average"]["steps"]
            shadows = dict(zip(self.weights, self.average.shadow_params, strict=True))
            distributed.fill(shadows, state["average"]["weights"])
