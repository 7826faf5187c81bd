"""The course in order: stage -> parameter model. A stage is a notebook of that name."""

from dataclasses import dataclass, replace

from cinelib.acceleration.parameters import InferenceAcceleration
from cinelib.claims.parameters import StartHere
from cinelib.evaluation.parameters import Evaluation
from cinelib.metrics.parameters import MetricsTakenApart
from cinelib.motion.parameters import MotionStage
from cinelib.parameters import StageParameters, profiles_of
from cinelib.preparation.parameters import DataPreparation
from cinelib.style.parameters import StyleStage
from cinelib.wan.parameters import ClassroomModel

STAGES: dict[str, type[StageParameters]] = {
    model.stage: model
    for model in (
        StartHere,
        DataPreparation,
        StyleStage,
        MotionStage,
        InferenceAcceleration,
        Evaluation,
        ClassroomModel,
        MetricsTakenApart,
    )
}
PROFILES = profiles_of(STAGES)


@dataclass(frozen=True)
class Requirements:
    """What a whole run of a profile needs of a machine, in GiB."""

    memory: float
    disk: float
    gpu_memory: float = 0.0


REQUIREMENTS: dict[str, Requirements] = {
    "smoke": Requirements(memory=4, disk=1),
    "nano": Requirements(memory=5, disk=2),
    # Wan's published peak for I2V-14B at 720p on one GPU is 76.7 GB; the checkpoint's files take 82 GB.
    "a100": Requirements(memory=96, disk=150, gpu_memory=78),
}
# A base in bf16: `cinelib estimate --profile paper` counts up to 92 GiB a step, or two GPUs that share it.
REQUIREMENTS["paper"] = replace(REQUIREMENTS["a100"], gpu_memory=92)
