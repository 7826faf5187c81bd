"""Intervals from one sample, and the honesty to give none where the values cannot carry one.

Values are sorted before anything is drawn: what the clips are called, and so their order, changes nothing.
"""

import numpy as np

NO_INTERVAL = "no interval: nearly all values are equal"
_FEW = 6


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """Interval for the mean of values (n,): the wider, on each side, of Student's t and bootstrap-t.

    Bootstrap-t (Efron & Tibshirani 1993, ch. 12) follows skew, but is drawn from the few distinct values of
    saturated data, where it covers 65 % for 95 %; Student's t does not know skew. Under 6 values there are
    too few distinct resamples, and Student's t stands alone. The tests state the coverage that is left.

    Returns:
        low and high, or None (`NO_INTERVAL` in words) when all values, or all but one, are equal: scores at
        their ceiling do not tell how far below it the next one may lie.

    Raises:
        ValueError: fewer than 2 values, NaN, or a level outside (0, 1).
    """
    from scipy.stats import t as student

    values = canonical(values, "values")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if nearly_equal(values):
        return None
    n, mean = len(values), float(np.mean(values))
    error = float(np.std(values, ddof=1)) / np.sqrt(n)
    reach = float(student.ppf((1 + level) / 2, n - 1))
    low, high = -reach, reach
    if n >= _FEW:
        found = np.quantile(_studentised(values, mean, error), [(1 - level) / 2, (1 + level) / 2])
        low, high = min(low, float(found[0])), max(high, float(found[1]))
    return mean - high * error, mean - low * error


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


def _studentised(values: np.ndarray, mean: float, error: float) -> np.ndarray:
    """Resampled means less the mean, each over its own standard error."""
    n = len(values)
    draws = values[np.random.default_rng(0).integers(0, n, (4000, n))]
    errors = draws.std(axis=1, ddof=1) / np.sqrt(n)
    # A resample of one repeated value has no error of its own; it says nothing about t.
    useful = errors > 1e-12 * error
    return (draws.mean(axis=1)[useful] - mean) / errors[useful]
