"""`python -m classroom`: train, export, evaluate, and the smoke checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
Name = Annotated[str, typer.Option(help="nano or smoke")]
Folder = Annotated[Path, typer.Option(help="where rendered clips and checkpoints are kept")]
DEFAULT = Path("build/classroom")
LIMITS = (
    "It knows the backlot and nothing else, at this size and length. "
    "Fine texture is lost in the autoencoder; limbs smear in fast motion."
)
SMOKE_CARD = """# smoke-wan

Random weights in Wan2.1 I2V's layout at the smallest legal size. It generates noise; it exists to test logic.
Made by `python -m classroom smoke`. Licence: Apache-2.0.
"""


def _say(line: str) -> None:
    print(line, flush=True)


@app.callback()
def main() -> None:
    """The classroom model."""


@app.command()
def train(
    stages: Annotated[list[str] | None, typer.Argument(help="default: all, in order")] = None,
    recipe: Name = "nano",
    folder: Folder = DEFAULT,
    threads: Annotated[int, typer.Option(help="of each process; 0 leaves torch's choice")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
) -> None:
    """Run the stages, each from where it stopped; under `torchrun` the processes share each batch."""
    import os

    import torch

    from classroom.recipe import Recipe
    from classroom.settings import SETTINGS

    if threads:
        torch.set_num_threads(threads)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    Recipe(SETTINGS[recipe], folder, device, _say).run(*(stages or ()))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@app.command()
def export(
    recipe: Name = "nano",
    folder: Folder = DEFAULT,
    out: Annotated[Path, typer.Option(help="folder of the three checkpoints to write")] = Path("data"),
    hardware: Annotated[str, typer.Option(help="for the card")] = "2 CPU cores",
    limits: Annotated[str, typer.Option(help="for the card")] = LIMITS,
) -> None:
    """Write nano-wan, nano-clip and nano-viewer as trained so far; training may go on meanwhile."""
    from classroom.export import export_all
    from classroom.recipe import Recipe
    from classroom.settings import SETTINGS

    for path in export_all(Recipe(SETTINGS[recipe], folder), out, hardware, limits):
        _say(f"{path} written")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Option(help="checkpoint folder")] = Path("data/nano-wan"),
    viewer: Annotated[str, typer.Option(help="video feature net, folder or hub id")] = "data/nano-viewer",
    clips: Annotated[
        int, typer.Option(min=1, help="held-out clips for each measurement and camera move")
    ] = 13,
    num_inference_steps: Annotated[int, typer.Option(min=1)] = 12,
    guidance_scale: Annotated[float, typer.Option(min=1)] = 3.0,
) -> None:
    """Measure the checkpoint on held-out scenes; write table and samples into its folder."""
    import json

    from cinelib.metrics.extractors import FrameFeatures
    from cinelib.metrics.video_features import VideoFeatures
    from cinelib.wan.pipeline import load_pipeline
    from classroom import card, checkpoint, evaluation

    sampler = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
    pipe = load_pipeline(model)
    evaluation.samples(pipe, **sampler).savefig(model / "samples.png", dpi=110)
    extractors = (VideoFeatures(viewer), FrameFeatures())
    table = evaluation.evaluate(pipe, extractors, clips, _say, **sampler)
    path = model / checkpoint.CARD
    text = card.insert_measured(path.read_text(encoding="utf-8"), card.measured(table, sampler))
    (model / "metrics.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    checkpoint.write_sums(model)


@app.command()
def judge(
    model: Annotated[Path, typer.Option(help="folder of the image-text model")] = Path("data/nano-clip"),
    folder: Folder = DEFAULT / "judge",
    count: Annotated[int, typer.Option("--scenes", min=64, help="training scenes that it sees")] = 1024,
) -> None:
    """Teach the image-text model to read pictures through any grade."""
    from classroom.judge import go_on

    for path in go_on(model, folder, count, _say):
        _say(f"{path} written")


@app.command()
def smoke(
    folder: Annotated[Path, typer.Option(help="folder to write")] = Path("data/smoke-wan"),
) -> None:
    """Write the checkpoint of random weights that tests use."""
    from classroom import architecture, checkpoint, language, scenes

    captions = [spoken.text for spoken in language.drawn_captions(scenes.training_seeds(2000))]
    checkpoint.save(checkpoint.build(architecture.SMOKE, captions), folder, SMOKE_CARD)


if __name__ == "__main__":
    app()
