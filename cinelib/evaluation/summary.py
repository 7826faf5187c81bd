"""From rows to one number a metric: mean, interval and n, distances between sets, and what was left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cinelib.metrics.metric import Metric, Range
from cinelib.provenance import DECODERS, versions_of
from cinelib.statistics import mean_interval, why_no_interval

Rows = Sequence[dict[str, Any]]


def of(
    rows: Rows,
    identified: Sequence[tuple[Metric, Mapping[str, Any]]],
    own: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
) -> dict[str, Any]:
    """`summary` by number, `provenance` by metric and the `versions` of the packages that were used."""
    entries: dict[str, Any] = {}
    for metric, _ in identified:
        if metric.of_sets:
            entries |= _distances(metric, rows, own, reference)
        else:
            entries |= {name: _mean(name, span, rows, metric.name) for name, span in metric.values.items()}
    versions = dict(versions_of("cinelib", "numpy", *DECODERS))
    for _, identity in identified:
        versions |= identity["packages"]
    provenance = {metric.name: dict(identity) for metric, identity in identified}
    return {"summary": entries, "provenance": provenance, "versions": dict(sorted(versions.items()))}


def _mean(name: str, span: Range, rows: Rows, metric: str) -> dict[str, Any]:
    # Sorted: the order of the files' names changes no bit of the sum.
    values = np.sort([row["values"][name] for row in rows if name in row["values"]])
    entry: dict[str, Any] = {"measure": metric, "n": len(values)}
    if len(values):
        entry["value"] = float(values.mean())
    found = mean_interval(values, within=span) if len(values) > 1 else None
    if found is not None:
        entry["interval"] = list(found)
    elif len(values):
        entry["remark"] = why_no_interval(values, within=span) if len(values) > 1 else "one clip: no interval"
    return entry | _left_out(name, rows)


def _left_out(name: str, rows: Rows) -> dict[str, Any]:
    reasons = Counter(row["excluded"][name] for row in rows if name in row["excluded"])
    return {"excluded": dict(sorted(reasons.items()))} if reasons else {}


def _distances(
    metric: Metric, rows: Rows, own: Sequence[np.ndarray], reference: Sequence[np.ndarray]
) -> dict[str, Any]:
    rates = {round(row["fps"], 2) for row in rows if row["fps"]}
    found = metric.between(own, reference, rates.pop() if len(rates) == 1 else None)
    return {name: {**entry, "measure": metric.name, **_left_out(name, rows)} for name, entry in found.items()}
