"""Wan checkpoints of a few thousand random weights, in the layouts that diffusers reads."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

WORDS = ["<pad>", "</s>", "<unk>", "a", "the", "knight", "in", "walks", "film", "look", "red", ","]


def tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def transformer(layers: int = 2, **changes) -> WanTransformer3DModel:
    return WanTransformer3DModel(
        **{
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "in_channels": 36,
            "out_channels": 16,
            "text_dim": 16,
            "freq_dim": 16,
            "ffn_dim": 32,
            "num_layers": layers,
            "image_dim": 16,
            "added_kv_proj_dim": 24,
            "rope_max_seq_len": 32,
            **changes,
        }
    )


def autoencoder(**changes) -> AutoencoderKLWan:
    shape = {"dim_mult": [1, 1, 1, 1], "temperal_downsample": [False, True, True]}
    return AutoencoderKLWan(**{"base_dim": 4, "z_dim": 16, "num_res_blocks": 1, **shape, **changes}).eval()


def pipeline(**changes) -> WanImageToVideoPipeline:
    """Wan2.1 I2V; `changes` are components and settings of the pipeline."""
    torch.manual_seed(0)
    vae = autoencoder()
    text_encoder = UMT5EncoderModel(
        UMT5Config(vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    )
    image_encoder = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=16,
        )
    )
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    components = {
        "tokenizer": tokenizer(),
        "text_encoder": text_encoder.eval(),
        "vae": vae,
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        "image_processor": processor,
        "image_encoder": image_encoder.eval(),
        "transformer": transformer().eval(),
    }
    return WanImageToVideoPipeline(**{**components, **changes})


def two_experts() -> WanImageToVideoPipeline:
    """Wan2.2 I2V-A14B: two transformers, no image encoder."""
    torch.manual_seed(1)
    plain = {"image_dim": None, "added_kv_proj_dim": None}
    experts = {name: transformer(**plain).eval() for name in ("transformer", "transformer_2")}
    return pipeline(image_encoder=None, image_processor=None, boundary_ratio=0.9, **experts)


def text_image() -> WanPipeline:
    """Wan2.2 TI2V-5B: the first frame in place of noise, a VAE of 48 channels that divides by 16."""
    torch.manual_seed(2)
    sizes = {"z_dim": 48, "in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16}
    vae = autoencoder(**sizes, is_residual=True, latents_mean=[0.1] * 48, latents_std=[1.5] * 48)
    channels = {"in_channels": 48, "out_channels": 48, "image_dim": None, "added_kv_proj_dim": None}
    parts = pipeline().components
    kept = {name: parts[name] for name in ("tokenizer", "text_encoder", "scheduler")}
    return WanPipeline(**kept, vae=vae, transformer=transformer(**channels).eval(), expand_timesteps=True)


LAYOUTS = {"wan2.1": pipeline, "two experts": two_experts, "text and image": text_image}


def save(folder: Path, layout: str = "wan2.1") -> Path:
    LAYOUTS[layout]().save_pretrained(folder)
    return folder
