"""Seconds and memory of LoRA steps on the random I2V-14B of `lora_14b`."""

import time
from typing import Any

import torch
from accelerator_rows import Row
from diffusers import WanTransformer3DModel
from lora_14b import batch
from transformer_14b import clock, depth, fresh_peak, peak, seconds_of, spread

from cinelib.style import flow_matching, lora
from cinelib.wan.geometry import Geometry


class LoraStep:
    """Forward, backward and AdamW of rank 8 in attn2 on one clip of noise, bf16 autocast, as in training."""

    def __init__(self, transformer: WanTransformer3DModel, geometry: Geometry) -> None:
        self.transformer, self.device = transformer, transformer.device
        self.optimizer = torch.optim.AdamW(list(lora.parameters(transformer).values()), 3e-5)
        self.batch = batch(geometry, self.device)
        self.forward: list[float] = []

    def loss(self) -> torch.Tensor:
        started = clock(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            sigma, noise = torch.tensor([0.5], device=self.device), torch.randn_like(self.batch.latents)
            loss = flow_matching.flow_matching_loss(self.transformer, self.batch, sigma, noise).mean()
        self.forward.append(clock(self.device) - started)
        return loss

    def __call__(self) -> None:
        self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def last_blocks(self, count: int) -> float:
        """Seconds of the backward pass through the last `count` blocks, all 40 waiting for theirs."""
        inputs: list[torch.Tensor] = []
        block = self.transformer.blocks[-count]
        handle = block.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        try:
            loss = self.loss()
            started = clock(self.device)
            torch.autograd.grad(loss, inputs[0])
            return clock(self.device) - started
        finally:
            handle.remove()


def measure(row: Row, transformer: WanTransformer3DModel, geometry: Geometry) -> dict[str, Any]:
    """Seconds and peak memory of `row`; kernels are warmed up on two blocks."""
    until = time.perf_counter() + row.limit
    if row.checkpointing:
        transformer.enable_gradient_checkpointing()
    else:
        transformer.disable_gradient_checkpointing()
    with depth(transformer, 2):
        LoraStep(transformer, geometry)()
    fresh_peak(transformer.device)
    with depth(transformer, row.depth):
        step = LoraStep(transformer, geometry)
        if row.kind == "lora part":
            backward = step.last_blocks(2)
            found = {"forward": step.forward[0], "backward_of_2_blocks": backward}
            found["seconds_reckoned"] = step.forward[0] + backward * row.depth / 2
        else:
            found = spread(seconds_of(step, transformer.device, row.repeats, until))
            found["forward"] = spread(step.forward)["seconds"]
        return {**found, "peak_bytes": peak(transformer.device)}
