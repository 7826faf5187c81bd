"""The dailies of the film Emberfall: real, messy H.264 files for notebook 01, made by one command.

    python -m dailies.production data/dailies

Every take is a scene of the backlot in the film's look. `dailies.shooting_script` is the plan; `takes.csv`
is the answer key that says what is really on each file.
"""

import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from backlot.scene import DAILIES_SEEDS, Scene

from dailies.shooting_script import Reel, Take, reels

if TYPE_CHECKING:
    import av

FPS, HEIGHT, WIDTH = 24, 360, 640
SCOPE = 268  # picture height of the letterboxed reel (2.39:1)
GRADE = "teal shadows and amber highlights"


def frame_count(take: Take) -> int:
    """Length of a take at the dailies' rate."""
    return round(take.scene.seconds * FPS)


def shoot(take: Take, height: int, width: int) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 of a take in the film's look."""
    from backlot.clip import Shot
    from backlot.look import apply_look

    shot = Shot(take.scene, height, width)
    still = shot.view(0.5).frame if take.kind == "still" else None
    for k in range(frame_count(take)):
        frame = shot.view(k / FPS).frame if still is None else still
        yield apply_look(frame, take.scene.look, take.scene.seed, k)


def slate(reel: Reel, height: int, width: int) -> np.ndarray:
    """A clapper board (H, W, 3) uint8 with the reel's name."""
    import cv2

    board = np.full((height, width, 3), (70, 66, 60), np.uint8)
    left, top, right, bottom = (round(v) for v in (0.2 * width, 0.3 * height, 0.8 * width, 0.9 * height))
    cv2.rectangle(board, (left, top), (right, bottom), (22, 22, 24), -1)
    for row, y in ((0, top - 0.16 * height), (1, top - 0.07 * height)):
        y, tall = round(y), round(0.07 * height)
        cv2.rectangle(board, (left, y), (right, y + tall), (22, 22, 24), -1)
        for x in range(left, right - 30, 60):
            lean = -20 if row else 20
            stripe = np.array([[x + 20, y], [x + 50, y], [x + 30 + lean, y + tall], [x + lean, y + tall]])
            cv2.fillPoly(board, [np.clip(stripe, (left, 0), (right, height))], (235, 235, 230), cv2.LINE_AA)
    roll, _, scene = reel.name.partition("_")
    words = ("EMBERFALL", f"ROLL {roll}", scene.replace("_", " ").upper(), f"{FPS} FPS   TAKE 1")
    for k, text in enumerate(words):
        place = (left + 24, top + round((0.13 + 0.14 * k) * height))
        cv2.putText(board, text, place, cv2.FONT_HERSHEY_DUPLEX, 0.8, (235, 235, 230), 1, cv2.LINE_AA)
    return board


def timeline(reel: Reel) -> Iterator[tuple[str, Take | None, Iterator[np.ndarray]]]:
    """(kind, take, frames) of everything on the file, in order."""
    if "black" in reel.options:
        yield "black", None, iter([np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * round(1.2 * FPS))
    if "slate" in reel.options:
        yield "slate", None, iter([slate(reel, HEIGHT, WIDTH)] * round(1.5 * FPS))
    for k, take in enumerate(reel.takes):
        frames = shoot(take, SCOPE if "scope" in reel.options else HEIGHT, WIDTH)
        if "scope" in reel.options:
            frames = (np.pad(f, (((HEIGHT - SCOPE) // 2,) * 2, (0, 0), (0, 0))) for f in frames)
        if "fades" in reel.options and k in (0, len(reel.takes) - 1):
            frames = _fade(frames, frame_count(take), into=k == 0)
        yield take.kind, take, frames
    if "black" in reel.options:
        yield "black", None, iter([np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * round(0.8 * FPS))


def _fade(frames: Iterator[np.ndarray], count: int, into: bool) -> Iterator[np.ndarray]:
    for k, frame in enumerate(frames):
        level = min(1.0, (k if into else count - 1 - k) / (0.5 * FPS))
        yield (frame * level).astype(np.uint8)


def produce(reel: Reel, path: Path) -> list[dict[str, object]]:
    """Film one reel into `path`; returns its lines of the answer key.

    One encoder thread and fixed settings: the same machine writes the same bytes again.
    """
    import av

    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    damaged = "damaged" in reel.options
    flags = {"fflags": "+bitexact"} | ({} if damaged else {"movflags": "faststart"})
    try:
        with av.open(str(partial), "w", format="mp4", options=flags) as container:
            key = _film(container, reel)
        if damaged:  # the index stands at the end of the file, and is lost
            partial.write_bytes(partial.read_bytes()[: partial.stat().st_size * 6 // 10])
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return [line | {"kind": "damaged"} for line in key] if damaged else key


def _film(container: "av.container.OutputContainer", reel: Reel) -> list[dict[str, object]]:
    import av

    stream = container.add_stream("libx264", rate=Fraction(FPS))
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    stream.codec_context.thread_count = 1
    stream.options = {"crf": "25", "preset": "medium", "threads": "1"}
    audio = container.add_stream("aac", rate=48000, layout="mono") if "sound" in reel.options else None
    key, count = [], 0
    for kind, take, frames in timeline(reel):
        first = count
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            count += 1
        line = {"file": reel.file, "take": len(key) + 1, "start": first / FPS, "end": count / FPS}
        key.append(line | {"kind": kind, "scene": take and take.scene})
    container.mux(stream.encode())
    if audio is not None:
        _sound(container, audio, count / FPS)
    return key


def _sound(
    container: "av.container.OutputContainer", stream: "av.audio.stream.AudioStream", seconds: float
) -> None:
    """A hum and the crackle of a fire (mono, 48 kHz)."""
    import av

    rng = np.random.default_rng(DAILIES_SEEDS.start)
    t = np.arange(int(seconds * 48000)) / 48000
    crackle = rng.standard_normal(len(t)) * (rng.random(len(t)) < 0.002)
    wave = np.float32(
        0.05 * np.sin(2 * np.pi * 110 * t) + 0.25 * np.convolve(crackle, np.ones(24) / 8, "same")
    )
    for start in range(0, len(wave) - 1024, 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def caption_row(line: dict[str, object], with_text: bool) -> dict[str, object]:
    """One line of metadata.jsonl: structured fields of a take, and its sentence."""
    scene: Scene = line["scene"]
    row = {name: line[name] for name in ("start", "end")}
    row = {"file_name": line["file"]} | {name: round(value, 3) for name, value in row.items()}
    row |= {
        "costume": scene.costume_phrase,
        "lighting": scene.light_phrase,
        "color_grading": GRADE,
        "camera": scene.camera,
        "action": scene.subject_phrase,
    }
    return row | ({"text": scene.caption} if with_text else {})


def write_sidecars(folder: Path, key: list[dict[str, object]]) -> None:
    """metadata.jsonl, takes.csv, the pickup's note, and SHA256SUMS of every file, written last."""
    captioned = [line for line in key if line["scene"] and line["file"][:4] not in ("A011", "A012")]
    rows = [json.dumps(caption_row(line, line["file"][:4] != "A008")) for line in captioned]
    _write(folder / "metadata.jsonl", "\n".join(rows) + "\n")
    note = next(line["scene"].caption for line in key if line["file"].startswith("A011"))
    _write(folder / "A011_pickup.txt", note + "\n")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "take", "start", "end", "kind"])
    writer.writerows([r["file"], r["take"], f"{r['start']:.3f}", f"{r['end']:.3f}", r["kind"]] for r in key)
    _write(folder / "takes.csv", table.getvalue())
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}" for p in files]
    _write(folder / "SHA256SUMS", "\n".join(sums) + "\n")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, "utf-8")
    partial.replace(path)


def main(arguments: list[str]) -> None:
    """Film every reel into the folder given (default data/dailies)."""
    folder = Path(arguments[0] if arguments else "data/dailies")
    folder.mkdir(parents=True, exist_ok=True)
    key: list[dict[str, object]] = []
    for reel in reels():
        key += produce(reel, folder / reel.file)
        size = (folder / reel.file).stat().st_size
        print(f"{reel.file}: {len(reel.takes)} takes, {size / 1e6:.2f} MB", flush=True)
    write_sidecars(folder, key)


if __name__ == "__main__":
    main(sys.argv[1:])
