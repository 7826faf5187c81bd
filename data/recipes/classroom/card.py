"""Model cards: what a checkpoint was trained on, how, how long, and what was measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from classroom import scenes

HEADER = """---
license: apache-2.0
library_name: {library}
pipeline_tag: {tag}
---
"""

BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"

CLIP = """# nano-clip

`CLIPModel` trained from scratch on the backlot's frames and captions: the same call path as
`openai/clip-vit-base-patch32` at a hundredth of its size. It knows the backlot's vocabulary and nothing else,
so what it scores is called `CLIP-SIM[nano]`, never CLIP-SIM. Its image tower began as nano-wan's.

    from transformers import CLIPModel, CLIPProcessor
    model = CLIPModel.from_pretrained("data/nano-clip")
    processor = CLIPProcessor.from_pretrained("data/nano-clip")

Data: frames of backlot scenes, training seeds {first_seed}..{last_seed}, neutral looks.

{stages}

Measured: of {count} held-out frames, the share whose own caption scores highest among all {count} captions is
{retrieval:.3f} (chance {chance:.3f}).

Limits: camera moves and direction of motion cannot be seen in one frame; no word outside the captions'
grammar means anything to it. Licence: Apache-2.0.
"""

JUDGED = """## Through any grade

After that it went on for {steps} steps with one frame in three neutral and the others in random grades, on
three frames each of {scenes} training scenes (`python -m classroom judge`). So its image tower is no longer
nano-wan's image encoder, which stays as it was. The film's grade was not among those it saw. Why: before, a
graded picture counted as a wrong one. Of {count} held-out frames, the share whose own caption scores highest
among all {count}:

| pictures | before | after |
|---|---|---|"""

VIEWER = """# nano-viewer

`ResNetModel` on 16 frames stacked as 48 channels, trained from scratch to name what happens in backlot clips:
set, light, subject, action, costume colour and camera move, and how far the picture moves as a whole. Its
pooled features are those of `FD[nano]`, the offline stand-in for FVD's I3D. It knows the backlot and nothing
else: its distances are not FVD and compare with no paper.

    from cinelib.metrics.video_features import VideoFeatures
    features = VideoFeatures("data/nano-viewer")(clips)

Data: backlot clips of training seeds {first_seed}..{last_seed}, neutral looks; half of them re-graded, half
mirrored, half softened, a third played backwards.

{stages}

Measured on {count} held-out clips, the share named rightly: {accuracy}.

Limits: one size, about one second. Softened in training, it forgives a soft picture more than I3D does: read
it beside a metric that does not. Licence: Apache-2.0.
"""

NANO = """# nano-wan

A small image-to-video model with exactly the classes and the file layout of Wan2.1 I2V, trained from scratch
on procedural scenes so that a course can be run on a laptop. It is a teaching model: it knows the backlot's
two worlds and nothing else.

    from cinelib.wan.pipeline import load_pipeline
    pipe = load_pipeline("data/nano-wan")
    frames = pipe(image=image, prompt=text, height=64, width=112, num_frames=17, num_inference_steps=12,
                  guidance_scale=3.0).frames[0]

With `last_image=` it ends at a given frame (through `cinelib.wan.pipeline.FirstLastPipeline`).

## Data
{clips} clips of {num_frames} frames, {width}x{height}, 16 fps, rendered by `backlot` from training
{seeds}: both worlds, neutral looks, never the film's look, never evaluation seeds.

## Training (`python -m classroom{command}`)
{stages}

Hardware: {hardware}. The times are wall-clock on that machine.

## Samples
Twelve held-out scenes (evaluation seeds {sample_seed} and on) with generation seeds 0 to 11, none left out.
Upper row of each pair: generated from the first frame and the caption; lower row: the real scene.

![generated and real clips](samples.png)

## Measured
{begin}
Nothing was measured on this export yet: run `python -m classroom evaluate`.
{end}

## Limits
{limits}

Licence: Apache-2.0, weights and data alike; nothing in them comes from outside this repository.
"""


def stage_lines(folder: Path, pattern: str = "*.pt") -> str:
    """One line per checkpoint in `folder`: steps taken, hours, last loss."""
    lines = ["| stage | steps | hours | last training loss |", "|---|---|---|---|"]
    for path in sorted(folder.glob(pattern)):
        state = torch.load(path, map_location="cpu", weights_only=True)
        last = state["losses"][-1][1] if state["losses"] else float("nan")
        lines.append(f"| {path.stem} | {state['step']} | {state['seconds'] / 3600:.2f} | {last:.4f} |")
    return "\n".join(lines)


def measured(table: Mapping[str, Mapping[str, Any]], sampler: Mapping[str, Any]) -> str:
    """The measurements as a Markdown table, with their conditions."""
    conditions = ", ".join(f"{name} {value}" for name, value in sampler.items())
    lines = [
        f"Held-out seeds; {conditions}. `python -m classroom evaluate` repeats it.",
        "",
        "| measure | value | unit | n |",
        "|---|---|---|---|",
    ]
    for name, row in table.items():
        more = "; ".join(f"{key}: {value}" for key, value in row.items() if key not in ("value", "n", "unit"))
        detail = f" ({more})" if more else ""
        lines.append(f"| {name} | {row['value']}{detail} | {row['unit']} | {row['n']} |")
    return "\n".join(lines)


def insert_measured(text: str, lines: str) -> str:
    """The card `text` with `lines` as its measurements."""
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    return f"{head}{BEGIN}\n{lines}\n{END}{tail}"


def nano(folder: Path, shape: tuple[int, int, int], seeds: range, hardware: str, limits: str) -> str:
    """The card of the image-to-video checkpoint trained in `folder` on clips of `shape` (T, H, W)."""
    told = f"seeds {seeds[0]}..{seeds[-1]}"
    return nano_text(" train", stage_lines(folder), len(seeds), shape, told, hardware, limits)


def nano_text(
    command: str,
    stages: str,
    clips: int,
    shape: tuple[int, int, int],
    seeds: str,
    hardware: str,
    limits: str,
) -> str:
    """The same card with the command that trained, its table `stages` and the words for `seeds` given."""
    num_frames, height, width = shape
    return HEADER.format(tag="image-to-video", library="diffusers") + NANO.format(
        command=command,
        clips=clips,
        num_frames=num_frames,
        height=height,
        width=width,
        seeds=seeds,
        stages=stages,
        hardware=hardware,
        limits=limits,
        sample_seed=scenes.evaluation_seeds(1)[0],
        begin=BEGIN,
        end=END,
    )


def nano_clip(folder: Path, seeds: range, retrieval: float, count: int) -> str:
    """The card of the image-text model trained in `folder`."""
    return HEADER.format(tag="zero-shot-image-classification", library="transformers") + CLIP.format(
        first_seed=seeds[0],
        last_seed=seeds[-1],
        retrieval=retrieval,
        count=count,
        chance=1 / count,
        stages=stage_lines(folder, "clip*.pt"),
    )


def insert_judged(
    text: str, scenes: int, steps: int, count: int, before: Mapping[str, float], after: Mapping[str, float]
) -> str:
    """The card of an image-text model that went on with graded pictures, with what that changed."""
    lines = [JUDGED.format(scenes=scenes, steps=steps, count=count)]
    lines += [f"| {grade} | {before[grade]:.3f} | {after[grade]:.3f} |" for grade in before]
    head, _, _ = text.partition("\n## Through any grade")
    return head.rstrip() + "\n\n" + "\n".join(lines) + "\n"


def nano_viewer(folder: Path, seeds: range, accuracy: Mapping[str, float], count: int) -> str:
    """The card of the video feature net trained in `folder`."""
    return HEADER.format(tag="video-classification", library="transformers") + VIEWER.format(
        first_seed=seeds[0],
        last_seed=seeds[-1],
        accuracy=", ".join(f"{name} {share:.2f}" for name, share in accuracy.items()),
        count=count,
        stages=stage_lines(folder, "viewer*.pt"),
    )
