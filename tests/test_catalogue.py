import pytest
import torch
from diffusers import WanTransformer3DModel

from cinelib.catalogue import CATALOGUE, advice, attn2_lora_parameters, refusal
from cinelib.parameters import MotionStage, StyleStage

REBUILT = [model for model in CATALOGUE.values() if model.transformer]


@pytest.mark.parametrize("model", REBUILT, ids=lambda model: model.hub_id)
def test_the_configuration_gives_the_published_parameter_count(model):
    with torch.device("meta"):
        transformer = WanTransformer3DModel(**model.transformer)
    assert sum(parameter.numel() for parameter in transformer.parameters()) == model.parameters


def test_the_lora_of_the_source_has_the_size_that_its_formula_gives():
    model = CATALOGUE["Wan-AI/Wan2.1-I2V-14B-720P-Diffusers"]
    assert attn2_lora_parameters(model, rank=1) == 2_457_600
    assert attn2_lora_parameters(model, rank=8) == 19_660_800
    assert attn2_lora_parameters(CATALOGUE["Wan-AI/Wan2.2-I2V-A14B-Diffusers"], rank=8) == 13_107_200


def test_a_baseline_is_refused_where_an_adapter_would_be_trained():
    message = refusal(StyleStage(model="ali-vilab/text-to-video-ms-1.7b"))
    assert "ali-vilab/text-to-video-ms-1.7b" in message and "Wan2.1-I2V-14B-720P" in message
    assert refusal(StyleStage(model="data/nano-wan")) is None
    assert refusal(StyleStage(model="Wan-AI/Wan2.1-I2V-14B-480P-Diffusers")) is None


def test_advice_names_every_setting_that_is_not_the_released_one():
    wrong = MotionStage(
        model="Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", height=720, width=1280, num_frames=81, flow_shift=5.0
    )
    text = " ".join(advice(wrong))
    assert "height is 720" in text and "flow_shift is 5.0" in text and "fps" not in text
    right = wrong.model_copy(update={"height": 480, "width": 832, "flow_shift": 3.0})
    assert advice(right) == []
