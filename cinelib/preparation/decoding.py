"""What happens inside the decoder process: open a file, know its true timestamps, hand out frames.

Every function here is meant for `isolation.Child.call`; nothing else in cinelib imports decord.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cinelib.preparation.isolation import brief

CHUNK_BYTES = 128 << 20  # decoded pixels held at once


class Undecodable(ValueError):
    """Neither decord nor PyAV reads the file's picture."""


class Reader:
    """Upright RGB frames of one file by index, and the true time of each.

    `times` (N,) are seconds since the first frame; `end` is when the last frame leaves the screen.
    decord decodes. PyAV steps in only where decord raises, and `fallback` then holds decord's words.

    Raises:
        Undecodable: with both decoders' reasons.
    """

    def __init__(self, path: str, decoder: str = "decord") -> None:
        self.path, self.decoder, self.fallback = path, decoder, ""
        self.notes: list[str] = []
        if decoder == "decord":
            _container(path).close()  # decord has no list of containers that are safe
            try:
                self._open_decord()
            except Exception as error:
                self.decoder, self.fallback = "PyAV", f"decord: {brief(error)}"
        if self.decoder == "PyAV":
            self._open_pyav()
        steps = np.diff(self.times) if len(self.times) > 1 else np.array([1 / (self.declared_fps or 24)])
        self.end = float(self.times[-1] + np.median(steps))

    @property
    def declared_fps(self) -> float | None:
        """The rate that the header claims, which nothing here trusts for timing."""
        from cinelib.video import opened

        with opened(self.path) as container:
            rate = container.streams.video[0].average_rate
        return float(rate) if rate else None

    def frames(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 at ascending `indices`; repeats are allowed."""
        reading = self._decord_frames(indices) if self.decoder == "decord" else self._pyav_frames(indices)
        for frame in reading:
            yield np.ascontiguousarray(np.rot90(frame, self._turns)) if self._turns else frame

    def _open_decord(self) -> None:
        import decord

        self._video = decord.VideoReader(str(Path(self.path).absolute()))
        first = self._video.get_batch([0]).asnumpy()[0]  # fails for very small pictures, unlike `[0]`
        self._chunk = max(1, min(64, CHUNK_BYTES // max(1, first.nbytes)))
        times = self._video.get_frame_timestamp(range(len(self._video)))[:, 0].astype(np.float64)
        # Packets of some AVI files carry no presentation time; decord then returns garbage.
        if not _plausible(times):
            times = _pyav_times(self.path)
            if len(times) != len(self._video) or not _plausible(times):
                times = np.arange(len(self._video)) / (self.declared_fps or 24)
                self.notes.append("no usable timestamps in the file: spaced evenly at the header's rate")
        self.times = times - times[0]
        self._turns = _missing_turns(self.path, first)

    def _decord_frames(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        for start in range(0, len(indices), self._chunk):
            yield from self._video.get_batch(list(indices[start : start + self._chunk])).asnumpy()

    def _open_pyav(self) -> None:
        try:
            times = _pyav_times(self.path)
        except Exception as error:
            raise Undecodable("; ".join(filter(None, [self.fallback, f"PyAV: {brief(error)}"]))) from None
        if not len(times):
            raise Undecodable("; ".join(filter(None, [self.fallback, "PyAV: no frame decodes"])))
        if not _plausible(times):
            times = np.arange(len(times)) / (self.declared_fps or 24)
            self.notes.append("no usable timestamps in the file: spaced evenly at the header's rate")
        self.times = times - times[0]
        self._turns = round(_first_frame(self.path)[1] / 90) % 4

    def _pyav_frames(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        from cinelib.video import opened

        wanted = list(indices)
        with opened(self.path) as container:
            for index, frame in enumerate(container.decode(video=0)):
                while wanted and wanted[0] == index:
                    wanted.pop(0)
                    yield frame.to_ndarray(format="rgb24")
                if not wanted:
                    return


def probe(path: str) -> dict[str, Any]:
    """Container, codec, size as shown, rotation, declared rate, true timestamps, duration, audio."""
    if not os.access(path, os.R_OK):
        raise PermissionError("permission denied")
    if Path(path).stat().st_size == 0:
        raise ValueError("empty file (zero bytes)")
    with _container(path) as container:
        if not container.streams.video:
            raise ValueError("no picture in this file" + (" (audio only)" if container.streams.audio else ""))
        stream = container.streams.video[0]
        context = stream.codec_context
        aspect = stream.sample_aspect_ratio
        facts: dict[str, Any] = {
            "container": container.format.name,
            "codec": context.name,
            "pixel_format": context.pix_fmt or "",
            "audio": bool(container.streams.audio),
            "declared_fps": float(stream.average_rate) if stream.average_rate else None,
            "declared_seconds": container.duration / 1e6 if container.duration else None,
            "pixel_aspect": float(aspect) if aspect else 1.0,
        }
        transfer = getattr(context, "color_trc", 0)
    reader = _reader(path)
    height, width = next(reader.frames([0])).shape[:2]
    rotation = _first_frame(path)[1]
    if rotation % 180:
        facts["pixel_aspect"] = 1 / facts["pixel_aspect"]
    notes = list(reader.notes)
    if reader.fallback:
        notes.append(f"read with PyAV because {reader.fallback}")
    if facts["declared_seconds"] and facts["declared_seconds"] > reader.end + max(1.0, 0.1 * reader.end):
        notes.append(
            f"the header promises {facts['declared_seconds']:.2f} s, only {reader.end:.2f} s are there"
        )
    if transfer in (16, 18):
        notes.append("HDR transfer curve: not tone-mapped, will look flat")
    facts.update(height=height, width=width, rotation=rotation, decoder=reader.decoder, notes=tuple(notes))
    return {**facts, "times": reader.times, "seconds": reader.end}


def clip(
    path: str,
    indices: Sequence[int],
    box: tuple[float, float, float, float],
    height: int,
    width: int,
    decoder: str = "decord",
) -> np.ndarray:
    """Frames at `indices`, cut to `box` (left, top, right, bottom; pixels), resized: (T, H, W, 3) uint8.

    Lanczos with support scaled to the reduction, that is antialiased, at sub-pixel positions of the box.
    """
    from PIL import Image

    out = np.empty((len(indices), height, width, 3), np.uint8)
    for target, frame in zip(out, _reader(path, decoder).frames(indices), strict=True):
        picture = Image.fromarray(frame)
        target[:] = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS, box=box))
    return out


_open: dict[str, Any] = {}


def _reader(path: str, decoder: str = "decord") -> Reader:
    """The last file stays open, because consecutive calls ask for the same one."""
    key = (path, decoder, Path(path).stat().st_mtime_ns)
    if _open.get("key") != key:
        _open.clear()
        _open.update(reader=Reader(path, decoder), key=key)
    return _open["reader"]


def _plausible(times: np.ndarray) -> bool:
    return bool(np.isfinite(times).all() and (np.abs(times) < 1e7).all() and (np.diff(times) > 0).all())


def _container(path: str) -> Any:
    """The file opened by PyAV, and never what it names. Raises Undecodable."""
    import av

    from cinelib.video import opened

    av.logging.set_level(av.logging.ERROR)  # errors then carry FFmpeg's own words
    try:
        return opened(path)
    except av.error.FFmpegError as error:
        if "whitelist" in str((error.log or ("", "", ""))[2]):
            raise Undecodable(
                "no container of pictures, but a list of files or the like: not followed"
            ) from None
        raise Undecodable(f"truncated, or not a video: {brief(error)}") from None


def _pyav_times(path: str) -> np.ndarray:
    from cinelib.video import opened

    with opened(path) as container:
        times = [frame.time for frame in container.decode(video=0)]
    return np.array([np.nan if time is None else time for time in times])


def _first_frame(path: str) -> tuple[np.ndarray, int]:
    """The first frame as stored, and how many degrees counter-clockwise set it upright."""
    from cinelib.video import opened

    with opened(path) as container:
        frame = next(container.decode(video=0))
        return frame.to_ndarray(format="rgb24"), frame.rotation


def _missing_turns(path: str, seen: np.ndarray) -> int:
    """Quarter turns that decord left out: it obeys rotation in MP4 and MOV, ignores it in Matroska."""
    try:
        stored, rotation = _first_frame(path)
    except Exception:  # PyAV may stumble where decord does not; then there is nothing to compare
        return 0
    turns = round(rotation / 90) % 4
    if not turns:
        return 0

    def distance(picture: np.ndarray) -> float:
        if picture.shape != seen.shape:
            return np.inf
        return float(np.abs(picture.astype(np.int16) - seen).mean())

    return turns if distance(stored) < distance(np.rot90(stored, turns)) else 0
