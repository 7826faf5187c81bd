"""DiffSynth-Studio's LoRA training on the nano transformer, as far as its package goes.

To have it: pip install --no-deps --target FOLDER diffsynth==2.1.12 einops ftfy wcwidth modelscope
modelscope-hub cryptography imageio (--no-deps keeps its torch and transformers out of the way),
then run with PYTHONPATH=FOLDER.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel

CONDITIONS = (
    "diffsynth: its package (2.1.12) has no training script; that lies in its repository. Here its own parts "
    "are put together as that script does: WanModel, add_lora_to_model, FlowMatchSFTLoss, "
    "launch_training_task. Its WanModel takes exactly 257 image tokens of width 1280, so image tokens are "
    "left out, with the weights and the two LoRA targets for them (less work for it); its VAE and text "
    "encoder have fixed sizes, so it trains on latents and captions that ours encoded once, as its "
    "sft:data_process does. It has a constant learning rate, does not clip gradients, draws noise levels "
    "with shift 5, and shuffles the clips. All other weights are ours, through its own converter."
)
_TARGETS = ["cross_attn.q", "cross_attn.k", "cross_attn.v", "cross_attn.o"]


def absent() -> str | None:
    """Why it cannot run here, or None."""
    try:
        import diffsynth.diffusion.training_module
        import diffsynth.pipelines.wan_video  # noqa: F401
    except Exception as error:  # its import touches many packages, which fail in many ways
        return f"{type(error).__name__}: {error}"
    return None


def build(ours: WanTransformer3DModel) -> torch.nn.Module:
    """Its transformer with our shape and weights, without what serves image tokens."""
    from diffsynth.models.wan_video_dit import WanModel
    from diffsynth.utils.state_dict_converters.wan_video_dit import WanVideoDiTFromDiffusers

    config = ours.config
    dit = WanModel(
        dim=config.num_attention_heads * config.attention_head_dim,
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
    missing, unused = dit.load_state_dict(WanVideoDiTFromDiffusers(ours.state_dict()), strict=False)
    assert not missing and all("img" in name for name in unused), (missing, unused)
    return dit


def called_as_ours(dit: torch.nn.Module) -> Callable:
    """Its transformer behind the signature of diffusers' one."""
    from diffsynth.pipelines.wan_video import model_fn_wan_video

    def call(hidden_states, timestep, encoder_hidden_states, **_unused) -> tuple[torch.Tensor]:
        named = {"latents": hidden_states, "timestep": timestep, "context": encoder_hidden_states}
        return (model_fn_wan_video(dit, **named),)

    return call


def train(
    dit: torch.nn.Module, batches: list, rank: int, steps: int, learning_rate: float, folder: Path
) -> list[float]:
    """`steps` steps over the batches; seconds of each step, from the end of the one before."""
    from accelerate import Accelerator
    from diffsynth.diffusion.logger import ModelLogger
    from diffsynth.diffusion.loss import FlowMatchSFTLoss
    from diffsynth.diffusion.runner import launch_training_task
    from diffsynth.diffusion.training_module import DiffusionTrainingModule
    from diffsynth.pipelines.wan_video import WanVideoPipeline

    pipe = WanVideoPipeline(device="cpu", torch_dtype=torch.float32)
    pipe.dit = dit
    pipe.scheduler.set_timesteps(1000, training=True)
    ends = [time.perf_counter()]

    class Module(DiffusionTrainingModule):
        def __init__(self) -> None:
            super().__init__()
            self.pipe = pipe
            pipe.requires_grad_(False)
            pipe.dit = self.add_lora_to_model(pipe.dit, _TARGETS, rank, 2 * rank)

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
    assert len(seconds) == steps
    return seconds
