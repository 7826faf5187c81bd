"""A frozen base model stored in few bits, for smaller cards; the adapter on it stays in fp32.

fp8 keeps each linear layer's weights as float8_e4m3fn and casts them up when the layer is computed
(diffusers' layerwise casting): a byte a weight. nf4 is the 4-bit format of QLoRA (Dettmers et al. 2023)
from bitsandbytes: about half a byte. Between forward and backward autograd holds what was cast up, so the
saving needs `gradient_checkpointing`, under which that is one block at a time.
"""

import importlib.util

import torch
from diffusers import WanTransformer3DModel

KNOWN = ("", "fp8", "nf4")


def check(precision: str) -> None:
    """Refuse what cannot be stored here.

    Raises:
        ValueError: an unknown precision.
        ModuleNotFoundError: bitsandbytes is not installed.
    """
    if precision not in KNOWN:
        raise ValueError(f"base_precision {precision!r}: known are {', '.join(map(repr, KNOWN))}")
    if precision == "nf4" and importlib.util.find_spec("bitsandbytes") is None:
        raise ModuleNotFoundError("base_precision 'nf4' needs bitsandbytes: pip install -e '.[accelerator]'")


def store(
    transformer: WanTransformer3DModel, precision: str, device: torch.device | str | None = None
) -> None:
    """Store the linear layers of the blocks in `precision`, in place; "" leaves them. Before `lora.add`.

    Norms, embeddings and the ends of the transformer stay as they are. The weights come to lie on `device`
    (default: where they are), each layer's only when it is small: a card that the whole base does not fit
    holds the stored one.

    Raises:
        ValueError, ModuleNotFoundError: as `check`; ValueError also for a transformer with an adapter.
    """
    check(precision)
    if precision and getattr(transformer, "peft_config", {}):
        raise ValueError("base_precision comes before the adapter: load the model anew")
    if precision == "fp8":
        transformer.enable_layerwise_casting(torch.float8_e4m3fn, compute_dtype=transformer.dtype)
    elif precision == "nf4":
        _four_bits(transformer, torch.device(device or transformer.device))
    if device is not None:
        transformer.to(device)


def _four_bits(transformer: WanTransformer3DModel, device: torch.device) -> None:
    from bitsandbytes.nn import Linear4bit, Params4bit

    quick = torch.accelerator.current_accelerator(check_available=True) or device  # a CPU takes minutes
    linear = [(n, m) for n, m in transformer.blocks.named_modules() if type(m) is torch.nn.Linear]
    for name, layer in linear:
        width, dtype = (layer.in_features, layer.out_features), layer.weight.dtype
        small = Linear4bit(
            *width, layer.bias is not None, compute_dtype=dtype, quant_type="nf4", device="meta"
        )
        weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4", module=small)
        small.weight, small.bias = weight.to(quick).to(device), layer.bias  # the first `to` quantises
        transformer.blocks.set_submodule(name, small)
