"""Notebook 02: what the LoRA is trained with."""

import os
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

from cinelib.parameters import FolderPath, ModelPath, Profile, StageParameters, VideoShape

Strategy = Literal["single", "ddp", "fsdp2", "deepspeed_zero2"]

_A100 = {
    "learning_rate": 3e-5,
    "max_train_steps": 4000,
    "gradient_accumulation_steps": 4,
    "precision": "bf16",
    "base_precision": "fp8",  # by `cinelib estimate` 90 GiB a step in bf16, more than an A100-80GB has
    "gradient_checkpointing": True,
    "validation_every": 200,
    "checkpoint_every": 200,
    "patience": 5,
    "sample_every": 400,
    "sample_scenes": 2,
}
# The a100 profile with the source's recipe spelled out (claims 1 to 8). Of its two effective batches, 2 and
# 1 x 4, this is the one that its factors give; `gradient_accumulation_steps` 2 gives the other.
_PAPER = {
    **_A100,
    "rank": 8,
    "lora_alpha": 16.0,
    "warmup_ratio": 0.05,
    "weight_decay": 0.01,
    "train_batch_size": 1,
    "base_precision": "",
    "preservation_share": 0.0,  # the source trains on the film alone
    "early_stopping": "perceptual",
    "sample_every": 200,
}
_SMOKE = {
    "max_train_steps": 4,
    "validation_clips": 1,
    "validation_every": 2,
    "sample_every": 2,
    "sample_scenes": 2,
}


def check_strategy(strategy: Strategy, processes: int, base_precision: str) -> None:
    """Refuse what no machine can do. Raises ValueError."""
    if (strategy == "single") != (processes == 1):
        raise ValueError(
            f"strategy {strategy!r} with processes {processes}: single is one process, "
            "ddp, fsdp2 and deepspeed_zero2 are for two or more"
        )
    if base_precision and strategy == "fsdp2":
        raise ValueError(f"base_precision {base_precision!r} cannot be sharded: use strategy 'ddp'")


class Adapter(VideoShape):
    """What is adapted, and with how large a LoRA: the parameters that a reader of notebook 02 sees first."""

    model: ModelPath = "data/nano-wan"
    storyboard: FolderPath = Field(
        "data/storyboard", description="folder of neutral stills to try the look on"
    )
    trigger: str = Field("emberfall film", description="phrase that opens every caption, empty for none")
    rank: int = Field(8, ge=1, le=512, description="LoRA rank r")
    lora_alpha: float = Field(16.0, gt=0, description="LoRA alpha; the update is scaled by alpha/r")
    use_rslora: bool = Field(False, description="scale the update by alpha/sqrt(r) instead")
    targets: str = Field(
        "attn2", min_length=1, description="attn2, attn1, attn1+attn2, any of them with +ffn, or a pattern"
    )


class Training(BaseModel):
    """How a LoRA is trained: the part of notebook 02's parameters that the training loop reads.

    An optimiser step sees train_batch_size x gradient_accumulation_steps x processes clips.
    """

    model_config = StageParameters.model_config

    seed: int = Field(0, ge=0, lt=2**31, description="seed of every random choice in this stage")
    learning_rate: float = Field(5e-3, gt=0, le=1, description="peak learning rate of AdamW")
    warmup_ratio: float = Field(0.05, ge=0, lt=1, description="share of the steps that warm up")
    weight_decay: float = Field(0.01, ge=0, le=1, description="weight decay of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    max_train_steps: int = Field(200, ge=1, description="optimiser steps")
    train_batch_size: int = Field(1, ge=1, le=256, description="clips of one forward pass")
    gradient_accumulation_steps: int = Field(2, ge=1, le=1024, description="batches per optimiser step")
    timestep_sampling: Literal["uniform", "logit_normal"] = Field(
        "uniform", description="how noise levels are drawn"
    )
    timestep_shift: float = Field(1.0, gt=0, le=20, description="moves the drawn noise levels towards noise")
    caption_dropout: float = Field(0.1, ge=0, lt=1, description="share of samples trained without a caption")
    unaltered_share: float = Field(
        0.15, ge=0, le=1, description="share of samples that see first and last frame as filmed"
    )
    preservation_share: float = Field(
        0.35,
        ge=0,
        lt=1,
        description="share of samples without the trigger, that keep the still's look",
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="autocast precision")
    gradient_checkpointing: bool = Field(False, description="recompute activations to save memory")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="of the moving average that is shipped, 0 for none")
    validation_every: int = Field(50, ge=1, description="steps between two held-out losses")
    patience: int = Field(
        0, ge=0, description="measurements without a new best before training stops, 0 for never"
    )
    early_stopping: Literal["loss", "perceptual", "either"] = Field(
        "loss", description="what patience applies to, held-out loss or distance of sample clips"
    )
    checkpoint_every: int = Field(50, ge=1, description="steps between two checkpoints")
    checkpoints_kept: int = Field(2, ge=1, le=1000, description="newest checkpoints that are kept")

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.preservation_share + self.unaltered_share > 1:
            raise ValueError(
                f"preservation_share {self.preservation_share:g} and unaltered_share "
                f"{self.unaltered_share:g} are shares of the same samples: together at most 1"
            )
        return self


class Recipe(Training):
    """How one transformer's adapter is trained.

    Noise levels outside `sigma_range` are never drawn: a model of two experts has an adapter for each,
    trained on its own range.
    """

    sigma_range: tuple[float, float] = (0.0, 1.0)
    log_every: int = Field(20, ge=1, description="steps between two lines of the log")


class StyleStage(Training, Adapter):
    """Notebook 02: a LoRA in the cross-attention learns the film's look."""

    stage: ClassVar[str] = "02_style_stage"
    profiles: ClassVar[Profile] = {"smoke": _SMOKE, "a100": _A100, "paper": _PAPER}
    needs: ClassVar[tuple[str, ...]] = ("01_data_preparation",)

    conditioning_variants: int = Field(2, ge=1, le=16, description="re-graded first frames of each clip")
    base_precision: Literal["", "fp8", "nf4"] = Field(
        "", description="what the frozen base is stored in, empty for its own precision"
    )
    processes: int = Field(1, ge=1, le=64, description="processes that train together")
    strategy: Strategy = Field("single", description="how processes share the work")
    validation_clips: int = Field(4, ge=1, le=1000, description="clips held out of training")
    sample_every: int = Field(50, ge=0, description="steps between two sets of sample clips, 0 for none")
    sample_clips: int = Field(1, ge=1, le=100, description="held-out clips that sample clips start from")
    alexnet: str = Field("", description="path of AlexNet weights for LPIPS, empty for the stand-in")
    sample_scenes: int = Field(8, ge=1, le=1000, description="storyboard scenes to try the look on")
    num_inference_steps: int = Field(12, ge=1, le=1000, description="sampler steps")
    guidance_scale: float = Field(3.0, ge=1, le=30, description="classifier-free guidance")
    flow_shift: float = Field(3.0, gt=0, le=20, description="shift of the flow-matching schedule")
    cache: str = Field(
        "papermill_runs/cache", min_length=1, description="folder of latents, embeddings and checkpoints"
    )

    @property
    def cache_folder(self) -> Path:
        """Where `cache` is: untouched, it goes with the runs to the disk that CINELIB_RUNS names."""
        runs = os.environ.get("CINELIB_RUNS")
        untouched = self.cache == type(self).model_fields["cache"].default
        return Path(runs, "cache") if runs and untouched else Path(self.cache)

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if self.patience and self.early_stopping != "loss" and not self.sample_every:
            raise ValueError(f"early_stopping {self.early_stopping!r} needs sample clips: set sample_every")
        return self

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if self.preservation_share and not self.trigger:
            raise ValueError(
                f"preservation_share {self.preservation_share:g} needs a trigger: without it a caption "
                "would stand for the film's look and the still's; set a trigger, or preservation_share 0"
            )
        return self

    @model_validator(mode="after")
    def _shared(self) -> Self:
        check_strategy(self.strategy, self.processes, self.base_precision)
        return self

    def recipe(self, sigma_range: tuple[float, float] = (0.0, 1.0)) -> Recipe:
        """The training of the adapter of the transformer that works at these noise levels."""
        return Recipe(**self.model_dump(include=set(Training.model_fields)), sigma_range=sigma_range)
