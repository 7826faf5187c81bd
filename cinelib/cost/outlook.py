"""What a style stage with given parameters will take, whether it fits a GPU, and the nearest that does."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from cinelib.cost import memory, operations, step, storage
from cinelib.cost.hardware import Gpu, Verdict
from cinelib.cost.phases import Phases
from cinelib.style.parameters import StyleStage
from cinelib.wan import layers as parts
from cinelib.wan.catalogue import CATALOGUE
from cinelib.wan.geometry import Geometry, read_configs

CAPTION_TOKENS = 96  # of a caption; an assumption, padding is not stored


@dataclass(frozen=True)
class Outlook:
    """The cost of notebook 02's training with `params`, `clips` clips prepared."""

    params: StyleStage
    clips: int

    @cached_property
    def geometry(self) -> Geometry:
        """Of one clip. Raises FileNotFoundError for an unknown model."""
        params = self.params
        return Geometry(read_configs(params.model), params.height, params.width, params.num_frames)

    @cached_property
    def last_frame(self) -> bool:
        """Whether the condition as filmed shows the last frame too."""
        config = self.geometry.configs["transformer"]
        return config["in_channels"] != self.geometry.configs["vae"]["z_dim"]

    @cached_property
    def step(self) -> step.Step:
        """One pass, with the longest context that training draws."""
        params = self.params
        return step.make(
            self.geometry,
            params.rank,
            params.targets,
            clips=params.train_batch_size,
            half=params.precision == "bf16",
            checkpointing=params.gradient_checkpointing,
            images=2 if params.unaltered_share and self.last_frame else 1,
        )

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Weights of each part of the model, exact."""
        return {part: parts.count(part, config) for part, config in self.geometry.configs.items()}

    @cached_property
    def adapter(self) -> int:
        """Weights of one adapter, exact; a model of two experts gets two."""
        layers = parts.adapted_layers(self.geometry.configs["transformer"], self.params.targets)
        return self.params.rank * sum(inputs + outputs for inputs, outputs in layers.values())

    @cached_property
    def experts(self) -> int:
        """Transformers of the model; each is trained by itself, on its own noise levels."""
        return sum(part.startswith("transformer") for part in self.parameters)

    @cached_property
    def storage(self) -> storage.Storage:
        """Bytes on disk."""
        params = self.params
        gauges = {"loss": 1, "perceptual": 1, "either": 2}[params.early_stopping]
        return storage.of_training(
            self.geometry,
            self.clips,
            params.conditioning_variants,
            CAPTION_TOKENS,
            self.adapter,
            last_frame=self.last_frame,
            experts=self.experts,
            checkpoints=params.checkpoints_kept,
            moving_average=params.ema_decay > 0,
            best=gauges if params.patience else 0,
        )

    @cached_property
    def phases(self) -> Phases:
        """When the stage fills a GPU, and how far."""
        return Phases(self.params, self.geometry, self.step, self.parameters, self.adapter)

    @cached_property
    def moments(self) -> dict[str, memory.Memory]:
        """Each moment of the stage by its name, such as "training: a step"."""
        return self.phases.all

    @cached_property
    def peak(self) -> memory.Memory:
        """The fullest moment."""
        return max(self.moments.values(), key=lambda moment: moment.total)

    @property
    def training_steps(self) -> int:
        """Optimiser steps of every expert's adapter and its negative control, none stopped early."""
        return self.experts * (self.params.max_train_steps + self.params.control_steps)

    @cached_property
    def operations(self) -> float:
        """Floating-point operations of one optimiser step of one process."""
        return self.params.gradient_accumulation_steps * operations.of_step(self.step).total

    def seconds(self, gpu: Gpu) -> float:
        """One optimiser step: arithmetic, or under FSDP the gathering of weights where that takes longer."""
        arithmetic = self.operations / (gpu.share * gpu.peak * 1e12)
        if self.params.strategy != "fsdp2":
            return arithmetic
        shared = 1 - 1 / self.params.processes
        gathered = 2 * 2 * self.parameters["transformer"] * shared / (gpu.link * 1e9)
        return max(arithmetic, gathered * self.params.gradient_accumulation_steps)

    def clip_seconds(self, gpu: Gpu) -> float:
        """One clip sampled at this size, as notebooks 02 and 03 do it."""
        params = self.params
        work = self.geometry.sampling_flops(params.num_inference_steps, guided=params.guidance_scale > 1)
        return work / (gpu.share * gpu.peak * 1e12)

    def training_seconds(self, gpu: Gpu) -> float:
        """All optimiser steps; nothing between and around them."""
        return self.training_steps * self.seconds(gpu)

    def fits(self, gpu: Gpu) -> Verdict:
        """Whether every moment does: "yes" even at the high end of its error, "no" not even at the low."""
        return gpu.holds(*self.moments.values())

    def with_changes(self, **changes: object) -> "Outlook":
        """The same training with other parameters."""
        return replace(self, params=self.params.model_copy(update=changes))

    def nearest(self, gpu: Gpu) -> tuple["Outlook", dict[str, object]] | None:
        """The setting that surely fits and changes least, with its changes; None where none was found.

        First what leaves the result as it is (recomputing, accumulating instead of batching, no sample
        clips on the way), then what rounds the base, then more processes, then shorter and smaller clips.
        """
        for changes in self._changes():
            found = self.with_changes(**changes)
            # A step is reckoned in no time; most settings that do not fit already fail it.
            if gpu.holds(found.phases.a_step) == "yes" and found.fits(gpu) == "yes":
                return found, changes
        return None

    def _changes(self) -> Iterator[dict[str, object]]:
        params = self.params
        clips = params.train_batch_size
        batches = [{}]
        if clips > 1:
            accumulated = clips * params.gradient_accumulation_steps
            batches.append({"train_batch_size": 1, "gradient_accumulation_steps": accumulated})
        recomputed = [{}] if params.gradient_checkpointing else [{}, {"gradient_checkpointing": True}]
        sampled = [{}]
        if params.sample_every and not (params.patience and params.early_stopping != "loss"):
            sampled.append({"sample_every": 0})
        given = memory.STORED.get(params.base_precision, math.inf)
        stored = [{}] + [{"base_precision": name} for name, size in memory.STORED.items() if size < given]
        shared = [{}]
        if params.processes == 1:
            shared += [{"processes": n, "strategy": "fsdp2"} for n in (2, 4, 8)]
        elif params.strategy != "fsdp2":
            shared.append({"strategy": "fsdp2"})
        shorter = [{}] + [{"num_frames": n} for n in range(params.num_frames - 4, 4, -4)]
        smaller = [{}] + [{"height": h, "width": w} for h, w in self._sizes()]
        for size, frames, processes, base, unsampled, again, batch in product(
            smaller, shorter, shared, stored, sampled, recomputed, batches
        ):
            if not (processes and (base or params.base_precision)):  # a rounded base cannot be sharded
                yield {**batch, **again, **unsampled, **base, **processes, **frames, **size}

    def _sizes(self) -> list[tuple[int, int]]:
        """Released sizes below this one."""
        area = self.params.height * self.params.width
        published = CATALOGUE.get(self.params.model)
        multiple = published.multiple if published else 16
        known = {(480, 832), *((model.height, model.width) for model in CATALOGUE.values())}
        sizes = {size for size in known if not (size[0] % multiple or size[1] % multiple)}
        return sorted((size for size in sizes if size[0] * size[1] < area), key=lambda s: -s[0] * s[1])
