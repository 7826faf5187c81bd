"""From rows to one number a metric: mean, interval and n, distances between sets, and what was left out."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from cinelib.evaluation.measures.features import FeatureMeasure
from cinelib.evaluation.measures.measure import Measure
from cinelib.metrics.frechet import feature_distances
from cinelib.provenance import DECODERS, versions_of
from cinelib.statistics import NO_INTERVAL, mean_interval

_RANGE = {
    "MotionScore": (0.0, 100.0),
    **dict.fromkeys(("D", "C", "camera share", "texture share", "too fast for flow"), (0.0, 1.0)),
    "S": (-1.0, 1.0),
    "mean speed": (0.0, np.inf),
    **dict.fromkeys(("look drift", "light drift", "grade distance", "lighting distance"), (0.0, np.inf)),
    **dict.fromkeys(("key ratio", "local contrast"), (0.0, np.inf)),
}


def of(
    rows: Sequence[dict[str, Any]],
    measures: Sequence[Measure],
    feature: FeatureMeasure | None,
    own: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
) -> dict[str, Any]:
    """`summary` by metric, `provenance` by measure and the `versions` of the packages that were used."""
    entries = {name: _mean(name, rows, measure.name) for measure in measures for name in measure.values}
    provenance = {measure.name: dict(measure.identity) for measure in measures}
    if feature:
        entries |= _distances(feature, rows, own, reference)
        provenance[feature.name] = dict(feature.identity)
    versions = dict(versions_of("cinelib", "numpy", *DECODERS))
    for identity in provenance.values():
        versions |= identity["packages"]
    return {"summary": entries, "provenance": provenance, "versions": dict(sorted(versions.items()))}


def _mean(name: str, rows: Sequence[dict[str, Any]], measure: str) -> dict[str, Any]:
    # Sorted: the order of the files' names changes no bit of the sum.
    values = np.sort([row["values"][name] for row in rows if name in row["values"]])
    entry: dict[str, Any] = {"measure": measure, "n": len(values)}
    if len(values):
        entry["value"] = float(values.mean())
    span = mean_interval(values) if len(values) > 1 else None
    if span is not None:
        low, high = span
        floor, ceiling = _range(name)
        # Student's t of a few values knows nothing of what is possible.
        entry["interval"] = [max(low, floor), min(high, ceiling)]
    elif len(values):
        entry["remark"] = NO_INTERVAL if len(values) > 1 else "one clip: no interval"
    return entry | _left_out(name, rows)


def _range(name: str) -> tuple[float, float]:
    if "clip_t" in name:  # cosines
        return -1.0, 1.0
    if name.endswith("costume margin"):  # difference of two
        return -2.0, 2.0
    if name.startswith(("LPIPS", "PD[")):
        return 0.0, np.inf
    return _RANGE.get(name.split("[raft")[0], (-np.inf, np.inf))


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
    rates = {round(row["fps"], 2) for row in rows if row["fps"]}
    fps = rates.pop() if len(rates) == 1 else None
    found = feature_distances(np.stack(own), np.stack(reference), feature.extractor, fps=fps)
    return {name: {**result.as_metric(), **common} for name, result in found.items()}
