"""Takes: one shot each, without its black and fading edges and its bars; how bright it is, how much moves."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from cinelib.preparation.isolation import Child, ChildError
from cinelib.preparation.shots import FADE_LEVEL, Scan, scan
from cinelib.preparation.sources import Source

BLACK_LEVEL = 24  # a frame is black when not even its brightest block exceeds this level
MOSTLY = 0.9  # share of black frames that makes a take black
BAR_LEVEL = 16  # rows and columns darker than this throughout a take are letterbox bars
STILL, MOSTLY_FLAT = 0.01, 0.5  # activity of a title card, and share of it that has one grey
SAME_LEVELS = 2.5  # mean difference of two copies of a take
MOTION_LAG = 0.5  # seconds over which something has to change
MOTION_LEVEL = 4.0  # levels by which a block has to change


@dataclass(frozen=True)
class Take:
    """One shot of one file, black and fading edges already cut away.

    `first`, `last`: frame indices, `last` exclusive; `start`, `end`: seconds; `box`: picture without bars, in
    pixels (left, top, right, bottom); `activity`: share of the picture that changes within half a second;
    `damaged_at`: seconds of the first frame in which the decoder hid an error; `prints` (5, 18, 32) its
    pictures in grey, spread over the take.
    """

    source: Source
    number: int
    first: int
    last: int
    start: float
    end: float
    box: tuple[int, int, int, int]
    luma: float
    activity: float
    black: bool
    damaged_at: float | None = None
    prints: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long the take is on screen."""
        return self.end - self.start


def find_takes(source: Source, child: Child) -> tuple[Source, list[Take]]:
    """Scan one readable file; a file that fails on the way, however, comes back with its reason and no
    takes."""
    try:
        result = child.call(scan, str(source.path))
        notes = (*source.notes, *(note for note in result.notes if note not in source.notes))
        source = replace(source, times=result.times, seconds=result.end, seekable=result.plain, notes=notes)
        return source, [
            measure(source, result, number, *span) for number, span in enumerate(_spans(result), 1)
        ]
    except ChildError as error:
        return replace(source, reason=f"undecodable: {error}"), []
    except Exception as error:
        return replace(source, reason=f"cannot be measured: {type(error).__name__}: {error}"), []


def _spans(scan: Scan) -> list[tuple[int, int]]:
    """Frame spans between borders; black neighbours are one span, whatever cut was seen between them."""
    black = scan.brightest <= BLACK_LEVEL
    edges = [0, *scan.cuts, len(scan.times)]
    for gradual in scan.transitions:  # its frames belong to no take
        edges = [edge for edge in edges if not gradual.first < edge < gradual.last]
        edges += [gradual.first, gradual.last]
    between = {gradual.first for gradual in scan.transitions}
    spans: list[tuple[int, int]] = []
    for first, last in pairwise(sorted(set(edges))):
        if first in between:
            continue
        if spans and black[first:last].mean() > MOSTLY and black[slice(*spans[-1])].mean() > MOSTLY:
            first = spans.pop()[0]
        spans.append((first, last))
    return spans


def measure(source: Source, scan: Scan, number: int, first: int, last: int) -> Take:
    """Judge the frames `first..last-1` as one take: trim black and fading edges, find bars and motion."""
    notes = []
    all_black = bool((scan.brightest <= BLACK_LEVEL)[first:last].mean() > MOSTLY)
    for gradual in scan.transitions:
        if first == gradual.last or last == gradual.first:
            where = "before it" if first == gradual.last else "at its end"
            length = _time(scan, gradual.last) - _time(scan, gradual.first)
            notes.append(f"{gradual.kind} {where} cut off ({length:.2f} s)")
    if lit := sum(first <= flash < last for flash in scan.flashes):
        notes.append(f"{lit} flash{'es' * (lit > 1)} of light")
    if not all_black:
        start, stop = _trim(scan, first, last)
        if (start, stop) != (first, last):
            lost = _time(scan, start) - _time(scan, first) + _time(scan, last) - _time(scan, stop)
            notes.append(f"fade or black edge trimmed ({lost:.2f} s)")
            first, last = start, stop
    box = (0, 0, scan.columns.shape[1], scan.rows.shape[1])
    if not all_black:
        box = picture_box(scan, first, last)
        bars = [box[1], scan.rows.shape[1] - box[3], box[0], scan.columns.shape[1] - box[2]]
        if any(bars):
            notes.append("bars cropped (top {}, bottom {}, left {}, right {} px)".format(*bars))
    moving, prints = _activity(scan, first, last), _prints(scan, first, last)
    if not all_black and moving < STILL and _flat_share(prints[len(prints) // 2]) > MOSTLY_FLAT:
        notes.append("looks like a title card or a slate")
    return Take(
        source=source,
        number=number,
        first=first,
        last=last,
        start=_time(scan, first),
        end=_time(scan, last),
        box=box,
        luma=float(scan.luma[first:last].mean()),
        activity=moving,
        prints=prints,
        black=all_black,
        damaged_at=next((float(scan.times[k]) for k in scan.damaged if first <= k < last), None),
        notes=tuple(notes),
    )


def _time(scan: Scan, index: int) -> float:
    return float(scan.times[index]) if index < len(scan.times) else scan.end


def _trim(scan: Scan, first: int, last: int) -> tuple[int, int]:
    """Cut dark frames off both ends, and the ramp of a fade where the take begins or ends in the dark."""
    luma = scan.luma
    dark = (scan.brightest <= BLACK_LEVEL) | (luma < FADE_LEVEL)
    middle = luma[first:last][(last - first) // 4 : max(1, 3 * (last - first) // 4) + 1]
    level = 0.85 * float(np.median(middle))
    limit = (last - first) // 3
    start, stop = first, last
    while dark[max(0, first - 1) : first + 1].any() and start < first + limit and luma[start] < level:
        start += 1
    while dark[last - 1 : last + 1].any() and stop > last - limit and luma[stop - 1] < level:
        stop -= 1
    return start, stop


def _prints(scan: Scan, first: int, last: int) -> np.ndarray:
    near = [
        np.abs(scan.looks - (first + share * (last - first))).argmin() for share in (0.1, 0.3, 0.5, 0.7, 0.9)
    ]
    return scan.blocks[near]


def _flat_share(blocks: np.ndarray) -> float:
    """Share of blocks that have the most common grey."""
    levels = np.bincount(blocks.ravel() // 8, minlength=32)
    return float(np.convolve(levels, [1, 1])[1:].max() / blocks.size)


def same_pictures(one: Take, other: Take) -> bool:
    """Whether two takes show the same from beginning to end, at whatever size and quality."""
    if not one.prints.size or abs(one.seconds - other.seconds) > 0.02 * one.seconds + 0.1:
        return False
    a, b = one.prints.astype(np.float32), other.prints.astype(np.float32)
    return bool(np.abs(a - b).mean() < SAME_LEVELS and np.abs(a - b).mean((1, 2)).max() < 2 * SAME_LEVELS)


def _activity(scan: Scan, first: int, last: int) -> float:
    looks = (scan.looks >= first) & (scan.looks < last)
    return activity(scan.times[scan.looks[looks]], scan.blocks[looks]) if looks.any() else 0.0


def activity(times: np.ndarray, blocks: np.ndarray) -> float:
    """Share of blocks that change within MOTION_LAG seconds, 90th percentile over the take: 0..1.

    The earlier frame is first brought to the later one's brightness (the blocks' median ratio), so that a
    flickering candle in front of a photograph still counts as motionless. Grain vanishes in block means.
    """
    earlier = np.searchsorted(times, times - MOTION_LAG, side="right") - 1
    late = np.flatnonzero(earlier >= 0)
    if not len(late):  # a take shorter than the lag: first against last frame
        late, earlier = np.array([len(times) - 1]), np.zeros(len(times), dtype=int)
    now, then = blocks[late].astype(np.float32), blocks[earlier[late]].astype(np.float32)
    gain = np.median((now + 1) / (then + 1), axis=(1, 2), keepdims=True)
    return float(np.percentile((np.abs(now - gain * then) > MOTION_LEVEL).mean(axis=(1, 2)), 90))


def picture_box(scan: Scan, first: int, last: int) -> tuple[int, int, int, int]:
    """Picture without letterbox or pillarbox bars: (left, top, right, bottom) in pixels.

    A bar is dark in every look of the take and has a twin of about its size on the other side; a dark
    floor or a night sky has none and stays.
    """
    chosen = (scan.profiles >= first) & (scan.profiles < last)
    if not chosen.any():
        chosen = np.abs(scan.profiles - first) == np.abs(scan.profiles - first).min()
    top, bottom = _bars(scan.rows[chosen].max(0))
    left, right = _bars(scan.columns[chosen].max(0))
    return left, top, right, bottom


def _bars(profile: np.ndarray) -> tuple[int, int]:
    length = len(profile)
    lit = np.flatnonzero(profile > BAR_LEVEL)
    if not len(lit):
        return 0, length
    head, tail = int(lit[0]), length - 1 - int(lit[-1])
    twins = min(head, tail) >= 0.01 * length and abs(head - tail) <= max(3, 0.03 * length)
    if not twins or head + tail > 0.6 * length:
        return 0, length
    # One more pixel on each side: compression smears the bar's edge into the picture.
    return head + 1, length - tail - 1
