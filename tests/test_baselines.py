"""Baselines load through diffusers by their own layout, and say how to fetch what is missing."""

import json
import shutil

import numpy as np
import pytest
import tiny_wan
import torch
from diffusers import AutoencoderKL, DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel, WanPipeline
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel

from cinelib import baselines
from cinelib.generation import Sampling

SAMPLING = Sampling(height=32, width=48, num_frames=5, num_inference_steps=2, guidance_scale=2.0)
PROMPT = "a knight walks"


def modelscope():
    torch.manual_seed(0)
    tokenizer = tiny_wan.tokenizer()
    tokenizer.model_max_length = 8
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return TextToVideoSDPipeline(
        vae=AutoencoderKL(
            block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(vocab_size=len(tiny_wan.WORDS), max_position_embeddings=8, **sizes)
        ),
        tokenizer=tokenizer,
        unet=UNet3DConditionModel(
            block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=16,
            attention_head_dim=4, down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
            up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        ),
        scheduler=DDIMScheduler(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    modelscope().save_pretrained(root / "modelscope")
    shutil.copytree(root / "modelscope" / "unet", root / "videocrafter")
    image = tiny_wan.pipeline()
    parts = {
        "tokenizer": image.tokenizer,
        "text_encoder": image.text_encoder,
        "vae": image.vae,
        "scheduler": image.scheduler,
    }
    plain = {"in_channels": 16, "image_dim": None, "added_kv_proj_dim": None}
    WanPipeline(**parts, transformer=tiny_wan.transformer(**plain)).save_pretrained(root / "wan21")
    experts = {name: tiny_wan.transformer(**plain) for name in ("transformer", "transformer_2")}
    WanPipeline(**parts, **experts, boundary_ratio=0.875).save_pretrained(root / "wan22")
    image.save_pretrained(root / "i2v")
    return root


@pytest.mark.parametrize("name", ["modelscope", "videocrafter", "wan21", "wan22"])
def test_text_models_sample_by_seed(folders, name):
    model = baselines.load(str(folders / name), companion=str(folders / "modelscope"))
    assert not model.takes_image
    clip = model.sample(PROMPT, SAMPLING)
    assert clip.shape == (5, 32, 48, 3) and clip.dtype == np.uint8
    np.testing.assert_array_equal(clip, model.sample(PROMPT, SAMPLING))
    assert (clip != model.sample(PROMPT, SAMPLING, ("other",))).any()
    with pytest.raises(ValueError, match="takes text alone"):
        model.sample(PROMPT, SAMPLING, first=Image.new("RGB", (48, 32)))


def test_the_second_expert_is_loaded(folders):
    pipe = baselines.load(str(folders / "wan22")).pipeline
    assert pipe.transformer_2 is not None and pipe.config.boundary_ratio == 0.875


def test_an_image_model_needs_its_first_frame(folders):
    model = baselines.load(str(folders / "i2v"))
    assert model.takes_image
    assert model.sample(PROMPT, SAMPLING, first=Image.new("RGB", (48, 32))).shape == (5, 32, 48, 3)
    with pytest.raises(ValueError, match="starts from a first frame"):
        model.sample(PROMPT, SAMPLING)


def test_a_denoiser_that_does_not_fit_is_refused(folders, tmp_path):
    shutil.copytree(folders / "videocrafter", tmp_path / "odd")
    config = json.loads((tmp_path / "odd" / "config.json").read_text())
    (tmp_path / "odd" / "config.json").write_text(json.dumps(config | {"layers_per_block": 2}))
    with pytest.raises(NotImplementedError, match="does not fit diffusers' UNet3DConditionModel"):
        baselines.load(str(tmp_path / "odd"), companion=str(folders / "modelscope"))


@pytest.mark.parametrize(
    ("model", "command"),
    [
        ("ali-vilab/text-to-video-ms-1.7b", "hf download ali-vilab/text-to-video-ms-1.7b"),
        ("VideoCrafter/VideoCrafter2", "hf download adamdad/videocrafterv2_diffusers"),
        ("adamdad/videocrafterv2_diffusers", "hf download adamdad/videocrafterv2_diffusers"),
        ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "hf download Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
        ("Wan-AI/Wan2.2-T2V-A14B-Diffusers", "hf download Wan-AI/Wan2.2-T2V-A14B-Diffusers"),
    ],
)
def test_missing_weights_give_the_command(monkeypatch, model, command):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=command):
        baselines.load(model)
