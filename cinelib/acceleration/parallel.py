"""Notebook 04: several processes, one film: context parallelism inside a clip, or segments side by side.

`launch` starts torchrun with this module as its program; the same command runs on one machine's GPUs. Every
process loads the model, so nothing but the latents' attention heads travels between them.
"""

import copy
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from diffusers import ContextParallelConfig, WanTransformer3DModel
from safetensors.torch import load_file, save_file
from torch.distributed.device_mesh import init_device_mesh

from cinelib.preparation.storyboard import open_still
from cinelib.wan.geometry import Geometry, read_configs
from cinelib.wan.pipeline import FirstLastPipeline, default_device, load_pipeline, share_weights
from cinelib.wan.sampling import Sampling, generate_latents

MODES = ("single", "threads", "again", "segments", "context")


@dataclass(frozen=True)
class Segment:
    """One clip: first frame, prompt, a number that decides the noise with the seed, perhaps a last frame."""

    image: str
    prompt: str
    number: int
    last_image: str = ""


@dataclass(frozen=True)
class SamplingJob:
    """What every process samples, and how; every mode but `single` in each of `rounds`."""

    model: str
    segments: tuple[Segment, ...]
    sampling: Sampling
    flow_shift: float
    lora: str = ""
    threads: int = 1
    rounds: int = 1


@dataclass(frozen=True)
class Outcome:
    """Of one mode: wall seconds of all segments together, a round each, and the latents of every segment.

    The modes of one round were timed one after the other, in an order that rotates: their ratio is of a pair.
    """

    seconds: tuple[float, ...]
    latents: tuple[torch.Tensor, ...]


class ParallelError(RuntimeError):
    """A process failed; the message ends with what it printed last."""


def launch(job: SamplingJob, processes: int, timeout: float = 3600) -> dict[str, Outcome]:
    """Sample `job` in each of MODES with `processes` processes, and collect times and latents.

    single: the first process alone, with `job.threads`, once. threads: the same with `processes` times as
    many, the fair rival on one machine. again: threads once more, the control. segments: segments dealt out
    to the processes. context: all processes on the same segment, each with a share of its tokens (Ulysses).

    Raises:
        ValueError: fewer accelerators than processes, or tokens or attention heads that do not divide.
        ParallelError: a process failed, or all took longer than `timeout` seconds.
    """
    if reason := lacking_devices(processes):
        raise ValueError(reason)
    _check_divisible(job, processes)
    with tempfile.TemporaryDirectory(prefix="cinelib-parallel-") as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(asdict(job)), "utf-8")
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        program = ["-m", "cinelib.acceleration.parallel", str(path)]
        command = [*torchrun, f"--nproc-per-node={processes}", *program]
        environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads), "TOKENIZERS_PARALLELISM": "false"}
        try:
            subprocess.run(
                command, env=environment, timeout=timeout, check=True, capture_output=True, text=True
            )
        except subprocess.CalledProcessError as error:
            raise ParallelError(f"{processes} processes failed:\n{error.stderr[-3000:]}") from error
        except subprocess.TimeoutExpired as error:
            raise ParallelError(f"{processes} processes took longer than {timeout} s") from error
        return _collect(Path(folder), len(job.segments))


def lacking_devices(processes: int) -> str | None:
    """Why `processes` processes cannot run here: each needs an accelerator of its own. None on a CPU."""
    count = torch.accelerator.device_count()
    if not 0 < count < processes:
        return None
    return f"{processes} processes need {processes} accelerators, one each; here: {count}"


def _check_divisible(job: SamplingJob, processes: int) -> None:
    configs, sampling = read_configs(job.model), job.sampling
    tokens = Geometry(configs, sampling.height, sampling.width, sampling.num_frames).tokens
    for name, count in (("tokens", tokens), ("heads", configs["transformer"]["num_attention_heads"])):
        if processes < 2 or count % processes:
            raise ValueError(f"context parallelism over {processes} processes cannot share {count} {name}")


def _collect(folder: Path, count: int) -> dict[str, Outcome]:
    seconds = json.loads((folder / "seconds.json").read_text("utf-8"))
    outcomes = {}
    for mode in MODES:
        latents = tuple(load_file(folder / f"{mode}-{k}.safetensors")["latents"] for k in range(count))
        outcomes[mode] = Outcome(tuple(seconds[mode]), latents)
    return outcomes


@contextmanager
def _cpu_counts_as_one_device() -> Iterator[None]:
    """diffusers 0.42 names a rank's device by `rank % torch.accelerator.device_count()`: on a CPU modulo 0.

    The name is not used again, because the device mesh is given. So on a CPU the count reads 1 while
    `enable_parallelism` runs, and nothing else changes.
    """
    count = torch.accelerator.device_count
    if count() == 0:
        torch.accelerator.device_count = lambda: 1
    try:
        yield
    finally:
        torch.accelerator.device_count = count


def enable_context_parallelism(transformer: WanTransformer3DModel, processes: int, device: str) -> None:
    """Split the tokens of `transformer` over the process group: Ulysses, all-to-all over attention heads."""
    mesh = init_device_mesh(device, (1, processes), mesh_dim_names=("ring", "ulysses"))
    with _cpu_counts_as_one_device():
        transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=processes, mesh=mesh))


def sample(pipe: FirstLastPipeline, job: SamplingJob, segment: Segment) -> torch.Tensor:
    """Latents (1, 16, t, h, w) of one segment, its images cropped to size as everywhere."""
    size = (job.sampling.height, job.sampling.width)
    first = open_still(segment.image, *size)
    last = open_still(segment.last_image, *size) if segment.last_image else None
    return generate_latents(pipe, first, segment.prompt, job.sampling, (segment.number,), last)


def _work(folder: Path, job: SamplingJob) -> None:
    kind = default_device().type
    dist.init_process_group("gloo" if kind == "cpu" else None)
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.set_num_threads(job.threads)
    device = kind if kind == "cpu" else f"{kind}:{rank}"
    if kind != "cpu":
        torch.accelerator.set_device_index(rank)
    pipe = load_pipeline(job.model, device=device, flow_shift=job.flow_shift)
    if job.lora:
        pipe.load_lora_weights(job.lora)
    every = list(enumerate(job.segments))
    split = _shares_tokens(pipe, world, kind)
    first = every if rank == 0 else []
    share = dict.fromkeys(MODES, first) | {"segments": every[rank::world], "context": every}
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}

    def run(mode: str) -> None:
        torch.set_num_threads(job.threads * (world if mode in ("threads", "again") else 1))
        used = split if mode == "context" else pipe
        seconds[mode].append(_round(used, job, share[mode], folder / mode, rank))

    for used in (pipe, split):  # warm-up
        sample(used, job, job.segments[0])
    run("single")
    rivals = MODES[1:]
    for number in range(job.rounds):  # interleaved, so that a drifting machine favours no mode
        turn = number % len(rivals)
        for mode in rivals[turn:] + rivals[:turn]:
            run(mode)
    if rank == 0:
        (folder / "seconds.json").write_text(json.dumps(seconds), "utf-8")
    dist.destroy_process_group()


def _shares_tokens(pipe: FirstLastPipeline, processes: int, device: str) -> FirstLastPipeline:
    """`pipe` on the same weights under context parallelism, which diffusers cannot switch off again."""
    every = itertools.chain(pipe.transformer.parameters(), pipe.transformer.buffers())
    other = share_weights(pipe)
    other.transformer = copy.deepcopy(pipe.transformer, {id(tensor): tensor for tensor in every})
    enable_context_parallelism(other.transformer, processes, device)
    return other


def _round(
    pipe: FirstLastPipeline, job: SamplingJob, share: Sequence[tuple[int, Segment]], stem: Path, rank: int
) -> float:
    """Wall seconds between two barriers around this process's share of the segments."""
    dist.barrier()
    started = time.perf_counter()
    latents = {index: sample(pipe, job, segment) for index, segment in share}
    dist.barrier()
    seconds = time.perf_counter() - started
    writes = rank == 0 or len(share) < len(job.segments)  # under context parallelism all hold the same
    for index, value in latents.items() if writes else ():
        save_file({"latents": value.cpu().contiguous()}, f"{stem}-{index}.safetensors")
    return seconds


def _read(path: Path) -> SamplingJob:
    given = json.loads(path.read_text("utf-8"))
    given["segments"] = tuple(Segment(**segment) for segment in given["segments"])
    return SamplingJob(**{**given, "sampling": Sampling(**given["sampling"])})


if __name__ == "__main__":
    _work(Path(sys.argv[1]).parent, _read(Path(sys.argv[1])))
