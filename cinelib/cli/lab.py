"""`cinelib lab`, `doctor` and `params`: before a run, at the machine and at the notebooks."""

import os
import sys

import typer

from cinelib.cli.shell import AsJson, Profile, Runs, answer, asked, console, say

# A kernel holds a model: one that has no open notebook and did nothing for half an hour is ended.
_CULLING = ("--MappingKernelManager.cull_idle_timeout=1800", "--MappingKernelManager.cull_interval=120")


def lab(context: typer.Context, profile: Profile = "nano", runs: Runs = None) -> None:
    """Open JupyterLab on your own copies of the notebooks, in my_work; nothing overwrites them.

    Values that a notebook leaves untouched follow the profile. Other options (--no-browser, --port) are
    JupyterLab's.
    """
    from cinelib.parameters import profile_values
    from cinelib.runs import copies
    from cinelib.runs.workbook import RUNS_VARIABLE

    with asked(context, runs=runs) as workbook:
        for model in workbook.stages.values():
            profile_values(profile, model, workbook.profiles)
        folder, behind = copies.prepare(workbook)
    for name in behind:
        say(f"{folder.name}/{name} is yours and kept; the course has a newer one: move yours away to get it")
    environment = {**os.environ, "CINELIB_PROFILE": profile, "JUPYTER_PREFER_ENV_PATH": "1"}
    environment[RUNS_VARIABLE] = str(workbook.runs)
    first = f"--LabApp.default_url=/lab/tree/{folder.name}/{min(workbook.stages)}.ipynb"
    options = [f"--ServerApp.root_dir={workbook.root}", first, *_CULLING, *context.args]
    os.execve(sys.executable, [sys.executable, "-m", "jupyterlab", *options], environment)


def doctor(
    context: typer.Context, profile: Profile = "nano", runs: Runs = None, as_json: AsJson = False
) -> None:
    """Check whether this machine can run the workbook, and say how to mend what is missing."""
    from cinelib.runs import doctor as doctors

    with asked(context, runs=runs) as workbook:
        checks = doctors.examine(workbook, profile)
    if as_json:
        answer([check.as_dict() for check in checks])
    else:
        for check in checks:
            say(f"[{'OK' if check.ok else 'FAIL'}] {check.name}: {check.found}")
            if not check.ok:
                say(f"       fix: {check.fix}")
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


def params(context: typer.Context, notebook: str, profile: Profile = "nano", as_json: AsJson = False) -> None:
    """List a notebook's parameters with their values at a profile, and what they mean."""
    from cinelib.cli import answers, tables
    from cinelib.parameters import resolve
    from cinelib.runs.selection import find_stage

    with asked(context) as workbook:
        model = workbook.stages[find_stage(workbook, notebook)]
        values = resolve(model, profile, {}, workbook.profiles)
    if as_json:
        answer(answers.of_parameters(values))
    else:
        console().print(tables.of_parameters(values))
