"""Modules run on shapes alone: no memory, no arithmetic, but every tensor that a forward pass would make.

PyTorch's fake tensors carry shapes and types through diffusers' own code, so that the bytes alive at its
fullest are counted and not fitted. Weights are left out. What only a GPU's kernels take (scratch memory of
convolutions and attention) is not seen.
"""

import functools
import json
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cinelib.wan import layers
from cinelib.wan.geometry import Geometry

_SIDE = 512  # pixels; beside it the rims that convolutions add weigh under 1 %
_SHORT, _LONG = 9, 13  # frames: from the third chunk on the VAE's caches are full, and grow no more


class Live(TorchDispatchMode):
    """Bytes of the tensors that operations made and that are still alive, and their `peak`."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now, self.peak = 0, 0

    def __torch_dispatch__(self, func: Callable, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        """Run `func` and count what it made anew: a view of something given is no new tensor."""
        given = {_place(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        answer = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(answer):
            if isinstance(tensor, torch.Tensor) and _place(tensor) not in {*given, *self.sizes}:
                storage, place = tensor.untyped_storage(), _place(tensor)
                self.sizes[place] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._forget, place)
        return answer

    def _forget(self, place: int) -> None:
        self.now -= self.sizes.pop(place)


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def vae_bytes(config: Mapping[str, Any], geometry: Geometry) -> tuple[float, float]:
    """Alive at most while one clip is encoded, and decoded, in fp32.

    The VAE works on 4 frames at a time, so clip length adds little more than the clip itself. Both are
    rehearsed on two short square clips, and follow from them by area and length.
    """
    area = geometry.height * geometry.width / _SIDE**2
    frames = max(geometry.num_frames, _SHORT) - _SHORT
    short, long = (_vae(json.dumps(dict(config), sort_keys=True), count) for count in (_SHORT, _LONG))
    encode, decode = (
        area * (a + frames * (b - a) / (_LONG - _SHORT)) for a, b in zip(short, long, strict=True)
    )
    return encode, decode


@functools.lru_cache(maxsize=8)
def _vae(config: str, frames: int) -> tuple[int, int]:
    vae = layers.build("vae", json.loads(config))
    with FakeTensorMode(), torch.no_grad():
        fake(vae.eval(), torch.float32)
        with Live() as encoding:
            latents = vae.encode(torch.zeros(1, 3, frames, _SIDE, _SIDE)).latent_dist.mode()
        with Live() as decoding:
            vae.decode(torch.zeros(*latents.shape), return_dict=False)
    return encoding.peak, decoding.peak


def encoder_bytes(part: str, config: Mapping[str, Any]) -> int:
    """Alive at most while the text encoder (bf16) reads a prompt, or the image encoder (fp32) a frame."""
    return _encoder(part, json.dumps(dict(config), sort_keys=True))


@functools.lru_cache(maxsize=8)
def _encoder(part: str, config: str) -> int:
    encoder = layers.build(part, json.loads(config))
    with FakeTensorMode(), torch.no_grad():
        if part == "text_encoder":
            fake(encoder.eval(), torch.bfloat16)
            ids = torch.zeros(1, Geometry.text_tokens, dtype=torch.long)
            with Live() as live:
                encoder(ids, torch.ones_like(ids))
        else:
            fake(encoder.eval(), torch.float32)
            side = encoder.config.image_size
            with Live() as live:
                encoder(torch.zeros(1, 3, side, side), output_hidden_states=True)
    return live.peak


def denoising_bytes(geometry: Geometry, half: bool) -> int:
    """Alive at most in a forward pass of the transformer over one clip, without gradient.

    Two blocks tell it: each frees what it made. The two passes of classifier-free guidance come one after
    the other.
    """
    return _denoising(json.dumps({k: dict(v) for k, v in geometry.configs.items()}), geometry.pixels, half)


@functools.lru_cache(maxsize=256)
def _denoising(configs: str, pixels: tuple[int, int, int, int], half: bool) -> int:
    read = json.loads(configs)
    _, frames, height, width = pixels
    config = {**read["transformer"], "num_layers": min(2, read["transformer"]["num_layers"])}
    geometry = Geometry({**read, "transformer": config}, height, width, frames)
    dtype = torch.bfloat16 if half else torch.float32
    transformer = layers.build("transformer", config)
    per_token = config["in_channels"] == read["vae"]["z_dim"]
    with FakeTensorMode(), torch.no_grad():
        fake(transformer.eval(), dtype, kept=tuple(transformer._keep_in_fp32_modules))
        with Live() as live:
            image = None
            if config.get("image_dim"):
                image = torch.zeros(1, geometry.image_tokens, config["image_dim"], dtype=dtype)
            transformer(
                torch.zeros(1, *geometry.model_input, dtype=dtype),
                torch.zeros(1, geometry.tokens) if per_token else torch.zeros(1),
                torch.zeros(1, geometry.text_tokens, config["text_dim"], dtype=dtype),
                image,
                return_dict=False,
            )
    return live.peak


def fake(module: nn.Module, dtype: torch.dtype, kept: tuple[str, ...] = ()) -> None:
    """Give a module from the meta device fake weights of `dtype`, in fp32 where a part of the name is `kept`.

    To be called under a FakeTensorMode, which the module then runs in.
    """
    for path, layer in module.named_modules():
        for name, value in layer._parameters.items():
            if value is not None:
                own = torch.float32 if set(kept) & {*path.split("."), name} else dtype
                layer._parameters[name] = nn.Parameter(
                    torch.empty(value.shape, dtype=own), value.requires_grad
                )
        for name, value in layer._buffers.items():
            if value is not None:
                layer._buffers[name] = torch.empty(value.shape, dtype=value.dtype)
