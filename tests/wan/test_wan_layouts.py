"""Each layout of Wan, on random weights: from cached latents to a file that diffusers loads, unchanged."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import style_dataset
import tiny_wan
import torch
from diffusers import WanImageToVideoPipeline
from PIL import Image
from tiny_training import changed, fit

import cinelib
from cinelib.preparation.dataset import VideoFolder
from cinelib.style import cache, encoded_clips, flow_matching, grading, lora, lora_export
from cinelib.style.parameters import Recipe
from cinelib.wan import conditioning, geometry, layers, layout, pipeline
from cinelib.wan.catalogue import CATALOGUE

PACKAGE = Path(cinelib.__file__).parent
CARD = lora.AdapterCard(rank=2, alpha=4.0, targets="attn2", trigger="emberfall film")
ENCODING = encoded_clips.Encoding(32, 64, 9, 16, grading.draw(0), variants=1)
RECIPE = Recipe(max_train_steps=1, precision="fp32", validation_every=1, learning_rate=1e-2, warmup_ratio=0.0)
ENCODERS = ("vae", "text_encoder", "image_encoder")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return VideoFolder.open(style_dataset.write(tmp_path_factory.mktemp("data") / "set", count=3, width=64))


@pytest.fixture(scope="module", params=list(tiny_wan.LAYOUTS))
def folder(request, tmp_path_factory):
    return tiny_wan.save(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def encoded(folder, clips, tmp_path_factory):
    encoders, store = (
        encoded_clips.Encoders(str(folder), device="cpu"),
        cache.Cache(tmp_path_factory.mktemp("cache")),
    )
    found = encoded_clips.encode_clips(clips, ENCODING, encoders, store)
    return found, encoded_clips.encode_text("", encoders, store)


def test_a_layout_is_the_same_fact_wherever_it_is_read(folder, encoded):
    """In the index, in the configs alone, on the loaded pipeline, in what is shown beside the noise."""
    read = layout.of_index(layout.read(str(folder)))
    pipe = pipeline.load_pipeline(folder, device="cpu", without=(*ENCODERS, *layout.EXPERTS))
    assert layout.of_index(pipe.config) == read
    assert layout.of_configs(geometry.read_configs(str(folder))) == read
    assert tuple(layout.experts(str(folder))) == read.experts
    batch = encoded_clips.read_batch(encoded[0][:1], 1)
    channels = batch.condition.shape[1], batch.latents.shape[1]
    assert layout.takes_the_place(*channels) == read.first_frame_in_place


def test_published_models_say_which_layout_they_have():
    known = {
        model.hub_id: layout.of_configs(model.configs) for model in CATALOGUE.values() if model.adaptable
    }
    assert {name: len(found.experts) for name, found in known.items()} == {
        name: CATALOGUE[name].experts for name in known
    }
    in_place = [name for name, found in known.items() if found.first_frame_in_place]
    assert in_place == ["Wan-AI/Wan2.2-TI2V-5B-Diffusers"]


@pytest.mark.parametrize("words", [r"expand_timesteps", r"boundary_ratio", r'"transformer_2"'])
def test_only_the_layout_asks_which_wan_it_is(words):
    """Elsewhere the question would be asked in other words, and one of them be forgotten."""
    asked = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(words, path.read_text("utf-8"))
    }
    assert asked == {"wan/layout.py"}


def test_the_loss_shows_the_transformer_what_the_pipeline_shows_it(folder, encoded):
    """The sampler's first step, at noise level 1, sees noise and condition as the loss lays them out."""
    pipe = pipeline.load_pipeline(folder, device="cpu")
    batch = encoded_clips.read_batch(encoded[0][:1], 1)
    noise = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(0))
    seen = []
    hook = pipe.transformer.register_forward_pre_hook(
        lambda module, args, named: seen.append(named), with_kwargs=True
    )
    still = Image.new("RGB", (64, 32), (200, 40, 90))
    pixels = pipe.video_processor.preprocess(still, 32, 64)
    call = {"height": 32, "width": 64, "num_frames": 9, "num_inference_steps": 1, "guidance_scale": 1.0}
    pipe(image=still, prompt="a knight", latents=noise, output_type="latent", **call)
    hook.remove()
    sigma = seen[0]["timestep"].max().float().view(1) / 1000
    latents = pipeline.encode_video(pipe.vae, conditioning.condition_video(pipe, pixels, 9))
    condition = conditioning.condition_of(pipe, latents, 9, last=False)
    shown, timestep, given = conditioning.model_input(noise, condition, sigma)
    torch.testing.assert_close(shown, seen[0]["hidden_states"], rtol=0, atol=0)
    torch.testing.assert_close(timestep, seen[0]["timestep"].float(), rtol=0, atol=1e-3)
    assert (seen[0]["encoder_hidden_states_image"] is None) == (batch.image_embeds is None)
    assert given == (1 if condition.shape[2] == 1 else 0)


def trained(folder, encoded, part, sigma_range, where):
    others = set(layout.experts(str(folder))) - {part}
    pipe = pipeline.load_pipeline(folder, device="cpu", without=(*ENCODERS, *others))
    transformer = getattr(pipe, part)
    count = lora.add(transformer, CARD)
    recipe = changed(RECIPE, sigma_range=sigma_range)
    history = fit(transformer, encoded, where / f"training-{part}", recipe)
    assert count == layers.trainable_count(transformer, "attn2", 2)
    assert history.step == 1 and lora.norm(transformer) > 0
    lora.save(where / "lora", transformer, CARD, expert=part)
    return transformer, history


@torch.no_grad()
def losses(transformer, encoded, sigma):
    batch = encoded_clips.read_batch(encoded[0][:1], 1)
    noise = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(3))
    return flow_matching.flow_matching_loss(transformer, batch, torch.tensor([sigma]), noise)


def test_a_step_of_each_expert_and_a_file_that_diffusers_loads_unchanged(folder, encoded, tmp_path):
    found = {}
    experts = layout.experts(str(folder))
    for part, (low, high) in experts.items():
        transformer, history = trained(folder, encoded, part, (low, high), tmp_path)
        sigmas = [float(key) for key in history.validation[-1] if key[0] == "0"]
        assert len(sigmas) == 5 and all(low <= sigma <= high for sigma in sigmas)
        found[part] = losses(transformer, encoded, (low + high) / 2)
    plain = WanImageToVideoPipeline.from_pretrained(folder)
    bare = {part: losses(getattr(plain, part), encoded, sum(experts[part]) / 2) for part in experts}
    plain.load_lora_weights(str(tmp_path / "lora"))
    if "transformer_2" in experts:
        second = {"weight_name": lora.file_name("transformer_2"), "load_into_transformer_2": True}
        plain.load_lora_weights(str(tmp_path / "lora"), **second)
    ours = pipeline.load_pipeline(folder, device="cpu")
    assert lora.load(ours, tmp_path / "lora") == CARD
    for part in experts:
        middle = sum(experts[part]) / 2
        assert not torch.equal(found[part], bare[part])
        assert torch.equal(losses(getattr(plain, part), encoded, middle), found[part])
        assert torch.equal(losses(getattr(ours, part), encoded, middle), found[part])
    ours.set_adapters(["style"], [0.0])
    for part in experts:
        assert torch.equal(losses(getattr(ours, part), encoded, sum(experts[part]) / 2), bare[part])


def test_the_original_names_too(folder, encoded, tmp_path):
    part = list(layout.experts(str(folder)))[-1]
    transformer, _ = trained(folder, encoded, part, (0.0, 1.0), tmp_path)
    path = lora_export.export_original(tmp_path / "lora", part)
    plain = WanImageToVideoPipeline.from_pretrained(folder)
    second = {"load_into_transformer_2": part == "transformer_2"}
    plain.load_lora_weights(str(path.parent), weight_name=path.name, **second)
    torch.testing.assert_close(
        losses(getattr(plain, part), encoded, 0.5), losses(transformer, encoded, 0.5), rtol=1e-5, atol=1e-6
    )


def test_noise_levels_stay_in_an_experts_range_and_keep_their_shape():
    draws = [
        flow_matching.sample_sigma(torch.Generator().manual_seed(k), "uniform", 3.0, (0.9, 1.0))
        for k in range(2000)
    ]
    values = torch.cat(draws)
    assert values.min() >= 0.9 and values.max() <= 1
    # unshifted, 0.9 is 0.75; u is uniform above it, so the median of the shifted level is that of 0.875
    assert values.median() == pytest.approx(3 * 0.875 / (1 + 2 * 0.875), abs=0.003)
    for k in range(50):  # the whole range draws what it always drew
        whole = flow_matching.sample_sigma(torch.Generator().manual_seed(k), "logit_normal")
        assert torch.equal(whole, torch.sigmoid(torch.randn(1, generator=torch.Generator().manual_seed(k))))
    with pytest.raises(ValueError, match="never fall between"):
        flow_matching.sample_sigma(torch.Generator(), "uniform", 1.0, (0.9995, 1.0))


def test_an_adapter_of_two_experts_and_one_of_one_are_told_apart(clips, tmp_path):
    one, two = (tiny_wan.save(tmp_path / name, name) for name in ("wan2.1", "two experts"))
    a, b = (pipeline.load_pipeline(model, device="cpu") for model in (one, two))
    for pipe, name in ((a, "a"), (b, "b")):
        lora.add(pipe.transformer, CARD)
        lora.save(tmp_path / name, pipe.transformer, CARD)
    with pytest.raises(FileNotFoundError, match="transformer_2"):
        lora.load(pipeline.load_pipeline(two, device="cpu"), tmp_path / "b")
    lora.add(b.transformer_2, CARD)
    lora.save(tmp_path / "b", b.transformer_2, CARD, expert="transformer_2")
    text = lora_export.write_card(tmp_path / "b", "Two", {}).read_text()
    assert "load_into_transformer_2=True" in text
    assert f"{2 * layers.trainable_count(b.transformer, 'attn2', 2):,} weights" in text
    with pytest.raises(ValueError, match="one of two experts"):
        lora.load(a, tmp_path / "b")


def test_a_model_without_a_place_for_a_last_frame_says_so(tmp_path):
    pipe = pipeline.load_pipeline(tiny_wan.save(tmp_path, "text and image"), device="cpu")
    still = Image.new("RGB", (64, 32))
    with pytest.raises(ValueError, match="no last frame"):
        pipe(image=still, last_image=still, prompt="a knight", height=32, width=64, num_frames=9)


@pytest.mark.slow
@pytest.mark.parametrize("kind, width", [("two experts", 48), ("text and image", 64)])
def test_notebook_02_trains_each_layout_and_files_each_experts_adapter(tmp_path, kind, width):
    model = tiny_wan.save(tmp_path / "model", kind)
    for name in ("notebooks", "cinelib", "data"):
        (tmp_path / name).symlink_to(Path(cinelib.__file__).parents[1] / name)
    sizes = [f"-p{stage}.width={width}" for stage in ("01", "02")]
    options = ["--profile", "smoke", "-p", f"02.model={model}", *sizes]
    answer = subprocess.run(
        [sys.executable, "-m", "cinelib.cli", "run", "02", *options],
        cwd=tmp_path,
        env={**os.environ, "CINELIB_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (stage,) = (tmp_path / "papermill_runs" / "stages").glob("02_style_stage-*")
    pipe = pipeline.load_pipeline(model, device="cpu")
    assert lora.load(pipe, stage / "lora").targets == "attn2"
    count = len(layout.experts(str(model)))
    assert len(list((stage / "lora").glob("pytorch_lora_weights*"))) == count
    assert len(list((stage / "control").glob("pytorch_lora_weights*"))) == count
