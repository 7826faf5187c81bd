"""How fast the backlot films: single-core seconds per clip, and what 5,000 clips take on two cores.

python tests/benchmarks/backlot_throughput.py [clips]
"""

import os
import platform
import sys
import time

import cv2
import numpy as np
from backlot import render, sample_scene


def main() -> None:
    """Render clips of 17 frames at 64x112 with flow and mask, and 720p stills, on one thread."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    cv2.setNumThreads(1)
    render(sample_scene(0))
    cpu, wall, each = time.process_time(), time.perf_counter(), []
    for seed in range(count):
        before = time.process_time()
        render(sample_scene(seed))
        each.append(time.process_time() - before)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    still = time.process_time()
    for seed in range(4):
        render(sample_scene(seed), 1, 720, 1280)
    still = (time.process_time() - still) / 4
    print(
        f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    print(f"versions: Python {platform.python_version()}, OpenCV {cv2.__version__}, NumPy {np.__version__}")
    print(f"{count} clips of 17 frames at 64x112 with flow and mask, one thread")
    print(f"CPU seconds a clip: mean {cpu / count:.3f}, median {np.median(each):.3f}, worst {max(each):.3f}")
    print(f"wall seconds a clip: {wall / count:.3f}")
    print(f"5,000 clips on two cores: {5000 * cpu / count / 2 / 60:.1f} minutes (goal: under 30)")
    print(f"one 720p still: {still:.2f} CPU seconds")


if __name__ == "__main__":
    main()
