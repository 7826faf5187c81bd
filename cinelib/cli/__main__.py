"""`python -m cinelib.cli`: the command, where it is not on the path."""

from cinelib.cli.app import app

app()
