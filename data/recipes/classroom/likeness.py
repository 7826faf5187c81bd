"""Are generated clips closer to the real ones than cheap tricks are, in the features of a network?

Every trick starts from the same first frame as the generated clip, so pictures alone cannot win: what is
left to tell them apart is what happens in the clip.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from cinelib.metrics.extractors import Extractor
from cinelib.metrics.frechet import frechet_distance
from cinelib.statistics import mean_interval


def repeated(first: np.ndarray, num_frames: int) -> np.ndarray:
    """A still video (T, H, W, 3) of `first` (H, W, 3)."""
    return np.repeat(first[None], num_frames, axis=0)


def zoomed(first: np.ndarray, num_frames: int, zoom: float = 1.15) -> np.ndarray:
    """A slow zoom into `first`, up to `zoom`: (T, H, W, 3)."""
    height, width = first.shape[:2]
    frames = []
    for scale in np.linspace(1, zoom, num_frames):
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, float(scale))
        frames.append(
            cv2.warpAffine(
                first, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
            )
        )
    return np.stack(frames)


def likeness(
    extractor: Extractor,
    real: Sequence[np.ndarray],
    made: Sequence[np.ndarray],
    tricks: dict[str, Sequence[np.ndarray]],
) -> dict[str, dict[str, Any]]:
    """Per arm: mean distance of each clip to the real clip of the same first frame and caption.

    Distances are Euclidean in units of the real clips' spread (the root of their summed variances): two
    unrelated real clips are about sqrt(2) apart. `nearer` is the share of scenes in which the generated
    clip is nearer to the real one than the trick is; the interval (None where nearly all are equal) is of
    the mean paired difference (trick - generated), positive where generating is better. `frechet` compares
    the whole sets.
    """
    arms = {"real": real, "generated": made, **tricks}
    features = {name: extractor(list(clips)) for name, clips in arms.items()}
    spread = np.sqrt(features["real"].var(axis=0).sum())
    scaled = {name: values / spread for name, values in features.items()}
    apart = {
        name: np.linalg.norm(values - scaled["real"], axis=1)
        for name, values in scaled.items()
        if name != "real"
    }
    table = {}
    for name, distances in apart.items():
        row = {
            "value": round(float(distances.mean()), 4),
            "n": len(distances),
            "unit": "spreads of the real clips",
            "frechet": round(frechet_distance(scaled[name], scaled["real"]), 3),
        }
        if name != "generated":
            difference = distances - apart["generated"]
            row["nearer"] = round(float((difference > 0).mean()), 3)
            span = mean_interval(difference)
            row["gain_interval"] = span and [round(float(end), 4) for end in span]
        table[f"distance_{name}"] = row
    return table
