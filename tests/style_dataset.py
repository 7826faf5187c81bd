"""A dataset of a few tiny backlot clips, as notebook 01 would write it."""

import json
from pathlib import Path

from cinelib.backlot import TRIGGER, film_scene, render
from cinelib.video import write_video


def write(
    folder: Path, count: int = 4, height: int = 32, width: int = 48, num_frames: int = 9, fps: int = 16
) -> Path:
    (folder / "clips").mkdir(parents=True)
    rows = []
    for k in range(count):
        clip = render(film_scene(2_000_000 + k), num_frames, height, width, fps)
        name = f"clips/{k:02d}.mp4"
        write_video(folder / name, clip.frames, fps)
        shape = {"fps": fps, "num_frames": num_frames, "height": height, "width": width}
        rows.append({"file_name": name, "text": f"{TRIGGER}, {clip.caption}", **shape})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
