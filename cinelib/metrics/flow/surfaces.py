"""Flow settled on a few motions: those of the large flat surfaces that the camera sees.

A plane seen by a moving camera moves by a homography (Hartley and Zisserman 2004, 13.1). Before a camera
that turns, the whole picture is one plane; when it travels, floor, backdrop and walls have one each.
"""

from collections.abc import Sequence

import numpy as np

from cinelib.metrics.flow.fields import coherent, displacement, on_grid, warp

_AGREE = 0.25  # px between a point's flow and its surface's
_LARGE = 0.08  # of the picture: what moves together and is less is no surface
_MOST = 4  # surfaces
_NEAR = 0.05  # of the neighbours
_TIE = 0.25  # grey levels by which a surface's motion may match worse than a pixel's own
_WORST = 30.0  # grey levels
_PATCH, _AROUND = 11, 41  # px: neighbours that outvote a pixel, and that speak for one without a way to go
_OWN = -1
_RADIUS = 6
_CONTRAST = 6.0  # grey levels: a weaker edge does not part two surfaces

Pair = tuple[np.ndarray, np.ndarray]


def surface_motions(flow: np.ndarray, reliable: np.ndarray | None = None) -> list[np.ndarray]:
    """Homographies (3, 3) that large parts of a flow (h, w, 2) follow, the largest part's first.

    RANSAC, again and again on what the motions found so far leave. Noise and shuffled frames have none.

    Args:
        flow: pixels.
        reliable: (h, w) bool, default all.
    """
    import cv2

    start, measured = on_grid(flow, reliable)
    end, found = start + measured, []
    enough = max(4.0, _LARGE * len(on_grid(flow)[0]))
    cv2.setRNGSeed(0)
    while len(found) < _MOST and len(start) >= enough:
        matrix, agree = cv2.findHomography(start, end, cv2.RANSAC, _AGREE, maxIters=150)
        if matrix is None or agree.sum() < enough or np.linalg.det(matrix) < 0.1:
            break
        found.append(matrix)
        others = agree.ravel() == 0
        start, end = start[others], end[others]
    return found


def settled(flows: Pair, motions: Sequence[np.ndarray], frames: Pair) -> Pair:
    """Flow and return flow with a surface's motion where that explains the pictures as well, or better.

    DIS spreads the motion of a figure over the wall behind it, guesses in a blank sky, and follows a shadow
    over a floor whose boards run one way. A pixel takes the motion of a surface when (1) that matches the
    luma of the two frames about as well as its own flow does, weighed over what it belongs to, or its own
    flow leaves the picture, or (2) its own flow does not return, and a surface is near: the wall that a
    figure is about to cover has nowhere to go. Single pixels follow their neighbourhood.

    Args:
        flows: two of (h, w, 2), from the first frame to the second, and back.
        motions: homographies (3, 3), from `surface_motions` of the first; earlier ones are preferred.
        frames: two of (h, w) uint8 luma without contrast normalisation, which would carry the figure's
            brightness into the wall.
    """
    if not motions:
        return flows
    shape = frames[0].shape
    ways = [[displacement(matrix, *shape) for matrix in motions]]
    ways.append([displacement(np.linalg.inv(matrix), *shape) for matrix in motions])
    pairs = (frames, frames[::-1])
    labels = [_fitting(own, *parts) for own, *parts in zip(flows, ways, pairs, strict=True)]
    there, back = (_joined(*parts) for parts in zip(labels, ways, flows, strict=True))
    for label, trip in zip(labels, (coherent(there, back), coherent(back, there)), strict=True):
        _ask_around(label, np.logical_and(*trip), len(motions))
    there, back = (
        _joined(_majority(label, len(motions)), *parts)
        for label, *parts in zip(labels, ways, flows, strict=True)
    )
    return there, back


def _fitting(own: np.ndarray, ways: Sequence[np.ndarray], frames: Pair) -> np.ndarray:
    """(h, w) int8: number of the way that takes the first frame to the second about as well as `own`."""
    import cv2

    here, there = frames
    guide = Guide(here)
    own_gap, inside = _mismatch(here, there, own)
    label = np.full(here.shape, _OWN, np.int8)
    best = np.full(here.shape, np.inf, np.float32)
    for number, way in enumerate(ways):
        gap, stays = _mismatch(here, there, way)
        loss = cv2.subtract(gap, own_gap, dtype=cv2.CV_32F)
        loss = guide.smooth(cv2.copyTo(loss, (inside & stays).view(np.uint8)))
        better = (loss <= _TIE) & (loss < best - _TIE)
        if number == 0:
            better |= ~inside
        np.copyto(label, number, where=better)
        np.copyto(best, loss, where=better)
    return label


class Guide:
    """Smooths fields within the surfaces of a picture: the guided filter of He, Sun and Tang (2010).

    In every window of 13 x 13 the result is linear in the picture, a I + b with
    a = cov(I, p) / (var(I) + 6^2); windows that overlap are averaged.
    """

    def __init__(self, luma: np.ndarray) -> None:
        """Take the picture (h, w) uint8 as the guide of all fields to come."""
        self.light = luma.astype(np.float32)
        self.middle = _mean(self.light)
        self.spread = _mean(self.light * self.light) - self.middle * self.middle + _CONTRAST**2

    def smooth(self, values: np.ndarray) -> np.ndarray:
        """The field (h, w) float32, averaged along the picture's surfaces."""
        level = _mean(values)
        slope = (_mean(values * self.light) - level * self.middle) / self.spread
        return _mean(slope) * self.light + _mean(level - slope * self.middle)


def _mean(field: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.blur(field, (2 * _RADIUS + 1,) * 2)


def _mismatch(here: np.ndarray, there: np.ndarray, flow: np.ndarray) -> Pair:
    """Difference of luma (h, w) uint8, no more than `_WORST`: what is hidden is not worse for being white."""
    import cv2

    found, inside = warp(there, flow)
    return cv2.min(cv2.absdiff(here, found), _WORST), inside


def _ask_around(label: np.ndarray, returns: np.ndarray, count: int) -> None:
    """Give pixels that do not return the commonest surface among the neighbours that do."""
    found, share = _commonest([(label == k) & returns for k in range(count)], _AROUND)
    np.copyto(label, found, where=~returns & (share > 255 * _NEAR))


def _majority(label: np.ndarray, count: int) -> np.ndarray:
    found, _ = _commonest([label == k for k in range(_OWN, count)], _PATCH)
    return found + np.int8(_OWN)


def _commonest(masks: Sequence[np.ndarray], size: int) -> Pair:
    """Which mask holds most of the `size` x `size` pixels around, (h, w) int8, and 255 times its share."""
    import cv2

    best, *others = (cv2.blur(mask.view(np.uint8) * np.uint8(255), (size, size)) for mask in masks)
    found = np.zeros(best.shape, np.int8)
    for number, share in enumerate(others, 1):
        found[share > best] = number
        best = cv2.max(best, share)
    return found, best


def _joined(label: np.ndarray, ways: Sequence[np.ndarray], own: np.ndarray) -> np.ndarray:
    import cv2

    joined = own.copy()
    for number, way in enumerate(ways):
        joined = cv2.copyTo(way, (label == number).view(np.uint8), joined)
    return joined
