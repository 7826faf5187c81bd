"""Numbers, sizes and durations as people read them."""

from typing import Any


def number(value: Any) -> str:
    """Four significant digits; whole numbers and text as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return f"{value:.4g}"


def readable_bytes(count: float | None) -> str:
    """`1.5 GiB`; nothing for None."""
    if count is None:
        return ""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return f"{count:.0f} {units[0]}" if units[0] == "B" or count >= 100 else f"{count:.1f} {units[0]}"


def readable_seconds(seconds: float) -> str:
    """`2 min 05 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    hours, rest = divmod(whole, 3600)
    text = f"{rest // 60} min {rest % 60:02d} s"
    return f"{hours} h {text}" if hours else text
