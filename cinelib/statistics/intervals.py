"""Intervals from one sample, and the honesty to give none where the values cannot carry one.

Values are sorted before anything is drawn: what the clips are called, and so their order, changes nothing.
"""

from math import inf

import numpy as np

FEWEST = 7  # of 6 skewed values (lognormal) not even the largest and smallest hold the mean 90 % of the time
_EXACT = 12  # beyond, the sign-flip test's interval is Student's to the second digit


def mean_interval(
    values: np.ndarray, level: float = 0.95, within: tuple[float, float] = (-inf, inf)
) -> tuple[float, float] | None:
    """Interval for the mean of values (n,): the wider, on each side, of two, inside the values' own range.

    The first holds all means that the exact sign-flip test does not reject (of n > 12 values Student's t):
    where it leaves out a number, that test rejects it. It trusts in symmetry. The second does not: Hall's
    (1992) takes the skewness out of t by a cubic. Neither is believed beyond the smallest and the largest
    value. Coverage for 95 %:

        n = 8                     this   Student   bootstrap-t
        normal                    .96    .95       .94
        exponential               .95    .91       .94
        lognormal, sigma 1        .91    .84       .90
        1 less a beta(.5, 8)      .94    .87       .93
        half of it at a ceiling   .97    .91       .95
        two peaks                 .99    .94       .98
        three levels              1.00   .99       .86

    Args:
        within: what a value can be, such as (0, 1).

    Returns:
        low and high, or None where `why_no_interval` has a reason.

    Raises:
        ValueError: fewer than 2 values, NaN, a value outside `within`, or a level outside (0, 1).
    """
    values = canonical(values, "values")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if values[0] < within[0] or values[-1] > within[1]:
        raise ValueError(f"values from {values[0]:g} to {values[-1]:g} do not lie in {list(within)}")
    if len(values) < FEWEST or nearly_equal(values):
        return None
    low, high = (float(end[0]) for end in spans(values[None], level))
    return None if low <= within[0] and high >= within[1] else (low, high)


def why_no_interval(
    values: np.ndarray, level: float = 0.95, within: tuple[float, float] = (-inf, inf)
) -> str | None:
    """Why `mean_interval` is None, in words; None where there is one."""
    if nearly_equal(values):
        return "no interval: nearly all values are equal"
    if len(values) < FEWEST:
        return f"no interval: {len(values)} values, and {FEWEST} are needed"
    known = mean_interval(values, level, within) is not None
    return None if known else "no interval: it would be all that is possible"


def spans(samples: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Low and high ends (samples,) for samples (samples, n) at once; `mean_interval` says what they are."""
    from scipy.stats import t as student

    n, mean = samples.shape[1], samples.mean(axis=1)
    deviation = samples.std(axis=1)
    reach = float(student.ppf((1 + level) / 2, n - 1)) / np.sqrt(n - 1)  # in those deviations
    unskewed = [mean - deviation * _hall(samples, end) for end in (reach, -reach)]
    if n > _EXACT:
        low, high = mean - reach * deviation, mean + reach * deviation
    else:
        low, high = _not_rejected(samples, level)
    low = np.maximum(np.minimum(low, unskewed[0]), samples.min(axis=1))
    return low, np.minimum(np.maximum(high, unskewed[1]), samples.max(axis=1))


def subsets(n: int) -> np.ndarray:
    """(2^n, n) of 0 and 1: every choice of n values, none of them first."""
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1


def _not_rejected(samples: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the means that the exact sign-flip test leaves: ordered subset means (Hartigan 1969)."""
    # Flipping a subset's signs about m makes a sum at least as large just where the subset's mean is <= m.
    chosen = subsets(samples.shape[1])[1:].astype(float)
    means = samples @ (chosen / chosen.sum(axis=1, keepdims=True)).T
    last = means.shape[1]
    rank = max(1, int((1 - level) * (last + 1) / 2 + 1e-9))  # 1 for so high a level that none is left
    ordered = np.partition(means, (rank - 1, last - rank), axis=1)
    return ordered[:, rank - 1], ordered[:, last - rank]


def _hall(samples: np.ndarray, end: float) -> np.ndarray:
    """Where the studentised mean of skewed samples ends, that would end at `end` without skewness."""
    n, deviation = samples.shape[1], samples.std(axis=1)
    centred = samples - samples.mean(axis=1, keepdims=True)
    skewness = (centred**3).mean(axis=1) / np.where(deviation > 0, deviation, 1) ** 3
    slight = np.abs(skewness) < 1e-6
    safe = np.where(slight, 1, skewness)
    return np.where(slight, end, 3 * (np.cbrt(1 + safe * (end - safe / (6 * n))) - 1) / safe)


def nearly_equal(values: np.ndarray) -> bool:
    """Whether all rows, or all but one, are the same to nine digits of the largest."""
    values = np.asarray(values, float)
    digits = np.round(values / (np.abs(values).max() or 1.0), 9)
    most = int(np.unique(digits, axis=0, return_counts=True)[1].max())
    return most > 1 and len(values) - most < 2


def canonical(values: np.ndarray, name: str) -> np.ndarray:
    """Values (n, ...) as floats, rows sorted, so that neither a draw nor a sum depends on their order.

    Raises:
        ValueError: fewer than 2 values, and NaN, saying where.
    """
    values = np.asarray(values, float)
    if values.ndim < 1 or len(values) < 2:
        raise ValueError(f"{name} must hold at least 2 values, got {values.size}")
    bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    if len(bad):
        raise ValueError(f"{name} hold NaN or infinity at {bad[:10].tolist()}")
    return values[np.lexsort(values.reshape(len(values), -1).T[::-1])] + 0.0  # -0 becomes 0
