"""How far apart two sets of features are: the Frechet distance and the kernel distance.

Linear algebra runs on one thread, so the number of cores does not change a number, and a busy machine costs
time in proportion only.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def frechet_distance(features: np.ndarray, reference: np.ndarray, ddof: int = 0) -> float:
    """Squared Frechet distance of Gaussians fitted to features (n, d) and reference (m, d).

    |mu_x - mu_y|^2 + tr S_x + tr S_y - 2 tr sqrt(S_x S_y), where the last trace is the nuclear norm of
    Xc Yc^T over sqrt((n - ddof)(m - ddof)) with centred features (n, d), (m, d): no d x d matrix root.

    Args:
        ddof: 0 as in StyleGAN-V's FVD, 1 as in common_metrics_on_video_quality.

    Raises:
        ValueError: fewer than 2 rows, unequal d, NaN.
    """
    x, y = matched(features, reference)
    gap = x.mean(0) - y.mean(0)
    x, y = x - x.mean(0), y - y.mean(0)
    n, m = len(x) - ddof, len(y) - ddof
    cross = _nuclear_norm(x, y) / np.sqrt(n * m)
    return float(max(0.0, (gap * gap).sum() + (x * x).sum() / n + (y * y).sum() / m - 2 * cross))


def _nuclear_norm(x: np.ndarray, y: np.ndarray) -> float:
    """||x y^T||_*, through QR of the tall factors when there are more rows than dimensions."""
    import torch

    with _one_thread():
        a, b = torch.from_numpy(x), torch.from_numpy(y)
        if min(len(x), len(y)) > x.shape[1]:
            a, b = torch.linalg.qr(a, mode="r")[1], torch.linalg.qr(b, mode="r")[1]
        return float(torch.linalg.svdvals(a @ b.T).sum())


@contextmanager
def _one_thread() -> Iterator[None]:
    """One core for torch's linear algebra.

    Threads that wait for each other spin: on a busy machine an SVD of 400 x 400 then takes 15 s instead of
    0.1 s, and longer through NumPy. One thread also rounds the same way on any number of cores.
    """
    import torch

    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def kernel_distance(features: np.ndarray, reference: np.ndarray) -> float:
    """Squared maximum mean discrepancy with kernel (x.y / d + 1)^3, as of KID and KVD.

    The U-statistic: its expectation is 0 for equal distributions, so it can be negative.
    """
    x, y = matched(features, reference)
    return float(discrepancies(kernel_matrices(x, y), np.ones((1, len(x))), np.ones((1, len(y))))[0])


def kernel_matrices(
    x: np.ndarray, y: np.ndarray, degree: int = 3, coef0: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kernel between rows: within x (n, n), within y (m, m), across (n, m)."""
    import torch

    with _one_thread():
        a, b = torch.from_numpy(x), torch.from_numpy(y)
        products = [(p @ q.T / x.shape[1] + coef0) ** degree for p, q in ((a, a), (b, b), (a, b))]
    xx, yy, xy = (product.numpy() for product in products)
    return xx, yy, xy


def discrepancies(kernels: tuple[np.ndarray, ...], in_x: np.ndarray, in_y: np.ndarray) -> np.ndarray:
    """U-statistics (draws,) of subsets that rows of `in_x` (draws, n) and `in_y` (draws, m) mark with 1."""
    import torch

    with _one_thread():
        xx, yy, xy, u, v = (torch.from_numpy(part) for part in (*kernels, in_x, in_y))
        sums = [((u @ xx) * u).sum(1), ((v @ yy) * v).sum(1), ((u @ xy) * v).sum(1)]
        diagonals = [u @ xx.diagonal(), v @ yy.diagonal()]
    (x_sum, y_sum, cross), (x_own, y_own) = ([part.numpy() for part in parts] for parts in (sums, diagonals))
    n, m = in_x.sum(1), in_y.sum(1)
    within = (x_sum - x_own) / (n * (n - 1)) + (y_sum - y_own) / (m * (m - 1))
    return within - 2 * cross / (n * m)


def in_order(features: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows in lexicographic order, so that a draw of indices does not depend on the names of files."""
    x, y = matched(features, reference)
    return x[np.lexsort(x.T[::-1])], y[np.lexsort(y.T[::-1])]


def matched(features: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 (n, d) and (m, d). Raises ValueError for n or m < 2, unequal d, NaN."""
    x, y = _features(features, "features"), _features(reference, "reference")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"features have {x.shape[1]} dimensions, reference has {y.shape[1]}")
    return x, y


def _features(values: np.ndarray, name: str) -> np.ndarray:
    values = np.array(values, dtype=np.float64, order="C")  # torch takes no reversed or read-only view
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(f"{name} must be (n, d) with n >= 2, got shape {values.shape}")
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        raise ValueError(f"{name} hold NaN or infinity in rows {bad[:10].tolist()}")
    return values
