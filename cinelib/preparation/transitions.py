"""Borders that take their time: dissolves, wipes, dips to white. And flashes, which are none.

Pictures are 18 x 32 block means. In a transition every block goes its way from one shot to the other without
turning back; what a camera does makes blocks wander, or is explained by a shift of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

LENGTHS = (0.2, 0.4, 0.8, 1.6, 3.0)  # seconds over which two pictures are compared
CHANGE = 6.0  # levels by which the two shots differ on average
STRAIGHT = 0.62  # share of all change that leads from the one to the other
STRAY = 0.125  # share of the change by which pictures between two shots may leave them
STANDS_OUT = 1.1  # how much more changes in a transition than in as much time beside it
ALIKE = 0.7  # correlation, after the best shift, from which two pictures show one shot
ONE_STEP = 0.5  # share of the change in a single step from which it is a cut
FLASH = 0.75  # seconds within which a flash is over
BRIGHTER = 15.0  # levels by which a flash lifts the picture
PLAIN = 12.0  # standard deviation of a picture that is all one colour
TOGETHER = 0.6  # seconds between two transitions that are one: into white and out of it


@dataclass(frozen=True)
class Transition:
    """Pictures `first` to `last` (exclusive) that belong to neither shot, and what it looks like."""

    first: int
    last: int
    kind: str


def transitions(times: np.ndarray, pictures: np.ndarray) -> list[Transition]:
    """Gradual borders within `pictures` (N, 18, 32, 3) uint8 shown at `times` (N,) seconds, in order."""
    if len(times) < 6:
        return []
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    rate = 1 / max(1e-3, float(np.median(np.diff(times))))
    found: list[tuple[int, int]] = []
    taken = np.zeros(len(times), bool)
    for _, start, length in sorted(_candidates(flat, rate), reverse=True):
        if taken[start + length // 4 : start + length - length // 4 + 1].any():
            continue
        if alike(pictures[start], pictures[start + length]) >= ALIKE:
            taken[start + length // 2] = True
            continue
        first, last = _edges(pictures, start, length)
        touches = (
            np.flatnonzero(taken[first : last + 1]) + first
        )  # both halves of a dip meet in a plain picture
        if not _blends(flat, first, last) or (len(touches) and flat[touches].std(1).min() > PLAIN):
            taken[start + length // 2] = True
            continue
        taken[first : last + 1] = True
        found.append((first, last))
    return [
        Transition(first, last, _kind(flat[first - 1 : last + 1]))
        for first, last in _joined(sorted(found), times)
        if not is_flash(times, pictures, first, last)
    ]


def _candidates(flat: np.ndarray, rate: float) -> list[tuple[float, int, int]]:
    """(score, start, length) of windows over which the picture goes straight to another one."""
    steps = np.abs(np.diff(flat, axis=0)).mean(1)
    mean = flat.reshape(len(flat), -1, 3)
    centred = (mean - mean.mean(1, keepdims=True)).reshape(len(flat), -1)
    norm = np.maximum(np.linalg.norm(centred, axis=1), 1e-3)
    black = flat.max(1) <= 24  # fades have detectors of their own
    chosen = []
    for length in sorted({max(4, round(seconds * rate)) for seconds in LENGTHS}):
        if length >= len(flat):
            break
        marks = np.round(np.linspace(0, length, 5)).astype(int)
        count = len(flat) - length
        parts = [flat[mark : mark + count] for mark in marks]
        path = sum(np.abs(later - sooner).mean(1) for sooner, later in pairwise(parts))
        change = np.abs(parts[-1] - parts[0]).mean(1)
        same = (centred[:count] * centred[length:]).sum(1) / (norm[:count] * norm[length:])
        step = np.lib.stride_tricks.sliding_window_view(steps, length).max(1)[:count]
        straight = change / np.maximum(path, 1e-3)
        fits = (change > CHANGE) & (straight > STRAIGHT) & (same < ALIKE) & (step < ONE_STEP * change)
        fits &= ~black[:count] & ~black[length:]
        score = change * straight * (1 - same)
        chosen += [(float(score[k]), int(k), length) for k in np.flatnonzero(fits)]
    return chosen


def _edges(pictures: np.ndarray, start: int, length: int) -> tuple[int, int]:
    """First frame that is not all the old shot, first frame that is all the new one; with a margin of a
    tenth.

    Both shots are looked at from a little farther away, where that still is the same shot.
    """
    low, high = max(0, start - length // 3), min(len(pictures) - 1, start + length + length // 3)
    if low < start and alike(pictures[low], pictures[start]) < ALIKE:
        low = start
    if high > start + length and alike(pictures[high], pictures[start + length]) < ALIKE:
        high = start + length
    for _ in range(3):  # from where it seems to lie, both shots are seen as they are close by
        first, last = _span(pictures[low : high + 1].reshape(high + 1 - low, -1).astype(np.float32))
        first, last = low + first, low + last
        low, high = max(low, first - 2), min(high, last + 2)
    margin = 1 + (last - first) // 10
    return max(1, first - margin), min(len(pictures), last + margin)


def _span(part: np.ndarray) -> tuple[int, int]:
    """Where the way from the first picture of `part` (N, P) to its last begins and ends."""
    way = part[-1] - part[0]
    share = (part - part[0]) @ way / max(1e-3, float(way @ way))
    middle = int(np.abs(share - 0.5).argmin())
    quarter = int(np.flatnonzero(share[: middle + 1] <= max(0.25, share[: middle + 1].min()))[-1])
    most = middle + int(np.flatnonzero(share[middle:] >= min(0.75, share[middle:].max()))[0])
    half = max(1, most - quarter)  # a linear transition is twice as long; others begin and end more softly
    before, after = np.flatnonzero(share[: quarter + 1] <= 0.06), np.flatnonzero(share[most:] >= 0.94)
    first = max(quarter - half, int(before[-1]) + 1 if len(before) else 0)
    last = min(most + half, most + int(after[0]) if len(after) else len(share) - 1)
    return first, max(last, first + 1)


def _blends(flat: np.ndarray, first: int, last: int) -> bool:
    """Whether the frames between lie between both shots, block by block, and change more than these do by
    themselves.

    A camera that turns to something else also ends at another picture. On its way it shows what is in
    neither.
    """
    old, new = flat[first - 1], flat[min(last, len(flat) - 1)]
    inside = flat[np.linspace(first, last - 1, 7).round().astype(int)[1:-1]]
    outside = np.maximum(inside - np.maximum(old, new), 0) + np.maximum(np.minimum(old, new) - inside, 0)
    half = max(1, (last - first) // 2)
    quarter = first + half // 2
    change = np.abs(flat[min(quarter + half, len(flat) - 1)] - flat[quarter]).mean()
    own = [
        np.abs(flat[k + half] - flat[k]).mean() for k in (first - 1 - half, last) if 0 <= k < len(flat) - half
    ]
    return outside.mean() < STRAY * np.abs(new - old).mean() and change > np.mean(own or [0.0]) * STANDS_OUT


def _joined(spans: Sequence[tuple[int, int]], times: np.ndarray) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in spans:
        if joined and times[min(first, len(times) - 1)] - times[joined[-1][1] - 1] <= TOGETHER:
            first = joined.pop()[0]
        joined.append((first, max(last, first + 1)))
    return joined


def _kind(flat: np.ndarray) -> str:
    if ((flat.std(1) < PLAIN) & (flat.mean(1) > 200)).any():
        return "dip to white"
    moves = np.abs(np.diff(flat, axis=0))
    total = moves.sum(0)
    active = total > np.median(total)
    return "wipe" if (moves.max(0) / np.maximum(total, 1e-3))[active].mean() > 0.5 else "dissolve"


def is_flash(times: np.ndarray, pictures: np.ndarray, first: int, last: int) -> bool:
    """Whether what happens in frames `first` to `last` is light that comes and goes: one shot before and
    after."""
    grey = pictures.reshape(len(pictures), -1).mean(1)
    before = [k for k in range(first - 1, -1, -1) if times[first] - times[k] <= FLASH][::2][:12]
    after = [k for k in range(last, len(times)) if times[k] - times[first] <= FLASH + 0.25][::2][:12]
    for sooner in before:
        for later in after:
            if times[later] - times[sooner] > FLASH or abs(grey[later] - grey[sooner]) > BRIGHTER:
                continue
            lit = grey[sooner + 1 : later].max(initial=0) - max(grey[sooner], grey[later])
            if lit > BRIGHTER and alike(pictures[sooner], pictures[later]) > 0.8:
                return True
    return False


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation (-1..1) of two pictures (18, 32, 3) at the shift, up to a quarter, where it is best."""
    import cv2

    if max(one.std((0, 1)).max(), other.std((0, 1)).max()) < 4:  # both without any structure
        return 1.0 if np.abs(one.mean((0, 1)) - other.mean((0, 1))).max() < 12 else 0.0
    if min(one.std(), other.std()) < 1:
        return 0.0
    height, width = one.shape[:2]
    tall, wide = height * 3 // 4, width * 3 // 4
    corners = [one[y : y + tall, x : x + wide] for y in (0, height - tall) for x in (0, width - wide)]
    return max(float(cv2.matchTemplate(other, part, cv2.TM_CCOEFF_NORMED).max()) for part in corners)
