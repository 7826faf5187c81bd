"""Frames a second that stage 01 scans, beside the way that it had before: every frame as a full picture in
memory.

    python tests/benchmarks/scanning.py [SECONDS OF FILM]

One file of 1280 x 720 at 24 frames a second, made of the dailies; the two ways take turns, the ratio is of
medians. The old way is written out here: decode to RGB at full size, measure in OpenCV, decode again to look
for damage.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2

from cinelib.preparation.shots import BLOCKS, _detectors, scan
from cinelib.video import opened

DAILIES = Path(__file__).resolve().parents[2] / "data" / "dailies"
ROUNDS = 3


def film(path: Path, seconds: float) -> Path:
    """The dailies enlarged to 720p, one behind the other, again and again."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        count = 0
        while True:
            for file in sorted(DAILIES.glob("A00*.mp4")):
                with opened(file) as given:
                    for frame in given.decode(video=0):
                        if count >= seconds * 24:
                            container.mux(stream.encode())
                            return path
                        large = frame.reformat(1280, 720, "yuv420p")
                        large.pts, large.time_base, count = count, Fraction(1, 24), count + 1
                        container.mux(stream.encode(large))


def before(path: Path) -> int:
    """The work of the old scan, through decord."""
    import decord

    detect, count, video = _detectors(), 0, decord.VideoReader(str(path))
    for start in range(0, len(video), 48):
        stop = min(start + 48, len(video))
        for index, frame in enumerate(video.get_batch(range(start, stop)).asnumpy(), start):
            grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            cv2.resize(grey, BLOCKS[::-1], interpolation=cv2.INTER_AREA)
            if index % 6 == 0:
                cv2.resize(grey, (64, 720), interpolation=cv2.INTER_AREA)
                cv2.resize(grey, (1280, 36), interpolation=cv2.INTER_AREA)
            small = cv2.resize(frame, (32, 18), interpolation=cv2.INTER_AREA)
            detect(index, cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
            count += 1
    with opened(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        return count + 0 * sum(frame.is_corrupt for frame in container.decode(video=0))


def now(path: Path) -> int:
    """The scan of stage 01, without the process around it."""
    steps = scan(str(path))
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return len(stop.value.times)


def seconds_of(work: Callable[[Path], int], path: Path) -> tuple[float, int]:
    """How long one pass takes, and how many frames it saw."""
    started = time.perf_counter()
    count = work(path)
    return time.perf_counter() - started, count


def main(arguments: list[str]) -> None:
    """Print frames a second of both ways, and the ratio of their medians."""
    with tempfile.TemporaryDirectory() as folder:
        path = film(Path(folder) / "film.mp4", float(arguments[0]) if arguments else 30.0)
        now(path)  # imports
        times: dict[str, list[float]] = {"before": [], "now": []}
        for _ in range(ROUNDS):
            for name, work in (("before", before), ("now", now)):
                seconds, count = seconds_of(work, path)
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name}: {count / value:.0f} frames a second of 1280 x 720")
    print(f"ratio of medians of {ROUNDS}: {medians['before'] / medians['now']:.2f}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, OpenCV {cv2.__version__}, PyAV {av.__version__}")
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
