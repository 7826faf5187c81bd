"""Curves, speed-quality frontiers and intervals, labelled where the data is."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from cinelib.show.style import INK, MUTED, STYLE, color, new_figure

Row = tuple[str, float, float, float]  # label, value, low, high


def curves(
    series: Mapping[str, Any],
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    log: bool = False,
    size: tuple[float, float] = (6.5, 3.4),
) -> Figure:
    """Lines named at their ends. A series is `y` or `(x, y)`; `bands` are (low, high) over the same x.

    Raises:
        ValueError: x and y of different lengths.
    """
    figure, (ax,) = new_figure(size=size, title=title)
    ends = []
    with rc_context(STYLE):
        for position, (label, values) in enumerate(series.items()):
            x, y = values if isinstance(values, tuple) else (range(len(values)), values)
            x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
            if x.shape != y.shape or x.size == 0:
                raise ValueError(f"series {label!r}: x {x.shape} and y {y.shape} must match and not be empty")
            shade = color(label, position)
            ax.plot(x, y, color=shade, label=label, marker="o" if x.size <= 12 else None, markersize=4)
            if bands and label in bands:
                ax.fill_between(x, *bands[label], color=shade, alpha=0.15, linewidth=0)
            ends.append((x[-1], y[-1], label, shade))
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        if log:
            ax.set_yscale("log")
        if len(ends) > 1:
            _name_ends(ax, ends)
    return figure


def _name_ends(ax: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    # Labels that would overlap are pushed apart, from the lowest up.
    ax.autoscale_view()
    to_axes = ax.transData + ax.transAxes.inverted()
    floor = -1.0
    for x, y, label, shade in sorted(ends, key=lambda end: end[1]):
        height = max(float(to_axes.transform((x, y))[1]), floor + 0.065)
        floor = height
        place = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
        ax.annotate(label, (1.0, height), (5, 0), color=shade, va="center", fontsize=8.5, **place)


def frontier(
    points: Sequence[tuple[str, float, float]],
    *,
    xlabel: str,
    ylabel: str,
    better: Literal["lower", "higher"] = "lower",
    baseline: str = "",
    title: str = "",
    size: tuple[float, float] = (6.5, 4.0),
) -> Figure:
    """Cost (x, less is better) against quality (y): `points` are (label, x, y).

    The stepped line joins the points that no other beats on both axes; `baseline` is drawn as a square.
    """
    figure, (ax,) = new_figure(size=size, title=title)
    best = pareto([(x, y) for _, x, y in points], better)
    with rc_context(STYLE):
        edge = sorted(points[index][1:] for index in best)
        ax.step(*zip(*edge, strict=True), where="post", color=MUTED, lw=1, ls="--", zorder=1)
        for index, (label, x, y) in enumerate(points):
            shade = color("base") if label == baseline else color("lora" if index in best else "drop")
            marker = "s" if label == baseline else "o" if index in best else "X"
            ax.scatter(x, y, color=shade, marker=marker, s=55, zorder=3, edgecolor="white", linewidth=0.8)
        ax.margins(0.16)
        ax.set_xlabel(xlabel)
        ax.set_ylabel(f"{ylabel}  ({better} is better)")
        _name(ax, points)
    return figure


def _name(ax: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    # each at the first corner of its point where it covers no other name and no point
    ax.figure.draw_without_rendering()  # the layout decides where a name ends
    places = ax.transData.transform([point[1:] for point in points])
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in places]
    for label, x, y in points:
        corners = [
            ax.annotate(label, (x, y), (across, up), textcoords="offset points", fontsize=8, color=INK, ha=ha)
            for across, ha in ((7, "left"), (-7, "right"))
            for up in (4, -11)
        ]
        boxes = [corner.get_window_extent() for corner in corners]
        free = [not any(box.overlaps(other) for other in taken) for box in boxes]
        chosen = free.index(True) if any(free) else 0
        taken.append(boxes[chosen])
        for corner in corners[:chosen] + corners[chosen + 1 :]:
            corner.remove()


def pareto(points: Sequence[tuple[float, float]], better: Literal["lower", "higher"]) -> set[int]:
    """Indices of the points that no other beats: x no higher, y no worse, one of them strictly better."""
    sign = 1 if better == "lower" else -1
    signed = [(x, sign * y) for x, y in points]
    return {
        index
        for index, (x, y) in enumerate(signed)
        if not any(u <= x and v <= y and (u, v) != (x, y) for u, v in signed)
    }


def intervals(
    panels: Mapping[str, Sequence[Row]] | Sequence[Row],
    *,
    xlabel: str = "",
    reference: float | None = None,
    title: str = "",
    columns: int = 3,
    width: float = 2.9,
) -> Figure:
    """Estimates with intervals (a forest plot): rows are (label, value, low, high).

    A mapping draws one small panel per entry, each with its own scale. `reference` is a vertical line
    (no difference, say). Where `low` is NaN there is no interval, and the point is hollow.

    Raises:
        ValueError: no rows, or an interval that does not contain its value.
    """
    named = dict(panels) if isinstance(panels, Mapping) else {"": panels}
    if not named or not all(len(rows) for rows in named.values()):
        raise ValueError("intervals needs at least one row in each panel")
    columns = min(columns, len(named))
    rows = -(-len(named) // columns)
    tallest = max(len(entries) for entries in named.values())
    size = (max(width * columns, 4.5), rows * (0.34 * tallest + 0.85) + (0.35 if title else 0))
    figure, axes = new_figure(rows, columns, size, title)
    for ax in axes[len(named) :]:
        ax.set_axis_off()
    before: list[str] = []
    for position, (ax, (name, entries)) in enumerate(zip(axes, named.items(), strict=False)):
        with rc_context(STYLE):
            _forest(ax, entries, reference)
            ax.set_title(name, fontsize=9)
            ax.set_xlabel(xlabel)
        # Names stand once where neighbours list the same arms: a panel goes by the one at its left.
        names = [row[0] for row in entries]
        if position % columns and names == before:
            ax.set_yticklabels([])
        before = names
    return figure


def _forest(ax: Axes, entries: Sequence[Row], reference: float | None) -> None:
    if reference is not None:
        ax.axvline(reference, color=MUTED, lw=1, ls="--")
    for place, (label, value, low, high) in enumerate(entries):
        sure = not np.isnan(low)  # an interval that cannot be drawn is left out, and its point is hollow
        if sure and not low <= value <= high:
            raise ValueError(f"{label!r}: the interval [{low}, {high}] does not contain {value}")
        shade = color(label, place)
        ax.plot([low, high], [place, place], color=shade, lw=2.4, solid_capstyle="butt")
        face, edge = (shade, "white") if sure else ("white", shade)
        ax.plot(value, place, "o", color=face, markersize=6, markeredgecolor=edge, zorder=3)
    ax.set_yticks(range(len(entries)), [row[0] for row in entries])
    ax.set_ylim(len(entries) - 0.5, -0.5)
    ax.grid(False, axis="y")
    ax.margins(x=0.12)
    ax.locator_params(axis="x", nbins=5)
