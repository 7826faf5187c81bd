"""One typography and one palette: Okabe and Ito's, told apart with any colour vision."""

from typing import Any

from IPython import get_ipython
from IPython.core.pylabtools import select_figure_formats
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1b1f24", "#5f6b7a", "#d9dee5", "#ffffff"
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5f6b7a")

# The arms of every comparison keep one colour through the whole course.
COLORS = {
    "base": "#5f6b7a",
    "lora": "#0072B2",
    "control": "#D55E00",
    "negative control": "#D55E00",
    "real": "#009E73",
    "keep": "#009E73",
    "drop": "#D55E00",
}

STYLE: dict[str, Any] = {
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
}

# A notebook learns how to display a Figure only when pyplot draws one, which these figures do without.
if (_shell := get_ipython()) is not None:
    select_figure_formats(_shell, {"png"}, bbox_inches="tight")


def color(label: str, position: int = 0) -> str:
    """The colour of an arm known by name, else the palette's colour at `position`."""
    return COLORS.get(label.lower(), CYCLE[position % len(CYCLE)])


def new_figure(
    rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.0, 4.0), title: str = "", **subplots: Any
) -> tuple[Figure, list[Axes]]:
    """A figure in the course's style and its axes in reading order; `size` in inches."""
    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **subplots)
        if title:
            figure.suptitle(title, x=0.01, ha="left")
    return figure, list(axes.flat)
