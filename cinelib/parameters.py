"""The base of the stages' parameter models, and profiles: one code path, several sizes.

A profile is data: what it changes in a stage's defaults. What it changes everywhere stands here, what it
changes in one stage beside that stage's model. `resolve` turns a profile and explicit values into a
validated model; `from_notebook` does so for the names that a notebook's parameters cell defined.
"""

import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

# A parameter that names an input: its content, not only its name, decides whether a stage runs again.
FolderPath = Annotated[
    str, Field(min_length=1, description="folder that must exist", json_schema_extra={"input": "folder"})
]
ModelPath = Annotated[
    str, Field(min_length=1, description="diffusers folder or hub id", json_schema_extra={"input": "model"})
]
OptionalModelPath = Annotated[str, Field(json_schema_extra={"input": "model"})]


# stage, or "*" for each stage that has the parameter -> parameter -> value
Profile = Mapping[str, Mapping[str, Any]]

_WAN_14B = {
    "model": "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers",
    "height": 720,
    "width": 1280,
    "num_frames": 81,
    "num_inference_steps": 40,
    "guidance_scale": 5.0,
    "flow_shift": 5.0,
}
EVERYWHERE: dict[str, dict[str, Any]] = {
    "nano": {},
    "smoke": {
        "model": "data/smoke-wan",
        "height": 32,
        "width": 48,
        "num_frames": 5,
        "num_inference_steps": 2,
    },
    "a100": _WAN_14B,
    "paper": _WAN_14B,
}


class ParameterError(ValueError):
    """A stage's parameters are unknown, missing, mistyped or out of range."""


def suggest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """What a message says after an unknown name: the nearest of those known, or all.

    A mapping's keys are what people may type, its values what they are told to type.
    """
    told = known if isinstance(known, Mapping) else {word: word for word in known}
    near = get_close_matches(name, told, n=1, cutoff=cutoff)
    words = dict.fromkeys(map(str, told.values()))
    return f"did you mean {told[near[0]]!r}?" if near else f"known: {', '.join(words)}"


class StageParameters(BaseModel):
    """What every stage has: a profile name and a seed.

    Raises:
        ParameterError: from `check`, naming parameter, value, what is allowed, and the nearest known
            name for an unknown one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    stage: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    profiles: ClassVar[Profile] = {}  # profile -> what it changes in this stage alone
    measures_time: ClassVar[bool] = False  # such a stage runs alone, or its numbers would be its neighbours'

    profile: str = Field("nano", description="name of the profile whose values fill untouched parameters")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of every random choice in this stage")

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a notebook shows: its parameters cell stands above, so only what differs from that."""
        fields = type(self).model_fields.items()
        changed = {
            name: getattr(self, name) for name, field in fields if getattr(self, name) != field.default
        }
        shown = ", ".join(f"{name} = {value!r}" for name, value in changed.items() if name != "profile")
        rest = f"{shown}; the others as above" if shown else "every value as above"
        printer.text(f"{self.stage}, profile {self.profile}: {rest}")

    def own_files(self) -> tuple[str, ...]:
        """Files that a person may have made for this stage, relative to the root; inputs where they exist."""
        return ()

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
            return f"unknown parameter {name!r}; {suggest(name, list(cls.model_fields))}"
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


Parameters = TypeVar("Parameters", bound=StageParameters)


def profile_values(
    profile: str, model: type[StageParameters], profiles: Mapping[str, Profile] | None = None
) -> dict[str, Any]:
    """What `profile` changes in the defaults of a stage's model. Raises ParameterError for an unknown one."""
    if profiles is None:
        profiles = {name: {"*": values, **_own(model, name)} for name, values in EVERYWHERE.items()}
    if profile not in profiles:
        raise ParameterError(f"unknown profile {profile!r}; {suggest(profile, list(profiles))}")
    everywhere = profiles[profile].get("*", {})
    common = {name: value for name, value in everywhere.items() if name in model.model_fields}
    return {"profile": profile, **common, **profiles[profile].get(model.stage, {})}


def _own(model: type[StageParameters], profile: str) -> Profile:
    return {model.stage: model.profiles[profile]} if profile in model.profiles else {}


def profiles_of(models: Mapping[str, type[StageParameters]]) -> dict[str, Profile]:
    """Every profile, with what it changes in each of the stages `models`."""
    return {
        name: {
            "*": values,
            **{key: part for model in models.values() for key, part in _own(model, name).items()},
        }
        for name, values in EVERYWHERE.items()
    }


def resolve(
    model: type[Parameters],
    profile: str,
    explicit: Mapping[str, Any],
    profiles: Mapping[str, Profile] | None = None,
) -> Parameters:
    """Defaults, then the profile's values, then the explicit ones; validated."""
    return model.check({**profile_values(profile, model, profiles), **explicit})


def from_notebook(model: type[Parameters], names: Mapping[str, Any]) -> Parameters:
    """Parameters from a notebook's globals: values left at the cell's literals follow `profile`.

    A runner has resolved them already and passes each one, so it is taken as it is: an explicit value
    that happens to equal a literal stays explicit. `CINELIB_PROFILE` (set by `cinelib lab --profile`)
    stands in for a profile left untouched.
    """
    missing = [name for name in model.model_fields if name not in names]
    if missing:
        raise ParameterError(
            f"stage {model.stage}: the parameters cell lacks {', '.join(missing)}; run it first"
        )
    given = {name: names[name] for name in model.model_fields}
    if "CINELIB_STAGE_FOLDER" in os.environ:
        return model.check(given)
    changed = {name: value for name, value in given.items() if value != model.model_fields[name].default}
    profile = changed.pop("profile", os.environ.get("CINELIB_PROFILE", given["profile"]))
    return resolve(model, profile, changed)
