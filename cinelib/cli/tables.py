"""What the commands print as tables: a plan, a run's state, a notebook's parameters."""

import textwrap
from typing import TYPE_CHECKING, Any

from rich.table import Table

from cinelib.units import readable_seconds

if TYPE_CHECKING:
    from cinelib.parameters import StageParameters
    from cinelib.runs.plan import Plan
    from cinelib.runs.state import RunState


def of_plan(plan: "Plan") -> Table:
    """What would be executed, what is reused, and why."""
    table = make(f"run {plan.name}, profile {plan.profile}", ["stage", "id", "state"], ["why", "given"])
    for step in plan.steps:
        state, given = "done" if step.done else "to do", "\n".join(step.given)
        table.add_row(step.job.label, step.job.id[:12], state, step.reason, given)
    return table


def of_run(run: "RunState") -> str:
    """Where each stage of a run stands, in 80 columns; its folder's name can be copied."""
    lines = [f"run {run.name}, profile {run.profile}"]
    for stage in run.stages:
        state, reason = stage.told()
        took, finished = "", ""
        if stage.manifest:
            took = readable_seconds(stage.manifest["seconds"])
            finished = stage.manifest["finished"][:16].replace("T", " ")
        lines.append(f"{stage.folder.name:<39} {state:<7} {took:>13}  {finished}".rstrip())
        remarks = [stage.label] if stage.variant else []
        for remark in (*remarks, f"{state}: {reason}" if reason else ""):
            lines += textwrap.wrap(remark, 80, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def of_parameters(values: "StageParameters") -> Table:
    """A stage's parameters at a profile; `nano` is filled where that profile's value differs."""
    model = type(values)
    columns = ["type", "value", "nano", "allowed", "meaning"]
    table = make(f"{model.stage}, profile {values.profile}", ["parameter"], columns)
    for name, field in model.model_fields.items():
        value, default = getattr(values, name), field.default
        shown = "" if value == default else str(default)
        meaning = field.description or ""
        table.add_row(name, type_name(field), str(value), shown, allowed(field), meaning)
    return table


def type_name(field: Any) -> str:
    """A parameter's type in short."""
    return getattr(field.annotation, "__name__", str(field.annotation)).removeprefix("typing.")


def allowed(field: Any) -> str:
    """A parameter's limits: `>= 1, <= 9`."""
    return ", ".join(filter(None, map(_constraint, field.metadata)))


def make(title: str, whole: list[str], folded: list[str]) -> Table:
    """An empty table; text that is too wide for the terminal goes on in the next line of `folded` columns."""
    table = Table(title=title, title_justify="left")
    for column in whole:
        table.add_column(column, no_wrap=True)
    for column in folded:
        table.add_column(column, overflow="fold")
    return table


def _constraint(part: Any) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >="}
    return " and ".join(f"{sign} {getattr(part, key)}" for key, sign in signs.items() if hasattr(part, key))
