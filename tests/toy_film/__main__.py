"""The `cinelib` command on the toy workbook in the working directory."""

from pathlib import Path

from cinelib.cli import app
from toy_film import opened

app(obj=opened(Path.cwd()))
