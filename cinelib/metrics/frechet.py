"""Frechet and kernel distances between feature sets: FVD and KVD when the features are I3D's.

At n = 40 the Frechet distance is mostly bias: two sets from the same distribution score far from 0. So it
never goes out alone: beside it stand the floor (real against real at the same n), the unbiased kernel
distance, an interval, and the extrapolation to infinite n.
"""

from collections.abc import Sequence

import numpy as np

from cinelib.metrics.clip import as_clips
from cinelib.metrics.extractors import Extractor
from cinelib.metrics.result import Result


def frechet_distance(features: np.ndarray, reference: np.ndarray, ddof: int = 0) -> float:
    """Squared Frechet distance of Gaussians fitted to features (n, d) and reference (m, d).

    |mu_x - mu_y|^2 + tr S_x + tr S_y - 2 tr sqrt(S_x S_y), where the last trace is the nuclear norm of
    Xc Yc^T over sqrt((n - ddof)(m - ddof)) with centred features (n, d), (m, d): no d x d matrix root.

    Args:
        ddof: 0 as in StyleGAN-V's FVD, 1 as in common_metrics_on_video_quality.

    Raises:
        ValueError: fewer than 2 rows, unequal d, NaN.
    """
    x, y = _features(features, "features"), _features(reference, "reference")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"features have {x.shape[1]} dimensions, reference has {y.shape[1]}")
    gap = x.mean(0) - y.mean(0)
    x, y = x - x.mean(0), y - y.mean(0)
    n, m = len(x) - ddof, len(y) - ddof
    cross = _nuclear_norm(x, y) / np.sqrt(n * m)
    return float(max(0.0, gap @ gap + (x * x).sum() / n + (y * y).sum() / m - 2 * cross))


def _nuclear_norm(x: np.ndarray, y: np.ndarray) -> float:
    """||x y^T||_*, through QR of the tall factors when there are more rows than dimensions."""
    if min(len(x), len(y)) > x.shape[1]:
        x, y = np.linalg.qr(x, mode="r"), np.linalg.qr(y, mode="r")
    return float(np.linalg.svd(x @ y.T, compute_uv=False).sum())


def kernel_distance(
    features: np.ndarray, reference: np.ndarray, degree: int = 3, coef0: float = 1.0, unbiased: bool = True
) -> float:
    """Squared maximum mean discrepancy with kernel (x.y / d + coef0)^degree (KID, KVD, JEDi).

    `unbiased` gives the U-statistic, whose expectation is 0 for equal distributions, and which can
    therefore be negative; otherwise the V-statistic.
    """
    x, y = _features(features, "features"), _features(reference, "reference")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"features have {x.shape[1]} dimensions, reference has {y.shape[1]}")
    xx, yy, xy = ((a @ b.T / x.shape[1] + coef0) ** degree for a, b in ((x, x), (y, y), (x, y)))
    if not unbiased:
        return float(xx.mean() + yy.mean() - 2 * xy.mean())
    n, m = len(x), len(y)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def frechet_floor(
    reference: np.ndarray, n: int, repeats: int = 20, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Real against real: distance between two disjoint halves of at most `n` reference clips each.

    Returns:
        mean and 2.5-97.5 % range over `repeats` random splits.

    Raises:
        ValueError: fewer than 4 reference clips.
    """
    reference = _features(reference, "reference")
    size = min(n, len(reference) // 2)
    if size < 2:
        raise ValueError(f"a real-against-real floor needs at least 4 reference clips, got {len(reference)}")
    rng = np.random.default_rng(seed)
    draws = [rng.permutation(len(reference)) for _ in range(repeats)]
    values = [frechet_distance(reference[d[:size]], reference[d[size : 2 * size]]) for d in draws]
    return float(np.mean(values)), tuple(np.quantile(values, [0.025, 0.975]).tolist())


def frechet_extrapolated(
    features: np.ndarray, reference: np.ndarray, points: int = 6, repeats: int = 8, seed: int = 0
) -> tuple[float, np.ndarray, np.ndarray]:
    """Distance at infinite n: intercept of a line through the distance against 1/n (Chong & Forsyth 2020).

    Returns:
        intercept, the sizes n used, the mean distance at each.
    """
    x, y = _features(features, "features"), _features(reference, "reference")
    most = min(len(x), len(y))
    sizes = np.unique(np.linspace(max(2, most // 3), most, points).astype(int))
    if len(sizes) < 2:
        raise ValueError(f"an extrapolation needs at least 3 clips on each side, got {most}")
    rng = np.random.default_rng(seed)
    means = []
    for size in sizes:
        pairs = [(rng.permutation(len(x))[:size], rng.permutation(len(y))[:size]) for _ in range(repeats)]
        means.append(np.mean([frechet_distance(x[a], y[b]) for a, b in pairs]))
    _, intercept = np.polyfit(1 / sizes, means, 1)
    return float(intercept), sizes, np.array(means)


def frechet_interval(
    features: np.ndarray, reference: np.ndarray, repeats: int = 50, seed: int = 0
) -> tuple[float, float]:
    """95 % interval for sampling error, by half-sampling without replacement.

    A bootstrap with replacement repeats clips, which shrinks the covariance and biases the distance. The
    mean of half of n clips drawn without replacement varies as the mean of n clips does (the delete-half
    jackknife, Shao & Wu 1989), so the spread is used as it is, around the full-sample value. It covers
    sampling error only: the bias stays in, and the floor shows it.
    """
    x, y = _features(features, "features"), _features(reference, "reference")
    half = max(2, len(x) // 2), max(2, len(y) // 2)
    rng = np.random.default_rng(seed)
    draws = np.array(
        [
            frechet_distance(x[rng.permutation(len(x))[: half[0]]], y[rng.permutation(len(y))[: half[1]]])
            for _ in range(repeats)
        ]
    )
    centre = frechet_distance(x, y)
    low, high = np.quantile(draws - draws.mean(), [0.025, 0.975])
    return max(0.0, centre + float(low)), centre + float(high)


def video_distances(
    clips: Sequence[np.ndarray], reference: Sequence[np.ndarray], extractor: Extractor, seed: int = 0
) -> dict[str, Result]:
    """`feature_distances` between two lists of clips (T, H, W, 3) uint8."""
    x, y = extractor(as_clips(clips, 2)), extractor(as_clips(reference, 4, "reference"))
    return feature_distances(x, y, extractor, seed)


def feature_distances(x: np.ndarray, y: np.ndarray, extractor: Extractor, seed: int = 0) -> dict[str, Result]:
    """Frechet and kernel distance between features x (n, d) and the reference's y (m, d), by name.

    Named FVD and KVD when `extractor.published` is true, else FD[name] and KD[name]. The Frechet result
    carries `floor`, `floor_low`, `floor_high` (real against real) and `at_infinite_n`.
    """
    floor, (floor_low, floor_high) = frechet_floor(y, len(x), seed=seed)
    names = ("FVD", "KVD") if extractor.published else (f"FD[{extractor.name}]", f"KD[{extractor.name}]")
    extra = {"floor": floor, "floor_low": floor_low, "floor_high": floor_high, "n_reference": len(y)}
    if min(len(x), len(y)) >= 3:
        extra["at_infinite_n"] = frechet_extrapolated(x, y, seed=seed)[0]
    common = {
        "n": len(x),
        "extractor": extractor.name,
        "weights_sha256": extractor.weights_sha256,
        "preprocessing": extractor.preprocessing,
    }
    frechet = Result(
        names[0], frechet_distance(x, y), interval=frechet_interval(x, y, seed=seed), extra=extra, **common
    )
    kernel = Result(names[1], kernel_distance(x, y), extra={"n_reference": len(y)}, **common)
    return {result.name: result for result in (frechet, kernel)}


def _features(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(f"{name} must be (n, d) with n >= 2, got shape {values.shape}")
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        raise ValueError(f"{name} hold NaN or infinity in rows {bad[:10].tolist()}")
    return values
