"""Training in several processes through `accelerate launch`, from cached examples.

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
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file

from cinelib.style.checkpoints import CheckpointError
from cinelib.style.checks import Engine, check_processes
from cinelib.style.encoded_clips import Example
from cinelib.style.flow_matching import Recipe
from cinelib.style.history import History
from cinelib.style.lora import AdapterCard
from cinelib.style.samples import SampleClips
from cinelib.style.training import TrainingDiverged
from cinelib.wan import pipeline


@dataclass(frozen=True)
class Job:
    """All that a process needs: names of weights and cache entries, no tensors.

    Attributes:
        dtype: of the base model, e.g. "bfloat16"; "" for what suits the device.
        folder: of checkpoints; the job continues from the newest good one.
    """

    model: str
    card: AdapterCard
    recipe: Recipe
    examples: tuple[Example, ...]
    validation: tuple[Example, ...]
    null_prompt: Path
    folder: Path
    component: str = "transformer"
    adapter: str = "style"
    dtype: str = ""
    base_precision: str = ""
    samples: SampleClips | None = None
    board: Path | None = None


JOB = TypeAdapter(Job)


_RAISED_HERE_TOO = {kind.__name__: kind for kind in (TrainingDiverged, CheckpointError)}


class LaunchError(RuntimeError):
    """A process failed; the message ends with what it printed last."""


def config(engine: Engine) -> Path:
    """The configuration file of an engine, as `accelerate launch --config_file` reads it."""
    return Path(__file__).with_name(f"{engine}.yaml")


def train(
    job: Job, processes: int, engine: Engine, log: Callable[[str], None] = print
) -> tuple[History, dict[str, torch.Tensor]]:
    """Run the job in `processes` processes: its curves, and the weights to be shipped by parameter name.

    They end with this process, whatever ends it.

    Raises:
        ValueError, ModuleNotFoundError: as `checks.check_processes`.
        TrainingDiverged, CheckpointError: as `training.train`.
        LaunchError: anything else that ended a process.
    """
    check_processes(processes, engine, job.base_precision)
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()  # what this process only keeps in store, the others need
    with tempfile.TemporaryDirectory(prefix="cinelib-launch-") as folder:
        path = Path(folder) / "job.json"
        path.write_bytes(JOB.dump_json(job))
        with _started(path, processes, engine) as process:
            for line in process.stdout:
                log(line.rstrip("\n"))
        if process.returncode:
            raise _failure(Path(folder), processes)
        history = History(**json.loads((Path(folder) / "history.json").read_text("utf-8")))
        return history, load_file(Path(folder) / "weights.safetensors")


@contextmanager
def _started(path: Path, processes: int, engine: Engine) -> Iterator[subprocess.Popen]:
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config(engine))]
    launcher += ["--num_processes", str(processes), "--main_process_port", "0"]
    environment = {"TOKENIZERS_PARALLELISM": "false", **os.environ}
    if pipeline.default_device().type == "cpu":
        share = str(max(1, torch.get_num_threads() // processes))
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
