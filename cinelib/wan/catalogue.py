"""The published checkpoints that the workbook's `model` parameter may name, as data.

Sizes, rates, shifts and configurations are those of each model's own release. A model that is not listed,
such as a local folder, is taken as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cinelib.parameters import StageParameters
from cinelib.wan import layout

Role = Literal["image-to-video", "text-to-video"]

_WAN: dict[str, Any] = {
    "patch_size": [1, 2, 2], "attention_head_dim": 128, "freq_dim": 256, "text_dim": 4096, "eps": 1e-6,
    "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024,
}  # fmt: skip
_WAN_14B: dict[str, Any] = {
    **_WAN, "num_attention_heads": 40, "num_layers": 40, "ffn_dim": 13824,
    "in_channels": 36, "out_channels": 16,
}  # fmt: skip
_UMT5_XXL: dict[str, Any] = {
    "vocab_size": 256384, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}  # fmt: skip
_CLIP_VIT_H: dict[str, Any] = {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16,
    "image_size": 224, "patch_size": 14,
}  # fmt: skip
_VAE: dict[str, Any] = {
    "base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2,
    "temperal_downsample": [False, True, True], "scale_factor_spatial": 8,
}  # fmt: skip
_VAE_TI2V: dict[str, Any] = {
    **_VAE, "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "in_channels": 12, "out_channels": 12,
    "patch_size": 2, "is_residual": True, "scale_factor_spatial": 16,
}  # fmt: skip


@dataclass(frozen=True)
class PublishedModel:
    """One checkpoint: what it does, the sampling its authors used, and what can be adapted here.

    Attributes:
        experts: transformers, each for a range of noise levels of its own.
        adaptable: whether stage 02 trains an adapter for it.
        sampled: whether the stages from 03 on sample it: one transformer, with a place for a last frame.
        multiple: what height and width must be multiples of.
    """

    hub_id: str
    role: Role
    pipeline: str
    height: int
    width: int
    num_frames: int
    fps: int
    flow_shift: float | None = None
    experts: int = 1
    adaptable: bool = False
    sampled: bool = True
    multiple: int = 16
    transformer: Mapping[str, Any] = field(default_factory=dict)
    vae: Mapping[str, Any] = field(default_factory=lambda: _VAE)
    image_encoder: Mapping[str, Any] | None = None
    note: str = ""

    @property
    def configs(self) -> dict[str, Mapping[str, Any]]:
        """Configuration of each part by its name in a diffusers folder; empty where none is known."""
        if not self.transformer:
            return {}
        found = {"transformer": self.transformer, "vae": self.vae, "text_encoder": _UMT5_XXL}
        if self.experts == 2:
            found[layout.EXPERTS[1]] = self.transformer
        if self.image_encoder is not None:
            found["image_encoder"] = self.image_encoder
        return found


_MODELS = (
    PublishedModel(
        "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", "image-to-video", "WanImageToVideoPipeline",
        720, 1280, 81, 16, flow_shift=5.0, adaptable=True,
        transformer={**_WAN_14B, "image_dim": 1280, "added_kv_proj_dim": 5120},
        image_encoder=_CLIP_VIT_H,
    ),
    PublishedModel(
        "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", "image-to-video", "WanImageToVideoPipeline",
        480, 832, 81, 16, flow_shift=3.0, adaptable=True,
        transformer={**_WAN_14B, "image_dim": 1280, "added_kv_proj_dim": 5120},
        image_encoder=_CLIP_VIT_H,
    ),
    PublishedModel(
        "Wan-AI/Wan2.2-I2V-A14B-Diffusers", "image-to-video", "WanImageToVideoPipeline",
        720, 1280, 81, 16, flow_shift=5.0, experts=2, adaptable=True, sampled=False,
        transformer=_WAN_14B,
        note="two experts, one per noise range; no CLIP image tokens",
    ),
    PublishedModel(
        "Wan-AI/Wan2.2-TI2V-5B-Diffusers", "image-to-video", "WanImageToVideoPipeline",
        704, 1280, 121, 24, flow_shift=5.0, adaptable=True, sampled=False, multiple=32,
        transformer={
            **_WAN, "num_attention_heads": 24, "num_layers": 30, "ffn_dim": 14336,
            "in_channels": 48, "out_channels": 48,
        },
        vae=_VAE_TI2V,
        note="the first frame in place of noise; its own VAE (48 channels, 16x space)",
    ),
    PublishedModel(
        "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "text-to-video", "WanPipeline",
        480, 832, 81, 16, flow_shift=3.0,
        transformer={
            **_WAN, "num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960,
            "in_channels": 16, "out_channels": 16,
        },
        note="baseline",
    ),
    PublishedModel(
        "ali-vilab/text-to-video-ms-1.7b", "text-to-video", "TextToVideoSDPipeline",
        256, 256, 16, 8, note="baseline (ModelScope)",
    ),
    PublishedModel(
        "VideoCrafter/VideoCrafter2", "text-to-video", "none in diffusers; needs a converted folder",
        320, 512, 16, 8, note="baseline",
    ),
)  # fmt: skip

CATALOGUE: dict[str, PublishedModel] = {model.hub_id: model for model in _MODELS}


def refusal(parameters: StageParameters) -> str | None:
    """Why the stage cannot run the published model that its parameters name, or None when it can."""
    published = CATALOGUE.get(getattr(parameters, "model", ""))
    if published is None:
        return None
    where = f"stage {parameters.stage}: model {published.hub_id}"
    if not published.adaptable:
        what = f"{published.role}, {published.note}" if published.note else published.role
        able = ", ".join(model.hub_id for model in _MODELS if model.adaptable)
        return f"{where} ({what}) cannot be adapted by these stages; use {able}"
    if not published.sampled and parameters.stage not in {"01_data_preparation", "02_style_stage"}:
        able = ", ".join(model.hub_id for model in _MODELS if model.adaptable and model.sampled)
        return f"{where} ({published.note}) is trained by 02 and not sampled by this stage; use {able}"
    sizes = {name: getattr(parameters, name, 0) for name in ("height", "width")}
    for name, value in sizes.items():
        if value % published.multiple:
            near = max(1, round(value / published.multiple)) * published.multiple
            return f"{where} needs {name} in multiples of {published.multiple}; {value} is not, {near} is"
    return None


def advice(parameters: StageParameters) -> list[str]:
    """Where the parameters differ from what the named model was released with, in sentences."""
    published = CATALOGUE.get(getattr(parameters, "model", ""))
    if published is None:
        return []
    sentences = []
    for name in ("height", "width", "fps", "flow_shift"):
        released, given = getattr(published, name), getattr(parameters, name, None)
        if None not in (released, given) and given != released:
            sentences.append(f"{name} is {given}; {published.hub_id} was released for {released}")
    return sentences
