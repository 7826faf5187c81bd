"""DiffSynth-Studio's LoRA training on the nano transformer's shape, as far as its package goes.

To have it: pip install --no-deps --target FOLDER diffsynth==2.1.12 einops ftfy wcwidth modelscope
modelscope-hub cryptography (--no-deps keeps its torch and transformers out of the way),
then run with PYTHONPATH=FOLDER.
"""

import statistics
import time
from itertools import pairwise
from pathlib import Path

import torch

CONDITIONS = (
    "diffsynth: its package (2.1.12) has no training script; that lies in its repository. Here its own parts "
    "are put together as that script does: WanModel, add_lora_to_model, FlowMatchSFTLoss, "
    "launch_training_task. Its WanModel takes exactly 257 image tokens of width 1280, so image tokens are "
    "left out (less work for it); its VAE and text encoder have fixed sizes, so it trains on latents and "
    "captions that ours encoded once, as its sft:data_process does. It has a constant learning rate and does "
    "not clip gradients. Its weights are random: time does not depend on them."
)
_TARGETS = "cross_attn.q,cross_attn.k,cross_attn.v,cross_attn.o"


def absent() -> str | None:
    """Why it cannot run here, or None."""
    try:
        import diffsynth.diffusion.training_module
        import diffsynth.pipelines.wan_video  # noqa: F401
    except Exception as error:  # its import touches many packages, which fail in many ways
        return f"{type(error).__name__}: {error}"
    return None


def train(config, batches: list, rank: int, steps: int, learning_rate: float, folder: Path) -> list[float]:
    """`steps` steps over the batches; seconds of each step, from the end of the one before."""
    from accelerate import Accelerator
    from diffsynth.diffusion.logger import ModelLogger
    from diffsynth.diffusion.loss import FlowMatchSFTLoss
    from diffsynth.diffusion.runner import launch_training_task
    from diffsynth.diffusion.training_module import DiffusionTrainingModule
    from diffsynth.models.wan_video_dit import WanModel
    from diffsynth.pipelines.wan_video import WanVideoPipeline

    width = config.num_attention_heads * config.attention_head_dim
    pipe = WanVideoPipeline(device="cpu", torch_dtype=torch.float32)
    pipe.dit = WanModel(
        dim=width,
        in_dim=config.in_channels,
        ffn_dim=config.ffn_dim,
        out_dim=config.out_channels,
        text_dim=config.text_dim,
        freq_dim=config.freq_dim,
        eps=config.eps,
        patch_size=tuple(config.patch_size),
        num_heads=config.num_attention_heads,
        num_layers=config.num_layers,
        has_image_input=False,
    )
    pipe.scheduler.set_timesteps(1000, training=True)
    ends = [time.perf_counter()]

    class Module(DiffusionTrainingModule):
        def __init__(self) -> None:
            super().__init__()
            self.pipe = pipe
            pipe.requires_grad_(False)
            pipe.dit = self.add_lora_to_model(pipe.dit, _TARGETS.split(","), rank)

        def forward(self, data, inputs=None) -> torch.Tensor:
            batch = inputs if inputs is not None else data
            ends.append(time.perf_counter())
            return FlowMatchSFTLoss(
                pipe,
                input_latents=batch.latents,
                y=batch.condition,
                context=batch.prompt_embeds,
                use_gradient_checkpointing=False,
            )

    class Clips(torch.utils.data.Dataset):
        load_from_cache = True

        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int):
            return batches[index % len(batches)]

    launch_training_task(
        Accelerator(cpu=True),
        Clips(),
        Module(),
        ModelLogger(str(folder)),
        learning_rate=learning_rate,
        num_workers=0,
    )
    ends.append(time.perf_counter())
    seconds = [after - before for before, after in pairwise(ends[1:])]
    assert len(seconds) == steps and statistics.median(seconds) > 0
    return seconds
