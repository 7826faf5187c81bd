"""Seconds of MotionScore for a 33-frame 720p clip; the goal is under 1 s on 2 cores.

Beside it the flow that VBench's dynamic degree runs, RAFT, with random weights (they do not change the
time), on a few of the same pairs at the metric's resolution.
"""

import argparse
import os
import platform
import statistics
import time

import cv2
import numpy as np
from backlot.synthetic import Layer, synthetic_clip

from cinelib.metrics.motion import motion_score


def raft_seconds(frames: np.ndarray) -> float:
    """Seconds of one pair of frames (256, W, 3) through torchvision's large RAFT, 20 updates as in VBench."""
    import torch
    from torchvision.models.optical_flow import raft_large

    network = raft_large(weights=None).eval()
    width = frames.shape[2] // 8 * 8
    pixels = torch.from_numpy(frames[:2, :, :width]).permute(0, 3, 1, 2).float() / 127.5 - 1
    started = time.perf_counter()
    with torch.inference_mode():
        network(pixels[:1], pixels[1:], num_flow_updates=20)
    return time.perf_counter() - started


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--frames", type=int, default=33)
    options.add_argument("--raft", action="store_true", help="time RAFT as well")
    given = options.parse_args()
    small, _ = synthetic_clip([Layer(dx=1.5)], num_frames=given.frames)
    clip = np.stack([cv2.resize(frame, (1280, 720), interpolation=cv2.INTER_CUBIC) for frame in small])
    motion_score(clip[:5], 16)  # warm-up
    wall, processor = [], []
    for _ in range(given.rounds):
        started, used = time.perf_counter(), time.process_time()
        motion_score(clip, 16)
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    print(
        f"{given.frames} frames of 720 x 1280: {statistics.median(wall):.2f} s wall (best {min(wall):.2f}), "
        f"{statistics.median(processor):.2f} s of processor, median of {given.rounds}"
    )
    if given.raft:
        pairs = 3 * (given.frames - 1)  # forward and backward at 16 Hz, and at 8 Hz
        one = raft_seconds(small)
        print(f"RAFT: {one:.2f} s a pair, {pairs * one:.0f} s for the {pairs} pairs of this clip")
    print(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, OpenCV {cv2.__version__}, "
        f"load average {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
