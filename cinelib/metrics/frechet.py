"""Frechet and kernel distances of clips, under their names: FVD and KVD when the features are I3D's.

At n = 40 the Frechet distance is mostly bias: two sets from the same distribution score far from 0. So it
never goes out alone: beside it stand the floor (real clips in the model's place), the unbiased kernel
distance, intervals, and with enough clips the extrapolation to infinite n.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from cinelib.metrics.distances import frechet_distance, in_order, kernel_distance
from cinelib.metrics.extractors import Extractor
from cinelib.metrics.metric import ANY, DISTANCE, Clip, Found, Metric, Range
from cinelib.metrics.resampling import (
    extrapolated_interval,
    frechet_extrapolated,
    frechet_floor,
    frechet_interval,
    kernel_interval,
)
from cinelib.metrics.result import Result

Computed = TypeVar("Computed")


def feature_distances(
    x: np.ndarray, y: np.ndarray, extractor: Extractor, seed: int = 0, fps: float | None = None
) -> dict[str, Result]:
    """Frechet and kernel distance between features x (n, d) and the reference's y (m, d), by name.

    Named FVD and KVD when `extractor.published` is true, else FD[name] and KD[name]. The Frechet result's
    `extra` holds, where there are clips enough:
        floor, floor_low, floor_high: see `frechet_floor`; made of floor_n real clips against
            floor_n_reference others.
        at_infinite_n, at_infinite_n_low, at_infinite_n_high: see `frechet_extrapolated`.
    What is missing is in `notes`, with the reason.

    Raises:
        ValueError: fewer than 2 rows, unequal d, NaN.
    """
    names = _names(extractor)
    x, y = in_order(x, y)
    common = {
        "n": len(x),
        "fps": fps,
        "extractor": extractor.name,
        "weights_sha256": extractor.weights_sha256,
        "preprocessing": extractor.preprocessing,
    }
    spread, few = _unless_few(lambda: (frechet_interval(x, y, seed=seed), kernel_interval(x, y, seed=seed)))
    floor, no_floor = _unless_few(lambda: _floor(x, y, seed))
    limit, no_limit = _unless_few(lambda: _at_infinite_n(x, y, seed))
    size, intervals = {"n_reference": len(y)}, spread or (None, None)
    notes = {"interval": few, "floor": no_floor, "at_infinite_n": no_limit}
    results = (
        Result(
            names[0],
            frechet_distance(x, y),
            interval=intervals[0],
            extra=size | (floor or {}) | (limit or {}),
            notes={key: reason for key, reason in notes.items() if reason},
            **common,
        ),
        Result(
            names[1],
            kernel_distance(x, y),
            interval=intervals[1],
            extra=size,
            notes={"interval": few} if few else {},
            **common,
        ),
    )
    return {result.name: result for result in results}


@dataclass(frozen=True)
class DistanceMetric(Metric):
    """Distances between sets of clips, by features of the first `window` seconds of each."""

    network: Extractor
    window: float
    files: str = ""  # digest of the network's folder, where it is one
    name: str = "features"
    of_sets = True

    @property
    def values(self) -> Mapping[str, Range]:
        """FVD and KVD for the published network only."""
        return dict(zip(_names(self.network), (DISTANCE, ANY), strict=True))

    def of(self, clip: Clip) -> Found:
        """Features (d,). Raises ValueError for a clip shorter than the window and for NaN."""
        row = self.network([clip.window(self.window)])[0]
        if not np.isfinite(row).all():
            raise ValueError(f"{self.network.name} gives NaN or infinity")
        return Found(vector=row)

    def between(
        self, own: Sequence[np.ndarray], reference: Sequence[np.ndarray], fps: float | None
    ) -> dict[str, dict[str, Any]]:
        """`feature_distances` of the vectors as entries of a summary, with a remark where they are few."""
        if len(own) < 2 or len(reference) < 4:
            remark = f"needs 2 clips and 4 reference clips, has {len(own)} and {len(reference)}"
            return {name: {"n": len(own), "remark": remark} for name in self.values}
        found = feature_distances(np.stack(own), np.stack(reference), self.network, fps=fps)
        return {name: result.as_metric() for name, result in found.items()}


def _names(extractor: Extractor) -> tuple[str, str]:
    return ("FVD", "KVD") if extractor.published else (f"FD[{extractor.name}]", f"KD[{extractor.name}]")


def _unless_few(compute: Callable[[], Computed]) -> tuple[Computed | None, str]:
    """What `compute` gives, or None and why there are too few clips for it."""
    try:
        return compute(), ""
    except ValueError as error:
        return None, str(error)


def _floor(x: np.ndarray, y: np.ndarray, seed: int) -> dict[str, float]:
    floor, (low, high) = frechet_floor(x, y, seed=seed)
    sizes = {"floor_n": len(x), "floor_n_reference": len(y) - len(x)}
    return {"floor": floor, "floor_low": low, "floor_high": high, **sizes}


def _at_infinite_n(x: np.ndarray, y: np.ndarray, seed: int) -> dict[str, float]:
    low, high = extrapolated_interval(x, y, seed=seed)
    value = frechet_extrapolated(x, y, seed=seed)[0]
    return {"at_infinite_n": value, "at_infinite_n_low": low, "at_infinite_n_high": high}
