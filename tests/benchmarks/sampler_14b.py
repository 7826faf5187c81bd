"""Seconds of one forward pass of the random I2V-14B, plain and with what needs no trained weights.

A guided sampler step takes two. A cache's gain is the product of how many passes it skips, which random
weights cannot tell, and of what a skipped pass still costs, which is measured here.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerator_rows import Row
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig, WanTransformer3DModel
from transformer_14b import depth, fresh_peak, peak, seconds_of, spread

from cinelib.acceleration.step_cache import step_cache
from cinelib.acceleration.taylorseer import MODULES
from cinelib.wan.geometry import Geometry

_TAYLORSEER = TaylorSeerCacheConfig(
    cache_interval=1000,
    disable_cache_before_step=2,
    max_order=1,
    taylor_factors_dtype=torch.bfloat16,
    cache_identifiers=MODULES,
)
CACHES = {"first-block cache": (FirstBlockCacheConfig(threshold=1e9), 1), "TaylorSeer": (_TAYLORSEER, 2)}
TECHNIQUES = ("", "fp8 storage", "compiled blocks", "attention flash", "attention cudnn", *CACHES)


class Forward:
    """One pass over noise in the shapes of a clip, as the pipeline calls it."""

    def __init__(self, transformer: WanTransformer3DModel, geometry: Geometry) -> None:
        config, self.transformer = geometry.configs["transformer"], transformer
        like = {"device": transformer.device, "dtype": torch.bfloat16}
        self.given = (
            torch.randn(1, *geometry.model_input, **like),
            torch.full((1,), 500.0, device=transformer.device),
            torch.randn(1, geometry.text_tokens, config["text_dim"], **like),
            torch.randn(1, geometry.image_tokens, config["image_dim"], **like),
        )

    @torch.no_grad()
    def __call__(self) -> torch.Tensor:
        with self.transformer.cache_context("cond"):
            return self.transformer(*self.given, return_dict=False)[0]


@contextmanager
def attention(transformer: WanTransformer3DModel, technique: str) -> Iterator[None]:
    """With one of torch's own attention kernels, which cannot fall back on another."""
    name = technique.removeprefix("attention ")
    if name == technique:
        yield
        return
    transformer.set_attention_backend(f"_native_{name}")
    try:
        yield
    finally:
        transformer.set_attention_backend("native")


def attention_kernels(call: Forward) -> list[str]:
    """Names of the attention kernels that a pass runs on a GPU."""
    if call.transformer.device.type != "cuda":
        return []
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        call()
        torch.cuda.synchronize()
    names = {event.key for event in profile.key_averages()}
    return sorted(name[:120] for name in names if any(k in name.lower() for k in ("flash", "sdpa", "fmha")))


def measure(row: Row, transformer: WanTransformer3DModel, geometry: Geometry) -> dict[str, Any]:
    """Seconds of a pass and peak memory of `row`."""
    until, device = time.perf_counter() + row.limit, transformer.device
    call, found = Forward(transformer, geometry), {}
    with attention(transformer, row.technique):
        if row.technique == "compiled blocks":
            transformer.compile_repeated_blocks()
        started = time.perf_counter()
        with depth(transformer, 2):
            call()
        found["warm_up"] = time.perf_counter() - started
        fresh_peak(device)
        with depth(transformer, row.depth):
            if row.technique in CACHES:
                found |= _cached(row, call, until)
            else:
                found |= spread(seconds_of(call, device, row.repeats, until))
        found["peak_bytes"] = peak(device)
        if row.depth == 4 and not row.technique:
            with depth(transformer, 1):
                found["attention_kernels"] = attention_kernels(call)
    return found


def _cached(row: Row, call: Forward, until: float) -> dict[str, Any]:
    """Seconds of a skipped pass, and the bytes that the cache keeps for one branch of guidance."""
    config, computed = CACHES[row.technique]
    cuda = call.transformer.device.type == "cuda"
    before = torch.cuda.memory_allocated() if cuda else 0
    with step_cache(call.transformer, config) as counter:
        for _ in range(computed):
            call()
        kept = torch.cuda.memory_allocated() - before if cuda else 0
        seconds = seconds_of(call, call.transformer.device, row.repeats, until)
    return {**spread(seconds), "kept_bytes": kept, "blocks_computed": counter.per_call().tolist()}
