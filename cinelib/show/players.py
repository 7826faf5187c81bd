"""Playable clips and sliders over precomputed pictures; neither needs a kernel to be looked at."""

import base64
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cinelib.show.markup import escape
from cinelib.show.pictures import as_clip, as_frame

if TYPE_CHECKING:
    from IPython.display import HTML

_BROWSER = {".mp4", ".m4v", ".webm"}


def play(
    clips: Any,
    *,
    fps: float = 16.0,
    width: int = 320,
    title: str = "",
    max_bytes: int = 400_000,
    smooth: bool = True,
) -> "HTML":
    """A player for a file or frames (T, H, W, 3); a mapping of names to clips plays them side by side.

    The clip travels inside the notebook. What is larger than `max_bytes` (all clips together) is encoded
    again, smaller; `width` is only the size on screen, `smooth=False` shows the model's own pixels.

    Raises:
        ValueError: a clip that does not fit even when shrunk.
    """
    from IPython.display import HTML

    named = dict(clips) if isinstance(clips, Mapping) else {title: clips}
    share = max_bytes // max(1, len(named))
    players = [_figure(name, _encoded(clip, fps, share), width, smooth) for name, clip in named.items()]
    return HTML(f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(players)}</div>')


def _figure(name: str, data: bytes, width: int, smooth: bool) -> str:
    uri = "data:video/mp4;base64," + base64.b64encode(data).decode()
    rendering = "auto" if smooth else "pixelated"
    caption = f'<figcaption style="font:13px sans-serif">{escape(name)}</figcaption>' if name else ""
    return (
        f'<figure style="margin:0;width:{width}px">{caption}<video src="{uri}" width="{width}" '
        f'style="image-rendering:{rendering}" autoplay loop muted playsinline controls></video></figure>'
    )


def _encoded(clip: Any, fps: float, max_bytes: int) -> bytes:
    from cinelib.video import read_video, write_video

    if isinstance(clip, str | Path):
        path = Path(clip)
        if path.suffix.lower() in _BROWSER and path.stat().st_size <= max_bytes:
            return path.read_bytes()
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            frames, fps = read_video(path)
            clip = frames
    frames = _even(as_clip(clip))
    with tempfile.TemporaryDirectory() as folder:
        for crf, scale in ((18, 1.0), (24, 1.0), (28, 0.5), (32, 0.25)):
            data = write_video(Path(folder) / "clip.mp4", _scaled(frames, scale), fps, crf).read_bytes()
            if len(data) <= max_bytes:
                return data
    raise ValueError(f"{len(frames)} frames take {len(data):,} bytes at least, more than {max_bytes:,}")


def _even(frames: np.ndarray) -> np.ndarray:
    pad = [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)]
    return np.pad(frames, pad, mode="edge")


def _scaled(frames: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1.0:
        return frames
    size = tuple(max(2, round(side * scale / 2) * 2) for side in (frames.shape[2], frames.shape[1]))
    return np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames])


def compare_slider(
    items: Sequence[Any],
    labels: Sequence[str],
    *,
    description: str = "",
    start: int = 0,
    width: int = 480,
    fps: float = 16.0,
    max_bytes: int = 600_000,
) -> Any:
    """A slider over precomputed pictures, figures or clips: an ipywidgets box.

    Slider and pictures are linked in the browser, so it also works in a saved notebook. Without a front
    end it shows the item at `start`: its output carries that picture beside the widget.

    Raises:
        ValueError: no items, another number of labels, or `start` out of range.
    """
    import ipywidgets

    if not len(items) or len(items) != len(labels):
        raise ValueError(f"{len(labels)} labels for {len(items)} items")
    if not 0 <= start < len(items):
        raise ValueError(f"start {start} is not one of the {len(items)} items")
    share = max_bytes // len(items)
    pages = [_page(item, width, fps, share) for item in items]
    options = [(label, index) for index, label in enumerate(labels)]
    layout = ipywidgets.Layout(width=f"{width}px")
    slider = ipywidgets.SelectionSlider(options=options, value=start, description=description, layout=layout)
    stack = ipywidgets.Stack(pages, selected_index=start)
    ipywidgets.jslink((slider, "index"), (stack, "selected_index"))
    box = _box_class()([slider, stack])
    box.still = _still(items[start], width)
    return box


def _box_class() -> type:
    import ipywidgets

    class SliderBox(ipywidgets.VBox):
        """A box whose output also holds a still, for readers without widgets."""

        still: bytes = b""

        def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
            bundle = super()._repr_mimebundle_(**options)
            return {**bundle, "image/jpeg": base64.b64encode(self.still).decode()}

    return SliderBox


def _page(item: Any, width: int, fps: float, max_bytes: int) -> Any:
    import ipywidgets

    moving = not isinstance(item, Figure) and (np.ndim(item) == 4 or str(item).lower().endswith(".mp4"))
    if moving:
        return ipywidgets.HTML(_figure("", _encoded(item, fps, max_bytes), width, smooth=True))
    return ipywidgets.Image(value=_still(item, width), format="jpeg")


def _still(item: Any, width: int) -> bytes:
    if isinstance(item, Figure):
        buffer = io.BytesIO()
        item.savefig(buffer, format="png", dpi=110)
        picture = Image.open(buffer).convert("RGB")  # at its own size: text does not survive resizing
    else:
        picture = Image.fromarray(as_frame(item))
        height = max(1, round(picture.height * width / picture.width))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
