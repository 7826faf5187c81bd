"""Locks that runners share: one process at a time makes a stage."""

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_RETRY_SECONDS = 0.5


class Cancelled(RuntimeError):
    """The run was cancelled while it waited or executed."""


@contextmanager
def held(path: Path, cancel: threading.Event, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold the lock file `path`; gives its descriptor, for a child process to inherit.

    An inherited lock outlives a killed runner until its worker has stopped too. `waiting` is called
    once when another process has it.

    Raises:
        Cancelled: `cancel` was set while waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        waited = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waited:
                    waiting()
                waited = True
                if cancel.wait(_RETRY_SECONDS):
                    raise Cancelled from None
        yield file.fileno()


def is_held(path: Path) -> bool:
    """Whether some process holds the lock file `path`."""
    if not path.exists():
        return False
    with path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
