"""Generated clips beside the real ones frame by frame: where in time do they fall behind a still?"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cinelib.metrics.extractors import efficientnet, image_net_input
from classroom import autoencoder, encoding
from classroom.vae import psnr

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

Table = dict[str, dict[str, Any]]
START = 4  # the first frame that counts: those before it hardly differ from the one that is given
SIZE, TOGETHER = 128, 8


@torch.inference_mode()
def picture_features(frames: np.ndarray) -> np.ndarray:
    """ImageNet features (N, 1280) of single frames uint8 (N, H, W, 3)."""
    network, _ = efficientnet()
    parts = [image_net_input(frames[at : at + TOGETHER], SIZE) for at in range(0, len(frames), TOGETHER)]
    return np.concatenate([network.extract_features(part).mean(dim=(2, 3)).numpy() for part in parts])


def frame_distances(
    real: np.ndarray,
    arms: Mapping[str, np.ndarray],
    features: Callable[[np.ndarray], np.ndarray] = picture_features,
) -> Table:
    """Per arm (N, T, H, W, 3) the mean distance to the real frame of the same moment, from START on.

    In units of the spread of the real frames of that moment, as in `likeness`. `generated` is one of the
    arms; for the others `frames_nearer` counts the moments at which it is nearer than they are.
    """
    moments = range(START, real.shape[1])
    curves: dict[str, list[float]] = {name: [] for name in arms}
    for moment in moments:
        wanted = features(real[:, moment])
        spread = np.sqrt(wanted.var(axis=0).sum())
        for name, clips in arms.items():
            apart = np.linalg.norm(features(clips[:, moment]) - wanted, axis=1)
            curves[name].append(float(apart.mean() / spread))
    table: Table = {}
    for name, curve in curves.items():
        row = {
            "value": round(float(np.mean(curve)), 4),
            "n": len(real),
            "unit": "spreads of the real frames",
            "from_frame": START,
            "per_frame": [round(value, 3) for value in curve],
        }
        if name != "generated":
            nearer = sum(ours < theirs for ours, theirs in zip(curves["generated"], curve, strict=True))
            row["frames_nearer"] = f"{nearer} of {len(moments)}"
        table[f"frame_distance_{name}"] = row
    return table


@torch.no_grad()
def round_trip(vae: "AutoencoderKLWan", clips: np.ndarray) -> np.ndarray:
    """Clips uint8 (N, T, H, W, 3) encoded and decoded: what no transformer can better."""
    made = []
    for clip in encoding.to_pixels(clips):
        decoded = autoencoder.decode(vae, autoencoder.encode(vae, clip[None])).clamp(-1, 1)[0]
        made.append(((decoded + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0).numpy())
    return np.stack(made)


def psnr_over_time(real: np.ndarray, arms: Mapping[str, np.ndarray]) -> Table:
    """PSNR of each arm to the real clips (N, T, H, W, 3).

    `value` is the mean over frames 1 to 4, the first latent frame that is not given.
    """
    table: Table = {}
    for name, clips in arms.items():
        values = psnr(encoding.to_pixels(clips), encoding.to_pixels(real))
        table[f"psnr_over_time_{name}"] = {
            "value": round(float(values[:, 1:5].mean()), 4),
            "n": len(real),
            "unit": "dB",
            "per_frame": [round(float(value), 2) for value in values.mean(0)],
        }
    return table
