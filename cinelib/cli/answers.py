"""What the commands answer with `--json`: the same facts as their tables, under fixed names."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cinelib.parameters import StageParameters
    from cinelib.runs.pipeline import Outcome
    from cinelib.runs.plan import Plan
    from cinelib.runs.state import RunState


def of_plan(plan: "Plan") -> dict[str, Any]:
    """Each stage of a plan, and whether and why it would be executed."""
    stages = [
        {
            "notebook": step.job.stage,
            "id": step.job.id,
            "folder": str(step.job.folder),
            "done": step.done,
            "reason": step.reason or "",
            "given": list(step.given),
            "variant": list(step.job.variant),
        }
        for step in plan.steps
    ]
    return {"name": plan.name, "profile": plan.profile, "expected_seconds": plan.seconds(), "stages": stages}


def of_outcome(plan: "Plan", outcome: "Outcome", report: str) -> dict[str, Any]:
    """What became of each stage of a run, by id, and where its report is."""
    failed = {
        key: {"reason": str(error), "folder": str(error.folder)} for key, error in outcome.failed.items()
    }
    return {
        "name": plan.name,
        "profile": plan.profile,
        "ok": outcome.ok,
        "executed": [job.id for job in outcome.executed],
        "reused": [job.id for job in outcome.reused],
        "failed": failed,
        "blocked": [job.id for job in outcome.blocked],
        "stages": {step.job.id: step.job.label for step in plan.steps},
        "report": report,
    }


def of_run(run: "RunState") -> dict[str, Any]:
    """Where each stage of a run stands. `state` is done, running, failed or to do; `reason` says why."""
    stages = []
    for stage in run.stages:
        content = stage.manifest or {}
        state, reason = stage.told()
        stages.append(
            {
                "notebook": stage.name,
                "id": stage.id,
                "folder": str(stage.folder),
                "state": state,
                "reason": reason,
                "given": list(stage.given),
                "variant": list(stage.variant),
                "seconds": content.get("seconds"),
                "finished": content.get("finished"),
                "progress": dict(stage.progress) if stage.progress else None,
                "failure": str(stage.failure) if stage.failure else None,
            }
        )
    return {"name": run.name, "profile": run.profile, "stages": stages}


def of_parameters(values: "StageParameters") -> dict[str, Any]:
    """A stage's parameters: type, value at the profile, default, what is allowed, and meaning."""
    from cinelib.cli.tables import allowed, type_name

    model = type(values)
    parameters = {
        name: {
            "type": type_name(field),
            "value": getattr(values, name),
            "default": field.default,
            "allowed": allowed(field),
            "meaning": field.description or "",
        }
        for name, field in model.model_fields.items()
    }
    return {"notebook": model.stage, "profile": values.profile, "parameters": parameters}
