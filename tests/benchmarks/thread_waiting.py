"""Seconds of one forward and backward pass of the classroom transformer, alone and beside other programs.

Side by side: OpenMP threads that spin while they wait (GNU's default), that spin briefly, which is what
`cinelib` and `make` ask for (GOMP_SPINCOUNT=1000), and that sleep at once. Rounds alternate; a round that
takes longer than `--limit` seconds is cut off and counted as that.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

MODEL = Path(__file__).parents[2] / "data" / "nano-wan" / "transformer"
STEP = f"""
import statistics, time
import torch
from diffusers import WanTransformer3DModel

model = WanTransformer3DModel.from_pretrained({str(MODEL)!r})
clip, text, image = torch.randn(1, 36, 5, 8, 14), torch.randn(1, 512, 128), torch.randn(1, 17, 128)
seconds = []
for _ in range(13):
    started = time.perf_counter()
    model(clip, torch.tensor([500.0]), text, image, return_dict=False)[0].square().mean().backward()
    seconds.append(time.perf_counter() - started)
print(statistics.median(seconds[3:]))
"""
POLICIES = {
    "threads spin": {},
    "spin briefly": {"GOMP_SPINCOUNT": "1000"},
    "threads sleep": {"OMP_WAIT_POLICY": "PASSIVE"},
}
BUSY = [sys.executable, "-c", "while True: pass"]


def seconds(policy: str, limit: float) -> float:
    """Median of ten passes in a process of its own, or `limit`."""
    chosen = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    plain = {name: value for name, value in os.environ.items() if name not in chosen}
    command = [sys.executable, "-c", STEP]
    environment = plain | POLICIES[policy]
    try:
        answer = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return limit
    return float(answer.stdout)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--limit", type=float, default=60)
    given = options.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{platform.machine()}, {cores} cores, load average {os.getloadavg()[0]:.1f} before the start")
    for others in (0, cores):
        company = [subprocess.Popen(BUSY) for _ in range(others)]
        try:
            rounds = [{name: seconds(name, given.limit) for name in POLICIES} for _ in range(given.rounds)]
        finally:
            for process in company:
                process.kill()
        for name in POLICIES:
            found = [row[name] for row in rounds]
            median = statistics.median(found)
            shown = f"over {given.limit:g} s for 13 passes" if median == given.limit else f"{median:.3f} s"
            print(f"beside {others} busy programs, {name:13} {shown}, median of {given.rounds}")


if __name__ == "__main__":
    main()
