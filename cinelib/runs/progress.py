"""Live progress of a run: a bar per stage in a terminal, plain lines elsewhere."""

import threading
import time
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cinelib.runs import duration
from cinelib.units import readable_seconds

_QUIET_SECONDS = 10.0


class ProgressBoard:
    """Where stages report, each under its own label. Called from several threads; this one is silent."""

    def expect(self, stage: str, seconds: float | None) -> None:
        """How long it took the last time; said before it starts."""

    def start(self, stage: str) -> None:
        """A stage's kernel is about to start."""

    def cell(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` cells are behind it."""

    def line(self, stage: str, text: str) -> None:
        """The last line that it printed."""

    def finish(self, stage: str, how: str) -> None:
        """It ended: done, reused, failed or blocked."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class Noted(ProgressBoard):
    """Passes on what it is told of one stage, and leaves word of each cell for `cinelib status`."""

    def __init__(self, board: ProgressBoard, folder: Path, seconds: float | None) -> None:
        self._board, self._folder, self._seconds = board, folder, seconds
        self._began = time.time()

    def start(self, stage: str) -> None:
        """Say what to expect, then that it starts."""
        self._board.expect(stage, self._seconds)
        self._board.start(stage)

    def cell(self, stage: str, done: int, total: int) -> None:
        """Pass it on and write it down."""
        duration.note(self._folder, done, total, self._began, self._seconds)
        self._board.cell(stage, done, total)

    def line(self, stage: str, text: str) -> None:
        """Pass it on."""
        self._board.line(stage, text)


def board(console: Console) -> ProgressBoard:
    """Bars when somebody watches a terminal, lines when not."""
    return Bars(console) if console.is_terminal else Lines(console)


class Lines(ProgressBoard):
    """One line at a stage's start and end, and at most one in ten seconds between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._cells: dict[str, str] = {}
        self._expected: dict[str, str] = {}

    def _print(self, stage: str, text: str) -> None:
        with self._lock:
            self._last[stage] = time.monotonic()
            clock = time.strftime("%H:%M:%S")
            self._console.print(f"{clock} {stage}: {text}", markup=False, highlight=False, soft_wrap=True)

    def expect(self, stage: str, seconds: float | None) -> None:
        """Remember it for the lines to come."""
        self._expected[stage] = duration.roughly(seconds) if seconds else ""

    def start(self, stage: str) -> None:
        """Say so."""
        self._began[stage] = time.monotonic()
        self._print(stage, ", ".join(filter(None, ("started", self._expected.get(stage)))))

    def cell(self, stage: str, done: int, total: int) -> None:
        """Remember it for the next line."""
        self._cells[stage] = f"cell {done}/{total}"

    def line(self, stage: str, text: str) -> None:
        """Print it, unless the stage printed a moment ago."""
        if time.monotonic() - self._last.get(stage, 0.0) >= _QUIET_SECONDS:
            self._print(stage, f"{self._where(stage)}: {text}".removeprefix(": "))

    def _where(self, stage: str) -> str:
        if stage not in self._cells:
            return ""
        after = readable_seconds(time.monotonic() - self._began.get(stage, time.monotonic()))
        about = self._expected.get(stage)
        return f"{self._cells[stage]}, {after}{f' of {about}' if about else ''}"

    def finish(self, stage: str, how: str) -> None:
        """Say how it ended."""
        took = f" after {time.monotonic() - self._began[stage]:.0f} s" if stage in self._began else ""
        self._print(stage, how + took)


class Bars(ProgressBoard):
    """A bar per stage with its cells, its time and its last line."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[stage]:<26}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", table_column=None),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._expected: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def _task(self, stage: str) -> TaskID:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task("", stage=stage, total=None)
        return self._tasks[stage]

    def expect(self, stage: str, seconds: float | None) -> None:
        """Remember it for the bar."""
        self._expected[stage] = duration.roughly(seconds) if seconds else ""

    def start(self, stage: str) -> None:
        """Show the bar."""
        about = self._expected.get(stage)
        text = "starting a kernel" + (f"; {about}" if about else "")
        self._progress.update(self._task(stage), description=text)

    def cell(self, stage: str, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task(stage), completed=done, total=total)

    def line(self, stage: str, text: str) -> None:
        """Show the text beside the bar."""
        about = self._expected.get(stage)
        text = f"of {about}: {text}" if about else text
        room = max(10, self._progress.console.width - 76)
        self._progress.update(self._task(stage), description=f"[dim]{escape(text[:room])}")

    def finish(self, stage: str, how: str) -> None:
        """Fill the bar, or say what stopped it."""
        task = self._task(stage)
        if how in ("done", "reused"):
            total = self._progress.tasks[task].total or 1
            self._progress.update(task, total=total, completed=total, description=f"[green]{how}")
        else:
            self._progress.update(task, description=f"[red]{escape(how)}")
        self._progress.stop_task(task)
