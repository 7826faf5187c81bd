"""How many pairs a question needs, before anything is generated."""

from math import isfinite

from cinelib.statistics.paired import smallest_p


def paired_power(difference: float, deviation: float, n: int, alpha: float = 0.05, family: int = 1) -> float:
    """Chance that n pairs show a true mean difference, two-sided paired t-test, Bonferroni over `family`.

    `deviation` is the standard deviation of the paired differences. 0 when n is so small that an exact
    test cannot reach alpha whatever the data.
    """
    from scipy.stats import norm
    from statsmodels.stats.power import TTestPower

    _check(deviation, n, alpha, family)
    if smallest_p(n) > alpha / family:
        return 0.0
    size, level = abs(difference) / deviation, alpha / family
    power = float(TTestPower().power(size, n, level, alternative="two-sided"))
    # scipy's noncentral t gives NaN far out, where n is large enough for the normal.
    return power if isfinite(power) else float(norm.sf(norm.isf(level / 2) - size * n**0.5))


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
    """The smallest true mean difference that n pairs show with `power`; infinite when no difference is."""
    from scipy.optimize import brentq

    _check(deviation, n, alpha, family)
    if smallest_p(n) > alpha / family:
        return float("inf")
    reach = 100 * deviation
    return float(brentq(lambda d: paired_power(d, deviation, n, alpha, family) - power, 0, reach, xtol=1e-6))


def _check(deviation: float, n: int, alpha: float, family: int) -> None:
    if not deviation > 0 or n < 2 or not 0 < alpha < 1 or family < 1:
        raise ValueError(
            f"need deviation > 0, n >= 2, 0 < alpha < 1, family >= 1; got {deviation}, {n}, {alpha}, {family}"
        )
