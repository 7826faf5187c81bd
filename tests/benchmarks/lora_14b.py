"""Seconds and peak memory of a LoRA step on a random Wan2.1 I2V-14B, beside the plan's prediction.

python tests/benchmarks/lora_14b.py [--base fp8] [--json FILE] [--steps 3]        on a GPU
python tests/benchmarks/lora_14b.py --tiny                                        its own smoke test, on a CPU

480 x 832 and 720 x 1280, 33 and 81 frames, bf16, rank 8 in attn2, with and without activation checkpointing.
The base is stored in bf16, or with `--base` as the a100 profile stores it.
Weights are random and inputs noise: neither time nor memory depends on them. A setting that runs out of
memory is a row too.
"""

import argparse
import itertools
import json
import platform
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel

from cinelib.cost import hardware
from cinelib.cost.outlook import Outlook
from cinelib.parameters import resolve
from cinelib.style import flow_matching, lora
from cinelib.style.encoded_clips import Batch
from cinelib.style.parameters import StyleStage
from cinelib.wan import low_precision, pipeline
from cinelib.wan.geometry import WAN_14B, Geometry

MODEL = "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers"
SIZES = ((480, 832), (720, 1280))
FRAMES = (33, 81)
TINY = {"num_attention_heads": 2, "attention_head_dim": 24, "num_layers": 2, "ffn_dim": 96, "freq_dim": 32}
TINY |= {"added_kv_proj_dim": 48, "image_dim": 32, "text_dim": 32}


def build(config: dict[str, Any], device: torch.device) -> WanTransformer3DModel:
    """A transformer with random weights, in the precisions that `from_pretrained` gives them.

    It is made on the device itself, so that the host need not hold it.
    """
    with torch.device("meta"):
        transformer = WanTransformer3DModel(**config)
    kind, patch = type(transformer.rope), config["patch_size"]
    torch.nn.Module.to(transformer, torch.bfloat16).to_empty(device=device)
    transformer.rope = kind(config["attention_head_dim"], patch, 1024).to(device)  # computed, not drawn
    kept = set(transformer._keep_in_fp32_modules)
    for name, parameter in transformer.named_parameters():
        torch.nn.init.normal_(parameter, std=0.02)
        if kept & set(name.split(".")):
            parameter.data = parameter.data.float()
    return transformer.requires_grad_(False)


def batch(geometry: Geometry, device: torch.device) -> Batch:
    """Noise in the shapes of one clip."""
    config = geometry.configs["transformer"]
    channels, *rest = geometry.latents
    return Batch(
        ("noise",),
        torch.randn(1, channels, *rest, device=device),
        torch.randn(1, config["in_channels"] - channels, *rest, device=device),
        torch.randn(1, 512, config["text_dim"], device=device),
        torch.randn(1, geometry.image_tokens, config["image_dim"], device=device),
    )


def measure(transformer, geometry: Geometry, checkpointing: bool, steps: int) -> dict[str, Any]:
    """Median seconds of a step and the peak of memory; "out of memory" where it does not fit."""
    device = transformer.device
    cuda = device.type == "cuda"
    if checkpointing:
        transformer.enable_gradient_checkpointing()
    else:
        transformer.disable_gradient_checkpointing()
    weights = list(lora.parameters(transformer).values())
    optimizer = torch.optim.AdamW(weights, 3e-5)
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    try:
        given = batch(geometry, device)
        for _ in range(steps + 1):
            started = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16):
                sigma, noise = torch.tensor([0.5], device=device), torch.randn_like(given.latents)
                loss = flow_matching.flow_matching_loss(transformer, given, sigma, noise).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    except torch.OutOfMemoryError:
        return {"result": "out of memory"}
    finally:
        optimizer.zero_grad()
    if cuda:
        peak = {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
    else:
        peak = {"resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    return {"result": "ran", "seconds": statistics.median(seconds[1:]), "peak_bytes": peak}


def predict(
    size: tuple[int, int], frames: int, checkpointing: bool, gpu: hardware.Gpu | None, base: str = ""
) -> dict[str, Any]:
    """What `cinelib estimate` says about a step as measured here, with the transformer alone on the GPU."""
    changes = {
        "model": MODEL,
        "base_precision": base,
        "height": size[0],
        "width": size[1],
        "num_frames": frames,
        "gradient_checkpointing": checkpointing,
        "gradient_accumulation_steps": 1,
        "unaltered_share": 0.0,
    }
    outlook = Outlook(resolve(StyleStage, "a100", changes), clips=1)
    step = outlook.a_step
    found = {"bytes": step.total, "bytes_error": step.error, "operations": outlook.operations}
    if gpu is not None:
        found |= {"seconds": outlook.seconds(gpu), "fits": gpu.holds(step), "seconds_error": gpu.error}
    return found


def known(device: torch.device) -> hardware.Gpu | None:
    """The entry of this GPU, if it has one."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device).upper().replace(" ", "-")
    memory = torch.cuda.get_device_properties(device).total_memory / 2**30
    fitting = [g for g in hardware.GPUS.values() if abs(g.memory - memory) < 0.15 * memory]
    return next((g for g in fitting if g.name.upper().split("-")[0] in name), None)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--tiny", action="store_true", help="a transformer of two thin blocks, on any device"
    )
    stored = low_precision.KNOWN
    options.add_argument("--base", default="", choices=stored, help="what the base is stored in [bf16]")
    options.add_argument("--layers", type=int, help="fewer layers than 40; the prediction is left out")
    options.add_argument("--steps", type=int, default=3, help="measured steps a row, after one to warm up")
    options.add_argument("--json", type=Path, help="write all rows here")
    given = options.parse_args()
    device = pipeline.default_device()
    if device.type == "cpu" and not given.tiny:
        sys.exit("no GPU here: the 14B transformer alone takes 31 GiB in bf16; --tiny runs on a CPU")
    config = {**WAN_14B["transformer"], **(TINY if given.tiny else {})}
    if given.layers:
        config["num_layers"] = given.layers
    configs = {**WAN_14B, "transformer": config}
    sizes, frames = (((32, 48),), (5, 9)) if given.tiny else (SIZES, FRAMES)
    transformer = build(config, device)
    low_precision.store(transformer, given.base)
    lora.add(transformer, lora.AdapterCard(8, 16.0, "attn2"))
    gpu, rows = known(device), []
    conditions = {
        "model": "tiny" if given.tiny else f"{MODEL}, random weights, {config['num_layers']} layers",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}",
        "cuda": torch.version.cuda,
        "base": given.base or "bf16",
        "precision": "bf16 autocast, fp32 adapter of rank 8 in attn2, AdamW, 1 clip a step",
        "steps": given.steps,
    }
    print(json.dumps(conditions, indent=2))
    for size, count, checkpointing in itertools.product(sizes, frames, (True, False)):
        row = {"height": size[0], "width": size[1], "num_frames": count, "checkpointing": checkpointing}
        row |= measure(transformer, Geometry(configs, *size, count), checkpointing, given.steps)
        if not given.tiny and not given.layers:
            row["plan"] = predict(size, count, checkpointing, gpu, given.base)
        rows.append(row)
        print(json.dumps(row))
        if given.json:  # after each row: a later one may end the process
            given.json.write_text(
                json.dumps({"conditions": conditions, "rows": rows}, indent=2) + "\n", "utf-8"
            )


if __name__ == "__main__":
    main()
