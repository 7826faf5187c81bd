"""Wan2.1 I2V's exact classes at classroom sizes.

Every component is the class that `Wan-AI/Wan2.1-I2V-14B-*-Diffusers` names in its model_index.json, so that
`WanImageToVideoPipeline.from_pretrained` loads both; only the numbers in the configs are smaller.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
    from transformers import (
        CLIPImageProcessor,
        CLIPModel,
        CLIPTokenizer,
        CLIPVisionConfig,
        CLIPVisionModel,
        ResNetModel,
        UMT5EncoderModel,
    )

LATENT_CHANNELS = 16
MASK_CHANNELS = 4  # one per pixel frame that a latent frame stands for
TEXT_TOKENS = 512  # WanAttnProcessor splits image tokens from text tokens at this fixed count


@dataclass(frozen=True)
class Size:
    """The numbers that distinguish a classroom checkpoint from the 14B one; widths in channels."""

    vae_base_dim: int
    vae_dim_mult: tuple[int, ...]
    layers: int
    heads: int
    head_dim: int
    ffn_dim: int
    text_dim: int
    text_layers: int
    vocabulary: int
    image_dim: int
    image_layers: int
    image_size: int
    image_patch: int
    video_widths: tuple[int, ...]
    video_depth: int

    @property
    def width(self) -> int:
        """Channels of the transformer's hidden states."""
        return self.heads * self.head_dim


NANO = Size(
    vae_base_dim=16,
    vae_dim_mult=(1, 2, 4, 4),
    layers=6,
    heads=4,
    head_dim=64,
    ffn_dim=1024,
    text_dim=128,
    text_layers=2,
    vocabulary=1024,
    image_dim=128,
    image_layers=4,
    image_size=64,
    image_patch=16,
    video_widths=(64, 128, 256, 256),
    video_depth=2,
)
SMOKE = Size(
    vae_base_dim=8,
    vae_dim_mult=(1, 1, 1, 1),
    layers=2,
    heads=2,
    head_dim=12,
    ffn_dim=32,
    text_dim=16,
    text_layers=1,
    vocabulary=768,
    image_dim=16,
    image_layers=2,
    image_size=32,
    image_patch=16,
    video_widths=(8, 16),
    video_depth=1,
)
SIZES = {"nano": NANO, "smoke": SMOKE}


def vae(size: Size) -> "AutoencoderKLWan":
    """Causal video autoencoder, (B, 3, 4k+1, 8h, 8w) pixels in [-1, 1] <-> (B, 16, k+1, h, w) latents."""
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=size.vae_base_dim,
        z_dim=LATENT_CHANNELS,
        dim_mult=list(size.vae_dim_mult),
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS,
    )


def transformer(size: Size) -> "WanTransformer3DModel":
    """The denoiser: 16 noisy + 4 mask + 16 condition channels in, 16 velocity channels out."""
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=size.heads,
        attention_head_dim=size.head_dim,
        in_channels=2 * LATENT_CHANNELS + MASK_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=size.text_dim,
        freq_dim=256,
        ffn_dim=size.ffn_dim,
        num_layers=size.layers,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        eps=1e-6,
        image_dim=size.image_dim,
        added_kv_proj_dim=size.width,
        rope_max_seq_len=1024,
        pos_embed_seq_len=None,
    )


def text_encoder(size: Size) -> "UMT5EncoderModel":
    """Token ids (B, 512) -> hidden states (B, 512, text_dim)."""
    from transformers import UMT5Config, UMT5EncoderModel

    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=size.vocabulary,
            d_model=size.text_dim,
            d_kv=max(8, size.text_dim // 4),
            d_ff=2 * size.text_dim,
            num_layers=size.text_layers,
            num_heads=4,
            dropout_rate=0.0,
        )
    )


def vision_config(size: Size) -> "CLIPVisionConfig":
    """The image tower's config, shared by the Wan image encoder and the CLIP model it is taken from."""
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(
        hidden_size=size.image_dim,
        intermediate_size=4 * size.image_dim,
        projection_dim=size.image_dim,
        num_hidden_layers=size.image_layers,
        num_attention_heads=4,
        image_size=size.image_size,
        patch_size=size.image_patch,
    )


def image_encoder(size: Size) -> "CLIPVisionModel":
    """Pixels (B, 3, s, s) -> hidden states (B, 1 + (s/p)^2, image_dim)."""
    from transformers import CLIPVisionModel

    return CLIPVisionModel(vision_config(size))


def clip(size: Size, tokenizer: "CLIPTokenizer") -> "CLIPModel":
    """Image-text model whose image tower becomes the Wan checkpoint's image encoder."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig

    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.text_dim,
        intermediate_size=4 * size.text_dim,
        projection_dim=size.image_dim,
        num_hidden_layers=max(1, size.text_layers),
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return CLIPModel(
        CLIPConfig(
            text_config=text.to_dict(),
            vision_config=vision_config(size).to_dict(),
            projection_dim=size.image_dim,
        )
    )


def image_processor(size: Size) -> "CLIPImageProcessor":
    """Squeezes the whole frame to the tower's square: a centre crop would hide both ends of a wide frame."""
    from transformers import CLIPImageProcessor

    square = {"height": size.image_size, "width": size.image_size}
    return CLIPImageProcessor(size=square, crop_size=square, do_center_crop=False, resample=3)


def video_features(size: Size, num_frames: int, height: int, width: int) -> "ResNetModel":
    """Frames stacked as channels, (B, 3 num_frames, height, width) in [-1, 1] -> pooled features.

    `num_frames` and `image_size` are in its config, for who feeds it.
    """
    from transformers import ResNetConfig, ResNetModel

    return ResNetModel(
        ResNetConfig(
            num_channels=3 * num_frames,
            embedding_size=size.video_widths[0],
            hidden_sizes=list(size.video_widths),
            depths=[size.video_depth] * len(size.video_widths),
            layer_type="basic",
            num_frames=num_frames,
            image_size=[height, width],
        )
    )


def scheduler(flow_shift: float = 3.0) -> "UniPCMultistepScheduler":
    """Wan's sampler; `flow_shift` is 3.0 for 480p and below, 5.0 for 720p."""
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        num_train_timesteps=1000,
        flow_shift=flow_shift,
    )


def parameters(model: "torch.nn.Module") -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in model.parameters())
