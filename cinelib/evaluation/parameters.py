"""Notebook 05: what is compared, and with which networks."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from cinelib.parameters import FolderPath, ModelPath, OptionalModelPath, Profile, VideoShape

_A100 = {
    "clip_model": "openai/clip-vit-base-patch32",
    "features": "",  # the course's own network knows nothing but the backlot
    "cross_domain_scenes": 8,
}


class Evaluation(VideoShape):
    """Notebook 05: better than the base model, by how much, how surely."""

    stage: ClassVar[str] = "05_evaluation"
    profiles: ClassVar[Profile] = {
        "smoke": {"in_domain_scenes": 2, "cross_domain_scenes": 2},
        "a100": _A100,
        "paper": _A100,
    }
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
    features: OptionalModelPath = Field(
        "data/nano-viewer", description="video network for FD[...], empty for ImageNet features of frames"
    )
    i3d: str = Field("", description="path of the I3D torchscript file for FVD, empty for FD[...]")
    i3d_sha256: str = Field("", description="SHA-256 of that file")
    alexnet: str = Field("", description="path of AlexNet weights for LPIPS, empty for the stand-in")
    style_runs: list[str] = Field(
        [],
        description="folders of further runs of notebook 02, same recipe, other seeds",
        json_schema_extra={"input": "folder"},
    )
    baseline: OptionalModelPath = Field(
        "", description="diffusers folder or hub id of another model to compare with, empty for none"
    )

    @model_validator(mode="after")
    def _weights(self) -> Self:
        if bool(self.i3d) != bool(self.i3d_sha256):
            raise ValueError("i3d and i3d_sha256 go together: FVD is only computed with known weights")
        return self
