"""A plan carried out: stages in order, independent ones side by side, stopped cleanly by Ctrl-C."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cinelib.files import Cancelled, Hashes
from cinelib.runs import record
from cinelib.runs.execution import StageFailed, StageJob, ensure
from cinelib.runs.plan import Plan
from cinelib.runs.progress import ProgressBoard


@dataclass
class Outcome:
    """What became of each stage: executed, reused, failed (error by stage id), or blocked by a failure."""

    executed: list[StageJob] = field(default_factory=list)
    reused: list[StageJob] = field(default_factory=list)
    failed: dict[str, StageFailed] = field(default_factory=dict)
    blocked: list[StageJob] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every stage is valid now."""
        return not self.failed and not self.blocked


def default_jobs(cores: int | None = None) -> int:
    """Stages at a time: two, or one for two cores up to four; one where they would share an accelerator.

    Two even on two cores: a stage that imports, decodes or draws leaves one of them idle.
    """
    cores = cores or _cores()
    if cores == 1 or Path("/dev/nvidia0").exists():
        return 1
    return max(2, min(4, cores // 2))


def run(plan: Plan, hashes: Hashes, board: ProgressBoard, jobs: int | None = None) -> Outcome:
    """Execute what has to be executed, reuse the rest, and keep `run.yaml` up to date.

    A failed stage blocks what needs it; everything else goes on.

    Raises:
        AnotherRun: the run's name belongs to another.
        KeyboardInterrupt: SIGINT or SIGTERM came; all kernels are stopped by then, finished stages stay.
    """
    jobs = jobs or default_jobs()
    record.write(plan)
    cancel = threading.Event()
    with board, ThreadPoolExecutor(jobs) as pool, _signals():
        try:
            return _Schedule(plan, hashes, board, cancel, pool, jobs).run()
        except BaseException:
            cancel.set()
            raise
        finally:
            with suppress(OSError):  # they are only remembered
                hashes.save()


class _Schedule:
    """Which stages may start, are running, and have ended."""

    def __init__(
        self,
        plan: Plan,
        hashes: Hashes,
        board: ProgressBoard,
        cancel: threading.Event,
        pool: ThreadPoolExecutor,
        jobs: int,
    ) -> None:
        self._plan, self._hashes, self._board, self._cancel, self._pool = plan, hashes, board, cancel, pool
        self._jobs = jobs
        self._waiting: dict[str, StageJob] = {step.job.id: step.job for step in plan.steps}
        self._running: dict[Future[bool], StageJob] = {}
        self._finished: set[str] = set()
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Until every stage has ended."""
        while self._waiting or self._running:
            self._block()
            self._launch()
            # The time-out lets Python's signal handler run between waits.
            done, _ = wait(self._running, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                self._end(self._running.pop(future), future)
        return self._outcome

    def _launch(self) -> None:
        for job in list(self._waiting.values()):
            if not self._finished.issuperset(job.needs.values()):
                continue
            alone = job.params.measures_time or any(
                other.params.measures_time for other in self._running.values()
            )
            if len(self._running) >= self._jobs or (alone and self._running):
                return
            del self._waiting[job.id]
            future = self._pool.submit(
                ensure, job, self._hashes, self._board, self._threads(job), self._cancel
            )
            self._running[future] = job

    def _threads(self, job: StageJob) -> int:
        """Cores for one stage: all of them when nothing can run beside it, two at least where there are."""
        beside = [
            other
            for other in (*self._waiting.values(), *self._running.values())
            if not other.params.measures_time
        ]
        share = 1 if job.params.measures_time else min(self._jobs, 1 + len(beside))
        return max(min(2, _cores()), _cores() // share)  # what waits sleeps: see GOMP_SPINCOUNT in cli

    def _end(self, job: StageJob, future: Future[bool]) -> None:
        try:
            executed = future.result()
        except StageFailed as error:
            self._outcome.failed[job.id] = error
            self._board.finish(job.label, "failed")
            return
        except Cancelled:
            raise KeyboardInterrupt from None
        self._finished.add(job.id)
        (self._outcome.executed if executed else self._outcome.reused).append(job)
        self._board.finish(job.label, "done" if executed else "reused")

    def _block(self) -> None:
        """Give up on what needs a failed stage."""
        for job in list(self._waiting.values()):
            lost = {*self._outcome.failed, *(other.id for other in self._outcome.blocked)}
            if lost.intersection(job.needs.values()):
                del self._waiting[job.id]
                self._outcome.blocked.append(job)
                self._board.finish(job.label, "blocked")


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does. Only the main thread can have it so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _cores() -> int:
    """Cores that this process may use: containers and job schedulers give fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
