"""What a training left to look at: loss curves, what each phase of the autoencoder gained, early samples."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cinelib.show.style import new_figure
from classroom import autoencoder, encoding, scenes, vae
from classroom.loop import milestone
from classroom.recipe import Recipe
from classroom.sampling import generate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD_OUT = 610_000  # within the evaluation seeds: away from those of `evaluation` and of the cards
FRAMES = 4  # of each clip on the sheet


def curves(folder: Path) -> dict[str, dict[str, Any]]:
    """Per checkpoint in `folder`: steps, seconds and losses [[step, mean since the entry before], ...]."""
    found = {}
    for path in sorted(folder.glob("*.pt")):
        state = torch.load(path, map_location="cpu", weights_only=True)
        losses = [[int(step), round(float(loss), 5)] for step, loss in state["losses"]]
        found[path.stem] = {"steps": state["step"], "seconds": round(state["seconds"]), "losses": losses}
    return found


@torch.no_grad()
def autoencoder_phases(training: Recipe, count: int = 8) -> dict[str, list[float]]:
    """PSNR of each frame of held-out clips, in dB, after each phase of the autoencoder's training."""
    settings, found = training.settings, {}
    clips = scenes.render_clips(scenes.evaluation_seeds(count, HELD_OUT), settings.shape)
    pixels = encoding.to_pixels(clips.frames)
    for path in vae.finished(training.folder, settings.vae_phases):
        net = training.autoencoder_of(path)
        decoded = torch.cat([autoencoder.decode(net, autoencoder.encode(net, clip[None])) for clip in pixels])
        found[path.stem] = [round(float(value), 2) for value in vae.psnr(decoded, pixels).mean(0)]
    return found


def samples_by_step(training: Recipe, count: int = 2, **sampler: Any) -> "Figure | None":
    """Held-out scenes from the same noise, one row per milestone of the transformer; None without any."""
    plan, path = training.settings.denoiser, training.folder / "denoiser.pt"
    kept = {step: milestone(path, step) for step in plan.milestones if milestone(path, step).exists()}
    if not kept:
        return None
    clips = scenes.render_clips(scenes.evaluation_seeds(count, HELD_OUT), training.settings.shape)
    pipe, rows = training.restore(), {}
    for step, file in kept.items():
        pipe.transformer.load_state_dict(
            torch.load(file, map_location="cpu", weights_only=True), strict=False
        )
        rows[f"step {step}"] = generate(
            pipe, clips.frames[:, 0], clips.captions, training.settings.shape.num_frames, **sampler
        )
    return sheet({**rows, "real": clips.frames}, clips.captions)


def sheet(rows: Mapping[str, np.ndarray], captions: list[str]) -> "Figure":
    """One row per name, one column per caption, a few frames of each clip uint8 (T, H, W, 3)."""
    figure, axes = new_figure(len(rows), len(captions), size=(7.2 * len(captions), 1.12 * len(rows) + 0.3))
    for number, (name, clips) in enumerate(rows.items()):
        for column, clip in enumerate(clips):
            ax = axes[number * len(captions) + column]
            at = np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)
            ax.imshow(np.concatenate(list(clip[at]), axis=1), interpolation="nearest")
            ax.set(xticks=[], yticks=[], frame_on=False)
            if column == 0:
                ax.set_ylabel(name, fontsize=8)
            if number == 0:
                ax.set_title(captions[column], fontsize=7.5, loc="left", fontweight="normal")
    return figure
