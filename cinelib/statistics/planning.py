"""How many pairs a question needs, before anything is generated: the verdict's rule on simulated pairs."""

from functools import cache
from math import isfinite

import numpy as np

from cinelib.statistics.intervals import FEWEST, spans, subsets

_STUDIES = 2000  # simulated; the same draws for every effect
_EXACT = 12  # pairs; beyond, Student's p is the sign-flip test's to the second digit
_SIMULATED = 200  # pairs; beyond, Student's formula says the same within 2 points


def paired_power(difference: float, deviation: float, n: int, alpha: float = 0.05, family: int = 1) -> float:
    """Chance that n pairs surely show a true mean difference, when nothing else in the family is sure.

    Simulated: normal differences, the exact sign-flip p times `family`, and the interval; beyond 200 pairs
    the rule finds what Student's test finds, whose power is a formula. `deviation` is the standard deviation
    of the paired differences.

    Raises:
        ValueError: deviation not above 0, n < 2, alpha outside (0, 1), family < 1.
    """
    from scipy.stats import norm
    from statsmodels.stats.power import TTestPower

    if not deviation > 0 or n < 2 or not 0 < alpha < 1 or family < 1:
        raise ValueError(
            f"need deviation > 0, n >= 2, 0 < alpha < 1, family >= 1; got {deviation}, {n}, {alpha}, {family}"
        )
    size = abs(difference) / deviation
    if n < FEWEST:
        return 0.0
    if n <= _SIMULATED:
        return float(np.mean(surely_positive(_studies(n) + size, alpha, family)))
    power = float(TTestPower().power(size, n, alpha / family, alternative="two-sided"))
    # scipy's noncentral t gives NaN far out, where n is large enough for the normal.
    return power if isfinite(power) else float(norm.sf(norm.isf(alpha / family / 2) - size * n**0.5))


def surely_positive(samples: np.ndarray, alpha: float = 0.05, family: int = 1) -> np.ndarray:
    """For each row of samples (studies, n): do interval and exact p times `family` put its mean above 0?"""
    from scipy.stats import ttest_1samp

    if samples.shape[1] > _EXACT:
        p = ttest_1samp(samples, 0, axis=1).pvalue
    else:
        reach = np.abs(samples.sum(axis=1, keepdims=True)) * (1 - 1e-12)
        p = np.mean(np.abs(samples @ (1 - 2 * subsets(samples.shape[1])).T) >= reach, axis=1)
    return (p * family < alpha) & (spans(samples, 1 - alpha)[0] > 0)


@cache
def _studies(n: int) -> np.ndarray:
    """Noise (studies, n) that is the same whatever is asked."""
    return np.random.default_rng(n).normal(size=(_STUDIES, n))


def pairs_needed(
    difference: float,
    deviation: float,
    power: float = 0.8,
    alpha: float = 0.05,
    family: int = 1,
    most: int = 10_000,
) -> int:
    """The fewest pairs with at least `power` for a true mean difference.

    Raises:
        ValueError: a difference of 0, or one so small that `most` pairs are not enough.
    """
    if difference == 0:
        raise ValueError("no number of pairs shows a difference of 0")
    low, high = 2, most
    if paired_power(difference, deviation, most, alpha, family) < power:
        raise ValueError(f"{most} pairs do not reach power {power:g} for {difference:g}")
    while low < high:
        middle = (low + high) // 2
        enough = paired_power(difference, deviation, middle, alpha, family) >= power
        low, high = (low, middle) if enough else (middle + 1, high)
    return low


def detectable_difference(
    deviation: float, n: int, power: float = 0.8, alpha: float = 0.05, family: int = 1
) -> float:
    """The smallest true mean difference that n pairs show with `power`, to 1 %; infinite when none is."""
    low, high = 0.0, 100 * deviation
    if paired_power(high, deviation, n, alpha, family) < power:
        return float("inf")
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        enough = paired_power(middle, deviation, n, alpha, family) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high
