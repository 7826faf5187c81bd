"""Whether the light of what moves holds: flow cannot tell, because it evens out the light before it looks."""

from collections.abc import Sequence

import numpy as np

from cinelib.metrics.flow.dense import SIGMA, in_threads
from cinelib.metrics.flow.fields import coherent, warp

_QUIET, _NOTICED = 2.0, 6.0  # grey levels: 6 are about 2.3 L*, which a viewer notices


def steady_light(
    luma: Sequence[np.ndarray], flows: Sequence[np.ndarray], returns: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """How far the light holds along the flow of each pair of frames: N of (h, w) float32, 1 where it does.

    The light of a pixel is its neighbourhood's mean, which `planes_of` takes out of the picture. It jumps
    by as much as it lies outside of what the same point has one frame before and one after, so that what
    brightens slowly or once for all holds. From 2 to 6 grey levels the share falls to 0. A point that was
    not there before, or is not after, is not judged.

    Args:
        luma: N + 1 of (h, w) uint8.
        flows: N of (h, w, 2) pixels, from each frame to the next.
        returns: N of (h, w, 2), from the next frame back.
    """
    import cv2

    light = in_threads(lambda plane: cv2.GaussianBlur(plane.astype(np.float32), (0, 0), SIGMA), luma)

    def steady(at: int) -> np.ndarray:
        before, after = (returns[at - 1], flows[at - 1]), (flows[at], returns[at])
        known = np.logical_and.reduce([*coherent(*before), *coherent(*after)])
        (was, _), (will, _) = warp(light[at - 1], before[0]), warp(light[at + 1], after[0])
        here = light[at]
        jump = np.maximum(np.minimum(was, will) - here, here - np.maximum(was, will)) * known
        return np.clip((_NOTICED - jump) / (_NOTICED - _QUIET), 0, 1)

    ends = np.ones_like(light[0])  # the first frame and the last have one neighbour: nobody can tell
    held = [ends, *in_threads(steady, range(1, len(flows))), ends]
    return [np.minimum(held[at], warp(held[at + 1], flow)[0]) for at, flow in enumerate(flows)]
