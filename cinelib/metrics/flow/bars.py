"""Bars around a picture, of any colour, on one side or more, with or without a subtitle in them."""

from collections.abc import Sequence

import numpy as np

_ALIKE = 16  # grey levels between the pixels of a bar, over its length and over time
_BLACK = 40
_KEPT = 0.25  # of a line's pixels: what a subtitle leaves of the bar at least, left and right of it
_EDGE = 3  # lines in which a bar turns into picture

Bars = tuple[int, int, int, int]


def bars_of(gray: Sequence[np.ndarray]) -> Bars:
    """Thickness in pixels (top, bottom, left, right) of the bars in luma frames, each (H, W) uint8.

    A bar keeps one level along its length and in all frames, and takes a third of the picture at most. Where
    it ends, most of a line's pixels must leave its colour, or else a blank sky would be one; black on both
    sides needs no such edge, because a night scene has none.
    """
    bright, dark = gray[0], gray[0]
    for plane in gray[1:]:
        bright, dark = np.maximum(bright, plane), np.minimum(dark, plane)
    top, bottom = _both(bright, dark)
    inner = slice(top, len(bright) - bottom)
    return top, bottom, *_both(bright[inner].T, dark[inner].T)


def picture_in(bars: Bars) -> tuple[slice, slice]:
    """Rows and columns of the picture between its bars."""
    top, bottom, left, right = bars
    return slice(top, -bottom or None), slice(left, -right or None)


def _both(bright: np.ndarray, dark: np.ndarray) -> tuple[int, int]:
    """Bars at the first lines and at the last."""
    (first, sharp, black), (last, other_sharp, other_black) = (
        _bar(*pair) for pair in ((bright, dark), (bright[::-1], dark[::-1]))
    )
    framed = black and other_black
    return first * (sharp or framed), last * (other_sharp or framed)


def _bar(bright: np.ndarray, dark: np.ndarray) -> tuple[int, bool, bool]:
    """Lines of the bar at the start, whether it ends sharply, and whether it is black."""
    limit = len(bright) // 3
    level = int(np.median(dark[0]))
    kept = ((bright <= level + _ALIKE) & (dark.astype(int) + _ALIKE >= level)).mean(axis=1)  # (lines,)
    flat = (kept == 1) & (bright.max(axis=1).astype(int) - dark.min(axis=1) <= _ALIKE)
    reach = int(np.argmin(np.append(kept[: limit + 1] >= _KEPT, False)))  # up to here it may be a bar
    width = int(np.flatnonzero(flat[:reach]).max(initial=-1)) + 1
    if not flat[0] or width > limit:
        return 0, False, False
    sharp = bool(kept[width : width + _EDGE].min(initial=1) <= 0.5)
    return width, sharp, bool(bright[:width][:, 0].max() <= _BLACK)
