"""A run's record, `run.yaml`: which stages it is made of. One run's record never replaces another's."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cinelib.files import write_text
from cinelib.parameters import ParameterError
from cinelib.runs import manifest
from cinelib.runs.plan import Plan
from cinelib.runs.workbook import RUN_FILE


class AnotherRun(ParameterError):
    """The name belongs to a run of other stages or parameters."""


def conflict(plan: Plan) -> str | None:
    """Why the plan cannot have its name: finished stages that are recorded under it would be lost."""
    old = _read(plan.folder / RUN_FILE)
    if not old:
        return None
    asked = _requested(_content(plan))
    lost = [
        " ".join((stage, *given))
        for (profile, stage, given), folder in _requested(old).items()
        if (profile, stage, given) not in asked and (plan.workbook.runs / folder / manifest.FILE).exists()
    ]
    if not lost:
        return None
    return (
        f"{plan.folder / RUN_FILE} is the record of another run (profile {old.get('profile')}: "
        f"{', '.join(lost)}); choose another --name, or remove that folder"
    )


def write(plan: Plan) -> Path:
    """Write `run.yaml`. What it replaces, the same run with older code, is kept beside it, dated.

    Raises:
        AnotherRun: the name is taken; nothing is written.
    """
    if reason := conflict(plan):
        raise AnotherRun(reason)
    plan.folder.mkdir(parents=True, exist_ok=True)
    path, content = plan.folder / RUN_FILE, _content(plan)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return path
    if (old := _read(path)) and not old["stages"].keys() <= content["stages"].keys():
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(path.stat().st_mtime))
        write_text(path.with_name(f"run-{stamp}.yaml"), path.read_text(encoding="utf-8"))
    return write_text(path, text)


def _content(plan: Plan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "profile": plan.profile,
        "stages": {
            step.job.id: {
                "notebook": step.job.stage,
                "folder": step.job.folder.relative_to(plan.workbook.runs).as_posix(),
                "given": list(step.given),
                "variant": list(step.job.variant),
                "needs": dict(step.job.needs),
            }
            for step in plan.steps
        },
    }


def _read(path: Path) -> dict[str, Any] | None:
    """What is recorded; None where nothing is, or nothing that can be read."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return content if isinstance(content["stages"], Mapping) and content["stages"] else None
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        return None


def _requested(content: Mapping[str, Any]) -> dict[tuple[str, str, tuple[str, ...]], str]:
    """Folder by what was asked for, whatever the code was: profile, notebook, and values given for it."""
    return {
        (content.get("profile", ""), entry.get("notebook", key), tuple(entry.get("given", ()))): entry[
            "folder"
        ]
        for key, entry in content["stages"].items()
        if isinstance(entry, Mapping) and "folder" in entry
    }
