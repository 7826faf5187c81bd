"""Several processes, one film: context parallelism inside a clip, and independent segments side by side.

`launch` starts torchrun with this module as its program; the same command runs on one machine's GPUs. Every
process loads the model, so nothing but the latents' attention heads travels between them.
"""

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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from diffusers import ModelMixin

MODES = ("single", "threads", "segments", "context")


@dataclass(frozen=True)
class Segment:
    """One clip to sample: first frame, optionally the last one, prompt and seed."""

    image: str
    prompt: str
    seed: int
    last_image: str = ""


@dataclass(frozen=True)
class Job:
    """What every process samples, and how."""

    model: str
    segments: tuple[Segment, ...]
    height: int
    width: int
    num_frames: int
    num_inference_steps: int
    guidance_scale: float
    flow_shift: float
    lora: str = ""
    threads: int = 1
    rounds: int = 1


@dataclass(frozen=True)
class Outcome:
    """Of one mode: wall seconds of all segments together, a round each, and the latents of every segment."""

    seconds: tuple[float, ...]
    latents: tuple["torch.Tensor", ...]


class ParallelError(RuntimeError):
    """A process failed; the message ends with what it printed last."""


def launch(job: Job, processes: int, timeout: float = 3600) -> dict[str, Outcome]:
    """Sample `job` in each of MODES with `processes` processes, and collect times and latents.

    single: the first process alone, with `job.threads`. threads: the same with `processes` times as many,
    the fair rival on one machine. segments: segments dealt out to the processes. context: all processes on
    the same segment, each with a share of its tokens (Ulysses).

    Raises:
        ValueError: tokens or attention heads that `processes` does not divide.
        ParallelError: a process failed, or all took longer than `timeout` seconds.
    """
    _check_divisible(job, processes)
    with tempfile.TemporaryDirectory(prefix="cinelib-parallel-") as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(asdict(job)), "utf-8")
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command = [
            *torchrun,
            f"--nproc-per-node={processes}",
            "-m",
            "cinelib.acceleration.parallel",
            str(path),
        ]
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


def _check_divisible(job: Job, processes: int) -> None:
    from cinelib.wan.geometry import Geometry, read_configs

    configs = read_configs(job.model)
    tokens = Geometry(configs, job.height, job.width, job.num_frames).tokens
    for name, count in (("tokens", tokens), ("heads", configs["transformer"]["num_attention_heads"])):
        if processes < 2 or count % processes:
            raise ValueError(f"context parallelism over {processes} processes cannot share {count} {name}")


def _collect(folder: Path, count: int) -> dict[str, Outcome]:
    from safetensors.torch import load_file

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
    import torch

    count = torch.accelerator.device_count
    if count() == 0:
        torch.accelerator.device_count = lambda: 1
    try:
        yield
    finally:
        torch.accelerator.device_count = count


def enable_context_parallelism(transformer: "ModelMixin", processes: int, device: str) -> None:
    """Split the tokens of `transformer` over the process group: Ulysses, all-to-all over attention heads."""
    from diffusers import ContextParallelConfig
    from torch.distributed.device_mesh import init_device_mesh

    mesh = init_device_mesh(device, (1, processes), mesh_dim_names=("ring", "ulysses"))
    with _cpu_counts_as_one_device():
        transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=processes, mesh=mesh))


def _sample(pipe: Any, job: Job, segment: Segment) -> "torch.Tensor":
    """Latents (1, 16, t, h, w) of one segment; noise from a CPU generator, equal on every device."""
    import torch
    from PIL import Image

    size = (job.width, job.height)
    first, last = (
        Image.open(path).convert("RGB").resize(size, Image.Resampling.LANCZOS) if path else None
        for path in (segment.image, segment.last_image)
    )
    return pipe(
        image=first,
        last_image=last,
        prompt=segment.prompt,
        negative_prompt="",
        height=job.height,
        width=job.width,
        num_frames=job.num_frames,
        num_inference_steps=job.num_inference_steps,
        guidance_scale=job.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(segment.seed),
        output_type="latent",
    ).frames


def _work(folder: Path, job: Job) -> None:
    import torch
    import torch.distributed as dist

    from cinelib.wan.pipeline import default_device, load_pipeline

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
    first = every if rank == 0 else []
    share = {"single": first, "threads": first, "segments": every[rank::world], "context": every}
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    _sample(pipe, job, job.segments[0])  # warm-up

    def run(mode: str) -> None:
        torch.set_num_threads(job.threads * (world if mode == "threads" else 1))
        seconds[mode].append(_round(pipe, job, share[mode], folder / mode, rank))

    for _ in range(job.rounds):  # interleaved, so that a drifting machine favours no mode
        for mode in MODES[:-1]:
            run(mode)
    torch.set_num_threads(job.threads)
    enable_context_parallelism(pipe.transformer, world, kind)  # last: diffusers cannot switch it off again
    _sample(pipe, job, job.segments[0])
    for _ in range(job.rounds):
        run("context")
    if rank == 0:
        (folder / "seconds.json").write_text(json.dumps(seconds), "utf-8")
    dist.destroy_process_group()


def _round(pipe: Any, job: Job, share: Sequence[tuple[int, Segment]], stem: Path, rank: int) -> float:
    """Wall seconds between two barriers around this process's share of the segments."""
    import torch.distributed as dist
    from safetensors.torch import save_file

    dist.barrier()
    started = time.perf_counter()
    latents = {index: _sample(pipe, job, segment) for index, segment in share}
    dist.barrier()
    seconds = time.perf_counter() - started
    writes = rank == 0 or len(share) < len(job.segments)  # under context parallelism all hold the same
    for index, value in latents.items() if writes else ():
        save_file({"latents": value.cpu().contiguous()}, f"{stem}-{index}.safetensors")
    return seconds


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    given["segments"] = tuple(Segment(**segment) for segment in given["segments"])
    _work(Path(sys.argv[1]).parent, Job(**given))
