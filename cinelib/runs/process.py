"""The worker process as its runner sees it: started, heard, measured, and stopped with all it started."""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

from cinelib.files import Cancelled
from cinelib.runs.progress import ProgressBoard

_SAMPLE_SECONDS = 0.5
_PATIENCE_SECONDS = 8.0  # for a worker to kill its kernel before it is killed itself


class WorkerFailed(RuntimeError):
    """The notebook raised, or a process died; the message says which."""


def work(
    order: Mapping[str, Any],
    environment: Mapping[str, str],
    lock: int,
    stage: str,
    board: ProgressBoard,
    cancel: threading.Event,
) -> dict[str, float]:
    """Run a worker to its end. Returns what its process tree took: peak memory and processor time.

    Raises:
        WorkerFailed: it did not end well.
        Cancelled: `cancel` was set; worker, kernel and their children are gone.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "cinelib.runs.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,  # a terminal's Ctrl-C is for the runner, which then stops this process
        pass_fds=[lock],
        text=True,
    )
    errors: list[str] = []
    reader = threading.Thread(target=_listen, args=(process, stage, board, errors), daemon=True)
    tree = _Tree(process.pid)
    try:
        reader.start()
        _send(process, order)
        while process.poll() is None and not cancel.is_set():
            tree.sample()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_SAMPLE_SECONDS)
    finally:
        _stop(process, tree)
    reader.join(timeout=5)
    if cancel.is_set():
        raise Cancelled
    if process.returncode != 0:
        raise WorkerFailed(errors[-1] if errors else _how_it_ended(process.returncode))
    return {"peak_tree_rss_bytes": tree.peak, "cpu_seconds": round(sum(tree.cpu.values()), 1)}


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"its process was killed by signal {-code} (9 is what a machine out of memory sends)"
    return f"its process ended with code {code}"


def _send(process: subprocess.Popen[str], order: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it died at once; its exit code tells
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()


def _listen(process: subprocess.Popen[str], stage: str, board: ProgressBoard, errors: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if "cell" in message:
            board.cell(stage, message["cell"], message["of"])
        elif "line" in message:
            board.line(stage, message["line"])
        elif "error" in message:
            errors.append(message["error"])


class _Tree:
    """A process with its descendants: their memory, their processor time, and their end."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self.cpu: dict[psutil.Process, float] = {}  # comparable between busy and quiet machines
        self._root = psutil.Process(pid)
        self._seen: set[psutil.Process] = {self._root}

    def sample(self) -> None:
        """Add up resident memory; pages that processes share count for each."""
        try:
            now = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return
        self._seen.update(now)
        total = 0
        for process in now:
            try:
                total += process.memory_info().rss
                times = process.cpu_times()
                self.cpu[process] = times.user + times.system
            except psutil.Error:
                continue
        self.peak = max(self.peak, total)

    def kill(self) -> None:
        """Kill whatever of the tree is left, also what lost its parent."""
        for process in self._seen:
            try:
                process.kill()
            except psutil.Error:
                continue


def _stop(process: subprocess.Popen[str], tree: _Tree) -> None:
    tree.sample()
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()  # the worker takes this as the runner's end and kills its kernel
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_PATIENCE_SECONDS)
    tree.kill()
    process.wait()
