"""Notebook 02: training in several processes through `accelerate launch`, from cached examples.

`train` starts the processes with one of the configurations beside this file, hands on what the first of
them logs, and gives back the curves and the weights. Each process loads the model and reads the cache.

On a CPU, ddp and deepspeed_zero2 run over gloo. fsdp2 does not: accelerate 1.15 puts its FSDP plugin to use
for accelerators only and falls back to DDP without a word, so it is refused. Torch's `fully_shard` itself
runs there, and a test trains this loop with it, the plugin put in by hand.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file

from cinelib.style.checkpoints import CheckpointError
from cinelib.style.checks import check_processes
from cinelib.style.history import History
from cinelib.style.parameters import Strategy
from cinelib.style.training import TrainingDiverged
from cinelib.style.training_job import JSON, TrainingJob
from cinelib.wan import pipeline

_RAISED_HERE_TOO = {kind.__name__: kind for kind in (TrainingDiverged, CheckpointError)}


class LaunchError(RuntimeError):
    """A process failed; the message ends with what it printed last."""


def config(strategy: Strategy) -> Path:
    """The configuration file of a strategy, as `accelerate launch --config_file` reads it."""
    return Path(__file__).with_name(f"{strategy}.yaml")


def train(job: TrainingJob, log: Callable[[str], None] = print) -> tuple[History, dict[str, torch.Tensor]]:
    """Run the job in its processes: its curves, and the weights to be shipped by parameter name.

    They end with this process, whatever ends it.

    Raises:
        ValueError, ModuleNotFoundError: as `checks.check_processes`; ValueError also for a loss that cannot
            be handed to other processes (`function_source.standalone`).
        TrainingDiverged, CheckpointError: as `training.train`.
        LaunchError: anything else that ended a process.
    """
    check_processes(job.processes, job.strategy, job.base_precision)
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()  # what this process only keeps in store, the others need
    with tempfile.TemporaryDirectory(prefix="cinelib-launch-") as folder:
        path = Path(folder) / "job.json"
        path.write_bytes(JSON.dump_json(job))
        with _started(path, job) as process:
            for line in process.stdout:
                log(line.rstrip("\n"))
        if process.returncode:
            raise _failure(Path(folder), job.processes)
        history = History(**json.loads((Path(folder) / "history.json").read_text("utf-8")))
        return history, load_file(Path(folder) / "weights.safetensors")


@contextmanager
def _started(path: Path, job: TrainingJob) -> Iterator[subprocess.Popen]:
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    launcher += ["--config_file", str(config(job.strategy))]
    launcher += ["--num_processes", str(job.processes), "--main_process_port", "0"]
    environment = {"TOKENIZERS_PARALLELISM": "false", **os.environ}
    if pipeline.default_device().type == "cpu":
        share = str(max(1, torch.get_num_threads() // job.processes))
        environment |= {"OMP_NUM_THREADS": share, "DS_ACCELERATOR": "cpu"}
    with (path.parent / "errors.txt").open("w") as errors:
        process = subprocess.Popen(
            [*launcher, "-m", "cinelib.style.launch", str(path)],
            env=environment,
            stdin=subprocess.PIPE,  # open while this process lives: its end is how the others notice
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield process
            process.wait()
        finally:  # interrupted: the launcher takes its processes with it
            process.terminate()
            process.stdin.close()
            process.wait()


def _failure(folder: Path, processes: int) -> Exception:
    # The first to fail knows why; the others fail because it is gone.
    reasons = sorted(folder.glob("failed-*.txt"), key=lambda path: path.stat().st_mtime_ns)
    tail = (reasons[0] if reasons else folder / "errors.txt").read_text("utf-8")[-3000:].strip()
    kind, _, message = tail.partition(": ")
    if reasons and kind in _RAISED_HERE_TOO:
        return _RAISED_HERE_TOO[kind](message)
    return LaunchError(f"training in {processes} processes failed: {tail}")
