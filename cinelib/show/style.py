"""One typography and one palette: Okabe and Ito's, told apart with any colour vision."""

from typing import Any

from IPython import get_ipython
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import print_figure
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


def _holds_photographs(figure: Figure) -> bool:
    images = (image for axes in figure.axes for image in axes.images)
    return any(image.get_array().ndim == 3 for image in images)


def _as_png(figure: Figure) -> str | None:
    return None if _holds_photographs(figure) else print_figure(figure, "png", base64=True)


def _as_jpeg(figure: Figure) -> str | None:
    # A contact sheet is a sixth of its PNG: saved notebooks stay small enough to share.
    if not _holds_photographs(figure):
        return None
    return print_figure(figure, "jpeg", base64=True, pil_kwargs={"quality": 88})


def register(formatter: DisplayFormatter) -> None:
    """Teach a notebook's formatter to show a Figure: photographs as JPEG, drawings as PNG."""
    formatter.formatters["image/png"].for_type(Figure, _as_png)
    formatter.formatters["image/jpeg"].for_type(Figure, _as_jpeg)


# A notebook learns it by itself only when pyplot draws a figure, which these figures do without.
if (_shell := get_ipython()) is not None:
    register(_shell.display_formatter)


def color(label: str, position: int = 0) -> str:
    """The colour of an arm known by name, else the palette's colour at `position`."""
    return COLORS.get(label.lower(), CYCLE[position % len(CYCLE)])


def styled() -> Any:
    """The course's style for a figure that a notebook composes itself: `with styled():` or `@styled()`."""
    return rc_context(STYLE)


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
