"""Notebook 03: what may be set."""

from typing import ClassVar

from pydantic import Field, field_validator

from cinelib.parameters import FolderPath, ModelPath, Profile, VideoShape, frames_are_4k_plus_1


class MotionStage(VideoShape):
    """Notebook 03: styled keyframes become a coherent sequence."""

    stage: ClassVar[str] = "03_motion_stage"
    profiles: ClassVar[Profile] = {"smoke": {"num_frames": 17, "keyframe_frames": 5, "max_scenes": 2}}
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
