"""Seconds until `cinelib` answers: what a user waits for before anything is computed.

Wall time and processor time of a new process, medians of `--rounds`. The wall time depends on what else the
machine does just now; the processor time is what the imports cost.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import cinelib": ["-c", "import cinelib"],
    "cinelib --help": ["-m", "cinelib.cli", "--help"],
    "cinelib status": ["-m", "cinelib.cli", "status"],
    "cinelib params 02": ["-m", "cinelib.cli", "params", "02"],
}


def once(arguments: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()
    cores = len(os.sched_getaffinity(0))
    where = f"{platform.machine()}, {cores} cores, Python {platform.python_version()}"
    print(f"{where}, load average {os.getloadavg()[0]:.1f} before the start, median of {given.rounds}")
    for arguments in COMMANDS.values():
        once(arguments)  # compiled and read once, as after the first use
    rounds = [{name: once(arguments) for name, arguments in COMMANDS.items()} for _ in range(given.rounds)]
    for name in COMMANDS:
        found = zip(*(row[name] for row in rounds), strict=True)
        wall, processor = map(statistics.median, found)
        print(f"{name:18} {wall:.2f} s, of processor time {processor:.2f} s")


if __name__ == "__main__":
    main()
