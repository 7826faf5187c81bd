"""Any film frame by frame, each with its true time. PyAV (FFmpeg) reads, so memory does not grow with the
length."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cinelib.preparation.isolation import brief

if TYPE_CHECKING:
    import av

THREADS = 4  # each holds a frame or two
DISCONTINUITY = 10.0  # seconds that a transport stream may jump ahead before it counts as another recording
SEEK_FROM = 10.0  # seconds; up to there decoding from the start is as fast


class Undecodable(ValueError):
    """PyAV does not read the file's picture."""


@dataclass(frozen=True)
class Picture:
    """One decoded frame; `time`: seconds since the first frame is shown; `damaged`: the decoder hid an
    error."""

    index: int
    time: float
    frame: "av.VideoFrame"
    damaged: bool = False


class Reader:
    """The frames of one file in the order in which they are shown, each with its true time.

    Stamps that run backwards, as in recordings written one behind the other, go on where the last frame
    ended; `plain` then becomes False, and nothing can be found by its stamp. `notes`: what was wrong with
    the file.

    Raises:
        Undecodable: from `pictures`, where not even one frame decodes.
    """

    def __init__(self, path: str) -> None:
        self.path, self.plain = path, True
        self.notes: list[str] = []
        self.step = 1 / 24
        self._last: float | None = None
        self._origin: float | None = None

    def pictures(self, start: float = 0.0) -> Iterator[Picture]:
        """All frames; with `start`, for a file known to be `plain`, from a key frame at or before it on."""
        with container_of(self.path) as container:
            stream = picture_stream(container)
            rate = stream.average_rate or stream.guessed_rate
            self.step = 1 / float(rate) if rate and 0.5 < rate < 1001 else 1 / 24
            self._broadcast = container.format.name in ("mpegts", "mpeg")
            stream.codec_context.thread_count = min(THREADS, os.cpu_count() or 1)
            stream.thread_type = "AUTO"
            # AVI numbers frames as they are stored, which is not as they are shown where some look ahead.
            self._disordered = container.format.name == "avi" and stream.codec_context.has_b_frames > 0
            packets = container.demux(stream)
            if start > SEEK_FROM:
                self._origin = self._first_stamp()
                stamp = (start - 1.0 + self._origin) / stream.time_base
                container.seek(int(stamp), stream=stream)
            yield from self._placed(_decoded(packets, self.notes))

    def _first_stamp(self) -> float:
        return next(Reader(self.path).pictures()).frame.time

    def _placed(self, frames: Iterable[tuple["av.VideoFrame", bool]]) -> Iterator[Picture]:
        index, unstamped = 0, False
        for frame, damaged in frames:
            stamp = None if frame.pts is None or self._disordered else frame.time
            unstamped |= stamp is None
            if stamp is not None and self._origin is None:
                self._origin = stamp
            time = self._time(stamp)
            if time is None:  # shown for no time at all
                continue
            yield Picture(index, time, frame, damaged)
            self._last, index = time, index + 1
        if not index:
            raise Undecodable("no frame decodes" + "".join(f": {note}" for note in self.notes))
        if unstamped:
            self.notes.append("no usable timestamps in the file: spaced evenly at the header's rate")

    def _time(self, stamp: float | None) -> float | None:
        last = self._last
        if stamp is not None:
            time = stamp - self._origin
            if last is None or (last < time and not (self._broadcast and time > last + DISCONTINUITY)):
                return time
            if time == last and self.plain:
                return None
        expected = 0.0 if last is None else last + self.step
        if stamp is not None:
            self._origin = stamp - expected
            self._say("its timestamps start anew: recordings one behind the other, played on")
        self.plain = False
        return expected

    def _say(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _decoded(packets: Iterable["av.Packet"], notes: list[str]) -> Iterator[tuple["av.VideoFrame", bool]]:
    """Frames and whether an error came just before each; an error at the end is a note."""
    import av

    broken, trouble = False, ""
    stream = iter(packets)
    while True:
        try:
            packet = next(stream, None)
            frames = packet.decode() if packet is not None else []
        except av.error.EOFError:
            packet = None
        except av.error.FFmpegError as error:
            if trouble == (trouble := brief(error)) and broken and isinstance(error, OSError):
                packet = None  # the container itself ends here
            broken = True
            if packet is not None:
                continue
        if packet is None:
            break
        for frame in frames:
            yield frame, broken or frame.is_corrupt
            broken = False
    if broken:
        notes.append(f"its end does not decode: {trouble}")


def container_of(path: str) -> Any:
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
    finally:
        av.logging.set_level(None)  # a decoding thread that logs waits for Python, which may wait for it


def picture_stream(container: Any) -> Any:
    """The film of a container: not its cover picture, not sound. Raises ValueError where there is none."""
    stream = container.streams.best("video")
    if stream is None:
        raise ValueError("no picture in this file" + (" (audio only)" if container.streams.audio else ""))
    return stream


def upright(picture: Picture, frame: np.ndarray | None = None) -> np.ndarray:
    """RGB (H, W, 3) uint8 of a picture, set upright; `frame` replaces its pixels."""
    from cinelib.preparation.colour import to_rgb

    pixels = to_rgb(picture.frame) if frame is None else frame
    turns = round(picture.frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def progressive(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """The pictures, deinterlaced where the file says that they are interlaced (FFmpeg's bwdif)."""
    from av.filter import Graph

    graph, waiting, shape = None, deque[Picture](), ()
    for picture in pictures:
        frame = picture.frame
        if (graph is None and not frame.interlaced_frame) or (shape and shape != _shape(frame)):
            yield picture
            continue
        if graph is None:
            shape, graph = _shape(frame), Graph()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format.name, time_base=frame.time_base
            )
            filtered = graph.add("bwdif", "mode=send_frame:deint=interlaced")
            graph.link_nodes(source, filtered, graph.add("buffersink")).configure()
        graph.vpush(frame)
        waiting.append(picture)
        yield from _pulled(graph, waiting)
    if graph is not None:
        graph.vpush(None)
        yield from _pulled(graph, waiting)


def _shape(frame: "av.VideoFrame") -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _pulled(graph: Any, waiting: deque[Picture]) -> Iterator[Picture]:
    import av

    while waiting:
        try:
            frame = graph.vpull()
        except (BlockingIOError, av.error.EOFError):
            return
        first = waiting.popleft()
        frame.colorspace, frame.color_range = first.frame.colorspace, first.frame.color_range
        yield Picture(first.index, first.time, frame, first.damaged)
