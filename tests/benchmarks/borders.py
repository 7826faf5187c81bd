"""Precision and recall of borders between takes: ours beside PySceneDetect's own detectors, on transitions
that we made.

    python tests/benchmarks/borders.py [FILE.json]

The backlot's takes, as they lie in data/dailies, are joined to films by 240 borders: 120 dissolves, wipes,
dips to white and dips to black, a third of a second to a second long, and 120 cuts between them. Some takes
hold a flash of light, which is no border. Every film is written as H.264 and read as footage is. A border
counts as found when it lies within the true transition, or two frames beside it; each is found once,
anything more is a false one.

TransNetV2 is not run here (its weights do not ship). Its authors report F1 of 77.9 on ClipShots, 96.2 on BBC
and 93.9 on RAI (Soucek and Lokoc, 2020, arXiv:2008.04838): other films, so beside ours they are a scale, no
ranking.
"""

import csv
import json
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from scenedetect import (
    AdaptiveDetector,
    ContentDetector,
    FrameTimecode,
    HashDetector,
    HistogramDetector,
    ThresholdDetector,
)

from cinelib.preparation.isolation import Child
from cinelib.preparation.shots import scan
from cinelib.video import opened, write_video

FPS, HEIGHT, WIDTH = 24, 96, 160
SLOW = ("dissolve", "wipe", "dip to white", "dip to black")
KINDS = ("cut", *SLOW)
LENGTHS = (8, 12, 18, 24)  # frames
FILMS, BORDERS = 12, 20  # 240 borders
DAILIES = Path(__file__).resolve().parents[2] / "data" / "dailies"
Border = tuple[int, int, str]  # first frame touched, first frame of the new take, kind


def takes() -> list[np.ndarray]:
    """The good takes of the dailies, small: (T, H, W, 3) uint8 each. Fades and the letterboxed reel are
    left out."""
    with (DAILIES / "takes.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "good"]
    pool = []
    for file in sorted({row["file"] for row in rows}):
        if any(word in file for word in ("scope", "coronation", "courtyard_night")):
            continue
        frames = np.stack(
            [cv2.resize(f, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for f in film_of(file)]
        )
        for row in (row for row in rows if row["file"] == file):
            first, last = (round(float(row[edge]) * FPS) for edge in ("start", "end"))
            pool.append(frames[first:last])
    return pool


def film_of(file: str) -> Iterator[np.ndarray]:
    """All frames of one of the dailies."""
    with opened(DAILIES / file) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def join(old: np.ndarray, new: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """The pictures between two takes, made of the end of one and the beginning of the other, equally long."""
    count = len(old)
    share = (np.arange(count) + 1)[:, None, None, None] / (count + 1)
    if kind == "dissolve":
        mixed = (1 - share) * old + share * new
    elif kind == "wipe":
        axis = rng.integers(2)
        place = np.linspace(0, 1, old.shape[1 + axis]).reshape((1, -1, 1, 1) if axis == 0 else (1, 1, -1, 1))
        place = 1 - place if rng.random() < 0.5 else place
        mixed = np.where(place < share, new, old)
    else:
        level = 255.0 if kind == "dip to white" else 0.0
        near = np.abs(2 * share - 1)  # 1 at both ends, 0 in the middle
        mixed = np.where(share < 0.5, old, new) * near + level * (1 - near)
    return mixed.round().astype(np.uint8)


def film(pool: list[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, list[Border], int]:
    """Takes joined by borders, where these are, and how many flashes lie between them."""
    chosen = [pool[k] for k in rng.permutation(len(pool))[: BORDERS + 1]]
    pieces, borders, flashes, used, at = [], [], 0, 0, 0
    for number in range(BORDERS):
        kind = "cut" if number % 2 else SLOW[number // 2 % len(SLOW)]
        length = 0 if kind == "cut" else int(rng.choice(LENGTHS))
        old, new = chosen[number], chosen[number + 1]
        body = old[used : len(old) - length].copy()
        if rng.random() < 0.3:
            place = len(body) // 2
            lit = slice(place, place + rng.integers(1, 4))
            body[lit] = 255 - (255 - body[lit].astype(int)) // 5
            flashes += 1
        pieces.append(body)
        at += len(body)
        if length:
            pieces.append(join(old[len(old) - length :], new[:length], kind, rng))
        borders.append((at, at + length, kind))
        at, used = at + length, length
    pieces.append(chosen[-1][used:])
    return np.concatenate(pieces), borders, flashes


def score(true: list[Border], found: list[tuple[int, int]]) -> tuple[Counter, int]:
    """Borders found, by kind, and how many were found that are none."""
    hits, false, open_ = Counter(), 0, list(true)
    for first, last in found:
        match = next((b for b in open_ if last >= b[0] - 2 and first <= max(b[1], b[0]) + 2), None)
        if match is None:
            false += 1
        else:
            hits[match[2]] += 1
            open_.remove(match)
    return hits, false


def ours(frames: np.ndarray, child: Child) -> list[tuple[int, int]]:
    """What stage 01 finds; black between two takes is one border."""
    with tempfile.TemporaryDirectory() as folder:
        result = child.call(scan, str(write_video(Path(folder) / "film.mp4", frames, FPS)))
    spans = [(cut, cut) for cut in result.cuts] + [(t.first, t.last) for t in result.transitions]
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        dark = (
            merged and (result.brightest[merged[-1][1] : first] <= 24).mean() > 0.9 and first > merged[-1][1]
        )
        if merged and dark:
            first = merged.pop()[0]
        merged.append((first, last))
    return merged


PEERS: dict[str, Callable[[], object]] = {
    "PySceneDetect ContentDetector": ContentDetector,
    "PySceneDetect AdaptiveDetector": AdaptiveDetector,
    "PySceneDetect HashDetector": HashDetector,
    "PySceneDetect HistogramDetector": HistogramDetector,
    "PySceneDetect ThresholdDetector": ThresholdDetector,
}


def peers(frames: np.ndarray) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Each detector of PySceneDetect with its own defaults."""
    for name, make in PEERS.items():
        detector, found = make(), []
        for k, frame in enumerate(frames):
            found += detector.process_frame(
                FrameTimecode(k, fps=float(FPS)), np.ascontiguousarray(frame[..., ::-1])
            )
        found += detector.post_process(FrameTimecode(len(frames), fps=float(FPS)))
        yield name, [(border.frame_num, border.frame_num) for border in found]


def main(arguments: list[str]) -> None:
    """Print the table; write it as JSON where a file is named."""
    rng, pool = np.random.default_rng(0), takes()
    hits: dict[str, Counter] = {}
    false, total, flashes = Counter(), Counter(), 0
    with Child() as child:
        for _ in range(FILMS):
            frames, borders, lit = film(pool, rng)
            flashes += lit
            total.update(kind for *_, kind in borders)
            for name, found in (("cinelib", ours(frames, child)), *peers(frames)):
                good, bad = score(borders, found)
                hits.setdefault(name, Counter()).update(good)
                false[name] += bad
    rows = {}
    for name, good in hits.items():
        recall, found = good.total() / total.total(), good.total() + false[name]
        precision = good.total() / found if found else 0.0
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        by_kind = {kind: round(good[kind] / total[kind], 3) for kind in KINDS}
        rows[name] = {
            "precision": round(precision, 3),
            "recall": round(recall, 3),
            "F1": round(f1, 3),
        } | by_kind
        print(f"{name:32}", rows[name])
    made = {
        "borders": total.total(),
        "flashes": flashes,
        "machine": f"{platform.machine()} {platform.system()}",
    }
    print(made)
    if arguments:
        Path(arguments[0]).write_text(json.dumps({**made, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
