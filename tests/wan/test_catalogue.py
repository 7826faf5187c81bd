from pathlib import Path

import pytest
import torch
import yaml
from diffusers import WanTransformer3DModel

from cinelib.motion.parameters import MotionStage
from cinelib.style.parameters import StyleStage
from cinelib.wan import layers
from cinelib.wan.catalogue import CATALOGUE, advice, refusal

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = yaml.safe_load((ROOT / "data" / "published.yaml").read_text("utf-8"))["parameters"]
REBUILT = [model for model in CATALOGUE.values() if model.transformer]


@pytest.mark.parametrize("model", REBUILT, ids=lambda model: model.hub_id)
def test_the_configuration_gives_the_published_parameter_count(model):
    with torch.device("meta"):
        transformer = WanTransformer3DModel(**model.transformer)
    assert sum(parameter.numel() for parameter in transformer.parameters()) == PUBLISHED[model.hub_id]


@pytest.mark.parametrize(
    "hub_id, targets, rank, count",
    [
        ("Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", "attn2", 1, 2_457_600),
        ("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", "attn2", 8, 19_660_800),
        ("Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", r"blocks\.\d+\.attn2\.to_.*", 8, 13_107_200),
        ("Wan-AI/Wan2.2-I2V-A14B-Diffusers", "attn2", 8, 13_107_200),
        ("Wan-AI/Wan2.2-TI2V-5B-Diffusers", "attn2", 8, 30 * 4 * 2 * 3072 * 8),
    ],
)
def test_the_lora_of_the_source_has_the_size_that_its_formula_gives(hub_id, targets, rank, count):
    with torch.device("meta"):
        transformer = WanTransformer3DModel(**CATALOGUE[hub_id].transformer)
    assert layers.trainable_count(transformer, targets, rank) == count


@pytest.mark.parametrize(
    "hub_id, part, published",
    [
        # sizes of the released files: bf16 text encoder, fp32 VAEs and CLIP
        ("Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", "text_encoder", 11_361_820_672 / 2),
        ("Wan-AI/Wan2.2-TI2V-5B-Diffusers", "vae", 2_818_777_808 / 4),
        ("Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", "vae", 507_591_892 / 4),
    ],
)
def test_encoders_and_vaes_have_the_size_of_the_released_files(hub_id, part, published):
    assert layers.count(part, CATALOGUE[hub_id].configs[part]) == pytest.approx(published, rel=2e-4)


def test_what_cannot_be_adapted_is_refused_where_it_would_be_trained_or_sampled():
    message = refusal(StyleStage(model="ali-vilab/text-to-video-ms-1.7b"))
    assert "ali-vilab/text-to-video-ms-1.7b" in message and "Wan2.1-I2V-14B-720P" in message
    for able in ("data/nano-wan", "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"):
        assert refusal(StyleStage(model=able)) is None and refusal(MotionStage(model=able)) is None
    two = "Wan-AI/Wan2.2-I2V-A14B-Diffusers"
    assert refusal(StyleStage(model=two)) is None
    assert "two experts" in refusal(MotionStage(model=two)) and "14B-480P" in refusal(MotionStage(model=two))
    small = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
    assert refusal(StyleStage(model=small, height=704, width=1280)) is None
    assert "704 is" in refusal(StyleStage(model=small, height=720, width=1280))
    assert "in place of noise" in refusal(MotionStage(model=small, height=704, width=1280))


def test_advice_names_every_setting_that_is_not_the_released_one():
    wrong = MotionStage(
        model="Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", height=720, width=1280, num_frames=81, flow_shift=5.0
    )
    text = " ".join(advice(wrong))
    assert "height is 720" in text and "flow_shift is 5.0" in text and "fps" not in text
    right = wrong.model_copy(update={"height": 480, "width": 832, "flow_shift": 3.0})
    assert advice(right) == []
