"""From a training folder to the three checkpoints that ship, each with its card."""

import json
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

from classroom import card, checkpoint, contrast, progress, scenes, viewer
from classroom.recipe import Recipe

# beside the weights, for the appendix notebook
HISTORY, PROGRESS, METRICS = "training.json", "progress.png", "metrics.json"
HELD_OUT = 64  # scenes that the small nets are measured on, away from those of `evaluation`


def export_all(training: Recipe, out: Path, hardware: str, limits: str) -> Iterator[Path]:
    """Write nano-wan, nano-clip and, once it is trained, nano-viewer into `out`; yields each folder."""
    settings, folder, seeds = training.settings, training.folder, training.seeds
    pipe = training.restore()
    text = card.nano(folder, astuple(settings.shape), seeds, hardware, limits)
    model = checkpoint.save(pipe, out / "nano-wan", text)
    _write_history(training, model)
    yield model
    held_out = scenes.render_clips(scenes.evaluation_seeds(HELD_OUT, 600_000), settings.shape)
    parts = (training.clip.eval(), training.clip_tokenizer, pipe.image_processor)
    found = contrast.retrieval(*parts, held_out.frames[:, 0], held_out.captions)
    text = card.nano_clip(folder, seeds[: settings.net_clips], found, HELD_OUT)
    yield checkpoint.save_clip(*parts, out / "nano-clip", text)
    if (folder / "viewer.pt").exists():
        net = training.trained_viewer()
        shares = viewer.accuracy(net, held_out.frames, held_out.attributes)
        text = card.nano_viewer(folder, seeds[: settings.net_clips], shares, HELD_OUT)
        yield checkpoint.save_viewer(net.backbone, out / "nano-viewer", text)


def _write_history(training: Recipe, model: Path) -> None:
    history = {
        "stages": progress.curves(training.folder),
        "autoencoder_psnr": progress.autoencoder_phases(training),
    }
    (model / HISTORY).write_text(json.dumps(history) + "\n", encoding="utf-8")
    figure = progress.samples_by_step(training)
    if figure is not None:
        figure.savefig(model / PROGRESS, dpi=100)
    checkpoint.write_sums(model)
