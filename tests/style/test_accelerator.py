"""The workbook's paths on a GPU, each once at smoke size; skipped where there is none.

`CINELIB_REHEARSAL=1` runs them on a CPU, which tells whether the tests themselves work.
"""

import contextlib
import os

import numpy as np
import plain_video
import pytest
import torch
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig
from PIL import Image

plain_video.stand_in()

import style_dataset  # noqa: E402
import tiny_training  # noqa: E402
import tiny_wan  # noqa: E402
from tiny_training import CARD, ENCODING, MODEL, RECIPE, changed, weights  # noqa: E402

from cinelib.acceleration import taylorseer, timing  # noqa: E402
from cinelib.acceleration.step_cache import step_cache  # noqa: E402
from cinelib.motion.sequence import sequence, style_keyframes  # noqa: E402
from cinelib.preparation.dataset import VideoFolder  # noqa: E402
from cinelib.preparation.storyboard import read_storyboard  # noqa: E402
from cinelib.style import cache, encoded_clips, lora, samples  # noqa: E402
from cinelib.wan import sampling  # noqa: E402
from cinelib.wan.pipeline import default_device, load_pipeline  # noqa: E402

DEVICE = default_device()
REHEARSAL = bool(os.environ.get("CINELIB_REHEARSAL"))
pytestmark = [
    pytest.mark.accelerator,
    pytest.mark.skipif(DEVICE.type == "cpu" and not REHEARSAL, reason="no GPU here"),
]
ENCODERS = ("vae", "text_encoder", "image_encoder")
SETTINGS = sampling.Sampling(32, 48, 5, 3, 3.0)
STILL = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))


def pipeline(**more):
    return load_pipeline(MODEL, **{"flow_shift": 3.0, **more})


def on_device(pipe):
    return {part.device.type for part in (pipe.transformer, pipe.vae, pipe.text_encoder)} == {DEVICE.type}


def near(found, wanted, share):
    """Their distance is at most `share` of what is wanted."""
    found, wanted = (value.detach().float().cpu() for value in (found, wanted))
    distance = float((found - wanted).norm() / wanted.norm())
    assert distance <= share, distance


@pytest.fixture(scope="module")
def pipe():
    return pipeline()


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    base = tmp_path_factory.mktemp("device")
    style_dataset.write(base / "set")
    encoders, store = encoded_clips.Encoders(MODEL), cache.Cache(base / "cache")
    assert encoders.device.type == DEVICE.type
    found = encoded_clips.encode_clips(VideoFolder.open(base / "set"), ENCODING, encoders, store)
    null = encoded_clips.encode_text("", encoders, store)
    encoders.close()
    return found, null


def test_encoders_answer_as_on_a_cpu(encoded, tmp_path):
    encoders, store = encoded_clips.Encoders(MODEL, device="cpu"), cache.Cache(tmp_path / "cache")
    style_dataset.write(tmp_path / "set", 1)
    clips = VideoFolder.open(tmp_path / "set")
    wanted = encoded_clips.read_batch(encoded_clips.encode_clips(clips, ENCODING, encoders, store), 1)
    found = encoded_clips.read_batch(encoded[0][:1], 1)
    for name in ("latents", "condition", "image_embeds", "prompt_embeds"):
        near(getattr(found, name), getattr(wanted, name), 0.05 if name == "prompt_embeds" else 0.02)


class Difference:
    """A distance that needs no weights."""

    name, preprocessing, weights_sha256 = "difference", "", ""

    def __call__(self, a, b):
        return np.abs(a.astype(float) - b).mean(axis=(1, 2, 3))


def adapted(base):
    full = pipeline(without=ENCODERS[1:], base_precision=base)
    lora.add(full.transformer, CARD)
    return full


@pytest.mark.parametrize("base, checkpointing", [("", False), ("fp8", True)])
def test_an_adapter_is_trained_sampled_resumed_and_loaded(encoded, tmp_path, base, checkpointing):
    found, _null = encoded
    changes = {"precision": "bf16", "gradient_checkpointing": checkpointing, "max_train_steps": 4}
    settings = samples.SampleClips(16, every=3, num_inference_steps=2)
    clips = tmp_path / "clips"
    clips.mkdir()

    def train():
        full = adapted(base)
        start = weights(full.transformer)
        drawn = samples.Samples(settings, clips, full.vae, full.scheduler, found[:1], Difference())
        given = full.transformer, encoded, tmp_path / "checkpoints", changed(RECIPE, **changes)
        return full, start, tiny_training.fit(*given, drawn, print)

    full, start, history = train()
    assert history.step == 4 and all(np.isfinite(row["loss"]) for row in history.validation)
    after = weights(full.transformer)
    assert all(value.dtype == torch.float32 and value.device.type == DEVICE.type for value in after.values())
    assert any(not torch.equal(start[name], after[name]) for name in start)
    assert list(clips.iterdir())
    again, _, resumed = train()
    assert resumed.resumed_at == [4]
    assert all(torch.equal(value, after[name]) for name, value in weights(again.transformer).items())
    lora.save(tmp_path / "lora", full.transformer, CARD)
    fresh = pipeline(without=ENCODERS, base_precision=base)
    lora.load(fresh, tmp_path / "lora", any_base=True)
    for name, value in weights(fresh.transformer).items():
        near(value, after[name], 0.01)


def test_a_clip_is_sampled_on_the_device_as_on_a_cpu():
    both = [pipeline(dtype=torch.float32, device=device) for device in (DEVICE, "cpu")]
    assert on_device(both[0])
    ours, theirs = (sampling.generate_latents(pipe, STILL, "a knight", SETTINGS) for pipe in both)
    near(ours, theirs, 0.02)
    last = [sampling.generate_latents(pipe, STILL, "a knight", SETTINGS, last=STILL) for pipe in both]
    near(last[0], last[1], 0.02)


@pytest.mark.parametrize("base", ["", "fp8"])
def test_components_that_come_and_go_sample_the_same_clip(base):
    wanted = sampling.generate(pipeline(base_precision=base), STILL, "a knight", SETTINGS)
    offloaded = pipeline(base_precision=base, offload=True)
    found = sampling.generate(offloaded, STILL, "a knight", SETTINGS)
    assert np.abs(found.astype(float) - wanted).mean() < 1
    again = sampling.each(
        offloaded, lambda own, text: sampling.generate(own, STILL, text, SETTINGS), ["a knight"], SETTINGS
    )
    assert np.abs(again[0].astype(float) - found).mean() < 1


def test_a_scene_is_styled_and_expanded(pipe):
    scene = read_storyboard(tiny_training.ROOT / "data" / "storyboard")[0]
    frames = style_keyframes(pipe, scene, SETTINGS)[:2]
    clip = sequence(pipe, scene, frames, SETTINGS)
    assert clip.shape == (5, 32, 48, 3) and clip.dtype == np.uint8


PREDICTED = TaylorSeerCacheConfig(
    cache_interval=2, disable_cache_before_step=1, max_order=1, cache_identifiers=taylorseer.MODULES
)


@pytest.mark.parametrize(
    "config, skips",
    [
        (FirstBlockCacheConfig(threshold=0.0), False),
        (FirstBlockCacheConfig(threshold=1e9), True),
        (PREDICTED, True),
    ],
    ids=["threshold 0", "always", "TaylorSeer"],
)
def test_step_caches_act_on_the_device(pipe, config, skips):
    wanted = sampling.generate_latents(pipe, STILL, "a knight", SETTINGS)
    with step_cache(pipe.transformer, config) as counter:
        found = sampling.generate_latents(pipe, STILL, "a knight", SETTINGS)
    assert bool(counter.skipped) == skips and torch.isfinite(found).all()
    assert skips or torch.equal(found, wanted)


@pytest.mark.parametrize("name", ["_native_flash", "_native_cudnn", "_native_efficient"])
@torch.no_grad()
def test_attention_kernels_agree(name):
    """On heads of 24: cuDNN's and the efficient kernel want multiples of 8, the smoke model's have 12."""
    torch.manual_seed(0)
    model = tiny_wan.transformer(attention_head_dim=24, added_kv_proj_dim=48).to(DEVICE, torch.bfloat16)
    shapes = (1, 36, 3, 4, 6), (1, 512, 16), (1, 5, 16)
    clip, text, image = (torch.randn(shape).to(DEVICE, torch.bfloat16) for shape in shapes)

    def answer():
        return model(clip, torch.full((1,), 500.0, device=DEVICE), text, image, return_dict=False)[0]

    wanted = answer()
    model.set_attention_backend(name)
    on_cpu = DEVICE.type == "cpu" and name != "_native_flash"  # which torch has for CPUs too
    try:
        with pytest.raises(RuntimeError) if on_cpu else contextlib.nullcontext():
            near(answer(), wanted, 0.05)
    finally:  # diffusers makes it the kernel of models to come, too
        model.set_attention_backend("native")


def test_stored_bits_shrink_what_lies_on_the_device():
    sizes = []
    for base in ("", "fp8"):
        stored = pipeline(without=ENCODERS, base_precision=base).transformer.parameters()
        sizes.append(sum(weight.nbytes for weight in stored if weight.device.type == DEVICE.type))
    assert 0 < sizes[1] < sizes[0]


def test_times_wait_for_the_device(pipe):
    found, _ = timing.interleaved(
        {"plain": lambda k: sampling.generate_latents(pipe, STILL, "a knight", SETTINGS)}, rounds=2
    )
    assert found["plain"].median > 0 and torch.__version__ in timing.conditions()
