"""What the transformer trains on: latents, conditions and tokens of every clip, computed once and kept.

The layouts are those of `cinelib.wan.conditioning` (a test compares them); whole clips in one pass make them
affordable.
"""

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from classroom import autoencoder
from classroom.attention import KEPT_TOKENS
from classroom.denoiser import Encoded
from classroom.scenes import BLOCK, Clips

if TYPE_CHECKING:
    import numpy as np
    from diffusers import AutoencoderKLWan, WanImageToVideoPipeline

TOGETHER = 4  # clips in one pass


def to_pixels(frames: "np.ndarray") -> Tensor:
    """uint8 (N, T, H, W, 3) -> float (N, 3, T, H, W) in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


@torch.no_grad()
def latents(vae: "AutoencoderKLWan", pixels: Tensor, bf16: bool = True) -> Tensor:
    """Normalised latents (N, 16, t, h, w) of clips (N, 3, T, H, W) in [-1, 1]."""
    parts = []
    for part in pixels.split(TOGETHER):
        with torch.autocast(vae.device.type, torch.bfloat16, enabled=bf16):
            parts.append(autoencoder.encode(vae, part.to(vae.device)).float())
    shape = (1, -1, 1, 1, 1)
    mean, std = (
        torch.tensor(values).view(shape) for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    return (torch.cat(parts).cpu() - mean) / std


def condition(vae: "AutoencoderKLWan", pixels: Tensor, last: bool, bf16: bool = True) -> Tensor:
    """Mask and latents (N, 20, t, h, w) of each clip's first frame and, with `last`, its last one."""
    known = torch.zeros(pixels.shape[2])
    known[0] = 1
    if last:
        known[-1] = 1
    encoded = latents(vae, pixels * known.view(1, 1, -1, 1, 1), bf16)
    mask = torch.cat([known[:1].repeat(4), known[1:]]).view(-1, 4).T  # (4, t)
    return torch.cat(
        [mask.view(1, 4, -1, 1, 1).expand(len(pixels), -1, -1, *encoded.shape[3:]), encoded], dim=1
    )


@torch.no_grad()
def image_tokens(pipe: "WanImageToVideoPipeline", frames: "np.ndarray") -> Tensor:
    """CLIP tokens (N, tokens, image_dim) of uint8 frames (N, H, W, 3)."""
    inputs = pipe.image_processor(images=list(frames), return_tensors="pt").to(pipe.image_encoder.device)
    return pipe.image_encoder(**inputs, output_hidden_states=True).hidden_states[-2].cpu()


@torch.no_grad()
def text_tokens(pipe: "WanImageToVideoPipeline", captions: list[str]) -> Tensor:
    """UMT5 hidden states (N, KEPT_TOKENS, text_dim), zero after each caption's end.

    Raises:
        ValueError: a caption is longer than what training keeps.
    """
    batch = pipe.tokenizer(captions, padding=True, return_tensors="pt")
    longest = batch.input_ids.shape[1]
    if longest > KEPT_TOKENS:
        raise ValueError(f"a caption has {longest} tokens; training keeps {KEPT_TOKENS}")
    device = pipe.text_encoder.device
    hidden = pipe.text_encoder(batch.input_ids.to(device), batch.attention_mask.to(device)).last_hidden_state
    hidden = hidden.cpu() * batch.attention_mask.unsqueeze(-1)
    return F.pad(hidden, (0, 0, 0, KEPT_TOKENS - longest))


def encode(pipe: "WanImageToVideoPipeline", clips: Clips) -> dict[str, Tensor]:
    """Every field of `Encoded` but `no_text`, in half precision."""
    pixels = to_pixels(clips.frames)
    encoded = {
        "latents": latents(pipe.vae, pixels),
        "condition": condition(pipe.vae, pixels, last=False),
        "condition_last": condition(pipe.vae, pixels, last=True),
        "image": image_tokens(pipe, clips.frames[:, 0]),
        "image_last": image_tokens(pipe, clips.frames[:, -1]),
        "text": text_tokens(pipe, clips.captions),
    }
    return {name: value.half().contiguous() for name, value in encoded.items()}


def weights_hash(*parts: torch.nn.Module) -> str:
    """Changes when any weight of `parts` does."""
    digest = hashlib.sha256()
    for part in parts:
        for value in part.state_dict().values():
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()[:12]


def fingerprint(pipe: "WanImageToVideoPipeline") -> str:
    """Changes when any network that encodes does."""
    return weights_hash(pipe.vae, pipe.text_encoder, pipe.image_encoder)


def encode_to(
    folder: Path, pipe: "WanImageToVideoPipeline", clips: Clips, part: int = 0, parts: int = 1
) -> None:
    """Encode the blocks numbered part, part + parts, ... that `folder` lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(part, -(-len(clips) // BLOCK), parts):
        path = folder / f"{number:05d}.safetensors"
        if path.exists():
            continue
        rows = slice(number * BLOCK, (number + 1) * BLOCK)
        block = Clips(clips.frames[rows], clips.captions[rows], clips.attributes[rows])
        draft = path.with_suffix(".partial")
        save_file(encode(pipe, block), draft)
        draft.replace(path)


def load(folder: Path, pipe: "WanImageToVideoPipeline", device: torch.device | str = "cpu") -> Encoded:
    """Every block in `folder`."""
    blocks = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
    if not blocks:
        raise FileNotFoundError(f"{folder} holds no encoded clips: run the encoding stage first")
    names = [field.name for field in fields(Encoded) if field.name != "no_text"]
    joined = {name: torch.cat([block[name] for block in blocks]).to(device) for name in names}
    return Encoded(**joined, no_text=text_tokens(pipe, [""]).half().to(device))
