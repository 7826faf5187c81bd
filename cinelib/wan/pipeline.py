"""Wan image-to-video: loading, and the encodings that training and sampling share."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanImageToVideoPipeline
from diffusers.utils.torch_utils import get_module_execution_device
from PIL import Image

from cinelib.wan import layout, low_precision, threads

TEXT_TOKENS = 512  # Wan's attention processor takes exactly the last 512 tokens as text


class FirstLastPipeline(WanImageToVideoPipeline):
    """`WanImageToVideoPipeline` that also takes `last_image` on plain Wan2.1 I2V checkpoints.

    diffusers encodes [first, last] into a batch of 2 image embeddings, which only the FLF2V checkpoint
    (`pos_embed_seq_len` set) folds back into one sequence. Here both images' tokens are joined along the
    sequence, (1, 2N, D); the attention processor takes any number of image tokens before the text.
    """

    def encode_image(self, image: Any, device: torch.device | None = None) -> torch.Tensor:
        """CLIP tokens (1, N, D) of one image, (1, nN, D) of a list of n."""
        tokens = super().encode_image(image, device)  # (n, N, D)
        if self.transformer is not None and self.transformer.config.pos_embed_seq_len is not None:
            return tokens
        return tokens.reshape(1, -1, tokens.shape[-1])

    def __call__(self, *args: Any, **named: Any) -> Any:
        """As diffusers' own, which drops `last_image` in silence where there is no place for it."""
        if named.get("last_image") is not None and layout.of_index(self.config).first_frame_in_place:
            raise ValueError("Wan2.2 TI2V takes no last frame; Wan2.1 I2V and Wan2.2 I2V-A14B do")
        return super().__call__(*args, **named)


def load_pipeline(
    model: str | Path,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    flow_shift: float | None = None,
    without: Sequence[str] = (),
    base_precision: str = "",
    waiting: Sequence[str] = (),
    offload: bool = False,
) -> FirstLastPipeline:
    """A Wan I2V pipeline from a diffusers folder or a hub id, in evaluation mode.

    Args:
        model: folder with a `model_index.json`, or a hub id such as `Wan-AI/Wan2.1-I2V-14B-720P-Diffusers`.
        dtype: of transformer and text encoder; default bfloat16 on an accelerator, float32 on a CPU. VAE
            and image encoder stay float32, as Wan's authors run them.
        device: default: the accelerator if there is one, else the CPU.
        flow_shift: of the sampler's schedule; Wan recommends 3.0 for 480p and 5.0 for 720p.
        without: components to leave on disk, e.g. `("text_encoder",)` once the embeddings are cached.
        base_precision: what the transformers are stored in, see `low_precision.store`: the device never
            holds one in full.
        waiting: components to leave on the CPU, for what divides or moves them later.
        offload: on an accelerator each component is moved there when it is called and back when the next
            one is, so that sampling takes the memory of the largest alone. On a CPU nothing changes.

    Raises:
        FileNotFoundError: no such folder, or the hub cannot be reached and nothing is cached.
        NotImplementedError: the checkpoint is no Wan image-to-video model.
        ValueError, ModuleNotFoundError: as `low_precision.check`.
    """
    low_precision.check(base_precision)
    device = torch.device(device or default_device())
    dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
    layout.check(str(model))
    dtypes = dict.fromkeys((*layout.EXPERTS, "text_encoder"), dtype)
    dtypes["default"] = torch.float32
    _silence_progress_bars()
    pipe = FirstLastPipeline.from_pretrained(str(model), dtype=dtypes, **dict.fromkeys(without))
    if flow_shift is not None:
        pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config, flow_shift=flow_shift)
    pipe.set_progress_bar_config(disable=True)
    if device.type == "cpu" and pipe.vae is not None:
        _channels_last(pipe.vae)
    _place(pipe, device, base_precision, waiting, offload and device.type != "cpu")
    return pipe


def _place(
    pipe: FirstLastPipeline, device: torch.device, base_precision: str, waiting: Sequence[str], offload: bool
) -> None:
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    for name, part in parts.items():
        home = None if offload or name in waiting else device
        if name in layout.EXPERTS:
            low_precision.store(part, base_precision, home)
        elif home is not None:
            part.to(home)
    if offload:
        pipe.enable_model_cpu_offload(device=device)


def _channels_last(vae: AutoencoderKLWan) -> None:
    # a third less time on a CPU: convolutions need not reorder what they are given, nor norms jump about
    formats = {torch.nn.Conv2d: torch.channels_last, torch.nn.Conv3d: torch.channels_last_3d}
    for part in vae.modules():
        for kind, memory_format in formats.items():
            if isinstance(part, kind):
                part.to(memory_format=memory_format)


def share_weights(pipe: FirstLastPipeline) -> FirstLastPipeline:
    """`pipe` with the same weights and what a call changes its own: the two may sample side by side."""
    other = copy.copy(pipe)
    other.scheduler, other.vae = copy.deepcopy(pipe.scheduler), copy.copy(pipe.vae)
    return other


def default_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found or torch.device("cpu")


def _silence_progress_bars() -> None:
    """A bar a component for models that load in a second would drown a notebook's log."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def _latent_stats(vae: AutoencoderKLWan, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (1, vae.config.z_dim, 1, 1, 1)
    mean = torch.tensor(vae.config.latents_mean).view(shape).to(like.device, like.dtype)
    inverse_std = 1.0 / torch.tensor(vae.config.latents_std).view(shape).to(like.device, like.dtype)
    return mean, inverse_std


@torch.no_grad()
def encode_video(vae: AutoencoderKLWan, pixels: torch.Tensor) -> torch.Tensor:
    """Normalised latents (B, 16, t, h, w), float32, of `pixels` (B, 3, T, H, W) in [-1, 1].

    t = (T - 1) / 4 + 1, h = H / 8, w = W / 8; Wan2.2 TI2V has 48 channels and divides H and W by 16. The
    posterior's mode is taken, not a sample.

    Raises:
        ValueError: wrong rank or channels, T not 4k+1, H or W not a multiple of what the VAE divides by.
    """
    space = vae.config.scale_factor_spatial
    if pixels.ndim != 5 or pixels.shape[1] != 3:
        raise ValueError(f"pixels must be (B, 3, T, H, W), got {tuple(pixels.shape)}")
    if pixels.shape[2] % 4 != 1 or pixels.shape[3] % space or pixels.shape[4] % space:
        raise ValueError(
            f"pixels (B, 3, T, H, W) need T = 4k+1 and H, W multiples of {space}, got {tuple(pixels.shape)}"
        )
    own = copy.copy(vae)  # diffusers keeps a clip's past frames on it: clips encoded side by side would mix
    latents = own.encode(pixels.to(get_module_execution_device(vae), vae.dtype)).latent_dist.mode().float()
    mean, inverse_std = _latent_stats(vae, latents)
    return (latents - mean) * inverse_std


@torch.no_grad()
def decode_video(vae: AutoencoderKLWan, latents: torch.Tensor) -> torch.Tensor:
    """Pixels (B, 3, T, H, W) in [-1, 1], float32, of normalised `latents` (B, 16, t, h, w).

    On a CPU a small clip that is alone is decoded beside a copy of itself: torch convolves a batch of one
    small clip by a path of its own that takes longer than two clips do.
    """
    latents = latents.to(get_module_execution_device(vae), vae.dtype)
    mean, inverse_std = _latent_stats(vae, latents)
    pixels = latents[0, 0, 0].numel() * vae.config.scale_factor_spatial**2
    alone = len(latents) == 1 and threads.is_small(latents.device, pixels)
    batch = latents.repeat(2, 1, 1, 1, 1) if alone else latents
    return vae.decode(batch / inverse_std + mean, return_dict=False)[0][: len(latents)].float()


@torch.no_grad()
def encode_image(pipe: WanImageToVideoPipeline, images: Sequence[Image.Image]) -> torch.Tensor:
    """CLIP tokens (B, N, D), one row an image, of the second to last layer, as Wan was trained with.

    For first-and-last-frame conditioning join two of them along the sequence: `torch.cat([a, b], dim=1)`.
    """
    images = list(images)
    tokens = WanImageToVideoPipeline.encode_image(pipe, images)
    assert len(tokens) == len(images)
    return tokens


@torch.no_grad()
def encode_text(pipe: WanImageToVideoPipeline, texts: str | Sequence[str]) -> torch.Tensor:
    """UMT5 embeddings (B, 512, D), zero after each text's end, as `encode_prompt` makes them."""
    texts = [texts] if isinstance(texts, str) else list(texts)
    return pipe.encode_prompt(
        texts,
        do_classifier_free_guidance=False,
        max_sequence_length=TEXT_TOKENS,
        device=pipe._execution_device,
    )[0]


def to_pixels(frames: np.ndarray) -> torch.Tensor:
    """uint8 frames (T, H, W, 3) to float32 pixels (1, 3, T, H, W) in [-1, 1]."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}")
    return torch.from_numpy(frames.transpose(3, 0, 1, 2).astype(np.float32))[None] / 127.5 - 1


def to_frames(pixels: torch.Tensor) -> np.ndarray:
    """Pixels (1, 3, T, H, W) in [-1, 1] to uint8 frames (T, H, W, 3)."""
    frames = ((pixels[0].float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return frames.permute(1, 2, 3, 0).contiguous().numpy()
