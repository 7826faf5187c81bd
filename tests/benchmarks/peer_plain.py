"""The loop that one writes with diffusers and peft alone: no cache, no checkpoints, no gauges."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import WanImageToVideoPipeline, WanTransformer3DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image

from cinelib.preparation.dataset import Clip
from cinelib.style import encoded_clips, flow_matching
from cinelib.wan import conditioning, layers, pipeline


def encode(
    pipe: pipeline.FirstLastPipeline, clip: Clip, encoding: encoded_clips.Encoding
) -> encoded_clips.Batch:
    """One clip as a batch, without a cache."""
    frames = clip.frames()
    start = (len(frames) - encoding.num_frames) // 2
    frames = frames[start : start + encoding.num_frames]
    pixels = pipeline.to_pixels(frames)
    condition = conditioning.condition(pipe.vae, pixels[:, :, 0], len(frames), pixels[:, :, -1])
    ends = [Image.fromarray(frame) for frame in (frames[0], frames[-1])]
    image_embeds = pipeline.encode_image(pipe, ends).flatten(0, 1)[None].float()
    text = pipeline.encode_text(pipe, clip.text).float()
    return encoded_clips.Batch(
        (clip.file_name,), pipeline.encode_video(pipe.vae, pixels), condition, text, image_embeds
    )


def bare_loop(
    transformer: WanTransformer3DModel,
    rank: int,
    steps: int,
    learning_rate: float,
    batch_of: Callable[[int], encoded_clips.Batch],
    folder: Path,
) -> list[float]:
    """AdamW, cosine, clipping; returns the seconds of each step, with the time to get its batch."""
    transformer.requires_grad_(False)
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=layers.target_pattern("attn2"),
        init_lora_weights=True,
    )
    transformer.add_adapter(config)
    weights = [p for p in transformer.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, learning_rate, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)
    seconds = []
    for step in range(steps):
        started = time.perf_counter()
        batch = batch_of(step)
        sigma, noise = torch.rand(1), torch.randn_like(batch.latents)
        flow_matching.flow_matching_loss(transformer, batch, sigma, noise).mean().backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - started)
    WanImageToVideoPipeline.save_lora_weights(folder, get_peft_model_state_dict(transformer))
    return seconds
