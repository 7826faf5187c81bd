"""The storyboard: stills of held-out scenes in neutral looks, which the motion stage brings to life.

python -m backlot.storyboard data/storyboard
"""

import hashlib
import json
import sys
from pathlib import Path

import cv2

from backlot.clip import render
from backlot.scene import EVALUATION_SEEDS, Scene, check_seeds, sample_scene

SECONDS = (0.0, 1.0, 2.0)
HEIGHT, WIDTH, QUALITY = 720, 1280, 88

# set, light, subject, action, camera, cloth; the n-th scene is seeded with EVALUATION_SEEDS.start + n.
PANELS = """
castle courtyard, day, knight, gestures, dollies in, blue
village street, day, rider, rides right, pans right, emerald
great hall, candle, queen, turns, static, violet
forest road, dusk, monk, walks left, pans left, orange
castle courtyard, torch, queen, walks right, static, turquoise
village street, dusk, knight, gestures, dollies out, yellow
forest road, day, rider, rides left, tilts up, white
great hall, day, knight, walks right, pans right, pink
alien desert, day, astronaut, gestures, dollies in, orange
neon city, neon, biker, rides right, pans right, turquoise
spaceship corridor, neon, robot, turns, static, yellow
hangar, day, ranger, walks left, pans left, emerald
alien desert, dusk, robot, walks right, static, blue
hangar, neon, astronaut, gestures, dollies out, white
neon city, dusk, ranger, walks right, cranes up, violet
spaceship corridor, day, astronaut, walks left, handheld, pink
"""


def scenes() -> dict[str, Scene]:
    """The panels' scenes by name, each laid out over two seconds."""
    found = {}
    for k, line in enumerate(PANELS.strip().splitlines()):
        place, light, subject, action, camera, colour = (word.strip() for word in line.split(","))
        seed = EVALUATION_SEEDS.start + k
        check_seeds([seed], EVALUATION_SEEDS)
        scene = sample_scene(
            seed, set=place, light=light, subject=subject, action=action, camera=camera,
            colour=colour, seconds=SECONDS[-1],
        )  # fmt: skip
        found[f"{k:02d}_{place.replace(' ', '_')}"] = scene
    return found


def draw(folder: Path) -> None:
    """Write the stills, metadata.jsonl and SHA256SUMS into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, sums = [], []
    for name, scene in scenes().items():
        for index, seconds in enumerate(SECONDS):
            still = render(scene, 1, HEIGHT, WIDTH, start=seconds).frames[0]
            _, data = cv2.imencode(".jpg", still[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            file = f"{name}_{index}.jpg"
            _replace(folder / file, data.tobytes())
            sums.append(f"{hashlib.sha256(data.tobytes()).hexdigest()}  {file}")
            row = {"file_name": file, "scene": name, "index": index, "seconds": seconds, "world": scene.world}
            row |= {"set": scene.set, "lighting": scene.light_phrase, "costume": scene.costume_phrase}
            rows.append(json.dumps(row | {"camera": scene.camera, "text": scene.caption, "seed": scene.seed}))
        print(f"{name}: {scene.caption}", flush=True)
    metadata = ("\n".join(rows) + "\n").encode()
    _replace(folder / "metadata.jsonl", metadata)
    sums.append(f"{hashlib.sha256(metadata).hexdigest()}  metadata.jsonl")
    _replace(folder / "SHA256SUMS", ("\n".join(sums) + "\n").encode())


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)


if __name__ == "__main__":
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else "data/storyboard"))
