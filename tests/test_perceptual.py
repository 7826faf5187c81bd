"""LPIPS and its stand-in, CLIP similarity: known answers, orderings, and clear errors."""

import os

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
)

from cinelib.metrics.clip_sim import ClipSimilarity
from cinelib.metrics.perceptual import LPIPS, FeatureDistance, clip_distance
from cinelib.metrics.result import Result
from cinelib.metrics.synthetic import Layer, synthetic_clip, texture

CLIP, _ = synthetic_clip([Layer(dx=2.0)], num_frames=3, height=64, width=112)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def stand_in():
    return FeatureDistance()


def test_identical_frames_are_at_distance_zero(stand_in):
    np.testing.assert_array_equal(stand_in(CLIP, CLIP), np.zeros(3))


def test_distance_grows_with_damage_and_is_symmetric(stand_in):
    damaged = [np.clip(CLIP + RNG.normal(0, sigma, CLIP.shape), 0, 255).astype(np.uint8) for sigma in (5, 40)]
    little, much = (stand_in(d, CLIP).mean() for d in damaged)
    other = stand_in(synthetic_clip([Layer()], num_frames=3, height=64, width=112, seed=7)[0], CLIP).mean()
    assert 0 < little < much and little < other
    np.testing.assert_allclose(stand_in(damaged[1], CLIP), stand_in(CLIP, damaged[1]), rtol=1e-5)


def test_the_stand_in_is_named_and_frames_do_not_depend_on_company(stand_in):
    assert stand_in.name == "PD[effnet-lite0]" and len(stand_in.weights_sha256) == 64
    shifted = np.roll(CLIP, 3, axis=2)
    alone = np.concatenate([stand_in(shifted[i : i + 1], CLIP[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(stand_in(shifted, CLIP), alone, rtol=1e-4)


def test_clip_distance_pairs_clips_and_keeps_provenance(stand_in):
    result, values = clip_distance([CLIP, CLIP], [CLIP, np.roll(CLIP, 5, axis=2)], stand_in)
    assert values[0] == 0 < values[1]
    assert result.value == pytest.approx(values.mean()) and result.n == 2
    assert result.as_metric()["weights_sha256"] == stand_in.weights_sha256
    with pytest.raises(ValueError, match="paired"):
        clip_distance([CLIP], [], stand_in)
    with pytest.raises(ValueError, match="align"):
        clip_distance([CLIP], [CLIP[:2]], stand_in)


def test_lpips_without_weights_says_how_to_fetch_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="curl -LO https://download"):
        LPIPS(tmp_path / "alexnet.pth")


def test_lpips_takes_torchvisions_layout(tmp_path):
    import torch
    import torchvision

    torch.manual_seed(0)
    random = torchvision.models.alexnet(weights=None).state_dict()
    torch.save(random, tmp_path / "alexnet.pth")
    metric = LPIPS(tmp_path / "alexnet.pth")
    assert metric.name == "LPIPS"
    np.testing.assert_array_equal(metric.network.net.slice3[1].weight, random["features.6.weight"])
    assert metric(CLIP, CLIP).max() == 0 < metric(np.roll(CLIP, 3, axis=2), CLIP).min()
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match=r"lack features\.0\.weight"):
        LPIPS(tmp_path / "empty.pth")


def test_published_lpips_value():
    path = os.environ.get("CINELIB_ALEXNET")
    if not path:
        pytest.skip("NEEDS ALEXNET'S WEIGHTS: set CINELIB_ALEXNET")
    metric = LPIPS(path)
    frames = np.concatenate([texture(0, 64, 64)[None]] * 2)
    assert metric(frames, frames).max() == 0
    assert metric(frames, 255 - frames).min() > 0.3


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory):
    """A random CLIPModel with CLIP's file layout, small enough to build here."""
    import torch

    folder = tmp_path_factory.mktemp("models") / "tiny-clip"
    words = ["<|startoftext|>", "<|endoftext|>", "a", "knight", "robot", "walks", "right"]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="a"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=words[0],
        eos_token=words[1],
        pad_token=words[1],
        unk_token="a",
        model_max_length=8,
    )
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {
        **sizes,
        "vocab_size": len(words),
        "max_position_embeddings": 8,
        "eos_token_id": 1,
        "bos_token_id": 0,
    }
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config=text,
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(folder)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_clip_similarity_is_named_bounded_and_deterministic(tiny_clip):
    metric = ClipSimilarity(str(tiny_clip))
    assert metric.name == "CLIP-SIM[tiny]" and len(metric.weights_sha256) == 64
    value = metric.clip_text(CLIP, "a knight walks right")
    assert -1 <= value <= 1 and value == metric.clip_text(CLIP, "a knight walks right")
    assert value != metric.clip_text(CLIP, "a robot")


def test_a_still_scores_one_in_time_and_a_moving_clip_less(tiny_clip):
    metric = ClipSimilarity(str(tiny_clip), frames=None)
    assert metric.clip_temporal(np.repeat(CLIP[:1], 4, axis=0)) == pytest.approx(1)
    assert metric.clip_temporal(CLIP) < 1
    with pytest.raises(ValueError, match="at least 2"):
        metric.clip_temporal(CLIP[:1])


def test_a_phrase_against_itself_has_no_margin(tiny_clip):
    metric = ClipSimilarity(str(tiny_clip))
    assert metric.phrase_margin(CLIP, "knight", "knight") == pytest.approx(0, abs=1e-9)
    assert metric.phrase_margin(CLIP, "knight", "robot") == pytest.approx(
        -metric.phrase_margin(CLIP, "robot", "knight")
    )
    with pytest.raises(ValueError, match="non-empty"):
        metric.clip_text(CLIP, " ")


def test_a_missing_model_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="hf download openai/clip-vit-base-patch32"):
        ClipSimilarity(str(tmp_path / "nothing"))


def test_results_refuse_what_is_no_number():
    assert "n = 3" in str(Result("FD[x]", 1.0, n=3, interval=(0.5, 2.0)))
    for bad in (
        {"value": float("nan"), "n": 3},
        {"value": 1.0, "n": 0},
        {"value": 1.0, "n": 2, "interval": (2, 1)},
    ):
        with pytest.raises(ValueError, match="FD"):
            Result("FD[x]", **bad)
