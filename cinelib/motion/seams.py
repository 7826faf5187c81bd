"""Notebook 03: does the eye see where two segments of a sequence meet?"""

import numpy as np


def seams(frames: np.ndarray, segment_frames: int) -> np.ndarray:
    """How each keyframe between two segments jumps, against the steps around it: 1 is no seam.

    The change from the frame before the keyframe to the one after it, over twice the median change
    between neighbours in those two segments; for steady motion that is 1. Shape: (segments - 1,).

    Raises:
        ValueError: the clip is not a whole number of segments.
    """
    step = segment_frames - 1
    if step < 2 or (len(frames) - 1) % step:
        raise ValueError(f"{len(frames)} frames are not segments of {segment_frames} that share their ends")
    values = frames.astype(np.float32)
    change = np.abs(np.diff(values, axis=0)).mean(axis=(1, 2, 3))  # (T - 1,)
    found = []
    for at in range(step, len(frames) - 1, step):
        nearby = np.delete(change[at - step : at + step], [step - 1, step])
        around = change[at - 1] + change[at]
        found.append(around / max(2 * float(np.median(nearby)), 1e-6))
    return np.array(found)
