"""HTML made of other people's words: file names, captions, scene texts. All of it goes through `escape`."""

import html
from numbers import Number
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler


def escape(value: object) -> str:
    """`value` as text that HTML shows and never obeys, between tags and in quoted attributes."""
    return html.escape(str(value), quote=True)


def table(frame: "pd.DataFrame") -> "Styler":
    """What `frame.style` is, with every word escaped: cells, labels and column names. Numbers stay."""
    safe = frame.map(_cell)
    safe.index, safe.columns = (_axis(axis) for axis in (frame.index, frame.columns))
    return safe.style


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, Number) else escape(value)


def _axis(axis: "pd.Index") -> "pd.Index":
    labels = axis.map(lambda label: tuple(map(_cell, label)) if isinstance(label, tuple) else _cell(label))
    return labels.set_names([None if name is None else _cell(name) for name in axis.names])
