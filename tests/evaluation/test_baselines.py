"""Baselines load through diffusers by their own layout, and say how to fetch what is missing."""

import http.server
import json
import math
import shutil
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import tiny_wan
import torch
from diffusers import AutoencoderKL, DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel, WanPipeline
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from cinelib.evaluation import baselines
from cinelib.evaluation.baselines import BaselineError
from cinelib.evaluation.videocrafter import FrameRateUNet
from cinelib.wan.sampling import Sampling

SAMPLING = Sampling(height=32, width=48, num_frames=5, num_inference_steps=2, guidance_scale=2.0)
PROMPT = "a knight walks"
# The config.json of adamdad/videocrafterv2_diffusers; its 5.65 GB of float32 lie beside it.
VIDEOCRAFTER2 = {
    "_class_name": "UNet3DVideoCrafterConditionModel",
    "_diffusers_version": "0.26.3",
    "act_fn": "silu",
    "attention_head_dim": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 1024,
    "down_block_types": ["CrossAttnDownBlock3D"] * 3 + ["DownBlock3D"],
    "downsample_padding": 1,
    "fps_cond": True,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "num_attention_heads": None,
    "out_channels": 4,
    "sample_size": None,
    "up_block_types": ["UpBlock3D"] + ["CrossAttnUpBlock3D"] * 3,
}


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


def videocrafter(plain, folder):
    """A tiny checkpoint in the conversion's layout: the denoiser `plain` and the weights for the rate."""
    shutil.copytree(plain, folder)
    config = json.loads((folder / "config.json").read_text())
    own = {name: config.get(name, value) for name, value in VIDEOCRAFTER2.items() if not name.startswith("_")}
    (folder / "config.json").write_text(json.dumps({**VIDEOCRAFTER2, **own}))
    width = config["block_out_channels"][0]
    more = {
        "fps_embedding.linear_1.weight": torch.randn(4 * width, width),
        "fps_embedding.linear_1.bias": torch.randn(4 * width),
        "fps_embedding.linear_2.weight": torch.randn(4 * width, 4 * width),
        "fps_embedding.linear_2.bias": torch.randn(4 * width),
    }
    weights = folder / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(weights), **more}, weights)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    modelscope().save_pretrained(root / "modelscope")
    shutil.copytree(root / "modelscope" / "unet", root / "denoiser")
    videocrafter(root / "denoiser", root / "videocrafter")
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


@pytest.mark.parametrize("name", ["modelscope", "denoiser", "videocrafter", "wan21", "wan22"])
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


@pytest.fixture
def crafted(folders):
    """Loads a VideoCrafter2, the tiny one unless told otherwise."""

    def load(folder=folders / "videocrafter", fps=24.0):
        model = baselines.load(str(folder), companion=str(folders / "modelscope"))
        model.pipeline.unet.fps = fps
        return model

    return load


def test_videocrafter_is_told_the_frame_rate(folders, crafted):
    untouched = baselines.load(str(folders / "videocrafter"), companion=str(folders / "modelscope"))
    clip = untouched.sample(PROMPT, SAMPLING)
    np.testing.assert_array_equal(clip, crafted(fps=24).sample(PROMPT, SAMPLING))
    assert (clip != crafted(fps=8).sample(PROMPT, SAMPLING)).any()


def test_the_rate_is_embedded_as_the_release_embeds_it(folders, crafted):
    """Cosines, then sines, of the rate; two linear layers; added to the embedding of the timestep."""
    weights = load_file(folders / "videocrafter" / "diffusion_pytorch_model.safetensors")
    w = {name.removeprefix("fps_embedding."): value for name, value in weights.items() if "fps_" in name}
    half = w["linear_1.weight"].shape[1] // 2
    angles = 8 * torch.exp(-math.log(10000) * torch.arange(half) / half)
    rate = w["linear_1.weight"] @ torch.cat([angles.cos(), angles.sin()]) + w["linear_1.bias"]
    rate = w["linear_2.weight"] @ torch.nn.functional.silu(rate) + w["linear_2.bias"]

    plain = UNet3DConditionModel.from_pretrained(folders / "denoiser")
    plain.time_embedding.register_forward_hook(lambda module, inputs, embedding: embedding + rate)
    torch.manual_seed(1)
    inputs = torch.randn(2, 4, 3, 8, 8), torch.tensor(500), torch.randn(2, 8, 16)
    with torch.no_grad():
        ours, theirs = (unet(*inputs).sample for unet in (crafted(fps=8).pipeline.unet, plain))
    torch.testing.assert_close(ours, theirs)


def test_the_published_conversion_has_exactly_this_layout():
    with torch.device("meta"):
        ours = FrameRateUNet.from_config(VIDEOCRAFTER2)
        plain = UNet3DConditionModel.from_config(VIDEOCRAFTER2)
    more = set(ours.state_dict()) - set(plain.state_dict())
    assert more == {f"fps_embedding.linear_{k}.{part}" for k in (1, 2) for part in ("weight", "bias")}
    assert sum(4 * weight.numel() for weight in ours.parameters()) / 1e9 == pytest.approx(5.65, abs=0.005)


def test_weights_for_the_rate_are_found_where_the_config_tells_of_none(folders, crafted, tmp_path):
    shutil.copytree(folders / "videocrafter", tmp_path / "quiet")
    shutil.copy(folders / "denoiser" / "config.json", tmp_path / "quiet")
    clip = crafted(tmp_path / "quiet", fps=8).sample(PROMPT, SAMPLING)
    np.testing.assert_array_equal(clip, crafted(fps=8).sample(PROMPT, SAMPLING))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config, weights: config.update(layers_per_block=2), "does not fit diffusers' UNet3DCond"),
        (lambda config, weights: weights.pop("fps_embedding.linear_1.bias"), "1 missing_keys, fps_embedding"),
        (lambda config, weights: weights.update(x=torch.zeros(1)), "1 unexpected_keys, x"),
        (lambda config, weights: config.update(_class_name="Transformer"), "no model at"),
    ],
)
def test_a_denoiser_that_does_not_fit_is_refused(folders, crafted, tmp_path, change, message):
    odd = tmp_path / "odd"
    shutil.copytree(folders / "videocrafter", odd)
    config, weights = odd / "config.json", odd / "diffusion_pytorch_model.safetensors"
    told, held = json.loads(config.read_text()), load_file(weights)
    change(told, held)
    config.write_text(json.dumps(told))
    save_file(held, weights)
    with pytest.raises(BaselineError, match=message):
        crafted(odd)


def test_whatever_keeps_a_model_from_loading_is_one_error(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    shutil.copytree(folders / "wan21", tmp_path / "cut")
    weights = next((tmp_path / "cut" / "transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    shutil.copytree(folders / "modelscope", tmp_path / "other")
    index = tmp_path / "other" / "model_index.json"
    index.write_text(index.read_text().replace("TextToVideoSDPipeline", "StableDiffusionPipeline"))
    for folder, settings, message in [
        (tmp_path / "empty", {}, "holds a model_index.json"),
        (tmp_path / "nowhere", {}, "there is no such folder"),
        (tmp_path / "cut", {}, "cannot be loaded: "),
        (tmp_path / "other", {}, "is a StableDiffusionPipeline; baselines are ModelScope"),
        (folders / "videocrafter", {"companion": str(tmp_path / "nowhere")}, "nowhere: there is no such"),
    ]:
        with pytest.raises(BaselineError, match=message):
            baselines.load(str(folder), **{"companion": str(folders / "modelscope"), **settings})


MISSING = [
    ("ali-vilab/text-to-video-ms-1.7b", ["ali-vilab/text-to-video-ms-1.7b"]),
    ("VideoCrafter/VideoCrafter2", ["adamdad/videocrafterv2_diffusers", baselines.MODELSCOPE]),
    ("adamdad/videocrafterv2_diffusers", ["adamdad/videocrafterv2_diffusers", baselines.MODELSCOPE]),
    ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", ["Wan-AI/Wan2.1-T2V-1.3B-Diffusers"]),
    ("Wan-AI/Wan2.2-T2V-A14B-Diffusers", ["Wan-AI/Wan2.2-T2V-A14B-Diffusers"]),
]


@pytest.fixture
def broken_hub(monkeypatch, tmp_path):
    """A hub that answers every request with 503; the list of the requests that it got."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(503)

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("model", "needed"), MISSING)
def test_missing_weights_give_the_commands_after_one_try(broken_hub, model, needed):
    with pytest.raises(BaselineError) as caught:
        baselines.load(model)
    for name in needed:
        assert f"`hf download {name}`" in str(caught.value)
    tries = [path for path in broken_hub if needed[0] in path]  # the client also asks about itself, once
    assert len(tries) == (0 if model == "VideoCrafter/VideoCrafter2" else 1)


def test_a_hub_that_never_answers_is_given_up(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(baselines, "_REACH_SECONDS", 0.2)
        with pytest.raises(BaselineError, match=f"Timeout.*hf download {baselines.MODELSCOPE}"):
            baselines.load(baselines.MODELSCOPE)


@pytest.mark.parametrize(("model", "needed"), MISSING)
def test_missing_weights_give_the_commands_offline(monkeypatch, tmp_path, model, needed):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BaselineError) as caught:
        baselines.load(model)
    for name in needed:
        assert f"`hf download {name}`" in str(caught.value)


def cache(folder, model):
    """Lays `folder` into the hub's cache as a finished download of `model`; returns where its files lie."""
    repository = Path(constants.HF_HUB_CACHE, f"models--{model.replace('/', '--')}")
    shutil.copytree(folder, repository / "snapshots" / "c0ffee")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    return repository / "snapshots" / "c0ffee"


def test_what_is_cached_is_loaded_without_the_hub(folders, broken_hub):
    cache(folders / "wan21", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers")
    cache(folders / "videocrafter", "adamdad/videocrafterv2_diffusers")
    companion = cache(folders / "modelscope", baselines.MODELSCOPE)
    shutil.rmtree(companion / "unet")  # the companion's own denoiser is not needed
    for model in ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "adamdad/videocrafterv2_diffusers"):
        loaded = baselines.load(model)
        assert loaded.name == model and loaded.sample(PROMPT, SAMPLING).shape == (5, 32, 48, 3)
    assert not any("diffusers" in path.lower() for path in broken_hub)


def test_a_download_cut_short_gives_the_command(folders, broken_hub):
    snapshot = cache(folders / "modelscope", baselines.MODELSCOPE)
    next((snapshot / "unet").glob("*.safetensors")).unlink()
    with pytest.raises(BaselineError, match=f"hf download {baselines.MODELSCOPE}"):
        baselines.load(baselines.MODELSCOPE)
