"""Which stages with which parameters: what a user typed, made exact or refused before any kernel starts."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml

from cinelib.files import digest
from cinelib.parameters import ParameterError, StageParameters, suggest
from cinelib.runs.inputs import input_kind
from cinelib.runs.workbook import Workbook

Overrides = dict[str, dict[str, Any]]

_LONGEST_NAME = 60
_STRANGE = re.compile(r"[^A-Za-z0-9._=-]+")
_FILE_KEYS = ("profile", "name", "notebooks", "parameters")
_FLOAT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def find_stage(workbook: Workbook, text: str) -> str:
    """The stage that `text` names: its number, its name, or the start of either part of its name.

    Raises:
        ParameterError: none or several; names the nearest or the candidates.
    """
    name = Path(text).stem if text.endswith(".ipynb") else text
    if name in workbook.stages:
        return name
    number = name.zfill(2)
    found = [
        stage
        for stage in workbook.stages
        if stage.split("_", 1)[0] == number
        or stage.startswith(name)
        or stage.split("_", 1)[-1].startswith(name)
    ]
    if len(found) == 1 and name:
        return found[0]
    if len(found) > 1 and name:
        raise ParameterError(f"{text!r} may be {' or '.join(found)}")
    known = {typed: stage for stage in workbook.stages for typed in (stage, stage.split("_", 1)[-1])}
    raise ParameterError(f"unknown notebook {text!r}; {suggest(name, known)}")


def with_dependencies(workbook: Workbook, names: Sequence[str]) -> list[str]:
    """The stages and all that they need, each after what it needs. No names: the whole workbook."""
    ordered: list[str] = []

    def visit(stage: str) -> None:
        for needed in workbook.stages[stage].needs:
            visit(needed)
        if stage not in ordered:
            ordered.append(stage)

    for stage in names or workbook.stages:
        visit(stage)
    return sorted(ordered, key=list(workbook.stages).index)


def read_file(path: Path) -> dict[str, Any]:
    """A YAML file of `profile`, `name`, `notebooks` and `parameters`.

    Raises:
        ParameterError: unreadable, not YAML, or a key that means nothing.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ParameterError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not isinstance(content.get("parameters", {}), dict):
        raise ParameterError(f"{path}: expected a mapping with {', '.join(_FILE_KEYS)}")
    for key in content:
        if key not in _FILE_KEYS:
            raise ParameterError(f"{path}: unknown key {key!r}; {suggest(str(key), _FILE_KEYS)}")
    return content


def overrides_from_mapping(
    workbook: Workbook, named: Sequence[str], parameters: Mapping[str, Any]
) -> Overrides:
    """`{stage: {name: value}}`, `{"stage.name": value}` and bare `{name: value}` as one mapping by stage."""
    found: Overrides = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping) and "." not in str(key):
            stage = find_stage(workbook, str(key))
            for name, part in value.items():
                _check_name(workbook.stages[stage], str(name))
                found.setdefault(stage, {})[str(name)] = _number(workbook.stages[stage], str(name), part)
        else:
            for stage, name in _targets(workbook, named, str(key)):
                found.setdefault(stage, {})[name] = _number(workbook.stages[stage], name, value)
    return found


def overrides_from_options(workbook: Workbook, named: Sequence[str], options: Sequence[str]) -> Overrides:
    """`-p stage.name=value` options; values are YAML, except that text stays text where text is wanted."""
    found: Overrides = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals:
            raise ParameterError(f"-p {option!r}: expected stage.name=value or name=value")
        for stage, name in _targets(workbook, named, key.strip()):
            found.setdefault(stage, {})[name] = parse(workbook.stages[stage], name, text.strip())
    return found


def parse(model: type[StageParameters], name: str, text: str) -> Any:
    """`text` as the parameter's type wants it: a prompt of digits stays text, `1e-3` is a number."""
    if _accepts_text(model, name) and not text.startswith(("'", '"')):
        return text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ParameterError(f"{name}={text}: not YAML: {' '.join(str(error).split())}") from None
    return _number(model, name, value)


def merge(*layers: Overrides) -> Overrides:
    """Later layers win."""
    merged: Overrides = {}
    for layer in layers:
        for stage, values in layer.items():
            merged.setdefault(stage, {}).update(values)
    return merged


def run_name(
    workbook: Workbook, named: Sequence[str], profile: str, overrides: Overrides, *variants: Overrides
) -> str:
    """The profile's for the whole course as it is; a part of it, or other parameters, have their own.

    `nano`, `nano-01`, `nano-02-02.seed=1`; long and unusual values are told apart by a hash.
    """
    whole = len(with_dependencies(workbook, named)) == len(workbook.stages)
    parts = [] if whole else [_ordinal(stage) for stage in named]
    given = [
        f"{_ordinal(stage)}.{name}={value}"
        for layer in (overrides, *variants)
        for stage, values in layer.items()
        for name, value in values.items()
    ]
    full = "-".join([profile, *parts, *given])
    name = _STRANGE.sub("-", full)
    return (
        full if name == full and len(full) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}-{digest(full)[:6]}"
    )


def _ordinal(stage: str) -> str:
    return stage.split("_", 1)[0]


def _targets(workbook: Workbook, named: Sequence[str], key: str) -> list[tuple[str, str]]:
    """(stage, parameter) that `key` names. A bare name means every named stage that has it."""
    prefix, dot, name = key.rpartition(".")
    if dot:
        stage = find_stage(workbook, prefix)
        _check_name(workbook.stages[stage], name)
        return [(stage, name)]
    candidates = list(named) or list(workbook.stages)
    if name == "profile":
        _check_name(workbook.stages[candidates[0]], name)
    found = [(stage, name) for stage in candidates if name in workbook.stages[stage].model_fields]
    if found:
        return found
    elsewhere = [stage for stage, model in workbook.stages.items() if name in model.model_fields]
    if elsewhere:
        raise ParameterError(f"{', '.join(candidates)} has no {name!r}; say {elsewhere[0]}.{name}=...")
    known = {
        field: f"{stage}.{field}" for stage in candidates for field in workbook.stages[stage].model_fields
    }
    raise ParameterError(f"unknown parameter {name!r}; {suggest(name, known)}")


def _check_name(model: type[StageParameters], name: str) -> None:
    if name == "profile":
        raise ParameterError(
            f"stage {model.stage}: choose a profile with --profile, it is one for the whole run"
        )
    if name not in model.model_fields:
        hint = suggest(name, list(model.model_fields))
        raise ParameterError(f"stage {model.stage}: unknown parameter {name!r}; {hint}")


def _accepts_text(model: type[StageParameters], name: str) -> bool:
    annotation = model.model_fields[name].annotation
    return annotation is str or (
        get_origin(annotation) is not None and all(isinstance(choice, str) for choice in get_args(annotation))
    )


def _number(model: type[StageParameters], name: str, value: Any) -> Any:
    """YAML 1.1 reads `1e-3` as text; where a float is wanted it is one."""
    wants_float = name in model.model_fields and model.model_fields[name].annotation is float
    if wants_float and isinstance(value, str) and _FLOAT.fullmatch(value):
        return float(value)
    return value


def local_paths(workbook: Workbook, overrides: Overrides, here: Path) -> Overrides:
    """Inputs typed relative to the shell's folder, made independent of it; the root is tried second."""
    changed = {stage: dict(values) for stage, values in overrides.items()}
    for stage, values in changed.items():
        for name, value in values.items():
            if input_kind(workbook.stages[stage], name):
                root = workbook.root.resolve()
                values[name] = (
                    [_local_path(root, one, here) for one in value]
                    if isinstance(value, list)
                    else _local_path(root, value, here)
                )
    return changed


def _local_path(root: Path, value: Any, here: Path) -> Any:
    if not isinstance(value, str) or not value:
        return value
    path = (here / Path(value).expanduser()).resolve()
    if not path.exists():
        return value
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
