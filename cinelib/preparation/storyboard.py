"""A storyboard: scenes as neutral stills, evenly spaced in time, each with a prompt."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path

from PIL import Image, ImageOps


@dataclass(frozen=True)
class StoryboardScene:
    """One scene of a storyboard: a prompt and its stills in time order, `interval` seconds apart."""

    name: str
    world: str
    camera: str
    text: str
    stills: tuple[Path, ...]
    interval: float


def read_storyboard(folder: str | Path) -> list[StoryboardScene]:
    """The scenes of a storyboard's `metadata.jsonl`.

    A row has `file_name`, `scene`, `index`, `seconds`, `world`, `camera` and `text`.

    Raises:
        FileNotFoundError, ValueError: no metadata, a still missing or outside the folder, a scene with
            fewer than two stills or stills at uneven times.
    """
    folder = Path(folder)
    metadata = folder / "metadata.jsonl"
    if not metadata.is_file():
        raise FileNotFoundError(f"{folder} is no storyboard: it has no metadata.jsonl")
    rows: dict[str, list[dict]] = {}
    for line in filter(str.strip, metadata.read_text("utf-8").splitlines()):
        row = json.loads(line)
        path = folder / row["file_name"]
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise ValueError(f"{metadata}: there is no {row['file_name']!r} in the folder")
        rows.setdefault(row["scene"], []).append(row)
    if not rows:
        raise ValueError(f"{metadata} lists no stills")
    return [_scene(folder, name, sorted(found, key=lambda row: row["index"])) for name, found in rows.items()]


def _scene(folder: Path, name: str, rows: Sequence[dict]) -> StoryboardScene:
    steps = {round(b["seconds"] - a["seconds"], 3) for a, b in pairwise(rows)}
    if len(steps) != 1 or min(steps) <= 0:
        raise ValueError(f"scene {name!r} needs two or more stills, evenly spaced in time; steps: {steps}")
    first = rows[0]
    stills = tuple(folder / row["file_name"] for row in rows)
    return StoryboardScene(name, first["world"], first["camera"], first["text"], stills, steps.pop())


def in_turn(scenes: Sequence[StoryboardScene], count: int) -> list[StoryboardScene]:
    """The first `count` scenes, one of each world after the other."""
    worlds: dict[str, list[StoryboardScene]] = {}
    for scene in scenes:
        worlds.setdefault(scene.world, []).append(scene)
    rounds = zip_longest(*worlds.values())
    return [scene for group in rounds for scene in group if scene is not None][:count]


def open_still(path: str | Path, height: int, width: int) -> Image.Image:
    """A still at the model's size: scaled to cover it, the rest cropped around the centre."""
    with Image.open(path) as image:
        return ImageOps.fit(image.convert("RGB"), (width, height), Image.Resampling.LANCZOS)


def frames_between(scene: StoryboardScene, fps: int, limit: int) -> int:
    """Frames from one still to the next, both included: more or fewer would change the speed of time.

    Raises:
        ValueError: not 4k+1, or more than `limit`, what the model makes at once.
    """
    frames = round(scene.interval * fps) + 1
    if frames % 4 != 1 or frames > limit:
        raise ValueError(
            f"stills of {scene.name!r} are {scene.interval:g} s apart, {frames} frames at {fps} a second; "
            f"a segment has 4k+1 frames and at most num_frames, here {limit}"
        )
    return frames
