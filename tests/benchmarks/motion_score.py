"""Seconds of MotionScore for a 33-frame 720p clip; the goal is under 1 s on 2 cores."""

import os
import platform
import statistics
import time

import cv2
import numpy as np

from cinelib.metrics.motion import motion_score
from cinelib.metrics.synthetic import Layer, synthetic_clip

ROUNDS = 7


def main() -> None:
    small, _ = synthetic_clip([Layer(dx=1.5)], num_frames=33)
    clip = np.stack([cv2.resize(frame, (1280, 720), interpolation=cv2.INTER_CUBIC) for frame in small])
    motion_score(clip[:5], 16)  # warm-up
    wall, processor = [], []
    for _ in range(ROUNDS):
        started, used = time.perf_counter(), time.process_time()
        motion_score(clip, 16)
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    print(
        f"33 frames of 720 x 1280: {statistics.median(wall):.2f} s wall (best {min(wall):.2f}), "
        f"{statistics.median(processor):.2f} s of processor, median of {ROUNDS}"
    )
    print(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, OpenCV {cv2.__version__}, "
        f"load average {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
