"""From rows to one number a metric: mean, interval and n, distances between sets, and what was left out."""

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from cinelib.metrics.frechet import feature_distances
from cinelib.scoring.measures import FeatureMeasure, Measure
from cinelib.statistics import mean_interval

_RANGE = {
    "MotionScore": (0.0, 100.0),
    **dict.fromkeys(("D", "C", "camera share", "texture share", "too fast for flow"), (0.0, 1.0)),
    "S": (-1.0, 1.0),
    "mean speed": (0.0, np.inf),
    **dict.fromkeys(("look drift", "light drift", "grade distance", "lighting distance"), (0.0, np.inf)),
}
_PACKAGES = ("cinelib", "numpy", "opencv-python-headless", "torch")


def of(
    rows: Sequence[dict[str, Any]],
    measures: Sequence[Measure],
    feature: FeatureMeasure | None,
    own: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
) -> dict[str, Any]:
    """`summary` by metric, `notes` on the set, `provenance` by measure and the `versions` of packages."""
    entries = {name: _mean(name, rows, measure.name) for measure in measures for name in measure.values}
    provenance = {measure.name: dict(measure.identity) for measure in measures}
    if feature:
        entries |= _distances(feature, rows, own, reference)
        provenance[feature.name] = dict(feature.identity)
    versions = {name: version(name) for name in _PACKAGES}
    return {"summary": entries, "notes": _notes(rows), "provenance": provenance, "versions": versions}


def _mean(name: str, rows: Sequence[dict[str, Any]], measure: str) -> dict[str, Any]:
    values = np.array([row["values"][name] for row in rows if name in row["values"]])
    entry: dict[str, Any] = {"measure": measure, "n": len(values)}
    if len(values):
        entry["value"] = float(values.mean())
    if len(values) > 1:
        low, high = mean_interval(values)
        floor, ceiling = _RANGE.get(name, (-np.inf, np.inf))
        # Student's t of a few values knows nothing of what is possible.
        entry["interval"] = [max(low, floor), min(high, ceiling)]
    elif len(values) == 1:
        entry["remark"] = "one clip: no interval"
    return entry | _left_out(name, rows)


def _left_out(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    reasons = Counter(row["excluded"][name] for row in rows if name in row["excluded"])
    return {"excluded": dict(sorted(reasons.items()))} if reasons else {}


def _distances(
    feature: FeatureMeasure,
    rows: Sequence[dict[str, Any]],
    own: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
) -> dict[str, Any]:
    common = {"measure": feature.name, **_left_out(feature.values[0], rows)}
    if len(own) < 2 or len(reference) < 4:
        remark = f"needs 2 clips and 4 reference clips, has {len(own)} and {len(reference)}"
        return {name: {"n": len(own), "remark": remark, **common} for name in feature.values}
    found = feature_distances(np.stack(own), np.stack(reference), feature.extractor)
    return {name: {**result.as_metric(), **common} for name, result in found.items()}


def _notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    sizes = sorted({(row["width"], row["height"]) for row in rows})
    rates = sorted({round(row["fps"], 1) for row in rows if row["fps"]})
    notes = []
    if len(sizes) > 1:
        shown = ", ".join(f"{width}x{height}" for width, height in sizes)
        notes.append(f"mixed sizes ({shown}): every metric brings clips to one size")
    if len(rates) > 1:
        shown = ", ".join(f"{rate:g}" for rate in rates)
        notes.append(f"mixed frame rates ({shown}): motion and windows go by the frames' true times")
    return notes
