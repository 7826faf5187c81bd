"""A child process for code that may crash or hang: its death is an error here, not a dead kernel.

Video decoders are C libraries fed with files from anywhere. A damaged file can make one divide by zero,
write outside its buffers or wait forever, and no `try` in the same process helps against that.
"""

import inspect
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from types import TracebackType
from typing import Any, Self

SILENCE = 60.0  # seconds without a sign of life before the child counts as hung


def brief(error: Exception) -> str:
    """A decoder's complaint without addresses, source paths and stack traces."""
    text = re.split(r"\bStack trace|\n", str(error).strip() or type(error).__name__)[0]
    # PyAV: ... [Errno n] words: 'path', and what FFmpeg logged; decord: [time] file.cc:line: words.
    text = re.sub(r"\[\d\d:\d\d:\d\d\] \S+:\d+: |\[Errno -?\d+\] |\(-?\d+ vs\. 0\) ?", "", text)
    text = re.split(r": '|; last error log:", text)[0]
    logged = (getattr(error, "log", None) or ("", "", ""))[2].strip()
    text = re.sub(r"/\S*/", "", text)[:160].strip()
    return f"{text} ({logged})" if logged else text


class ChildError(RuntimeError):
    """The function in the child raised, or the child died or hung; the message is the reason."""


class Child:
    """Runs importable functions in another interpreter, one at a time; it restarts after a crash.

    A generator function reports life with each value it yields, and its `return` value is the result;
    so a long job is never mistaken for a hang.

    Raises:
        ChildError: from `call`, naming the exception, the signal or the time-out.
    """

    def __init__(self, silence: float = SILENCE) -> None:
        self.silence = silence
        self._process: subprocess.Popen | None = None
        self._link: Connection | None = None

    def call(self, function: Callable, *args: Any, **kwargs: Any) -> Any:
        """`function(*args, **kwargs)` in the child."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        try:
            self._link.send((function, args, kwargs))
            while True:
                if not self._link.poll(self.silence):
                    self.close()
                    raise ChildError(f"no sign of life for {self.silence:g} s: stopped")
                kind, value = self._link.recv()
                if kind == "result":
                    return value
                if kind == "error":
                    raise ChildError(value)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise ChildError(self._obituary()) from None
        except KeyboardInterrupt:
            self.close()
            raise

    def close(self) -> None:
        """End the child now; harmless when there is none."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._link.close()
        self._process = self._link = None

    def _start(self) -> None:
        self.close()
        self._link, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cinelib.preparation.isolation", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        theirs.close()

    def _obituary(self) -> str:
        code = self._process.wait()
        self.close()
        if code == -signal.SIGKILL:
            return "the decoder process was killed: out of memory?"
        if code < 0:
            return f"the decoder process died of {signal.Signals(-code).name}"
        return f"the decoder process ended with exit code {code}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _follow_parent(parent: int) -> None:
    """Leave when the parent is gone, even in the middle of a decode that never returns."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _serve(link: Connection) -> None:
    # Ctrl-C belongs to the parent, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, args=(os.getppid(),), daemon=True).start()
    while True:
        try:
            function, args, kwargs = link.recv()
        except EOFError:
            return
        except Exception as error:
            link.send(("error", _words(error)))
            continue
        try:
            result = function(*args, **kwargs)
            if inspect.isgenerator(result):
                result = _drain(result, link)
            link.send(("result", result))
        except Exception as error:
            link.send(("error", _words(error)))


def _words(error: Exception) -> str:
    """The message alone where it was written for people, with the type's name elsewhere."""
    plain = isinstance(error, ValueError | OSError) and str(error)
    return str(error) if plain else f"{type(error).__name__}: {brief(error)}"


def _drain(steps: Any, link: Connection) -> Any:
    while True:
        try:
            link.send(("alive", next(steps)))
        except StopIteration as stop:
            return stop.value


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
