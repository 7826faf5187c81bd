"""Tests beside the paired one: two groups and ordered groups."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cinelib.statistics.intervals import canonical


def permutation_test(a: Sequence[float], b: Sequence[float], repeats: int = 20_000, seed: int = 0) -> float:
    """Two-sided p-value that two independent groups have the same mean, such as runs of two recipes.

    Exact (every way to deal the values out) while there are at most `repeats` of them; scipy's.
    """
    from scipy.stats import permutation_test as scipys

    groups = canonical(np.asarray(a, float), "a"), canonical(np.asarray(b, float), "b")
    found = scipys(
        groups,
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        vectorized=True,
        n_resamples=repeats,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


@dataclass(frozen=True)
class Trend:
    """Jonckheere-Terpstra: `tau` in [-1, 1] is the surplus of rising over falling pairs."""

    tau: float
    p: float
    n: int


def jonckheere(groups: Sequence[Sequence[float]], repeats: int = 10_000, seed: int = 0) -> Trend:
    """Two-sided test that values rise or fall along ordered groups, such as LoRA ranks.

    The statistic counts, over all pairs from two groups, how many rise minus how many fall (Jonckheere 1954).
    The p-value permutes values between groups, and counts the observed deal. Groups must be independent:
    for the same clips in every group take scipy.stats.page_trend_test.

    Raises:
        ValueError: fewer than 3 groups, an empty one, NaN.
    """
    arrays = [np.asarray(group, float) for group in groups]
    if len(arrays) < 3 or min(map(len, arrays)) < 1:
        raise ValueError(f"a trend needs 3 groups with values, got sizes {[len(a) for a in arrays]}")
    canonical(np.concatenate(arrays), "values")  # for its errors
    values = np.concatenate([np.sort(array) for array in arrays])
    level = np.repeat(np.arange(len(arrays)), [len(array) for array in arrays])
    order = np.sign(level[None] - level[:, None])  # +1 where the column belongs to a later group
    rng = np.random.default_rng(seed)

    def surplus(sample: np.ndarray) -> np.ndarray:
        return np.array([(np.sign(one[None] - one[:, None]) * order).sum() / 2 for one in sample])

    observed = float(surplus(values[None])[0])
    draws = surplus(rng.permuted(np.tile(values, (repeats, 1)), axis=1))
    p = (1 + np.sum(np.abs(draws) >= abs(observed) - 1e-9)) / (repeats + 1)
    return Trend(observed / float((order > 0).sum()), float(p), len(values))
