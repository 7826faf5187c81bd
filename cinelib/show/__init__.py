"""What the reader sees: contact sheets, film strips, players, sliders and plots in one style.

Every drawing function returns a `matplotlib.figure.Figure` that is not registered with pyplot, so a
notebook shows it once, when it is a cell's last expression or passed to `display`.
"""

from cinelib.show.markup import escape, table
from cinelib.show.pictures import before_after, contact_sheet, filmstrip
from cinelib.show.pipeline import pipeline
from cinelib.show.players import compare_slider, play
from cinelib.show.plots import curves, frontier, intervals
from cinelib.show.style import COLORS, color, new_figure, styled

__all__ = [
    "COLORS",
    "before_after",
    "color",
    "compare_slider",
    "contact_sheet",
    "curves",
    "escape",
    "filmstrip",
    "frontier",
    "intervals",
    "new_figure",
    "pipeline",
    "play",
    "styled",
    "table",
]
