"""One pipeline call and its loop alone, on the smoke checkpoint's random weights."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FirstBlockCacheConfig
from PIL import Image

from cinelib.wan import pipeline, sampling
from cinelib.wan.sampling import Sampling

ROOT = Path(__file__).resolve().parents[2]
SAMPLING = Sampling(32, 48, 5, num_inference_steps=2)


@pytest.fixture(scope="module")
def pipe():
    return pipeline.load_pipeline(ROOT / "data" / "smoke-wan", device="cpu")


@pytest.fixture(scope="module")
def stills():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)) for _ in range(3)]


def test_generate_is_the_pipelines_own_call(pipe, stills):
    still = stills[0]
    ours = sampling.generate(pipe, still, "a knight", SAMPLING, ("x", 1))
    theirs = pipe(
        image=still,
        prompt="a knight",
        negative_prompt="",
        height=32,
        width=48,
        num_frames=5,
        num_inference_steps=2,
        guidance_scale=3.0,
        generator=sampling.generator(0, "x", 1),
        output_type="np",
    ).frames[0]
    assert ours.shape == (5, 32, 48, 3) and ours.dtype == np.uint8
    assert np.abs(ours / 255 - theirs).max() <= 0.5 / 255 + 1e-6


def test_noise_depends_on_seed_and_key_alone():
    def noise(*key):
        return torch.randn(4, generator=sampling.generator(*key))

    torch.manual_seed(1)
    first = noise(0, "scene", 1)
    torch.manual_seed(2)
    assert torch.equal(first, noise(0, "scene", 1))
    others = [noise(1, "scene", 1), noise(0, "scene", 2), noise(0, "scene1", "")]
    assert not any(torch.equal(first, other) for other in others)


def test_clips_side_by_side_are_those_made_in_turn(pipe, stills):
    def clip(pipe, still):
        return sampling.generate(pipe, still, "a", SAMPLING, (stills.index(still),))

    threads, stepped = torch.get_num_threads(), pipe.scheduler.step_index
    torch.set_num_threads(2)
    try:
        together = sampling.each(pipe, clip, stills, SAMPLING)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert pipe.scheduler.step_index == stepped  # the pipeline given was not sampled with
    for frames, still in zip(together, stills, strict=True):
        assert np.abs(frames.astype(int) - clip(pipe, still)).max() <= 1  # rounding


def test_an_error_among_clips_side_by_side_is_the_one_that_is_raised(pipe, stills):
    def broken(pipe, still):
        raise ValueError(f"{stills.index(still)} is broken")

    torch.set_num_threads(2)
    with pytest.raises(ValueError, match=r"0 is broken"):
        sampling.each(pipe, broken, stills, SAMPLING)
    assert torch.get_num_threads() == 2


def test_images_of_another_size_are_refused(pipe):
    wide = Image.new("RGB", (160, 90))
    for work in (sampling.generate, sampling.prepare):
        with pytest.raises(ValueError, match="open_still"):
            work(pipe, wide, "", SAMPLING)
    with pytest.raises(ValueError, match="an image is 90x160, clips are 32x48"):
        sampling.generate(pipe, Image.new("RGB", (48, 32)), "", SAMPLING, last=wide)


def test_the_loop_alone_gives_the_pipelines_latents(pipe, stills):
    start = sampling.prepare(pipe, stills[0], "a knight", SAMPLING, ("x",))
    theirs = sampling.generate_latents(pipe, stills[0], "a knight", SAMPLING, ("x",))
    assert torch.equal(sampling.denoise(pipe, start, 2, 3.0), theirs)


def test_the_loop_ends_the_clip_for_a_cache_too(pipe, stills):
    start = sampling.prepare(pipe, stills[0], "a knight", SAMPLING)
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=1e9))
    try:
        first, second = (sampling.denoise(pipe, start, 3, 3.0) for _ in range(2))
    finally:
        pipe.transformer.disable_cache()
    assert torch.equal(first, second)


def test_the_pipeline_is_called_in_one_place():
    """A second call would be given other arguments some day: it once stood in the library three times."""
    calls = [
        path.relative_to(ROOT / "cinelib").as_posix()
        for path in (ROOT / "cinelib").rglob("*.py")
        for _ in re.finditer(r"negative_prompt=", path.read_text("utf-8"))
    ]
    assert calls == ["wan/sampling.py"]


def test_the_sampler_is_written_by_hand_in_one_notebook():
    by_hand = [
        path.name
        for path in sorted((ROOT / "notebooks" / "source").glob("0*.py"))
        if "scheduler.step(" in path.read_text("utf-8")
    ]
    assert by_hand == ["03_motion_stage.py"]
