"""The `cinelib` command, put together. A command imports what it needs when it is called."""

import os
from typing import Annotated

import typer

from cinelib.cli.estimate import estimate
from cinelib.cli.lab import doctor, lab, params
from cinelib.cli.run import report, run, status
from cinelib.cli.score import score

app = typer.Typer(
    help="Learn, run and review the fine-tuning of open video generators for cinema.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from cinelib import __version__

        print(f"cinelib {__version__}")
        raise typer.Exit


_VERSION = typer.Option("--version", callback=_version, is_eager=True, help="say which version this is")


@app.callback()
def _spin_briefly(version: Annotated[bool, _VERSION] = False) -> None:
    # OpenMP's threads wait for each other by spinning: beside other busy programs one of them holds the core
    # that the other needs, and a training step of 0.1 s can take many seconds. So they spin as long as
    # OpenMP lets them where threads outnumber cores, then sleep. It reads this once, when torch is loaded,
    # here and in every process that is started from here.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


for command in (run, status, report, doctor, params, estimate, score):
    app.command()(command)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lab)
