"""What the commands share: options, the workbook, and a user's error as one line with exit code 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from cinelib.runs.workbook import Workbook

PROFILES = "nano, smoke, a100, paper"  # in words: --help asks no stage, and answers at once
Profile = Annotated[str, typer.Option("--profile", help=PROFILES)]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable, on standard output")]
_VALUE = typer.Option("-p", "--parameter", metavar="STAGE.NAME=VALUE", help="a value; may be repeated")
Parameter = Annotated[list[str] | None, _VALUE]


@contextmanager
def asked(context: typer.Context, *kinds: type[Exception]) -> Iterator["Workbook"]:
    """Answers about the workbook given to `app(obj=...)`, else the one that this package belongs to."""
    from cinelib.runs.workbook import Workbook, find_root

    with user_errors(*kinds):
        yield context.obj or Workbook(find_root())


@contextmanager
def user_errors(*kinds: type[Exception]) -> Iterator[None]:
    """What a user can mend, also where it is of `kinds`, is told without a traceback."""
    from cinelib.parameters import ParameterError

    try:
        yield
    except (ParameterError, OSError, *kinds) as error:
        complain(str(error))
        raise typer.Exit(2) from None


def say(text: str) -> None:
    """One line on standard output, as it is."""
    console().print(text, highlight=False, soft_wrap=True)


def complain(text: str, kind: str = "error") -> None:
    """On standard error; a line that is indented goes on with the one before."""
    for line in text.splitlines():
        print(line if line[:1] == " " else f"{kind}: {line}", file=sys.stderr)


def console() -> Console:
    """Of standard output. Markup is off, or FD[nano] would lose its name."""
    return Console(markup=False)
