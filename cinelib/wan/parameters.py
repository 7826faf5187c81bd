"""Notebook 09: the recipe of the classroom model."""

from typing import ClassVar, Literal

from pydantic import Field

from cinelib.parameters import ModelPath, OptionalModelPath, Profile, StageParameters

_OWN_SIZE = {"num_inference_steps": 12, "guidance_scale": 3.0}  # whatever the profile's model is


class ClassroomModel(StageParameters):
    """Notebook 09, an appendix: how the small checkpoint of the course was trained."""

    stage: ClassVar[str] = "09_classroom_model"
    profiles: ClassVar[Profile] = {"smoke": {"scenes": 2}, "a100": _OWN_SIZE, "paper": _OWN_SIZE}

    checkpoint: ModelPath = "data/nano-wan"
    viewer: OptionalModelPath = Field(
        "data/nano-viewer", description="video feature net to compare clips with, empty to leave it out"
    )
    recipe: Literal["smoke", "nano"] = Field(
        "smoke", description="smoke trains for seconds, nano trains the shipped size, for hours"
    )
    device: str = Field("cpu", min_length=1, description="where the recipe trains, cpu or cuda")
    scenes: int = Field(6, ge=2, le=200, description="held-out scenes to look at")
    num_inference_steps: int = Field(12, ge=1, le=1000, description="sampler steps")
    guidance_scale: float = Field(3.0, ge=1, le=30, description="classifier-free guidance")
