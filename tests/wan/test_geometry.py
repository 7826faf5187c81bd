"""Sizes and costs from configs agree with the models themselves and with published figures."""

import dataclasses
import math

import pytest
import torch
from classroom import architecture
from torch.utils.flop_counter import FlopCounterMode

from cinelib.wan import layers
from cinelib.wan.geometry import WAN_14B, WAN_14B_ID, Geometry, read_configs


def test_published_model_at_720p():
    clip = Geometry(read_configs(WAN_14B_ID), 720, 1280, 81)
    assert clip.pixels == (3, 81, 720, 1280)
    assert clip.latents == (16, 21, 90, 160) and clip.model_input == (36, 21, 90, 160)
    assert clip.tokens == 75_600 and clip.image_tokens == 257 and clip.width_of_model == 5120
    assert layers.count("transformer", WAN_14B["transformer"]) == 16_394_878_784


def test_published_time_lies_between_a_third_and_all_of_the_a100s_peak():
    # Wan's table: 2715.5 s for 40 guided steps on one A100 (312 TFLOP/s in bf16).
    share = Geometry(WAN_14B, 720, 1280, 81).sampling_flops(40) / 312e12 / 2715.5
    assert 0.33 < share < 1


@pytest.mark.parametrize("size", [architecture.NANO, architecture.SMOKE])
def test_reckoning_equals_the_real_transformer(size):
    with torch.device("meta"):
        model = architecture.transformer(size)
    vision = architecture.vision_config(size)
    configs = {
        "transformer": dict(model.config),
        "vae": WAN_14B["vae"],
        "image_encoder": {"image_size": vision.image_size, "patch_size": vision.patch_size},
    }
    clip = Geometry(configs, 64, 112, 17)
    assert layers.count("transformer", configs["transformer"]) == sum(p.numel() for p in model.parameters())
    assert clip.tokens == math.prod(clip.latents[1:]) // 4 == 140
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        model(
            torch.zeros(1, *clip.model_input),
            torch.zeros(1),
            torch.zeros(1, clip.text_tokens, size.text_dim),
            torch.zeros(1, clip.image_tokens, size.image_dim),
        )
    # At classroom size the text tokens outnumber the video's, so what the formula leaves out is large.
    d = size.width
    left_out = size.layers * 2 * 2 * d * d * (clip.text_tokens + clip.image_tokens)
    assert counter.get_total_flops() == pytest.approx(clip.flops() + left_out, rel=0.15)


def test_cost_grows_with_the_square_of_the_tokens_when_they_are_many():
    short = Geometry(WAN_14B, 720, 1280, 81)
    long = dataclasses.replace(short, num_frames=161)
    assert long.tokens == 41 * 3600
    assert 2.5 < long.flops() / short.flops() < 4
    assert short.sampling_flops(40) == 2 * short.sampling_flops(40, guided=False) == 80 * short.flops()


def test_a_model_without_configs_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"transformer/config\.json"):
        read_configs(str(tmp_path))
