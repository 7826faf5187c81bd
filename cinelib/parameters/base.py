"""What the stages' parameter models share: names that are checked, sizes that a Wan model can take."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

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
        message = detail["msg"].removeprefix("Value error, ")
        if not detail["loc"]:  # of several parameters together; it names them
            return message
        name = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            near = get_close_matches(name, cls.model_fields, n=1, cutoff=0.5)
            known = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(cls.model_fields)
            return f"unknown parameter {name!r}; {known}"
        if detail["type"] == "missing":
            return f"missing parameter {name!r} ({cls.model_fields[name].description})"
        return f"{name} = {detail['input']!r}: {message}"


def frames_are_4k_plus_1(value: int) -> int:
    """A validator of frame counts."""
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


class VideoShape(StageParameters):
    """Size and rate of the clips that a stage works on."""

    height: int = Field(64, ge=16, le=4096, description="pixels, a multiple of 16")
    width: int = Field(112, ge=16, le=4096, description="pixels, a multiple of 16")
    num_frames: int = Field(17, ge=1, le=257, description="frames of one generated clip, 4k+1")
    fps: int = Field(16, ge=1, le=120, description="frames per second that the model was trained at")

    _size = field_validator("height", "width")(_multiple_of_16)
    _frames = field_validator("num_frames")(frames_are_4k_plus_1)
