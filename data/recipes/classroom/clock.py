"""Learning rates by the clock: a training that has so many seconds is finished when they are over.

Steps cannot be counted beforehand on a machine that nobody has timed; seconds can.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Seconds since it was made."""

    now: Callable[[], float] = time.monotonic
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.now()

    @property
    def seconds(self) -> float:
        """Elapsed so far."""
        return self.now() - self.started


@dataclass(frozen=True)
class Span:
    """A training from `start` to `end` on the clock: linear warm-up, then cosine to nothing."""

    start: float
    end: float
    peak: float
    warmup: float = 0.03  # share of the span

    def done(self, seconds: float) -> float:
        """Share of the span that is over, 0 to 1."""
        return min(1.0, max(0.0, (seconds - self.start) / max(1e-9, self.end - self.start)))

    def over(self, seconds: float) -> bool:
        """Whether the span has ended."""
        return seconds >= self.end

    def rate(self, seconds: float) -> float:
        """Learning rate at `seconds` on the clock."""
        done = self.done(seconds)
        if done < self.warmup:
            return self.peak * max(done / self.warmup, 0.02)
        return self.peak * 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup)))


class Often:
    """True once every so many seconds."""

    def __init__(self, clock: Clock, every: float) -> None:
        self.clock, self.every, self.next = clock, every, clock.seconds + every

    def due(self) -> bool:
        """Whether it is time again."""
        if self.clock.seconds < self.next:
            return False
        self.next = self.clock.seconds + self.every
        return True
