"""Profiles: one code path, several sizes. A profile is data: what it changes in each stage's defaults.

`resolve` turns (profile, explicit values) into one validated model per stage, and
`from_notebook` does the same for the names that a notebook's parameters cell defined.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from cinelib.parameters import STAGES, ParameterError, StageParameters

Parameters = TypeVar("Parameters", bound=StageParameters)

_EVERY = "*"  # applies to each stage that has the parameter

PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    "nano": {},
    "smoke": {
        _EVERY: {"model": "data/smoke-wan", "height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 2},
        "01_data_preparation": {"max_clips": 4},
        "02_style_stage": {"max_train_steps": 4},
    },
    "a100": {
        _EVERY: {
            "model": "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers",
            "height": 720,
            "width": 1280,
            "num_frames": 81,
            "num_inference_steps": 40,
            "guidance_scale": 5.0,
            "flow_shift": 5.0,
        },
        "02_style_stage": {"learning_rate": 3e-5, "max_train_steps": 4000},
    },
}


def profile_values(profile: str, stage: str) -> dict[str, Any]:
    """What `profile` changes in `stage`'s defaults. Raises ParameterError for an unknown profile."""
    if profile not in PROFILES:
        raise ParameterError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    fields = STAGES[stage].model_fields
    everywhere = PROFILES[profile].get(_EVERY, {})
    common = {name: value for name, value in everywhere.items() if name in fields}
    return {"profile": profile, **common, **PROFILES[profile].get(stage, {})}


def resolve(stage: str, profile: str, explicit: Mapping[str, Any]) -> StageParameters:
    """Defaults, then the profile's values, then the explicit ones; validated."""
    return STAGES[stage].check({**profile_values(profile, stage), **explicit})


def from_notebook(model: type[Parameters], names: Mapping[str, Any]) -> Parameters:
    """Parameters from a notebook's globals: values left at the cell's literals follow `profile`.

    A stage executed by cinelib gets every value injected with `resolved_` set in its environment, so
    that an explicit value that happens to equal a literal stays explicit (see `cinelib.runs.stage`).
    """
    given = {name: names[name] for name in model.model_fields if name in names}
    missing = [name for name in model.model_fields if name not in names]
    if missing:
        raise ParameterError(f"stage {model.stage}: the parameters cell lacks {', '.join(missing)}; run it first")
    changed = {name: value for name, value in given.items() if value != model.model_fields[name].default}
    return model.check({**profile_values(given["profile"], model.stage), **changed})
