"""`python -m classroom.blind`: last frames of generated clips, numbered, for who has not seen the captions.

Who looks names subject, world, light and action; the key, a file of its own, tells what was asked for.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from classroom import scenes
from classroom.evaluation import SHAPE
from classroom.sampling import generate

FIRST_SEED = 640_000  # within the evaluation seeds: used nowhere else
ASKED = ("subject", "world", "light", "action")
COLUMNS, LARGER, LINE, GAP = 4, 2, 14, 6  # LINE: height of the number above a picture, in pixels


def sheet(pictures: Sequence[np.ndarray]) -> Image.Image:
    """Pictures uint8 (H, W, 3) at twice their size, in rows, each under its number and nothing else."""
    height, width = (LARGER * side for side in pictures[0].shape[:2])
    rows = -(-len(pictures) // COLUMNS)
    cell = (width + GAP, height + LINE + GAP)
    page = Image.new("RGB", (COLUMNS * cell[0] + GAP, rows * cell[1] + GAP), "white")
    pen = ImageDraw.Draw(page)
    for number, picture in enumerate(pictures):
        left, top = (GAP + cell[0] * (number % COLUMNS), GAP + cell[1] * (number // COLUMNS))
        pen.text((left, top), str(number + 1), fill="black")
        large = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
        page.paste(large, (left, top + LINE))
    return page


def key(clips: scenes.Clips) -> list[dict[str, str | int]]:
    """Per number what the scene holds."""
    told = zip(clips.captions, clips.attributes, strict=True)
    return [
        {"number": number, "caption": caption, **{name: values[name] for name in ASKED}}
        for number, (caption, values) in enumerate(told, start=1)
    ]


def main() -> None:
    """The command line."""
    from cinelib.wan.pipeline import load_pipeline

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("data/nano-wan"))
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument(
        "--out", type=Path, default=Path("build/blind"), help="folder for both sheets and key"
    )
    asked = parser.parse_args()
    clips = scenes.render_clips(scenes.evaluation_seeds(asked.count, FIRST_SEED), SHAPE)
    pipe = load_pipeline(asked.model)
    made = generate(pipe, clips.frames[:, 0], clips.captions, SHAPE.num_frames)
    asked.out.mkdir(parents=True, exist_ok=True)
    sheet(made[:, -1]).save(asked.out / "sheet.png")
    sheet(clips.frames[:, -1]).save(asked.out / "real.png")
    (asked.out / "key.json").write_text(json.dumps(key(clips), indent=2) + "\n", encoding="utf-8")
    print(f"{asked.out}: sheet.png to look at, real.png and key.json for afterwards")


if __name__ == "__main__":
    main()
