"""`AutoencoderKLWan` applied to a whole clip at once, for training.

The library walks a clip in chunks of four frames with a cache of past features, and clamps what it decodes.
Causal convolutions over the whole clip compute the same numbers (a test compares them) without the cache,
in fewer and larger operations, and without the clamp, which stops gradients where it saturates.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan


def encode(vae: "AutoencoderKLWan", pixels: Tensor) -> Tensor:
    """Mode of the posterior, not normalised: (B, 3, 4k+1, 8h, 8w) in [-1, 1] -> (B, 16, k+1, h, w)."""
    net = vae.encoder
    x = _conv(net.conv_in, pixels.contiguous(memory_format=torch.channels_last_3d))
    for block in net.down_blocks:
        x = _block(block, x)
    x = _middle(net.mid_block, x)
    x = _conv(net.conv_out, net.nonlinearity(_norm(net.norm_out, x)))
    return vae.quant_conv(x).chunk(2, dim=1)[0]


def decode(vae: "AutoencoderKLWan", latents: Tensor) -> Tensor:
    """Unclamped pixels: (B, 16, k+1, h, w), not normalised -> (B, 3, 4k+1, 8h, 8w)."""
    net = vae.decoder
    x = _conv(net.conv_in, vae.post_quant_conv(latents))
    x = _middle(net.mid_block, x)
    for up in net.up_blocks:
        for block in up.resnets:
            x = _block(block, x)
        if up.upsamplers is not None:
            x = _block(up.upsamplers[0], x)
    return _conv(net.conv_out, net.nonlinearity(_norm(net.norm_out, x)))


def _block(block: nn.Module, x: Tensor) -> Tensor:
    if hasattr(block, "resample"):
        return _resample(block, x)
    if hasattr(block, "conv1"):
        return _residual(block, x)
    return block(x)  # attention within a frame


def _middle(block: nn.Module, x: Tensor) -> Tensor:
    x = _residual(block.resnets[0], x)
    for attention, residual in zip(block.attentions, block.resnets[1:], strict=True):
        x = _residual(residual, attention(x))
    return x


def _residual(block: nn.Module, x: Tensor) -> Tensor:
    h = _conv(block.conv1, block.nonlinearity(_norm(block.norm1, x)))
    h = _conv(block.conv2, block.nonlinearity(_norm(block.norm2, h)))
    return h + block.conv_shortcut(x)


def _norm(layer: nn.Module, x: Tensor) -> Tensor:
    # the library's x / |x| * sqrt(C) * gamma as one fused operation
    scale = layer.gamma.flatten().to(x.dtype)
    return F.rms_norm(x.movedim(1, -1), scale.shape, scale, eps=1e-12).movedim(-1, 1)


def _conv(layer: nn.Conv3d, x: Tensor) -> Tensor:
    if x.shape[2] > 1 or layer.kernel_size[0] == 1:
        return layer(x)
    # the past of a single frame is zero padding: only the last tap of the kernel sees anything
    pad = layer.kernel_size[1] // 2
    return F.conv2d(x[:, :, 0], layer.weight[:, :, -1], layer.bias, padding=pad)[:, :, None]


def _resample(block: nn.Module, x: Tensor) -> Tensor:
    clip = x.shape[2] > 1
    if block.mode == "upsample3d" and clip:  # the first frame stands for itself, each later one for two
        later = block.time_conv(x[:, :, 1:]).unflatten(1, (2, -1))  # (B, 2, C, t, h, w)
        x = torch.cat([x[:, :, :1], later.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)], dim=2)
    frames = x.transpose(1, 2).flatten(0, 1)
    x = block.resample(frames).unflatten(0, (x.shape[0], -1)).transpose(1, 2)
    if block.mode == "downsample3d" and clip:
        x = torch.cat([x[:, :, :1], block.time_conv(x)], dim=2)
    return x


@torch.no_grad()
def start_from_frames(vae: "AutoencoderKLWan") -> None:
    """Make the network a per-frame one: what single-frame training has learned is kept, the rest is neutral.

    Past taps are zeroed (a single frame never trained them); downsampling in time takes the middle of its
    three frames' average, upsampling repeats. Clip training starts from there.
    """
    for module in vae.modules():
        if type(module).__name__ == "WanCausalConv3d" and module.kernel_size == (3, 3, 3):
            module.weight[:, :, :-1] = 0
        if hasattr(module, "time_conv"):
            conv = module.time_conv
            eye = torch.eye(conv.in_channels).repeat(conv.out_channels // conv.in_channels, 1)
            conv.weight.zero_()
            conv.bias.zero_()
            if module.mode == "downsample3d":  # windows (2i, 2i+1, 2i+2) stand for frames 2i+1 and 2i+2
                conv.weight[:, :, 1, 0, 0] = eye / 2
                conv.weight[:, :, 2, 0, 0] = eye / 2
            else:
                conv.weight[:, :, -1, 0, 0] = eye
