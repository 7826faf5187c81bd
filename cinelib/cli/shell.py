"""What the commands share: options, the workbook, and a user's error as one line with exit code 2."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from cinelib.runs.workbook import Workbook

PROFILES = "nano, smoke, a100, paper"  # in words: --help asks no stage, and answers at once
Profile = Annotated[str, typer.Option("--profile", help=PROFILES)]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable, on standard output")]
_VALUE = typer.Option("-p", "--parameter", metavar="STAGE.NAME=VALUE", help="a value; may be repeated")
Parameter = Annotated[list[str] | None, _VALUE]
_RUNS = typer.Option(
    "--runs", metavar="DIR", help="where runs are [default: CINELIB_RUNS, else papermill_runs]"
)
Runs = Annotated[Path | None, _RUNS]


@contextmanager
def asked(context: typer.Context, *kinds: type[Exception], runs: Path | None = None) -> Iterator["Workbook"]:
    """Answers about the workbook given to `app(obj=...)`, else the one that this package belongs to.

    `runs` is where its runs are, if not where they usually are.
    """
    from cinelib.runs.workbook import Workbook, find_root

    with user_errors(*kinds):
        workbook = context.obj or Workbook(find_root())
        yield replace(workbook, elsewhere=runs.expanduser().absolute()) if runs else workbook


@contextmanager
def user_errors(*kinds: type[Exception]) -> Iterator[None]:
    """What a user can mend, also where it is of `kinds`, is told without a traceback."""
    from cinelib.parameters import ParameterError

    try:
        yield
    except (ParameterError, OSError, *kinds) as error:
        complain(str(error))
        raise typer.Exit(2) from None


def say(text: str, to: Console | None = None) -> None:
    """Lines on standard output, or on another console, as they are."""
    (to or console()).print(text, highlight=False, soft_wrap=True)


def answer(value: Any) -> None:
    """What `--json` asks for, on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def complain(text: str, kind: str = "error") -> None:
    """On standard error; a line that is indented goes on with the one before."""
    for line in text.splitlines():
        print(line if line[:1] == " " else f"{kind}: {line}", file=sys.stderr)


def console(stderr: bool = False) -> Console:
    """Of standard output. Markup is off, or FD[nano] would lose its name."""
    return Console(markup=False, stderr=stderr)
