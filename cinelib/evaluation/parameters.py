"""Notebook 05: what is compared, and with which networks."""

from typing import ClassVar

from pydantic import Field

from cinelib.metrics.parameters import REAL_FOOTAGE, MetricNetworks
from cinelib.parameters import FolderPath, ModelPath, OptionalModelPath, Profile

_A100 = {**REAL_FOOTAGE, "cross_domain_scenes": 8}


class Evaluation(MetricNetworks):
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
    style_runs: list[str] = Field(
        [],
        description="folders of further runs of notebook 02, same recipe, other seeds",
        json_schema_extra={"input": "folder"},
    )
    baseline: OptionalModelPath = Field(
        "", description="diffusers folder or hub id of another model to compare with, empty for none"
    )
