"""Shots: one pass over a file inside the decoder process measures cuts, fades, light, motion and bars."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np

from cinelib.preparation.decoding import Reader, Undecodable
from cinelib.preparation.isolation import brief

BLOCKS = (18, 32)  # rows and columns of the coarse grid on which motion and light are judged
DETECT_WIDTH = 32  # pixels; so small a picture has no grain and little motion left, but a cut changes it all
FADE_LEVEL = 8  # mean level (0..255) below which ThresholdDetector calls a frame black
FADE_REACH = 0.5  # seconds around a fade's border in which a change counts as the fade's own
PROFILE_EVERY = 0.25  # seconds between looks at the bars


@dataclass(frozen=True)
class Scan:
    """What one pass over a file measured.

    `times` (N,) seconds; `blocks` (N, 18, 32) mean grey levels; `cuts` frame indices where a new take begins;
    `damaged` indices of frames in which the decoder hid an error;
    `rows` (K, H) and `columns` (K, W) brightest levels at the frames `looks` (K,).
    """

    times: np.ndarray
    end: float
    blocks: np.ndarray
    cuts: tuple[int, ...]
    damaged: tuple[int, ...]
    looks: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    decoder: str = "decord"
    note: str = ""


def scan(path: str, decoder: str = "decord") -> Generator[int, None, Scan]:
    """Decode every frame (in the decoder process) and measure; yields frame numbers as signs of life.

    Raises:
        Undecodable: decord raises on some frame and PyAV does too.
    """
    try:
        return (yield from _scan(Reader(path, decoder)))
    except Exception as error:
        if decoder == "PyAV" or isinstance(error, Undecodable):
            raise
        reason = f"decord: {brief(error)}"
    try:
        result = yield from _scan(Reader(path, "PyAV"))
    except Exception as error:
        words = str(error) if isinstance(error, Undecodable) else f"PyAV: {brief(error)}"
        raise Undecodable(f"{reason}; {words}") from None
    return replace(result, note=f"read with PyAV because {reason}")


def _scan(reader: Reader) -> Generator[int, None, Scan]:
    detect, meter = _detectors(), _Meter()
    cuts, fades = set(), set()
    for index, frame in enumerate(reader.frames(range(len(reader.times)))):
        meter.look(index, reader.times[index], frame)
        for kind, found in zip((cuts, fades), detect(index, _tiny(frame)), strict=True):
            kind.update(found)
        if index % 16 == 0:
            yield index
    fades.update(detect(index, None)[1])
    # The first steps out of black are a large change for their size: part of the fade, no cut.
    apart = {
        cut for cut in cuts if all(abs(reader.times[cut] - reader.times[fade]) > FADE_REACH for fade in fades)
    }
    damaged = yield from _damaged_frames(reader.path)
    return Scan(
        times=reader.times,
        end=reader.end,
        blocks=np.stack(meter.blocks),
        cuts=tuple(sorted(cut for cut in apart | fades if 0 < cut <= index)),
        damaged=damaged,
        looks=np.array(meter.looks),
        rows=np.stack(meter.rows),
        columns=np.stack(meter.columns),
        decoder=reader.decoder,
    )


class _Meter:
    """Light on the coarse grid for every frame, brightest rows and columns for some."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []
        self.looks: list[int] = []
        self.rows: list[np.ndarray] = []
        self.columns: list[np.ndarray] = []
        self._due = -1.0

    def look(self, index: int, time: float, frame: np.ndarray) -> None:
        import cv2

        height, width = frame.shape[:2]
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        self.blocks.append(cv2.resize(grey, BLOCKS[::-1], interpolation=cv2.INTER_AREA))
        if time < self._due:
            return
        self._due = time + PROFILE_EVERY
        self.looks.append(index)
        # Averages along the bar take its noise away, so that the brightest one is a fair measure.
        self.rows.append(cv2.resize(grey, (min(64, width), height), interpolation=cv2.INTER_AREA).max(1))
        self.columns.append(cv2.resize(grey, (width, min(36, height)), interpolation=cv2.INTER_AREA).max(0))


def _tiny(frame: np.ndarray) -> np.ndarray:
    import cv2

    height, width = frame.shape[:2]
    size = (DETECT_WIDTH, max(2, round(height * DETECT_WIDTH / width)))
    return cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)


def _damaged_frames(path: str) -> Generator[int, None, tuple[int, ...]]:
    """Frames that FFmpeg marks as corrupt. decord hands them out without a word, patched from neighbours."""
    import av

    from cinelib.video import opened

    damaged = []
    with opened(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        try:
            for index, frame in enumerate(container.decode(video=0)):
                if frame.is_corrupt:
                    damaged.append(index)
                if index % 64 == 0:
                    yield index
        except av.error.FFmpegError:  # decord read on from here, so only the count of frames is in doubt
            damaged.append(index)
    return tuple(damaged)


def _detectors() -> Callable[[int, np.ndarray | None], tuple[list[int], list[int]]]:
    """PySceneDetect's detectors as one function: (frame index, picture) -> (cuts, fades); None ends the film.

    AdaptiveDetector compares a change with its neighbours, so a fast pan is no cut. Two ThresholdDetectors
    mark both edges of each black stretch, which makes the stretch a take of its own (and then a drop).
    Frames are numbered, not timed: their true times are known to the caller.
    """
    from scenedetect import AdaptiveDetector, FrameTimecode, ThresholdDetector

    # Lower than the defaults (3 and 15 at full colour): two shots of one dark set differ by little.
    cut = AdaptiveDetector(adaptive_threshold=2.3, min_content_val=9.0, min_scene_len=6, luma_only=True)
    into_black = ThresholdDetector(
        threshold=FADE_LEVEL, min_scene_len=1, fade_bias=-1.0, add_final_scene=True
    )
    out_of_black = ThresholdDetector(threshold=FADE_LEVEL, min_scene_len=1, fade_bias=1.0)

    def step(index: int, picture: np.ndarray | None) -> tuple[list[int], list[int]]:
        now = FrameTimecode(index, fps=25.0)
        found = [
            detector.post_process(now) if picture is None else detector.process_frame(now, picture)
            for detector in (cut, into_black, out_of_black)
        ]
        cuts, *fades = [[border.frame_num for border in borders] for borders in found]
        return cuts, [*fades[0], *fades[1]]

    return step
