"""One frozen, typed, validated model per stage; its fields are the notebook's parameters.

The defaults here are the `nano` profile's values, and each notebook's parameters cell shows the same
literals (a test compares them). `cinelib.profiles` holds what other profiles change.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

# A parameter that names an input: its content, not only its name, decides whether a stage runs again.
FolderPath = Annotated[
    str, Field(min_length=1, description="folder that must exist", json_schema_extra={"input": "folder"})
]
ModelPath = Annotated[
    str, Field(min_length=1, description="diffusers folder or hub id", json_schema_extra={"input": "model"})
]
OptionalModelPath = Annotated[str, Field(json_schema_extra={"input": "model"})]


class ParameterError(ValueError):
    """A stage's parameters are unknown, missing, mistyped or out of range."""


class StageParameters(BaseModel):
    """What every stage has: a profile name and a seed.

    Raises:
        ParameterError: from `check`, naming parameter, value, what is allowed, and the nearest known
            name for an unknown one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    stage: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    measures_time: ClassVar[bool] = False  # such a stage runs alone, or its numbers would be its neighbours'

    profile: str = Field("nano", description="name of the profile whose values fill untouched parameters")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of every random choice in this stage")

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Self:
        """Validate `values`, turning pydantic's report into one readable error."""
        try:
            return cls(**values)
        except ValidationError as error:
            lines = [cls._explain(detail) for detail in error.errors()]
        raise ParameterError(f"stage {cls.stage}: " + "; ".join(lines))

    @classmethod
    def _explain(cls, detail: Mapping[str, Any]) -> str:
        name = ".".join(str(part) for part in detail["loc"]) or "parameters"
        if detail["type"] == "extra_forbidden":
            near = get_close_matches(name, cls.model_fields, n=1, cutoff=0.5)
            known = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(cls.model_fields)
            return f"unknown parameter {name!r}; {known}"
        if detail["type"] == "missing":
            return f"missing parameter {name!r} ({cls.model_fields[name].description})"
        return f"{name} = {detail['input']!r}: {detail['msg'].removeprefix('Value error, ')}"


def _frames_are_4k_plus_1(value: int) -> int:
    if value % 4 != 1:
        near = max(1, round((value - 1) / 4) * 4 + 1)
        raise ValueError(f"must be 4k+1 because the VAE compresses time by 4; the nearest is {near}")
    return value


def _multiple_of_16(value: int) -> int:
    if value % 16:
        raise ValueError(
            f"must be a multiple of 16 (VAE 8 x patch 2); the nearest is {max(16, round(value / 16) * 16)}"
        )
    return value


class _VideoShape(StageParameters):
    height: int = Field(64, ge=16, le=4096, description="pixels, a multiple of 16")
    width: int = Field(112, ge=16, le=4096, description="pixels, a multiple of 16")
    num_frames: int = Field(17, ge=1, le=257, description="frames of one generated clip, 4k+1")
    fps: int = Field(16, ge=1, le=120, description="frames per second that the model was trained at")

    _size = field_validator("height", "width")(_multiple_of_16)
    _frames = field_validator("num_frames")(_frames_are_4k_plus_1)


class StartHere(_VideoShape):
    """Notebook 00: the machine, the plan, the source's claims."""

    stage: ClassVar[str] = "00_start_here"
    measures_time: ClassVar[bool] = True

    model: ModelPath = "data/nano-wan"


class DataPreparation(_VideoShape):
    """Notebook 01: raw footage becomes captioned clips."""

    stage: ClassVar[str] = "01_data_preparation"

    footage: FolderPath = Field("data/dailies", description="folder of video files")
    min_seconds: float = Field(2.0, gt=0, le=60, description="shorter takes are dropped")
    max_seconds: float = Field(5.0, gt=0, le=60, description="longer takes are split")
    max_clips: int = Field(40, ge=1, le=10000, description="clips kept, spread over the takes")
    min_activity: float = Field(
        0.01,
        ge=0,
        le=1,
        description="takes where less of the picture changes within half a second are static",
    )
    trigger: str = Field(
        "emberfall film", max_length=100, description="phrase that opens every caption, empty for none"
    )
    captioner: OptionalModelPath = Field(
        "", description="folder or hub id of a local vision-language model, empty for none"
    )

    @model_validator(mode="after")
    def _span(self) -> Self:
        if self.max_seconds < self.min_seconds:
            raise ValueError(f"max_seconds {self.max_seconds} is below min_seconds {self.min_seconds}")
        if int(self.max_seconds * self.fps) + 1 < self.num_frames:
            raise ValueError(
                f"max_seconds {self.max_seconds} at {self.fps} fps is shorter than num_frames "
                f"{self.num_frames}; raise it to {(self.num_frames - 1) / self.fps:g}"
            )
        return self


class StyleStage(_VideoShape):
    """Notebook 02: a LoRA in the cross-attention learns the film's look."""

    stage: ClassVar[str] = "02_style_stage"
    needs: ClassVar[tuple[str, ...]] = ("01_data_preparation",)

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
    learning_rate: float = Field(3e-3, gt=0, le=1, description="peak learning rate of AdamW")
    warmup_ratio: float = Field(0.05, ge=0, lt=1, description="share of the steps that warm up")
    weight_decay: float = Field(0.01, ge=0, le=1, description="weight decay of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    max_train_steps: int = Field(200, ge=1, description="optimiser steps")
    control_steps: int = Field(100, ge=1, description="optimiser steps of the negative control")
    train_batch_size: int = Field(1, ge=1, le=256, description="clips of one forward pass")
    gradient_accumulation_steps: int = Field(2, ge=1, le=1024, description="batches per optimiser step")
    timestep_sampling: Literal["uniform", "logit_normal"] = Field(
        "uniform", description="how noise levels are drawn"
    )
    timestep_shift: float = Field(1.0, gt=0, le=20, description="moves the drawn noise levels towards noise")
    caption_dropout: float = Field(0.1, ge=0, lt=1, description="share of samples trained without a caption")
    conditioning_variants: int = Field(2, ge=1, le=16, description="re-graded first frames of each clip")
    as_filmed: float = Field(
        0.25, ge=0, le=1, description="share of samples that see first and last frame as filmed"
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="autocast precision")
    base_precision: Literal["", "fp8", "nf4"] = Field(
        "", description="what the frozen base is stored in, empty for its own precision"
    )
    gradient_checkpointing: bool = Field(False, description="recompute activations to save memory")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="of the moving average that is shipped, 0 for none")
    processes: int = Field(1, ge=1, le=64, description="processes that train together")
    launch: Literal["single", "ddp", "fsdp2", "deepspeed_zero2"] = Field(
        "single", description="how processes share the work"
    )
    validation_clips: int = Field(4, ge=1, le=1000, description="clips held out of training")
    validation_every: int = Field(20, ge=1, description="steps between two held-out losses")
    patience: int = Field(
        0, ge=0, description="measurements of a gauge without a new best before stopping, 0 for never"
    )
    early_stopping: Literal["loss", "perceptual", "either"] = Field(
        "loss", description="gauge that patience applies to, held-out loss or distance of sample clips"
    )
    sample_every: int = Field(50, ge=0, description="steps between two sets of sample clips, 0 for none")
    sample_clips: int = Field(1, ge=1, le=100, description="held-out clips that sample clips start from")
    alexnet: str = Field("", description="path of AlexNet weights for LPIPS, empty for the stand-in")
    checkpoint_every: int = Field(50, ge=1, description="steps between two checkpoints")
    sample_scenes: int = Field(4, ge=1, le=1000, description="storyboard scenes to try the look on")
    num_inference_steps: int = Field(12, ge=1, le=1000, description="sampler steps")
    guidance_scale: float = Field(3.0, ge=1, le=30, description="classifier-free guidance")
    flow_shift: float = Field(3.0, gt=0, le=20, description="shift of the flow-matching schedule")
    cache: str = Field(
        "papermill_runs/cache", min_length=1, description="folder of latents, embeddings and checkpoints"
    )

    @model_validator(mode="after")
    def _gauges(self) -> Self:
        if self.patience and self.early_stopping != "loss" and not self.sample_every:
            raise ValueError(f"early_stopping {self.early_stopping!r} needs sample clips: set sample_every")
        return self

    @model_validator(mode="after")
    def _launch(self) -> Self:
        if (self.launch == "single") != (self.processes == 1):
            raise ValueError(
                f"launch {self.launch!r} with processes {self.processes}: single is one process, "
                "ddp, fsdp2 and deepspeed_zero2 are for two or more"
            )
        if self.base_precision and self.launch == "fsdp2":
            raise ValueError(f"base_precision {self.base_precision!r} cannot be sharded: use launch 'ddp'")
        return self


class MotionStage(_VideoShape):
    """Notebook 03: styled keyframes become a coherent sequence."""

    stage: ClassVar[str] = "03_motion_stage"
    needs: ClassVar[tuple[str, ...]] = ("02_style_stage",)

    model: ModelPath = "data/nano-wan"
    storyboard: FolderPath = Field("data/storyboard", description="folder of neutral stills to start from")
    trigger: str = Field("emberfall film", description="phrase that opens every prompt, empty for none")
    max_scenes: int = Field(4, ge=1, le=1000, description="storyboard scenes, taken from all worlds in turn")
    keyframe_frames: int = Field(
        17, ge=1, le=257, description="frames of the clip that a keyframe opens, 4k+1"
    )
    lora_scale: float = Field(1.0, ge=0, le=4, description="strength of the LoRA")
    num_inference_steps: int = Field(12, ge=1, le=1000, description="sampler steps")
    guidance_scale: float = Field(3.0, ge=1, le=30, description="classifier-free guidance")
    flow_shift: float = Field(3.0, gt=0, le=20, description="shift of the flow-matching schedule")

    _keyframes = field_validator("keyframe_frames")(_frames_are_4k_plus_1)


class InferenceAcceleration(_VideoShape):
    """Notebook 04: what each speed-up costs in quality."""

    stage: ClassVar[str] = "04_inference_acceleration"
    needs: ClassVar[tuple[str, ...]] = ("02_style_stage", "03_motion_stage")
    measures_time: ClassVar[bool] = True

    model: ModelPath = "data/nano-wan"
    storyboard: FolderPath = Field("data/storyboard", description="folder of neutral stills to start from")
    trigger: str = Field("emberfall film", description="phrase that opens every prompt, empty for none")
    max_scenes: int = Field(
        3, ge=2, le=100, description="scenes that every setting is measured on, one round each"
    )
    num_inference_steps: int = Field(12, ge=2, le=1000, description="sampler steps of the plain sampler")
    guidance_scale: float = Field(3.0, gt=1, le=30, description="classifier-free guidance")
    flow_shift: float = Field(3.0, gt=0, le=20, description="shift of the flow-matching schedule")
    fewer_steps: list[int] = Field(
        [8, 6, 4], min_length=1, description="the naive speed-up, fewer sampler steps"
    )
    thresholds: list[float] = Field([0.05, 0.1, 0.2], min_length=1, description="of the first-block cache")
    taylorseer_interval: int = Field(2, ge=2, le=50, description="TaylorSeer computes one step in so many")
    processes: int = Field(2, ge=2, le=64, description="processes of context and segment parallelism")
    parallel_steps: int = Field(
        4, ge=1, le=1000, description="sampler steps of the runs with several processes"
    )

    @model_validator(mode="after")
    def _settings(self) -> Self:
        wrong = [steps for steps in self.fewer_steps if not 1 <= steps < self.num_inference_steps]
        if wrong:
            raise ValueError(f"fewer_steps {wrong} must lie between 1 and {self.num_inference_steps - 1}")
        if min(self.thresholds) <= 0:
            raise ValueError(f"thresholds {self.thresholds} must be above 0; 0 is the plain sampler")
        return self


class Evaluation(_VideoShape):
    """Notebook 05: better than the base model, by how much, how surely."""

    stage: ClassVar[str] = "05_evaluation"
    needs: ClassVar[tuple[str, ...]] = ("01_data_preparation", "02_style_stage", "03_motion_stage")

    model: ModelPath = "data/nano-wan"
    storyboard: FolderPath = Field("data/storyboard", description="folder of neutral stills to start from")
    trigger: str = Field(
        "emberfall film", description="phrase that opens the adapters' prompts, empty for none"
    )
    in_domain_scenes: int = Field(8, ge=2, le=1000, description="storyboard scenes of the film's own world")
    cross_domain_scenes: int = Field(4, ge=2, le=1000, description="storyboard scenes of the other world")
    num_inference_steps: int = Field(12, ge=1, le=1000, description="sampler steps")
    guidance_scale: float = Field(3.0, ge=1, le=30, description="classifier-free guidance")
    flow_shift: float = Field(3.0, gt=0, le=20, description="shift of the flow-matching schedule")
    clip_model: OptionalModelPath = Field(
        "data/nano-clip", description="CLIPModel folder or hub id, empty to leave CLIP-SIM out"
    )
    i3d: str = Field("", description="path of the I3D torchscript file for FVD, empty for the stand-in")
    i3d_sha256: str = Field("", description="SHA-256 of that file")
    alexnet: str = Field("", description="path of AlexNet weights for LPIPS, empty for the stand-in")
    baseline: OptionalModelPath = Field(
        "", description="diffusers folder or hub id of another model to compare with, empty for none"
    )

    @model_validator(mode="after")
    def _weights(self) -> Self:
        if bool(self.i3d) != bool(self.i3d_sha256):
            raise ValueError("i3d and i3d_sha256 go together: FVD is only computed with known weights")
        return self


STAGES: dict[str, type[StageParameters]] = {
    model.stage: model
    for model in (StartHere, DataPreparation, StyleStage, MotionStage, InferenceAcceleration, Evaluation)
}
