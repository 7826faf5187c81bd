"""Models run on shapes alone: no memory, no arithmetic, but every tensor and operation of a real pass.

PyTorch's fake tensors carry shapes and types through diffusers' own code. Weights are left out of the
bytes, and what only a GPU's kernels take (scratch memory of convolutions and attention) is not seen.
"""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from cinelib.style import lora
from cinelib.wan import layers
from cinelib.wan.geometry import Geometry
from cinelib.wan.layers import once

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
    more = (max(geometry.num_frames, _SHORT) - _SHORT) / (_LONG - _SHORT)
    short, long = _vae(config, _SHORT), _vae(config, _LONG)
    encode, decode = (area * (a + more * (b - a)) for a, b in zip(short, long, strict=True))
    return encode, decode


@once
def _vae(config: Mapping[str, Any], frames: int) -> tuple[int, int]:
    vae = layers.build("vae", config)
    with FakeTensorMode(), torch.no_grad():
        fake(vae.eval(), torch.float32)
        with Live() as encoding:
            latents = vae.encode(torch.zeros(1, 3, frames, _SIDE, _SIDE)).latent_dist.mode()
        with Live() as decoding:
            vae.decode(torch.zeros(*latents.shape), return_dict=False)
    return encoding.peak, decoding.peak


@once
def encoder_bytes(part: str, config: Mapping[str, Any]) -> int:
    """Alive at most while the text encoder (bf16) reads a prompt, or the image encoder (fp32) a frame."""
    encoder = layers.build(part, config).eval()
    with FakeTensorMode(), torch.no_grad():
        fake(encoder, torch.bfloat16 if part == "text_encoder" else torch.float32)
        ids, side = torch.zeros(1, Geometry.text_tokens, dtype=torch.long), config.get("image_size")
        with Live() as live:
            if part == "text_encoder":
                encoder(ids, torch.ones_like(ids))
            else:
                encoder(torch.zeros(1, 3, side, side), output_hidden_states=True)
    return live.peak


@dataclass(frozen=True)
class Pass:
    """A forward and backward pass over one clip.

    Attributes:
        rank, targets: of the adapter.
        half: whether it computes in bf16 under autocast, else in fp32.
        checkpointing: whether blocks are computed again in the backward pass.
        images: shown to the model; 2 where the last frame is shown too.
    """

    geometry: Geometry
    rank: int
    targets: str
    half: bool = True
    checkpointing: bool = False
    images: int = 1


@once
def saved_bytes(given: Pass) -> int:
    """Distinct tensors that wait for the backward pass when the forward pass has ended, weights left out."""
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storages[_place(tensor)] = tensor.untyped_storage()
        return tensor

    with FakeTensorMode(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        transformer, _loss = _forward(given)
        weights = {_place(weight) for weight in transformer.parameters()}
    return sum(storage.nbytes() for place, storage in storages.items() if place not in weights)


@once
def operations(given: Pass) -> int:
    """Floating-point operations of the pass, as torch counts them."""
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        _forward(given)[1].backward()
    return counter.get_total_flops()


def _forward(given: Pass) -> tuple[nn.Module, torch.Tensor]:
    with unset_fake_temporarily():
        transformer = layers.build("transformer", given.geometry.configs["transformer"])
        card = lora.AdapterCard(given.rank, float(given.rank), given.targets)
        lora.add(transformer.requires_grad_(False).train(), card)
    if given.checkpointing:
        transformer.enable_gradient_checkpointing()
    fake(transformer, torch.bfloat16 if given.half else torch.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=given.half):
        inputs = _inputs(given.geometry, torch.float32, given.images)
        return transformer, transformer(*inputs, return_dict=False)[0].float().square().mean()


@once
def denoising_bytes(geometry: Geometry, half: bool) -> int:
    """Alive at most in a forward pass of the transformer over one clip, without gradient.

    Two blocks tell it: each frees what it made. The two passes of classifier-free guidance come one after
    the other.
    """
    config = geometry.configs["transformer"]
    transformer = layers.build("transformer", {**config, "num_layers": min(2, config["num_layers"])})
    dtype = torch.bfloat16 if half else torch.float32
    with FakeTensorMode(), torch.no_grad():
        fake(transformer.eval(), dtype)
        with Live() as live:
            transformer(*_inputs(geometry, dtype), return_dict=False)
    return live.peak


def _inputs(geometry: Geometry, dtype: torch.dtype, images: int = 1) -> tuple[torch.Tensor | None, ...]:
    """What the transformer is given: latents, timestep, text, tokens of the images."""
    config, image = geometry.configs["transformer"], None
    if config.get("image_dim"):
        image = torch.zeros(1, images * geometry.image_tokens, config["image_dim"], dtype=dtype)
    timestep = torch.zeros(1, geometry.tokens) if geometry.layout.first_frame_in_place else torch.zeros(1)
    text = torch.zeros(1, geometry.text_tokens, config["text_dim"], dtype=dtype)
    return torch.zeros(1, *geometry.model_input, dtype=dtype), timestep, text, image


def fake(module: nn.Module, dtype: torch.dtype) -> None:
    """Give a module from the meta device fake weights of `dtype`, a transformer's in fp32 where it has to.

    To be called under a FakeTensorMode, which the module then runs in.
    """
    is_transformer = isinstance(module, WanTransformer3DModel)
    kept = {"lora_A", "lora_B", *module._keep_in_fp32_modules} if is_transformer else set()
    for name, value in [*module.named_parameters(remove_duplicate=False), *module.named_buffers()]:
        owner, _, leaf = name.rpartition(".")
        new = torch.empty(value.shape, dtype=value.dtype)
        if isinstance(value, nn.Parameter):
            own = torch.float32 if kept & set(name.split(".")) else dtype
            new = nn.Parameter(new.to(own), value.requires_grad)
        setattr(module.get_submodule(owner), leaf, new)
