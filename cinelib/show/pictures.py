"""Frames on a page: contact sheets, film strips with motion, before-and-after rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from cinelib.show.style import COLORS, INK, MUTED, new_figure

Upscale = Literal["lanczos", "nearest"]
_PLAIN: dict[str, Any] = {"fontweight": "normal", "parse_math": False}  # a name with $ in it is no formula
_MAX_TILE = 480  # pixels across: more only makes the saved notebook heavier


def as_frame(item: Any) -> np.ndarray:
    """One RGB frame (H, W, 3) uint8 from a frame, a clip (its middle), a PIL image or a file.

    Raises:
        ValueError: any other shape, or float values outside [0, 1].
    """
    if isinstance(item, str | Path):
        item = as_clip(item)
    array = np.asarray(item)
    if array.ndim == 4 and len(array):
        array = array[len(array) // 2]
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=-1)
    if array.ndim != 3 or array.shape[-1] not in (3, 4):
        raise ValueError(f"a frame is (H, W, 3) and a clip (T, H, W, 3), got {array.shape}")
    array = array[..., :3]
    if array.dtype == np.uint8:
        return array
    if not np.isfinite(array).all() or array.min() < -1e-3 or array.max() > 1 + 1e-3:
        raise ValueError(f"float frames lie in [0, 1], got {array.min():.3g} to {array.max():.3g}")
    return (np.clip(array, 0, 1) * 255).round().astype(np.uint8)


def as_clip(item: Any) -> np.ndarray:
    """A clip (T, H, W, 3) uint8 from an array, a list of frames, a still or a file."""
    if isinstance(item, str | Path):
        if Path(item).suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
            return np.asarray(Image.open(item).convert("RGB"))[None]
        from cinelib.video import read_video

        return read_video(item)[0]
    frames = item if np.ndim(item) == 4 or isinstance(item, list | tuple) else [item]
    return np.stack([as_frame(frame) for frame in frames])


def _draw(axes: Axes, frame: np.ndarray, upscale: Upscale) -> None:
    height, width = frame.shape[:2]
    if width > _MAX_TILE:
        size = (_MAX_TILE, max(1, round(height * _MAX_TILE / width)))
        frame = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
    axes.imshow(frame, interpolation=upscale)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _tiles(rows: int, columns: int, size: tuple[float, float], title: str) -> tuple[Figure, list[Axes]]:
    figure, axes = new_figure(rows, columns, size, title)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    return figure, axes


def _border(axes: Axes, colour: str) -> None:
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=colour, linewidth=2.5)


def contact_sheet(
    items: Sequence[Any],
    titles: Sequence[str] = (),
    *,
    keep: Sequence[bool] = (),
    columns: int = 0,
    title: str = "",
    tile: float = 1.55,
    upscale: Upscale = "lanczos",
) -> Figure:
    """A grid of frames or clips (shown by their middle frame).

    `keep` marks each tile: a coloured border, and what is dropped is greyed and crossed out.

    Raises:
        ValueError: no items, or `titles`/`keep` of another length.
    """
    if not len(items):
        raise ValueError("a contact sheet needs at least one frame")
    for name, values in (("titles", titles), ("keep", keep)):
        if len(values) not in (0, len(items)):
            raise ValueError(f"{len(values)} {name} for {len(items)} items")
    frames = [as_frame(item) for item in items]
    columns = columns or min(len(frames), 6)
    rows = -(-len(frames) // columns)
    aspect = float(np.median([frame.shape[0] / frame.shape[1] for frame in frames]))
    lines = max((text.count("\n") + 1 for text in titles), default=0)
    size = (tile * columns, rows * (tile * aspect + 0.17 * lines + 0.06) + (0.35 if title else 0))
    figure, axes = _tiles(rows, columns, size, title)
    for index, ax in enumerate(axes):
        if index >= len(frames):
            ax.set_axis_off()
            continue
        dropped = bool(len(keep)) and not keep[index]
        _draw(ax, _greyed(frames[index]) if dropped else frames[index], upscale)
        if len(keep):
            _border(ax, COLORS["drop" if dropped else "keep"])
        if dropped:
            ax.plot([0, 1], [0, 1], color=COLORS["drop"], lw=1.5, transform=ax.transAxes)
        if len(titles):
            pad = 4 if len(keep) else 2  # the border of a marked tile is thick
            ax.set_title(titles[index], **_PLAIN, fontsize=7, color=INK, loc="left", pad=pad)
    return figure


def _greyed(frame: np.ndarray) -> np.ndarray:
    grey = frame.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    return (0.55 * grey + 0.45 * 255).astype(np.uint8)


def _sample(length: int, count: int) -> np.ndarray:
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int))


def filmstrip(
    frames: Any,
    n: int = 8,
    *,
    flow: np.ndarray | None = None,
    marks: Mapping[int, str] | None = None,
    fps: float = 0.0,
    title: str = "",
    tile: float = 1.25,
    upscale: Upscale = "lanczos",
) -> Figure:
    """`n` frames of a clip (T, H, W, 3) in a row; below, where things move.

    `flow` is (T-1, H, W, 2) in pixels per frame, x to the right and y down; its arrows are drawn to one
    scale over the whole strip. `marks` names frames (a keyframe, say), which then get a border.

    Raises:
        ValueError: a flow whose shape does not belong to the frames.
    """
    clip = as_clip(frames)
    length, height, width = clip.shape[:3]
    if flow is not None and flow.shape != (length - 1, height, width, 2):
        raise ValueError(f"flow must be {(length - 1, height, width, 2)}, got {flow.shape}")
    chosen = sorted(set(_sample(length, n)) | set(marks or {}))
    rows = 1 if flow is None else 2
    size = (tile * len(chosen), rows * (tile * height / width + 0.06) + 0.22 + (0.35 if title else 0))
    figure, axes = _tiles(rows, len(chosen), size, title)
    for column, index in enumerate(chosen):
        label = f"{index / fps:.2f} s" if fps else f"frame {index}"
        _draw(axes[column], clip[index], upscale)
        if marks and index in marks:
            label = f"{marks[index]}, {label}"
            _border(axes[column], COLORS["lora"])
        axes[column].set_title(label, **_PLAIN, fontsize=7, loc="left", pad=2)
        if flow is not None:
            peak = float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), 99))
            ax = axes[len(chosen) + column]
            _draw(ax, _greyed(clip[index]), upscale)
            if index < length - 1:
                _arrows(ax, flow[index], peak)
    return figure


def _arrows(axes: Axes, flow: np.ndarray, peak: float) -> None:
    height, width = flow.shape[:2]
    step = max(1, width // 10)
    y, x = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    longest = 0.9 * step / max(peak, 0.05)  # below 0.05 px/frame noise would fill the picture
    u, v = flow[y, x, 0] * longest, flow[y, x, 1] * longest
    axes.quiver(x, y, u, v, angles="xy", scale_units="xy", scale=1, color=COLORS["lora"], width=0.012)


def before_after(
    rows: Sequence[Any],
    labels: Sequence[str],
    *,
    n: int = 6,
    title: str = "",
    tile: float = 1.25,
    upscale: Upscale = "lanczos",
) -> Figure:
    """One row of `n` frames per clip, the same instants in each, named at the left.

    Raises:
        ValueError: as many labels as rows are needed.
    """
    clips = [as_clip(row) for row in rows]
    if len(clips) != len(labels) or not clips:
        raise ValueError(f"{len(labels)} labels for {len(clips)} rows")
    chosen = _sample(min(len(clip) for clip in clips), n)
    aspect = clips[0].shape[1] / clips[0].shape[2]
    size = (tile * len(chosen) + 1.1, len(clips) * (tile * aspect + 0.05) + 0.2 + (0.35 if title else 0))
    figure, axes = _tiles(len(clips), len(chosen), size, title)
    for row, (clip, label) in enumerate(zip(clips, labels, strict=True)):
        for column, index in enumerate(chosen):
            _draw(axes[row * len(chosen) + column], clip[index], upscale)
        first = axes[row * len(chosen)]
        first.set_ylabel(
            label, parse_math=False, rotation=0, ha="right", va="center", fontsize=8.5, color=INK, labelpad=6
        )
    for ax, index in zip(axes, chosen, strict=False):
        ax.set_title(f"frame {index}", fontsize=7, fontweight="normal", color=MUTED, loc="left", pad=2)
    return figure
