"""Shots: one pass over a file inside the decoder process measures borders, light, motion and bars.

Frames are decoded once and measured small: FFmpeg averages them down before Python sees them.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

from cinelib.preparation.reader import Picture, Reader, upright
from cinelib.preparation.transitions import Transition, alike, is_flash, transitions

BLOCKS = (18, 32)  # rows and columns of the coarse grid on which motion and light are judged
SMALL = 320  # pixels across, to which FFmpeg averages; the rest of the way to blocks is a finer average
FADE_LEVEL = 8  # mean level (0..255) below which ThresholdDetector calls a frame black
FADE_REACH = 0.5  # seconds around a fade's border in which a change counts as the fade's own
PROFILE_EVERY = 0.5  # seconds between looks at the bars
LOOK_EVERY = 0.095  # seconds between looks at what moves
BORDER_EVERY = 0.03  # seconds between pictures that are searched for gradual borders
SAME = 0.93  # correlation from which the pictures before and after a cut are one shot that moves
BUFFER, KEEP = 1200, 256  # such pictures that are held at once, and that stay for the next search


@dataclass(frozen=True)
class Scan:
    """What one pass over a file measured.

    `times` (N,) seconds; `luma`, `brightest` (N,): mean and brightest block; `cuts` frame indices where a
    new take begins; `transitions` frames that belong to no take; `flashes`, `damaged` frame indices of light
    that comes and goes, and of errors that the decoder hid; `looks` (K,) frame indices with their `blocks`
    (K, 18, 32) mean grey levels; `profiles` (J,) with the brightest levels of `rows` (J, H) and `columns`
    (J, W). `plain`: a frame can be found by its time stamp.
    """

    times: np.ndarray
    end: float
    luma: np.ndarray
    brightest: np.ndarray
    cuts: tuple[int, ...]
    transitions: tuple[Transition, ...]
    flashes: tuple[int, ...]
    damaged: tuple[int, ...]
    looks: np.ndarray
    blocks: np.ndarray
    profiles: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    plain: bool = True
    notes: tuple[str, ...] = ()


def scan(path: str) -> Generator[int, None, Scan]:
    """Decode every frame (in the decoder process) and measure; yields frame numbers as signs of life.

    Raises:
        Undecodable: not a single frame decodes.
    """
    reader = Reader(path)
    detect, meter, watch = _detectors(), _Meter(), _Watch()
    cuts, fades, damaged, sizes = set(), set(), [], []
    times: list[float] = []
    for picture in reader.pictures():
        times.append(picture.time)
        small = blocks_of(picture)
        meter.look(picture, small)
        watch.look(picture.index, picture.time, small)
        found = detect(picture.index, np.ascontiguousarray(small[..., ::-1]))
        cuts.update(found[0])
        fades.update(found[1])
        if picture.damaged:
            damaged.append(picture.index)
        size = picture.frame.height, picture.frame.width
        if sizes and size != sizes[-1]:
            cuts.add(picture.index)
        sizes = [*sizes[-1:], size] if not sizes or size != sizes[-1] else sizes
        if len(watch.times) >= BUFFER:
            watch.search(cuts, final=False)
        if picture.index % 16 == 0:
            yield picture.index
    fades.update(detect(len(times), None)[1])
    watch.search(cuts, final=True)
    stamps = np.array(times)
    # The first steps out of black are a large change for their size: part of the fade, no cut.
    apart = {cut for cut in cuts if all(abs(stamps[cut] - stamps[fade]) > FADE_REACH for fade in fades)}
    gradual = tuple(
        found for found in watch.found if not any(found.first <= fade <= found.last for fade in fades)
    )
    inside = {cut for cut in apart for found in gradual if found.first <= cut <= found.last}
    step = float(np.median(np.diff(stamps))) if len(stamps) > 1 else reader.step
    return Scan(
        times=stamps,
        end=float(stamps[-1]) + step,
        cuts=tuple(
            sorted(
                cut for cut in (apart - inside - watch.flashes - watch.moves) | fades if 0 < cut < len(stamps)
            )
        ),
        transitions=gradual,
        flashes=tuple(sorted(watch.flashes)),
        damaged=tuple(damaged),
        plain=reader.plain,
        notes=tuple(reader.notes),
        **meter.result(),
    )


def blocks_of(picture: Picture) -> np.ndarray:
    """Mean colours on the coarse grid, upright: (18, 32, 3) uint8 RGB."""
    import cv2

    from cinelib.preparation.colour import to_rgb

    frame = picture.frame
    by = max(1, min(frame.width, frame.height * 16 // 9) // SMALL)
    small = to_rgb(frame, frame.height // by, frame.width // by) if by > 1 else None
    return cv2.resize(upright(picture, small), BLOCKS[::-1], interpolation=cv2.INTER_AREA)


class _Meter:
    """Light of every frame; blocks and the brightest rows and columns of some."""

    def __init__(self) -> None:
        self._light: list[tuple[float, float]] = []
        self._looks: tuple[list[int], list[np.ndarray]] = ([], [])
        self._profiles: tuple[list[int], list[np.ndarray], list[np.ndarray]] = ([], [], [])
        self._due = [-1.0, -1.0]

    def look(self, picture: Picture, small: np.ndarray) -> None:
        import cv2

        from cinelib.preparation.colour import to_grey

        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        self._light.append((float(grey.mean()), float(grey.max())))
        if picture.time >= self._due[0]:
            self._due[0] = picture.time + LOOK_EVERY
            self._looks[0].append(picture.index)
            self._looks[1].append(grey)
        if picture.time >= self._due[1]:
            self._due[1] = picture.time + PROFILE_EVERY
            whole = upright(picture, to_grey(picture.frame))
            height, width = self._size(whole)
            # Averages along the bar take its noise away, so that the brightest one is a fair measure.
            rows = cv2.resize(whole, (min(64, width), height), interpolation=cv2.INTER_AREA).max(1)
            columns = cv2.resize(whole, (width, min(36, height)), interpolation=cv2.INTER_AREA).max(0)
            for store, value in zip(self._profiles, (picture.index, rows, columns), strict=True):
                store.append(value)

    def _size(self, whole: np.ndarray) -> tuple[int, int]:
        """Of the first picture: a film that changes its size on the way is measured in that one's pixels."""
        first = self._profiles[0]
        return (len(self._profiles[1][0]), len(self._profiles[2][0])) if first else whole.shape

    def result(self) -> dict[str, np.ndarray]:
        light = np.array(self._light, np.float32)
        looks, blocks = self._looks
        profiles, rows, columns = self._profiles
        names = ("luma", "brightest", "looks", "blocks", "profiles", "rows", "columns")
        values = (
            light[:, 0],
            light[:, 1],
            looks,
            np.stack(blocks),
            profiles,
            np.stack(rows),
            np.stack(columns),
        )
        return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


class _Watch:
    """The last pictures, searched in pieces for gradual borders and flashes, so that no film is too long."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.found: list[Transition] = []
        self.flashes: set[int] = set()
        self.moves: set[int] = set()
        self._indices: list[int] = []
        self._pictures: list[np.ndarray] = []

    def look(self, index: int, time: float, small: np.ndarray) -> None:
        if not self.times or time >= self.times[-1] + BORDER_EVERY:
            self._indices.append(index)
            self.times.append(time)
            self._pictures.append(small)

    def search(self, cuts: set[int], final: bool) -> None:
        """Settle all but the last `KEEP` pictures; a flash among `cuts` is entered as one."""
        times, pictures, indices = np.array(self.times), np.stack(self._pictures), np.array(self._indices)
        sure = len(times) if final else len(times) - KEEP // 2
        done = self.found[-1].last if self.found else -1
        for border in transitions(times, pictures):
            if border.last <= sure and indices[border.first] >= done:
                last = int(indices[border.last]) if border.last < len(indices) else int(indices[-1]) + 1
                self.found.append(Transition(int(indices[border.first]), last, border.kind))
        for cut in cuts:
            here = int(np.searchsorted(indices, cut))
            if not indices[0] < cut or here >= min(sure, len(indices)):
                continue
            if is_flash(times, pictures, here, here):
                self.flashes.add(cut)
            elif alike(pictures[here - 1], pictures[here]) >= SAME:
                self.moves.add(cut)
        if not final:
            for store in (self.times, self._indices, self._pictures):
                del store[:-KEEP]


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
