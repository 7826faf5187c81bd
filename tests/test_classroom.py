"""The classroom model: its classes, layout and recipe."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

SMOKE = Path(__file__).parent.parent / "data" / "smoke-wan"
WAN_CLASSES = {  # model_index.json of Wan-AI/Wan2.1-I2V-14B-720P-Diffusers, tokenizer apart
    "vae": ["diffusers", "AutoencoderKLWan"],
    "text_encoder": ["transformers", "UMT5EncoderModel"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "image_encoder": ["transformers", "CLIPVisionModel"],
}


def load(folder):
    from diffusers import WanImageToVideoPipeline

    pipe = WanImageToVideoPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def smoke():
    return load(SMOKE)


def test_smoke_names_wans_classes():
    index = json.loads((SMOKE / "model_index.json").read_text())
    assert index["_class_name"] == "WanImageToVideoPipeline"
    assert {name: index[name] for name in WAN_CLASSES} == WAN_CLASSES


def test_smoke_generates_five_frames(smoke):
    import torch
    from PIL import Image

    image = Image.new("RGB", (48, 32), (180, 90, 30))
    settings = {"image": image, "height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 2}
    clips = [
        smoke(prompt=text, generator=torch.Generator().manual_seed(0), output_type="np", **settings).frames[0]
        for text in ("a knight, camera pans left", "a knight, camera pans left", "a robot, camera static")
    ]
    assert clips[0].shape == (5, 32, 48, 3)
    assert np.isfinite(clips[0]).all()
    assert np.array_equal(clips[0], clips[1])
    assert not np.array_equal(clips[0], clips[2])  # the text reaches the pixels


def test_smoke_is_small_and_holds_no_pickles():
    files = [path for path in SMOKE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_000_000
    assert not [path.name for path in files if path.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"}]


def test_checksums_match_the_files():
    lines = (SMOKE / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert "transformer/diffusion_pytorch_model.safetensors" in listed
    for name, digest in listed.items():
        assert hashlib.sha256((SMOKE / name).read_bytes()).hexdigest() == digest, name
