"""Notebooks 03 and 04: keyframes to sequences, and sampling made faster."""

from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from cinelib.parameters.base import FolderPath, ModelPath, VideoShape, frames_are_4k_plus_1


class MotionStage(VideoShape):
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

    _keyframes = field_validator("keyframe_frames")(frames_are_4k_plus_1)


class InferenceAcceleration(VideoShape):
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
    alexnet: str = Field("", description="path of AlexNet weights for LPIPS, empty for the stand-in")

    @model_validator(mode="after")
    def _settings(self) -> Self:
        wrong = [steps for steps in self.fewer_steps if not 1 <= steps < self.num_inference_steps]
        if wrong:
            raise ValueError(f"fewer_steps {wrong} must lie between 1 and {self.num_inference_steps - 1}")
        if min(self.thresholds) <= 0:
            raise ValueError(f"thresholds {self.thresholds} must be above 0; 0 is the plain sampler")
        return self
