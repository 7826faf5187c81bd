"""The published checkpoints that the workbook's `model` parameter may name, as data.

Sizes, rates and shifts are those of each model's own release; `transformer` is the configuration that
rebuilds it (a test does so on the meta device and finds the published parameter counts). A model that is
not listed, such as a local folder, is taken as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cinelib.parameters import StageParameters

Role = Literal["image-to-video", "text-to-video"]

_WAN: dict[str, Any] = {
    "patch_size": [1, 2, 2],
    "cross_attn_norm": True,
    "eps": 1e-6,
    "freq_dim": 256,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024,
    "text_dim": 4096,
    "attention_head_dim": 128,
}
_WAN_14B: dict[str, Any] = {
    **_WAN,
    "num_attention_heads": 40,
    "num_layers": 40,
    "ffn_dim": 13824,
    "in_channels": 36,
    "out_channels": 16,
}


@dataclass(frozen=True)
class PublishedModel:
    """One checkpoint: what it does, the sampling its authors used, and what can be adapted here."""

    hub_id: str
    role: Role
    pipeline: str
    height: int
    width: int
    num_frames: int
    fps: int
    parameters: int | None
    """Parameters of one transformer; None where no published count was found."""
    flow_shift: float | None = None
    experts: int = 1
    adaptable: bool = False
    """Whether stages 02 and 03 train and sample it today."""
    transformer: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


_MODELS = (
    PublishedModel(
        "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", "image-to-video", "WanImageToVideoPipeline",
        720, 1280, 81, 16, 16_394_878_784, flow_shift=5.0, adaptable=True,
        transformer={**_WAN_14B, "image_dim": 1280, "added_kv_proj_dim": 5120},
    ),
    PublishedModel(
        "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", "image-to-video", "WanImageToVideoPipeline",
        480, 832, 81, 16, 16_394_878_784, flow_shift=3.0, adaptable=True,
        transformer={**_WAN_14B, "image_dim": 1280, "added_kv_proj_dim": 5120},
    ),
    PublishedModel(
        "Wan-AI/Wan2.2-I2V-A14B-Diffusers", "image-to-video", "WanImageToVideoPipeline",
        720, 1280, 81, 16, 14_288_901_184, flow_shift=5.0, experts=2, transformer=_WAN_14B,
        note="two experts, one per noise range; no CLIP image tokens",
    ),
    PublishedModel(
        "Wan-AI/Wan2.2-TI2V-5B-Diffusers", "image-to-video", "WanImageToVideoPipeline",
        704, 1280, 121, 24, 4_999_787_712, flow_shift=5.0,
        transformer={
            **_WAN, "num_attention_heads": 24, "num_layers": 30, "ffn_dim": 14336,
            "in_channels": 48, "out_channels": 48,
        },
        note="its own VAE (48 channels, 16x space)",
    ),
    PublishedModel(
        "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "text-to-video", "WanPipeline",
        480, 832, 81, 16, 1_418_996_800, flow_shift=3.0,
        transformer={
            **_WAN, "num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960,
            "in_channels": 16, "out_channels": 16,
        },
        note="baseline",
    ),
    PublishedModel(
        "ali-vilab/text-to-video-ms-1.7b", "text-to-video", "TextToVideoSDPipeline",
        256, 256, 16, 8, None, note="baseline (ModelScope)",
    ),
    PublishedModel(
        "VideoCrafter/VideoCrafter2", "text-to-video", "none in diffusers; needs a converted folder",
        320, 512, 16, 8, None, note="baseline",
    ),
)  # fmt: skip

CATALOGUE: dict[str, PublishedModel] = {model.hub_id: model for model in _MODELS}


def refusal(parameters: StageParameters) -> str | None:
    """Why the stage cannot run the published model that its parameters name, or None when it can."""
    published = CATALOGUE.get(getattr(parameters, "model", ""))
    if published is None or published.adaptable:
        return None
    able = ", ".join(model.hub_id for model in _MODELS if model.adaptable)
    what = f"{published.role}, {published.note}" if published.note else published.role
    return (
        f"stage {parameters.stage}: model {published.hub_id} ({what}) cannot be adapted by these stages yet; "
        f"use {able}"
    )


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


def attn2_lora_parameters(model: PublishedModel, rank: int) -> int:
    """Trainable parameters of a rank-r LoRA on every `attn2` projection of one transformer.

    Each adapted d x d projection adds A (r x d) and B (d x r): 2 d r; I2V's add_k_proj and add_v_proj make
    it six projections a layer instead of four.
    """
    width = model.transformer["num_attention_heads"] * model.transformer["attention_head_dim"]
    projections = 6 if model.transformer.get("added_kv_proj_dim") else 4
    return model.transformer["num_layers"] * projections * 2 * width * rank
