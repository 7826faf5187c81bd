"""Seconds of the Frechet distance of 2048 x 400 features; the goal is under 1 s.

On the same features: the textbook formula through scipy's sqrtm of the covariances' product, as the usual
FVD packages compute it, and cd-fvd itself, where it can be imported: `pip install --no-deps -t FOLDER cd-fvd
einops timm`, then run this with PYTHONPATH=FOLDER.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy
from scipy.linalg import sqrtm

from cinelib.metrics.frechet import frechet_distance, kernel_distance


def textbook(x: np.ndarray, y: np.ndarray) -> float:
    """|mu_x - mu_y|^2 + tr(S_x + S_y - 2 sqrt(S_x S_y)), ddof 0."""
    sx, sy = np.cov(x.T, ddof=0), np.cov(y.T, ddof=0)
    gap = x.mean(0) - y.mean(0)
    return float(gap @ gap + np.trace(sx + sy - 2 * np.real(sqrtm(sx @ sy))))


def cd_fvd() -> Callable[[np.ndarray, np.ndarray], float] | None:
    """cd-fvd's statistics and distance, given features instead of its I3D; None where it is not installed."""
    try:
        from cdfvd.fvd import cdfvd
        from cdfvd.utils.metric_utils import FeatureStats
    except ImportError:
        return None

    def compute(x: np.ndarray, y: np.ndarray) -> float:
        real, fake = (FeatureStats(capture_mean_cov=True) for _ in range(2))
        real.append(x)  # as float32
        fake.append(y)
        return float(cdfvd.compute_fvd_from_stats(None, fake, real))

    return compute


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clips", type=int, default=2048)
    options.add_argument("--dimensions", type=int, default=400)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(given.dimensions, given.dimensions)) / np.sqrt(given.dimensions)
    x = rng.normal(size=(given.clips, given.dimensions)) @ mix
    y = rng.normal(size=(given.clips, given.dimensions)) @ mix + 0.1
    rivals = {"cinelib": frechet_distance, "scipy sqrtm": textbook, "cd-fvd": cd_fvd()}
    print(f"{given.clips} x {given.dimensions} features, median of {given.rounds}")
    for name, function in {**rivals, "cinelib KD": kernel_distance}.items():
        if function is None:
            print(f"{name:12s} not installed")
            continue
        took = []
        for _ in range(given.rounds):
            started = time.perf_counter()
            value = function(x, y)
            took.append(time.perf_counter() - started)
        print(f"{name:12s} {statistics.median(took):7.3f} s  value {value:.6f}")
    print(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}, load average {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
