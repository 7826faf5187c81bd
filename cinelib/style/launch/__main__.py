"""Notebook 02: a process that `style.launch.train` starts: `python -m cinelib.style.launch JOB.json`."""

import functools
import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import torch
import torch.distributed
from safetensors.torch import save_file

from cinelib.style import distributed, lora, training
from cinelib.style.training_job import JSON, TrainingJob
from cinelib.wan import layout, pipeline


def _device() -> torch.device:
    device = pipeline.default_device()
    if device.type == "cpu":
        return device
    torch.accelerator.set_device_index(int(os.environ.get("LOCAL_RANK", 0)))
    return torch.accelerator.current_accelerator()


def _end_with_the_launching_process() -> None:
    """Its end of our standard input closes with it, whatever kills it; torchrun alone would go on."""
    while os.read(0, 1024):
        pass
    os._exit(130)


def work(job: TrainingJob, folder: Path) -> None:
    """Train; the first process writes curves and weights into `folder`."""
    device = _device()
    unused = {*layout.EXPERTS, "vae", "text_encoder", "image_encoder"} - {job.component}
    if job.samples:
        unused -= {"vae"}
    # What FSDP is to divide waits on the CPU: whole, it need not fit the device.
    pipe = pipeline.load_pipeline(
        job.model,
        dtype=getattr(torch, job.dtype) if job.dtype else None,
        device=device,
        without=sorted(unused),
        base_precision=job.base_precision,
        waiting=(job.component,) if distributed.divides_the_base() else (),
    )
    transformer = getattr(pipe, job.component)
    lora.add(transformer, job.card, job.adapter, seed=job.recipe.seed)
    samples = job.samples.start(pipe, job.validation, job.folder) if job.samples else None
    log = functools.partial(print, flush=True)
    history = training.train(transformer, job, samples, log, device=device)
    weights = distributed.copy(lora.parameters(transformer, job.adapter))
    if int(os.environ.get("RANK", 0)) == 0:
        save_file(weights, folder / "weights.safetensors")
        (folder / "history.json").write_text(json.dumps(asdict(history)), "utf-8")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def main(path: Path) -> None:
    """Run the job in `path`; why it failed is written beside it, for the one who started it."""
    try:
        work(JSON.validate_json(path.read_bytes()), path.parent)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        (path.parent / f"failed-{os.environ.get('RANK', 0)}.txt").write_text(reason, "utf-8")
        raise


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_launching_process, daemon=True).start()
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # all is written; a thread of gloo's now and then aborts the interpreter's own way out
