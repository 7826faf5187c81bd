"""A start for the autoencoder: its encoder computes the principal components of 8x8 patches.

From random weights, small networks stay for a long time at what five components of a patch can show: every
normalisation throws the amplitude away, and the latents first have to find out that there is colour. Here
the residual branches start at zero, a constant channel keeps amplitudes through the normalisations, and the
strided convolutions are set, level by level, to the principal components of what they see. Training then
starts where linear compression ends.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

CONSTANT = 2.0  # value of the constant channel, of the order of the signal
OUTPUT_CONSTANT = 16.0  # before the last normalisation: large, so that it is nearly linear


@torch.no_grad()
def start(vae: "AutoencoderKLWan", images: Tensor) -> None:
    """Set the weights of `vae` from `images` (N, 3, H, W) in [-1, 1], H and W multiples of 8."""
    for net in (vae.encoder, vae.decoder):
        for module in net.modules():
            if hasattr(module, "conv2"):
                _silence(module.conv2)
            if hasattr(module, "to_qkv"):
                _silence(module.proj)
    _start_encoder(vae, images)
    _start_decoder(vae)


def _start_encoder(vae: "AutoencoderKLWan", images: Tensor) -> None:
    net, known = vae.encoder, images
    _copy(net.conv_in, 3)
    _set_row(net.conv_in, 3, bias=CONSTANT)
    strided = [block for block in net.down_blocks if hasattr(block, "resample")]
    for block in net.down_blocks:
        kept = known.shape[1]
        if isinstance(getattr(block, "conv_shortcut", None), nn.Conv3d):
            _copy(block.conv_shortcut, kept + 1)
        if hasattr(block, "resample"):
            last = block is strided[-1]
            gain = OUTPUT_CONSTANT / CONSTANT if last else 1.0
            known = _compress(block.resample[1], known, whiten=last, constant_gain=gain)
    channels = min(vae.config.z_dim, known.shape[1])
    _silence(net.conv_out)
    _copy(net.conv_out, channels, gain=4.0)
    _copy(vae.quant_conv, vae.config.z_dim * 2)


def _start_decoder(vae: "AutoencoderKLWan") -> None:
    _copy(vae.post_quant_conv, vae.config.z_dim)
    net = vae.decoder
    _copy(net.conv_in, min(vae.config.z_dim, net.conv_in.out_channels - 1))
    _set_row(net.conv_in, net.conv_in.out_channels - 1, bias=CONSTANT)
    for block in net.up_blocks:
        if block.upsamplers is not None:
            block.upsamplers[0].resample[1].bias[0] = 1.0


def _compress(conv: nn.Conv2d, known: Tensor, whiten: bool, constant_gain: float) -> Tensor:
    # a 3x3 convolution of stride 2, padded right and below: its first 2x2 taps see one block each
    kept = known.shape[1]
    blocks = F.pixel_unshuffle(known, 2)  # channel order: c, dy, dx
    samples = blocks.movedim(1, -1).flatten(0, -2)
    mean = samples.mean(dim=0)
    values, vectors = torch.linalg.eigh((samples - mean).T.cov())
    count = min(4 * kept, conv.out_channels - 1)
    basis = vectors[:, -count:].flip(1).T  # strongest first
    if whiten:
        basis = basis / values[-count:].flip(0).clamp(min=1e-4).sqrt().unsqueeze(1)
    for row in range(count):
        _set_row(conv, row, bias=-float(basis[row] @ mean))
        conv.weight[row, :kept, :2, :2] = basis[row].view(kept, 2, 2)
    _set_row(conv, count, bias=0.0)
    conv.weight[count, kept, 0, 0] = constant_gain
    return F.conv2d(blocks - mean.view(1, -1, 1, 1), basis[:, :, None, None])


def _copy(conv: nn.Conv3d, channels: int, gain: float = 1.0) -> None:
    middle = conv.kernel_size[1] // 2
    for row in range(channels):
        _set_row(conv, row, bias=0.0)
        conv.weight[row, row, -1, middle, middle] = gain


def _set_row(conv: nn.Module, row: int, bias: float) -> None:
    conv.weight[row] = 0
    conv.bias[row] = bias


def _silence(conv: nn.Module) -> None:
    conv.weight.zero_()
    conv.bias.zero_()
