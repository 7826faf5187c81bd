"""What happens inside the decoder process: the facts of a file, and clips cut out of it.

Every function here is meant for `isolation.Child.call`.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cinelib.preparation.isolation import brief
from cinelib.preparation.reader import (
    Picture,
    Reader,
    Undecodable,
    container_of,
    picture_stream,
    progressive,
    upright,
)


def probe(path: str) -> dict[str, Any]:
    """Container, codec, size as shown, rotation, declared rate, timestamps, duration, audio, colours.

    Only the first frame is decoded. `times` come from the packets' stamps; a scan corrects them where a file
    is odd.
    """
    from cinelib.preparation import colour

    if not os.access(path, os.R_OK):
        raise PermissionError("permission denied")
    if Path(path).stat().st_size == 0:
        raise ValueError("empty file (zero bytes)")
    if _is_moving_webp(path):
        raise Undecodable("an animated WebP, which FFmpeg does not decode: make a video of it")
    first = next(reading := Reader(path).pictures()).frame
    reading.close()
    with container_of(path) as container:
        stream = picture_stream(container)
        context = stream.codec_context
        aspect = float(stream.sample_aspect_ratio or 1)
        declared = container.duration / 1e6 if container.duration else None
        facts: dict[str, Any] = {
            "container": container.format.name,
            "codec": context.name,
            "pixel_format": context.pix_fmt or "",
            "audio": bool(container.streams.audio),
            "declared_fps": float(stream.average_rate) if stream.average_rate else None,
            "declared_seconds": declared,
        }
        alpha = "alpha_mode" in stream.metadata or _has_alpha(context.pix_fmt or "")
        times, notes = _packet_times(container, stream)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / (facts["declared_fps"] or 24)
    seconds = float(times[-1] + step)
    upright = first.rotation % 180 == 0
    height, width = (first.height, first.width) if upright else (first.width, first.height)
    if declared and declared > seconds + max(1.0, 0.1 * seconds) and not facts["audio"]:
        notes.append(f"the header promises {declared:.2f} s, only {seconds:.2f} s are there")
    notes += colour.remarks(first)
    if first.interlaced_frame:
        notes.append("interlaced: deinterlaced (bwdif), a picture for each pair of fields")
    if alpha:
        notes.append("alpha: transparency is ignored, the colours are taken as stored")
    return {
        **facts,
        "pixel_aspect": aspect if upright else 1 / aspect,
        "height": height,
        "width": width,
        "rotation": first.rotation,
        "notes": tuple(notes),
        "times": times,
        "seconds": seconds,
    }


def _packet_times(container: Any, stream: Any) -> tuple[np.ndarray, list[str]]:
    """Seconds of every frame by the packets' stamps, without those that an edit list leaves out."""
    import av

    stamps: list[int] = []
    notes: list[str] = []
    count = 0
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                count += 1
                if packet.pts is not None:
                    stamps.append(packet.pts)
    except av.error.FFmpegError as error:
        notes.append(f"the file ends in the middle: {brief(error)}")
    times = np.unique(np.array(stamps, dtype=np.int64)) * float(stream.time_base or 0)
    rate = float(stream.average_rate or 24)
    if len(times) < 0.75 * count:  # no stamps, or the same ones twice: recordings one behind the other
        times = np.arange(max(count, 1)) / rate
    return times - times[0], notes


def _has_alpha(pixel_format: str) -> bool:
    return pixel_format.startswith(("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya"))


def _is_moving_webp(path: str) -> bool:
    with Path(path).open("rb") as stream:
        head = stream.read(21)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def clip(
    path: str,
    instants: Sequence[float],
    box: tuple[float, float, float, float],
    height: int,
    width: int,
    size: tuple[int, int] | None = None,
    seekable: bool = False,
) -> np.ndarray:
    """The frames whose times are `instants` (ascending, repeats allowed), cut to `box`: (T, height, width,
    3) uint8.

    `box`: left, top, right, bottom in pixels of a picture of `size` (height, width); a frame of another size
    is cut in proportion. Lanczos with support scaled to the reduction, that is antialiased, at sub-pixel
    positions.

    Raises:
        ValueError: the file no longer has a frame at one of them.
    """
    from PIL import Image

    out = np.empty((len(instants), height, width, 3), np.uint8)
    filled = 0
    for picture in _nearest(path, instants, seekable):
        pixels = upright(picture)
        tall, wide = size or pixels.shape[:2]
        scale = (pixels.shape[1] / wide, pixels.shape[0] / tall) * 2
        part = tuple(edge * by for edge, by in zip(box, scale, strict=True))
        resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS, box=part)
        out[filled], filled = np.asarray(resized), filled + 1
        while filled < len(instants) and instants[filled] <= instants[filled - 1]:
            out[filled], filled = out[filled - 1], filled + 1
    if filled < len(instants):
        raise ValueError(f"there is no frame at {instants[filled]:.3f} s any more")
    return out


def opening(path: str, seconds: float, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """All frames shown in the first `seconds`, whole, and their times: (T, height, width, 3) uint8, (T,)."""
    from PIL import Image

    times, frames = [], []
    for picture in progressive(Reader(path).pictures()):
        if picture.time > seconds + 1e-6:
            break
        times.append(picture.time)
        frame = Image.fromarray(upright(picture))
        if frame.size != (width, height):
            frame = frame.resize((width, height), Image.Resampling.LANCZOS)
        frames.append(np.asarray(frame))
    return np.stack(frames), np.array(times)


def _nearest(path: str, instants: Sequence[float], seekable: bool) -> Iterator[Picture]:
    """A picture for each different instant, within a millisecond of it."""
    wanted = sorted(set(instants))
    start = wanted[0] if seekable else 0.0
    for picture in progressive(Reader(path).pictures(start)):
        if start and picture.time > wanted[0] + 1e-3:  # the seek went too far: read it all
            yield from _nearest(path, instants, seekable=False)
            return
        start = 0.0
        if abs(picture.time - wanted[0]) <= 1e-3:
            yield picture
            wanted.pop(0)
        if not wanted:
            return
