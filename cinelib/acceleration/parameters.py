"""Notebook 04: what may be set."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from cinelib.parameters import FolderPath, ModelPath, Profile, VideoShape

_SMOKE = {
    "max_scenes": 2,
    "num_inference_steps": 4,
    "fewer_steps": [2],
    "thresholds": [0.2],
    "parallel_steps": 1,
    "parallel_rounds": 2,
}
_A100 = {"fewer_steps": [30, 20, 10]}


class InferenceAcceleration(VideoShape):
    """Notebook 04: what each speed-up costs in quality."""

    stage: ClassVar[str] = "04_inference_acceleration"
    profiles: ClassVar[Profile] = {"smoke": _SMOKE, "a100": _A100, "paper": _A100}
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
        2, ge=1, le=1000, description="sampler steps of the runs with several processes"
    )
    parallel_rounds: int = Field(
        8, ge=1, le=100, description="rounds of the runs with several processes, 7 at least for a verdict"
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
