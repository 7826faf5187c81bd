"""LPIPS and its stand-in, CLIP similarity: known answers, orderings, and clear errors."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from backlot.synthetic import Layer, synthetic_clip
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
)

from cinelib.files import hash_of
from cinelib.metrics import clip_sim, perceptual
from cinelib.metrics.clip_sim import ClipMetric, ClipSimilarity
from cinelib.metrics.metric import Clip
from cinelib.metrics.perceptual import LPIPS, FeatureDistance, clip_distance
from cinelib.metrics.result import Result

NANO = Path(__file__).parents[2] / "data" / "nano-clip"
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
    result, values = clip_distance([CLIP, CLIP], [CLIP, np.roll(CLIP, 5, axis=2)], stand_in, fps=16)
    assert values[0] == 0 < values[1]
    assert result.value == pytest.approx(values.mean()) and result.n == 2
    entry = result.as_metric()
    assert entry["weights_sha256"] == stand_in.weights_sha256 and entry["fps"] == 16
    assert entry["implementation"] == "cinelib" and {"torch", "numpy"} < set(entry["versions"])
    with pytest.raises(ValueError, match="paired"):
        clip_distance([CLIP], [], stand_in)
    with pytest.raises(ValueError, match="align"):
        clip_distance([CLIP], [CLIP[:2]], stand_in)


def test_lpips_without_weights_says_how_to_fetch_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="curl -LO https://download"):
        LPIPS(tmp_path / "alexnet.pth")


@pytest.fixture(scope="module")
def random_alexnet(tmp_path_factory):
    import torch
    import torchvision

    torch.manual_seed(0)
    # Under the published file's own name: it is the content that counts.
    path = tmp_path_factory.mktemp("weights") / "alexnet-owt-7be5be79.pth"
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), path)
    return path


def test_lpips_takes_torchvisions_layout_and_names_other_weights(random_alexnet):
    import torch

    metric = LPIPS(random_alexnet)
    assert metric.name == f"LPIPS[{hash_of(random_alexnet)[:8]}]"
    weight = torch.load(random_alexnet)["features.6.weight"]
    np.testing.assert_array_equal(metric.network.net.slice3[1].weight, weight)
    assert metric(CLIP, CLIP).max() == 0 < metric(np.roll(CLIP, 3, axis=2), CLIP).min()
    result, _ = clip_distance([CLIP, CLIP], [CLIP, CLIP], metric)
    assert result.name == metric.name and result.as_metric()["versions"]["lpips"] == "0.1.4"
    assert result.implementation == "lpips"


def test_lpips_is_bare_for_the_published_file(random_alexnet, monkeypatch):
    monkeypatch.setattr(perceptual, "ALEXNET_SHA256", hash_of(random_alexnet))
    assert LPIPS(random_alexnet).name == "LPIPS"


def test_the_published_alexnets_hash_is_the_one_in_its_name():
    # torchvision names a file by the first digits of its SHA-256, and checks them after a download.
    assert f"alexnet-owt-{perceptual.ALEXNET_SHA256[:8]}.pth" in perceptual.ALEXNET_FETCH
    assert len(perceptual.ALEXNET_SHA256) == 64


def test_files_that_hold_no_alexnet_are_refused(tmp_path):
    import torch

    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match=r"lack features\.0\.weight"):
        LPIPS(tmp_path / "empty.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(ValueError, match=r"lack features\.0\.weight"):
        LPIPS(tmp_path / "tensor.pth")
    for content in (b"", b"<html>not found</html>", (tmp_path / "tensor.pth").read_bytes()[:300]):
        (tmp_path / "broken.pth").write_bytes(content)
        with pytest.raises(ValueError, match="no file of AlexNet weights; fetch them with: curl"):
            LPIPS(tmp_path / "broken.pth")


def test_published_lpips_of_black_against_white():
    path = os.environ.get("CINELIB_ALEXNET")
    if not path:
        pytest.skip("NEEDS ALEXNET'S WEIGHTS: set CINELIB_ALEXNET to alexnet-owt-7be5be79.pth")
    metric = LPIPS(path)
    black, white = (np.full((2, 64, 64, 3), value, np.uint8) for value in (0, 255))
    assert metric.name == "LPIPS" and metric(black, black).max() == 0
    # Printed by common_metrics_on_video_quality for zeros against ones, 64 x 64.
    np.testing.assert_allclose(metric(black, white), 0.81400907, atol=1e-4)


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
    value, _ = metric.text_and_temporal(CLIP, "a knight walks right")
    assert -1 <= value <= 1 and value == metric.text_and_temporal(CLIP, "a knight walks right")[0]
    assert value != metric.text_and_temporal(CLIP, "a robot")[0]


def test_a_still_scores_one_in_time_and_a_moving_clip_less(tiny_clip):
    metric = ClipSimilarity(str(tiny_clip))
    assert metric.clip_temporal(np.repeat(CLIP[:1], 4, axis=0)) == pytest.approx(1)
    assert metric.clip_temporal(CLIP) < 1
    with pytest.raises(ValueError, match="at least 2"):
        metric.clip_temporal(CLIP[:1])


def test_all_frames_are_looked_at_unless_the_name_says_otherwise(tiny_clip):
    odd = np.repeat(CLIP[:1], 81, axis=0)
    odd[1::2] = 255 - odd[1::2]  # what 8 frames, 10 or 11 apart, see of this is chance
    whole, thinned = ClipSimilarity(str(tiny_clip)), ClipSimilarity(str(tiny_clip), frames=8)
    assert whole.embed_frames(odd).shape[0] == 81 and thinned.embed_frames(odd).shape[0] == 8
    assert whole.name == "CLIP-SIM[tiny]" and "all frames" in whole.preprocessing
    assert thinned.name == "CLIP-SIM[tiny, 8 frames]" and "8 frames" in thinned.preprocessing
    a, b = whole.embed_frames(odd[:2])
    assert whole.clip_temporal(odd) == pytest.approx(a @ b)
    with pytest.raises(ValueError, match="frames >= 2 or None"):
        ClipSimilarity(str(tiny_clip), frames=1)


def test_batches_change_a_similarity_by_rounding_only_and_one_pass_gives_both(tiny_clip):
    clip = np.concatenate([CLIP, CLIP[::-1], CLIP])
    found = [ClipSimilarity(str(tiny_clip), batch_size=size).embed_frames(clip) for size in (1, 4, 32)]
    for vectors in found[1:]:
        assert np.abs(vectors @ vectors.T - found[0] @ found[0].T).max() < 1e-5
    metric = ClipSimilarity(str(tiny_clip))
    text = float((metric.embed_frames(clip) @ metric.embed_texts(["a robot"])[0]).mean())
    assert metric.text_and_temporal(clip, "a robot") == (text, metric.clip_temporal(clip))
    with pytest.raises(ValueError, match="batch_size >= 1"):
        ClipSimilarity(str(tiny_clip), batch_size=0)


def test_a_folder_is_not_the_published_network_because_it_is_called_so(tmp_path, monkeypatch):
    shutil.copytree(NANO, tmp_path / clip_sim.PUBLISHED)
    monkeypatch.chdir(tmp_path)
    sha256 = hash_of(NANO / "model.safetensors")
    assert ClipSimilarity(clip_sim.PUBLISHED).name == f"CLIP-SIM[{sha256[:8]}]"
    assert ClipSimilarity(str(tmp_path / clip_sim.PUBLISHED)).name == f"CLIP-SIM[{sha256[:8]}]"
    monkeypatch.setattr(clip_sim, "PUBLISHED_SHA256", sha256)
    assert ClipSimilarity(str(NANO)).name == "CLIP-SIM", "by its weights, whatever it is called"
    assert ClipSimilarity(str(NANO), frames=8).name == "CLIP-SIM[8 frames]"


def test_the_hash_is_of_the_weights_that_are_loaded(tiny_clip, tmp_path):
    folder = shutil.copytree(tiny_clip, tmp_path / "decoy")
    (folder / "adapter.safetensors").write_bytes(b"sorts first")
    (folder / "pytorch_model.bin").write_bytes(b"is not loaded beside the other")
    assert clip_sim.weights_sha256(str(folder)) == hash_of(tiny_clip / "model.safetensors")


def test_similarities_of_known_vectors():
    class Known(ClipSimilarity):
        name = "K"

        def __init__(self):
            self.frames = None

        def embed_frames(self, clip):
            return np.eye(3)[[0, 0, 0, 1]]

        def embed_texts(self, texts):
            return np.array([[0.6, 0.8, 0], [0.5, 0, 0], [0, 0.3, 0]])[: len(texts)]

    frames = np.zeros((4, 8, 8, 3), np.uint8)
    assert Known().clip_temporal(frames) == pytest.approx(2 / 3)
    assert Known().margins(frames, "a", ["b", "c"]) == pytest.approx([0.35, 0.35, 0.35, 0.65])
    found = ClipMetric(Known()).of(Clip("a.mp4", frames, np.arange(4.0), "a"))
    assert found.values == pytest.approx({"K clip_text": 0.65, "K clip_temporal": 2 / 3})


def test_an_empty_prompt_is_refused(tiny_clip):
    metric = ClipSimilarity(str(tiny_clip))
    with pytest.raises(ValueError, match="non-empty"):
        metric.text_and_temporal(CLIP, " ")


def test_a_missing_model_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="hf download openai/clip-vit-base-patch32"):
        ClipSimilarity(str(tmp_path / "nothing"))


def test_results_name_what_they_rest_on_and_why_something_is_missing():
    result = Result("FD[x]", 1.0, n=3, fps=24.0, notes={"floor": "few clips"}, extra={"n_reference": 4})
    entry = result.as_metric()
    assert entry["implementation"] == "cinelib" and entry["fps"] == 24.0 and entry["n_reference"] == 4
    assert entry["versions"] == dict(result.versions) and "cinelib" in entry["versions"]
    assert entry["notes"] == {"floor": "few clips"}
    assert not {"fps", "notes", "interval", "unit"} & set(Result("FD[x]", 1.0, n=3).as_metric())


def test_results_refuse_what_is_no_number():
    assert "n = 3" in str(Result("FD[x]", 1.0, n=3, interval=(0.5, 2.0)))
    for bad in (
        {"value": float("nan"), "n": 3},
        {"value": 1.0, "n": 0},
        {"value": 1.0, "n": 2, "interval": (2, 1)},
        {"value": 1.0, "n": 2, "fps": 0.0},
    ):
        with pytest.raises(ValueError, match="FD"):
            Result("FD[x]", **bad)
