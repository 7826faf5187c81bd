"""`python -m classroom.shot`: autoencoder and transformer anew on one accelerator, in minutes.

Starts from the checkpoint in --source, renders its own clips meanwhile, and is finished when --seconds are
over, whatever the machine's speed. `python -m classroom.adopt` makes a checkpoint of what it leaves.
"""

import argparse
import os
from pathlib import Path


def main() -> None:
    """Parse the command line and run. Heavy imports come later: render workers import this file too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and log")
    parser.add_argument("--source", type=Path, default=Path("data/nano-wan"), help="checkpoint to start from")
    parser.add_argument("--recipe", default="nano", help="nano or rehearsal")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, help="wall-clock from now to the last file")
    parser.add_argument("--workers", type=int, help="render processes")
    asked = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each of many render processes needs one thread

    from classroom.clock import Clock

    clock = Clock()  # before the heavy imports: they count
    from classroom.accelerated import run

    own = {"seconds": asked.seconds, "workers": asked.workers}
    run(asked.recipe, asked.source, asked.out, asked.device, clock, **own)


if __name__ == "__main__":
    main()
