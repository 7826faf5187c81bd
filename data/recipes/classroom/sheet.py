"""The contact sheet of the model card: uncurated samples under one another with the real scenes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cinelib.show.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES = 4  # of each clip, evenly from the first to the last


def samples_sheet(
    made: Sequence[np.ndarray], real: Sequence[np.ndarray], captions: Sequence[str], columns: int = 2
) -> "Figure":
    """Per scene its caption, a strip of the generated clip and a strip of the real one, (T, H, W, 3) each."""
    rows = -(-len(captions) // columns)
    figure, axes = new_figure(rows, columns, size=(7.2 * columns, 2.35 * rows))
    for ax, generated, shot, caption in zip(axes, made, real, captions, strict=False):
        ax.imshow(_pair(generated, shot), interpolation="nearest")
        ax.set_title(caption, fontsize=7.5, loc="left", fontweight="normal")
    for ax in axes:
        ax.set_axis_off()
    return figure


def _pair(made: np.ndarray, real: np.ndarray) -> np.ndarray:
    gap = np.full((2, FRAMES * made.shape[2], 3), 255, np.uint8)
    return np.concatenate([_strip(made), gap, _strip(real)])


def _strip(clip: np.ndarray) -> np.ndarray:
    at = np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)
    return np.concatenate(list(clip[at]), axis=1)
