"""`python -m classroom.adopt`: a checkpoint of what an accelerated training left.

Autoencoder and transformer are new; words, pictures and tokenizer are those of the checkpoint in --source.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import load_file

from classroom import card, checkpoint, progress
from classroom.export import HISTORY, METRICS, PROGRESS
from classroom.keeping import LOG, PICTURES, SUMMARY

if TYPE_CHECKING:
    from diffusers import WanImageToVideoPipeline

EARLIER = ("clip", "language", "viewer")  # stages that the accelerated training takes over as they are
LIMITS = (
    "It knows the backlot and nothing else, at this size and length. Words and pictures are encoded by the "
    "small networks of an earlier training, which saw 2048 clips."
)


def adopt(source: Path, returned: Path, out: Path, hardware: str, limits: str = LIMITS) -> Path:
    """Write the checkpoint `out` from the files in `returned` and the rest of `source`."""
    summary = json.loads((returned / SUMMARY).read_text(encoding="utf-8"))
    kept = source / HISTORY
    earlier = json.loads(kept.read_text(encoding="utf-8"))["stages"] if kept.exists() else {}
    history = _history(summary, _rows(returned), earlier)
    if (measured := source / METRICS).exists():
        history["before"] = json.loads(measured.read_text(encoding="utf-8"))
    model = checkpoint.save(_pipeline(source, returned), out, _card(summary, history, hardware, limits))
    (model / HISTORY).write_text(json.dumps(history) + "\n", encoding="utf-8")
    with np.load(returned / PICTURES) as pictures:
        names = sorted(pictures.files, key=lambda name: name == "real")  # the real clips come last
        rows = {name: pictures[name] for name in names}
    progress.sheet(rows, summary["captions"]).savefig(model / PROGRESS, dpi=100)
    checkpoint.write_sums(model)
    return model


def _pipeline(source: Path, returned: Path) -> "WanImageToVideoPipeline":
    from diffusers import AutoencoderKLWan, WanImageToVideoPipeline, WanTransformer3DModel

    parts = {}
    for name, kind in (("vae", AutoencoderKLWan), ("transformer", WanTransformer3DModel)):
        config = json.loads((returned / f"{name}.json").read_text(encoding="utf-8"))
        parts[name] = kind.from_config(config)
        parts[name].load_state_dict(load_file(returned / f"{name}.safetensors"))
        parts[name] = parts[name].float().eval()
    return WanImageToVideoPipeline.from_pretrained(source, **parts)


def _rows(returned: Path) -> list[dict[str, Any]]:
    lines = (returned / LOG).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _history(summary: dict[str, Any], rows: list[dict[str, Any]], earlier: dict[str, Any]) -> dict[str, Any]:
    """Stages as `progress.curves` has them, PSNR per frame of the autoencoder, the held-out tables."""
    looks = summary["history"]["autoencoder"]
    frames = len(looks[0]["psnr"])
    names = [f"vae-{number}-{frames}frames" for number in range(len(looks))]
    stages = {name: earlier[name] for name in EARLIER if name in earlier}
    before = 0.0
    for name, look in zip(names, looks, strict=True):
        spent = look["seconds"] - before if before else 1
        stages[name] = {"steps": look["steps"], "seconds": max(1, round(spent)), "losses": []}
        before = look["seconds"]
    losses = {
        part: [[row["step"], row["loss"]] for row in rows if row["what"] == f"{part} step"]
        for part in ("autoencoder", "transformer")
    }
    stages[names[-1]]["losses"] = losses["autoencoder"]
    tested = summary["history"]["transformer"]
    spent = tested[-1]["seconds"] - before
    stages["denoiser"] = {
        "steps": tested[-1]["steps"],
        "seconds": round(spent),
        "losses": losses["transformer"],
    }
    psnr = {name: look["psnr"] for name, look in zip(names, looks, strict=True)}
    return {"stages": stages, "autoencoder_psnr": psnr, "held_out": tested, "autoencoder": looks}


def _card(summary: dict[str, Any], history: dict[str, Any], hardware: str, limits: str) -> str:
    lines = ["| stage | steps so far | seconds | last training loss | where |", "|---|---|---|---|---|"]
    for name, row in sorted(history["stages"].items()):
        last = f"{row['losses'][-1][1]:.4f}" if row["losses"] else ""
        where = "an earlier training on processors, kept" if name in EARLIER else "here"
        lines.append(f"| {name} | {row['steps']} | {row['seconds']} | {last} | {where} |")
    # several processes render: which seed comes last is a matter of their speed
    seeds = f"seeds 0 to about {summary['clips'] - 1}"
    shape = tuple(summary["shape"])
    table = "\n".join(lines)
    return card.nano_text(".shot", table, summary["clips"], shape, seeds, hardware, limits)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=Path("data/nano-wan"))
    parser.add_argument("--returned", type=Path, required=True, help="folder that the training wrote")
    parser.add_argument("--out", type=Path, default=Path("data/nano-wan"))
    parser.add_argument("--hardware", default="one H100 and 16 CPU cores, 9 minutes")
    parser.add_argument("--limits", default=LIMITS)
    asked = parser.parse_args()
    print(adopt(asked.source, asked.returned, asked.out, asked.hardware, asked.limits), "written")


if __name__ == "__main__":
    main()
