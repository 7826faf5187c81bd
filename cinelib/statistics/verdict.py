"""The one rule behind every verdict: what a claim says, what is surely so, and how its parts are joined.

A part of a claim is *surely* so when its 95 % interval and its exact p-value, corrected by Holm for all that
is asked in the same breath, agree. It is shown, refuted or neither: evidence that is missing is not evidence
against.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

import numpy as np

from cinelib.statistics.intervals import FEWEST, mean_interval
from cinelib.statistics.paired import ALPHA, holm, sign_flip_test


class Answer(StrEnum):
    """What is known of a claim or of a part of it."""

    SHOWN = "yes"
    REFUTED = "no, the opposite"
    UNKNOWN = "not shown"


@dataclass(frozen=True, eq=False)
class Part:
    """A claim's part: the mean of `values` (n,), paired differences mostly, lies between `low` and `high`.

    Refuted means: it lies outside, by more than `slack`. What the values cannot carry (n < 7, nearly all
    equal) stays open.

    `gates` are parts that must be sure as well, such as the same gain over a control. They can withhold and
    never refute, and need no correction of their own: p is the largest of all.

    Args:
        digits: decimals that another machine reproduces; the values are rounded to them first.

    Raises:
        ValueError: no bound, `low` not below `high`, a slack below 0, NaN, or no value.
    """

    values: Sequence[float]
    low: float = -inf
    high: float = inf
    slack: float = 0.0
    gates: tuple["Part", ...] = ()
    digits: int = 3
    mean: float = field(init=False)
    interval: tuple[float, float] | None = field(init=False)

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.low, self.high) == (-inf, inf):
            raise ValueError(f"a part needs a bound, low below high, got {self.low:g} and {self.high:g}")
        if not self.slack >= 0:
            raise ValueError(f"slack must not be below 0, got {self.slack}")
        values = np.round(np.asarray(self.values, float), self.digits)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ValueError(f"a part needs numbers (n,), one at least, got {values}")
        values = np.sort(values) + 0.0  # -0 becomes 0
        span = mean_interval(values) if len(values) > 1 else None
        found = {"values": values, "mean": float(values.mean()), "interval": span}
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @property
    def n(self) -> int:
        """How many values there are."""
        return len(self.values)

    @property
    def p(self) -> float:
        """Two-sided exact p-value of what the mean looks like: inside with all gates, or outside; else 1."""
        low, high = self.low - self.slack, self.high + self.slack
        if self.low < self.mean < self.high:
            return max(self._p(self.low), self._p(self.high), *(gate._p_shown for gate in self.gates), 0.0)
        if low <= self.mean <= high:
            return 1.0
        return self._p(low if self.mean < low else high)

    @property
    def _p_shown(self) -> float:
        return self.p if self.low < self.mean < self.high else 1.0

    def _p(self, bound: float) -> float:
        if not np.isfinite(bound):
            return 0.0
        return sign_flip_test(self.values - bound) if self.n > 1 else 1.0

    def answer(self, p: float) -> Answer:
        """What is known, given the corrected p-value."""
        if self.interval is None or not p < ALPHA:
            return Answer.UNKNOWN
        if self._inside and all(gate._inside for gate in self.gates):
            return Answer.SHOWN
        outside = self.interval[1] < self.low - self.slack or self.interval[0] > self.high + self.slack
        return Answer.REFUTED if outside else Answer.UNKNOWN

    @property
    def _inside(self) -> bool:
        return self.interval is not None and self.low < self.interval[0] <= self.interval[1] < self.high


@dataclass(frozen=True)
class Finding:
    """A part and what is known of it; `p_holm` is None where fewer than 7 values left nothing to ask."""

    part: Part
    answer: Answer
    p_holm: float | None

    def as_metric(self) -> dict[str, object]:
        """The mapping that `Stage.save_metrics` takes, rounded to what another machine reproduces."""
        part = self.part
        span = part.interval and [round(end, part.digits) for end in part.interval]
        known = {"value": round(part.mean, part.digits), "interval": span, "n": part.n, "p": part.p}
        return known | ({} if self.p_holm is None else {"p_holm": self.p_holm}) | {"answer": str(self.answer)}


def ask(parts: Mapping[str, Part]) -> dict[str, Finding]:
    """All questions of a notebook at once, Holm over those that n values can answer at all.

    Parts of the same values, such as a drift that must not grow for one claim and must shrink for another,
    are one question: one interval answers for all bounds. It steps down when the last of them is sure.
    """
    questions: dict[bytes, list[str]] = {}
    for name, part in parts.items():
        if part.n >= FEWEST:
            questions.setdefault(part.values.tobytes(), []).append(name)
    p = {name: part.p for name, part in parts.items()}
    ordered = sorted(questions.values(), key=lambda names: max(p[name] for name in names))
    before = np.maximum.accumulate([0.0, *holm([max(p[n] for n in names) for names in ordered])])
    corrected = {}
    for rank, names in enumerate(ordered, 1):
        left = len(ordered) - np.arange(rank)
        corrected |= {n: float(np.maximum(before[:rank], np.minimum(1, left * p[n])).min()) for n in names}
    return {
        name: Finding(part, part.answer(corrected.get(name, 1.0)), corrected.get(name))
        for name, part in parts.items()
    }


def fact(found: bool) -> Answer:
    """Of what is counted and not sampled, such as equal bits: shown or refuted."""
    return Answer.SHOWN if found else Answer.REFUTED


def all_of(*answers: Answer) -> Answer:
    """Refuted when one is refuted, shown when all are. Raises ValueError when there are none."""
    return _joined(answers, Answer.REFUTED, Answer.SHOWN)


def any_of(*answers: Answer) -> Answer:
    """Shown when one is shown, refuted when all are. Raises ValueError when there are none."""
    return _joined(answers, Answer.SHOWN, Answer.REFUTED)


def _joined(answers: Sequence[Answer], one: Answer, every: Answer) -> Answer:
    if not answers:
        raise ValueError("a claim needs at least one part")
    if one in answers:
        return one
    return every if set(answers) == {every} else Answer.UNKNOWN


def verdict(answer: Answer) -> str:
    """What is written beside a claim."""
    words = {
        Answer.SHOWN: "holds here",
        Answer.REFUTED: "does not hold here",
        Answer.UNKNOWN: "not shown here",
    }
    return words[answer]


def not_measured(needs: str) -> str:
    """What is written beside a claim that this run had no means to measure."""
    return f"implemented, not measured here (needs {needs})"
