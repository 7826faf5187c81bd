"""One of the processes that `cinelib.launch.train` starts: `python -m cinelib.launch JOB.json`."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import torch
import torch.distributed
from safetensors.torch import save_file

from cinelib import engines, lora, low_precision, training, wan
from cinelib.launch import JOB, Job


def _device() -> torch.device:
    device = wan.default_device()
    if device.type == "cpu":
        return device
    torch.accelerator.set_device_index(int(os.environ.get("LOCAL_RANK", 0)))
    return torch.accelerator.current_accelerator()


def work(job: Job, folder: Path) -> None:
    """Train; the first process writes curves and weights into `folder`."""
    device = _device()
    unused = {"transformer", "transformer_2", "vae", "text_encoder", "image_encoder"} - {job.component}
    if job.samples:
        unused -= {"vae"}
    dtype = getattr(torch, job.dtype) if job.dtype else None
    pipe = wan.load_pipeline(job.model, dtype=dtype, device=device, without=sorted(unused))
    transformer = getattr(pipe, job.component)
    low_precision.store(transformer, job.base_precision)
    lora.add(transformer, job.card, job.adapter, seed=job.recipe.seed)
    history = training.train(
        transformer,
        job.examples,
        job.validation,
        job.null_prompt,
        job.recipe,
        job.folder,
        adapter=job.adapter,
        log=lambda line: print(line, flush=True),
        samples=job.samples.start(pipe, job.validation) if job.samples else None,
        board=job.board,
    )
    weights = engines.copy(lora.parameters(transformer, job.adapter))
    if int(os.environ.get("RANK", 0)) == 0:
        save_file(weights, folder / "weights.safetensors")
        (folder / "history.json").write_text(json.dumps(asdict(history)), "utf-8")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def main(path: Path) -> None:
    """Run the job in `path`; why it failed is written beside it, for the one who started it."""
    try:
        work(JOB.validate_json(path.read_bytes()), path.parent)
    except training.TrainingDiverged as error:
        (path.parent / "diverged.txt").write_text(str(error), "utf-8")
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        (path.parent / f"failed-{os.environ.get('RANK', 0)}.txt").write_text(reason, "utf-8")
        raise


if __name__ == "__main__":
    main(Path(sys.argv[1]))
