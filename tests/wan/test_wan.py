"""cinelib.wan.pipeline against diffusers' own pipeline code, on random weights."""

import numpy as np
import pytest
import tiny_wan
import torch
from diffusers import WanImageToVideoPipeline
from PIL import Image

from cinelib.wan import conditioning, pipeline

HEIGHT, WIDTH, FRAMES = 32, 48, 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_wan.save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def pipe(folder):
    return pipeline.load_pipeline(folder, device="cpu")


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def as_pixels(image: Image.Image) -> torch.Tensor:
    return pipeline.to_pixels(np.asarray(image)[None])[:, :, 0]


@pytest.mark.parametrize("with_last", [False, True])
def test_condition_is_what_the_pipeline_prepares(pipe, with_last):
    first, last = as_pixels(picture(0)), as_pixels(picture(1)) if with_last else None
    ours = conditioning.condition(pipe.vae, first, FRAMES, last)
    _, theirs = WanImageToVideoPipeline.prepare_latents(
        pipe, first, 1, 16, HEIGHT, WIDTH, FRAMES, torch.float32, torch.device("cpu"), last_image=last
    )
    assert ours.shape == (1, 20, 3, HEIGHT // 8, WIDTH // 8)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_condition_of_a_batch_is_the_batch_of_conditions(pipe):
    a, b = as_pixels(picture(0)), as_pixels(picture(1))
    both = conditioning.condition(pipe.vae, torch.cat([a, b]), FRAMES)
    torch.testing.assert_close(both[1:], conditioning.condition(pipe.vae, b, FRAMES), rtol=1e-5, atol=1e-5)


def test_mask_marks_the_given_frames(pipe):
    ends = as_pixels(picture(0)), as_pixels(picture(1))
    mask = conditioning.condition(pipe.vae, ends[0], FRAMES, ends[1])[0, :4, :, 0, 0]
    # columns: latent frames; rows: the four pixel frames behind each
    assert mask.tolist() == [[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 1]]


def test_decode_video_is_what_the_pipeline_shows(pipe):
    latents = torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    embeds = {
        "prompt_embeds": pipeline.encode_text(pipe, "a knight"),
        "image_embeds": pipeline.encode_image(pipe, [picture(0)]),
    }
    sample = {}

    def keep(_pipe, _step, _t, values):
        sample["latents"] = values["latents"]
        return values

    call = {
        "height": HEIGHT,
        "width": WIDTH,
        "num_frames": FRAMES,
        "num_inference_steps": 2,
        "guidance_scale": 1.0,
    }
    shown = pipe(
        image=picture(0),
        prompt_embeds=embeds["prompt_embeds"],
        latents=latents,
        output_type="pt",
        callback_on_step_end=keep,
        **call,
    ).frames
    ours = pipeline.decode_video(pipe.vae, sample["latents"])  # (1, 3, T, H, W)
    torch.testing.assert_close((ours / 2 + 0.5).clamp(0, 1).transpose(1, 2), shown, rtol=0, atol=1e-6)


def test_encode_video_normalises_with_the_checkpoints_statistics(pipe):
    pixels = torch.rand(2, 3, FRAMES, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * 2 - 1
    raw = pipe.vae.encode(pixels).latent_dist.mode()
    mean = torch.tensor(pipe.vae.config.latents_mean).view(1, 16, 1, 1, 1)
    std = torch.tensor(pipe.vae.config.latents_std).view(1, 16, 1, 1, 1)
    torch.testing.assert_close(
        pipeline.encode_video(pipe.vae, pixels) * std + mean, raw, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("shape", [(1, 3, 8, 32, 48), (1, 3, 9, 36, 48), (1, 1, 9, 32, 48), (3, 9, 32, 48)])
def test_encode_video_refuses_sizes_that_the_vae_cannot_compress(pipe, shape):
    with pytest.raises(ValueError, match="T, H, W"):
        pipeline.encode_video(pipe.vae, torch.zeros(shape))


def test_encode_image_and_text_match_the_pipeline(pipe):
    tokens = pipeline.encode_image(pipe, [picture(0), picture(1)])
    assert tokens.shape == (2, 5, 16)
    joined = pipe.encode_image([picture(0), picture(1)])
    torch.testing.assert_close(joined, tokens.reshape(1, 10, 16), rtol=0, atol=1e-6)
    embeds = pipeline.encode_text(pipe, ["a knight walks", "red"])
    assert embeds.shape == (2, 512, 16)
    assert not embeds[0, 4:].any() and embeds[0, :4].abs().sum(-1).all()


def test_first_and_last_frame_through_the_public_call(pipe):
    call = {
        "height": HEIGHT,
        "width": WIDTH,
        "num_frames": FRAMES,
        "num_inference_steps": 1,
        "guidance_scale": 3.0,
    }
    seeded = lambda: torch.Generator().manual_seed(0)  # noqa: E731
    ends = [
        pipe(image=picture(0), last_image=picture(k), prompt="a knight", generator=seeded(), **call).frames
        for k in (1, 2)
    ]
    assert ends[0].shape == (1, FRAMES, HEIGHT, WIDTH, 3)
    assert np.abs(ends[0] - ends[1]).max() > 0


def test_missing_folders_and_other_layouts_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no model at"):
        pipeline.load_pipeline(tmp_path / "typo", device="cpu")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(FileNotFoundError, match="no model at data/typo"):
        pipeline.load_pipeline("data/typo", device="cpu")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model_index.json").write_text('{"_class_name": "WanPipeline"}')
    with pytest.raises(NotImplementedError, match="is a WanPipeline"):
        pipeline.load_pipeline(tmp_path / "other", device="cpu")


def test_components_can_stay_on_disk(folder):
    pipe = pipeline.load_pipeline(folder, device="cpu", without=("text_encoder", "vae"), flow_shift=5.0)
    assert pipe.text_encoder is None and pipe.vae is None and pipe.transformer is not None
    assert pipe.scheduler.config.flow_shift == 5.0


def test_frames_and_pixels_are_inverse():
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    assert (pipeline.to_frames(pipeline.to_pixels(frames)) == frames).all()
