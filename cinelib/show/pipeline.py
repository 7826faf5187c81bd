"""The method as a picture: pixels become latents, latents become tokens, and back."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from cinelib.show.pictures import as_frame
from cinelib.show.style import CYCLE, INK, MUTED, new_figure
from cinelib.wan.geometry import Geometry

_PIXELS, _LATENTS, _TOKENS = CYCLE[2], CYCLE[0], CYCLE[4]
_COLUMNS = (0.0, 1.85, 3.6, 5.2, 9.0, 10.75)  # left edges, in units of the drawing
_WIDTH, _DIT = 1.0, (6.65, 1.9)


def pipeline(models: Mapping[str, Geometry], first_frame: Any = None, title: str = "") -> Figure:
    """One row per model: each array on its way as a block (height: logarithm of its numbers) with its shape.

    `first_frame` (H, W, 3) is drawn on the first block.
    """
    tops = [max(_height(shape) for _, shape, _ in _blocks(clip)) + 0.3 for clip in models.values()]
    size = (11, 1.05 * sum(top + 0.55 for top in tops))
    figure, axes = new_figure(len(models), 1, size, title, height_ratios=[top + 0.55 for top in tops])
    for ax, (name, clip) in zip(axes, models.items(), strict=True):
        _row(ax, name, clip, first_frame)
        ax.set(xlim=(-0.1, _COLUMNS[-1] + _WIDTH + 0.1), aspect="auto")
    for ax, top in zip(axes, tops, strict=True):
        ax.set_ylim(-0.55, top)
    return figure


def _height(shape: tuple[int, ...]) -> float:
    return 0.28 * max(1.0, math.log10(math.prod(shape)) - 1.2)


def _blocks(clip: Geometry) -> list[tuple[str, tuple[int, ...], str]]:
    return [
        ("first frame", (3, 1, *clip.pixels[2:]), _PIXELS),
        ("its latents\nand a mask", (clip.model_input[0] - clip.latents[0], *clip.latents[1:]), _LATENTS),
        ("with noise", clip.model_input, _LATENTS),
        ("tokens", (clip.tokens, clip.width_of_model), _TOKENS),
        ("clean latents", clip.latents, _LATENTS),
        ("clip", clip.pixels, _PIXELS),
    ]


def _row(ax: Axes, name: str, clip: Geometry, first_frame: Any) -> None:
    ax.set_axis_off()
    ax.set_title(name, fontsize=10, loc="left")
    heights = []
    for left, (label, shape, colour) in zip(_COLUMNS, _blocks(clip), strict=True):
        height = _height(shape)
        heights.append(height)
        box = FancyBboxPatch(
            (left, 0),
            _WIDTH,
            height,
            boxstyle="round,pad=0,rounding_size=0.06",
            fc=colour,
            ec="none",
            alpha=0.9,
        )
        ax.add_patch(box)
        ax.text(left + _WIDTH / 2, -0.1, label, ha="center", va="top", fontsize=8.5, color=INK)
        size = " × ".join(f"{side:,}" for side in shape)
        ax.text(left + _WIDTH / 2, height + 0.06, size, ha="center", va="bottom", fontsize=7.5, color=INK)
    if first_frame is not None:
        frame = as_frame(first_frame)
        tall = min(heights[0], 0.9 * _WIDTH * frame.shape[0] / frame.shape[1])
        middle = heights[0] / 2
        ax.imshow(frame, extent=(0.05, 0.95, middle - tall / 2, middle + tall / 2), zorder=3)
    _transformer(ax, clip)
    time, space = clip.compression
    _arrow(ax, _COLUMNS[0] + _WIDTH, _COLUMNS[1], f"VAE encoder\n÷{time} in time\n÷{space} in space")
    _arrow(ax, _COLUMNS[1] + _WIDTH, _COLUMNS[2], f"+ {clip.latents[0]} channels\nof noise")
    patch = "×".join(map(str, clip.configs["transformer"]["patch_size"]))
    _arrow(ax, _COLUMNS[2] + _WIDTH, _COLUMNS[3], f"patches\n{patch}")
    _arrow(ax, _COLUMNS[3] + _WIDTH, _DIT[0], "")
    _arrow(ax, sum(_DIT), _COLUMNS[4], "")
    _arrow(ax, _COLUMNS[4] + _WIDTH, _COLUMNS[5], "VAE\ndecoder")


def _transformer(ax: Axes, clip: Geometry) -> None:
    left, width = _DIT
    from cinelib.wan import layers  # loads diffusers

    weights = layers.count("transformer", clip.configs["transformer"])
    size = f"{weights / 1e9:.1f} billion" if weights > 1e9 else f"{weights / 1e6:.1f} million"
    depth = clip.configs["transformer"]["num_layers"]
    style = "round,pad=0,rounding_size=0.06"
    ax.add_patch(FancyBboxPatch((left, 0), width, 0.75, boxstyle=style, fc=INK, ec="none"))
    text = f"diffusion transformer\n{depth} layers, {size} weights\nrun at every sampler step"
    ax.text(left + width / 2, 0.375, text, ha="center", va="center", fontsize=7.5, color="white")
    words = f"looks at {clip.text_tokens} text tokens\nand {clip.image_tokens} tokens of the first frame"
    ax.text(left + width / 2, -0.1, words, ha="center", va="top", fontsize=7.5, color=MUTED)


def _arrow(ax: Axes, start: float, end: float, label: str) -> None:
    line = ((start + 0.04, 0.35), (end - 0.04, 0.35))
    ax.add_patch(
        FancyArrowPatch(*line, arrowstyle="-|>", mutation_scale=9, shrinkA=0, shrinkB=0, color=MUTED)
    )
    ax.text((start + end) / 2, 0.45, label, ha="center", va="bottom", fontsize=6.8, color=MUTED)
