"""What the choice of clips does to a distance: intervals, the floor, and the extrapolation to infinite n.

Every draw is made on sorted rows: the order of the clips, so their file names, changes nothing.
"""

import numpy as np

from cinelib.metrics.distances import (
    discrepancies,
    frechet_distance,
    in_order,
    kernel_distance,
    kernel_matrices,
)

FEWEST = 4  # clips that have two halves, each with a covariance


def frechet_floor(
    features: np.ndarray, reference: np.ndarray, repeats: int = 20, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """What real clips score in the model's place: a perfect model lies below it as often as above.

    n of the m reference clips are drawn and compared with the other m - n. Those are fewer than m, which
    alone makes a distance larger; by how much is seen on `features`, compared with the same m - n and with
    all m, and taken off. So the floor is one for n against m.

    Returns:
        mean and 2.5-97.5 % range over `repeats` random splits.

    Raises:
        ValueError: fewer than n + 2 reference clips.
    """
    x, y = in_order(features, reference)
    n, m = len(x), len(y)
    if m < n + 2:
        raise ValueError(f"real against real at n = {n} needs {n + 2} reference clips, got {m}")
    rng = np.random.default_rng(seed)
    draws = [rng.permutation(m) for _ in range(repeats)]
    above = [frechet_distance(y[d[:n]], y[d[n:]]) - frechet_distance(x, y[d[n:]]) for d in draws]
    values = frechet_distance(x, y) + np.array(above)
    return float(values.mean()), tuple(np.quantile(values, [0.025, 0.975]).tolist())


def frechet_extrapolated(
    features: np.ndarray, reference: np.ndarray, points: int = 6, repeats: int = 8, seed: int = 0
) -> tuple[float, np.ndarray, np.ndarray]:
    """Distance at infinite n: intercept of a line through the distance against 1/n (Chong & Forsyth 2020).

    The sizes go down to a third of the smaller set. The distance is only linear in 1/n while each size
    exceeds the number of dimensions d; below, the intercept of two equal sources is far above 0 (at n = 128
    and d = 400: 370 of 430). So 3 d clips are needed, and at least 30.

    Returns:
        intercept, the sizes n used, the mean distance at each.

    Raises:
        ValueError: fewer clips than that on a side.
    """
    x, y = in_order(features, reference)
    most, needed = min(len(x), len(y)), enough_to_extrapolate(x.shape[1])
    if most < needed:
        raise ValueError(f"{x.shape[1]} dimensions need {needed} clips on each side, got {most}")
    return _line(x, y, points, repeats, np.random.default_rng(seed))


def enough_to_extrapolate(dimensions: int) -> int:
    """Clips on each side that `frechet_extrapolated` needs."""
    return 3 * max(dimensions, 10)


def _line(
    x: np.ndarray, y: np.ndarray, points: int, repeats: int, rng: np.random.Generator
) -> tuple[float, np.ndarray, np.ndarray]:
    most = min(len(x), len(y))
    sizes = np.unique(np.linspace(most // 3, most, points).astype(int))
    means = []
    for size in sizes:
        pairs = [(rng.permutation(len(x))[:size], rng.permutation(len(y))[:size]) for _ in range(repeats)]
        means.append(np.mean([frechet_distance(x[a], y[b]) for a, b in pairs]))
    _, intercept = np.polyfit(1 / sizes, means, 1)
    return float(intercept), sizes, np.array(means)


def extrapolated_interval(
    features: np.ndarray, reference: np.ndarray, repeats: int = 30, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of `frechet_extrapolated`, by half-sampling; too wide rather than too narrow."""
    centre = frechet_extrapolated(features, reference, seed=seed)[0]
    x, y = in_order(features, reference)
    rng = np.random.default_rng(seed)
    draws = [_line(x[a], y[b], 3, 3, rng)[0] for a, b in _halves(len(x), len(y), repeats, seed)]
    return _around(centre, np.array(draws))


def frechet_interval(
    features: np.ndarray, reference: np.ndarray, repeats: int = 50, seed: int = 0
) -> tuple[float, float]:
    """95 % interval for sampling error, by half-sampling without replacement.

    A bootstrap with replacement repeats clips, which shrinks the covariance and biases the distance. The
    mean of half of n clips drawn without replacement varies as the mean of n clips does (the delete-half
    jackknife, Shao & Wu 1989), so the spread is used as it is, around the full-sample value. It covers
    sampling error only: the bias stays in, and the floor shows it.

    Raises:
        ValueError: fewer than 4 clips on a side.
    """
    x, y = in_order(features, reference)
    draws = [frechet_distance(x[a], y[b]) for a, b in _halves(len(x), len(y), repeats, seed)]
    low, high = _around(frechet_distance(x, y), np.array(draws))
    return max(0.0, low), high


def kernel_interval(
    features: np.ndarray, reference: np.ndarray, repeats: int = 400, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the unbiased cubic `kernel_distance`, by half-sampling as in `frechet_interval`."""
    x, y = in_order(features, reference)
    in_x, in_y = np.zeros((repeats, len(x))), np.zeros((repeats, len(y)))
    for row, (a, b) in enumerate(_halves(len(x), len(y), repeats, seed)):
        in_x[row, a], in_y[row, b] = 1, 1
    return _around(kernel_distance(x, y), discrepancies(kernel_matrices(x, y), in_x, in_y))


def _halves(n: int, m: int, repeats: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    if min(n, m) < FEWEST:
        raise ValueError(f"an interval needs {FEWEST} clips on each side, got {n} and {m}")
    rng = np.random.default_rng(seed)
    return [(rng.permutation(n)[: n // 2], rng.permutation(m)[: m // 2]) for _ in range(repeats)]


def _around(centre: float, draws: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(draws - draws.mean(), [0.025, 0.975])
    return centre + float(low), centre + float(high)
