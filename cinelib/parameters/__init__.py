"""One frozen, typed, validated model per stage; its fields are the notebook's parameters.

The defaults here are the `nano` profile's values, and each notebook's parameters cell shows the same
literals (a test compares them). `cinelib.profiles` holds what other profiles change.
"""

from cinelib.parameters.base import FolderPath, ParameterError, StageParameters
from cinelib.parameters.classroom import ClassroomModel
from cinelib.parameters.evaluation import Evaluation
from cinelib.parameters.preparation import DataPreparation, StartHere
from cinelib.parameters.sampling import InferenceAcceleration, MotionStage
from cinelib.parameters.style import StyleStage

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
    )
}

__all__ = [
    "STAGES",
    "ClassroomModel",
    "DataPreparation",
    "Evaluation",
    "FolderPath",
    "InferenceAcceleration",
    "MotionStage",
    "ParameterError",
    "StageParameters",
    "StartHere",
    "StyleStage",
]
