"""`torch.compile` where it pays, within a time limit: whatever goes wrong, the plain function is used."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from classroom.loop import Log


class OutOfTimeError(BaseException):
    """No `Exception`: a compiler that goes on after any of those must not go on after this."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Within, OutOfTimeError is raised after `seconds`, again and again (main thread only)."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError(f"not done in {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 2.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def seconds_of(trial: Callable[[], None], device: torch.device, repeats: int = 3) -> float:
    """Seconds of one `trial`, after one to warm up; everything queued on the device included."""
    trial()
    _wait(device)
    begin = time.perf_counter()
    for _ in range(repeats):
        trial()
    _wait(device)
    return (time.perf_counter() - begin) / repeats


def pays(
    switch: Callable[[bool], None], trial: Callable[[], None], device: torch.device, limit: float, log: Log
) -> bool:
    """Leave `switch` on if that makes `trial` quicker and takes less than `limit` seconds to find out."""
    switch(False)
    plain = seconds_of(trial, device)
    begin, why = time.perf_counter(), ""
    try:
        with limited(limit):
            switch(True)
            quick = seconds_of(trial, device)
    except (Exception, OutOfTimeError) as error:
        quick, why = float("inf"), f" ({type(error).__name__}: {str(error)[:200]})"
    took = time.perf_counter() - begin
    log(f"trial: {plain * 1000:.1f} ms plain, {quick * 1000:.1f} ms tuned, took {took:.0f} s{why}")
    if quick < plain:
        return True
    switch(False)
    return False


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
