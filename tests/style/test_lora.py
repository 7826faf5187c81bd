"""Adapters: they add nothing when fresh, count as the formula says, and load elsewhere unchanged."""

import dataclasses
import json

import pytest
import tiny_wan
import torch
from diffusers import WanImageToVideoPipeline
from huggingface_hub import ModelCard
from safetensors import safe_open
from safetensors.torch import load_file

from cinelib import provenance
from cinelib.style import lora, lora_export
from cinelib.style.adapter_card import check_trainings
from cinelib.wan import layers, pipeline
from cinelib.wan import layout as wan_layout

CARD = lora.AdapterCard(rank=4, alpha=8.0, targets="attn2", trigger="emberfall film, ")


@pytest.fixture
def pipe():
    return tiny_wan.pipeline()


def inputs(seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    return {
        "hidden_states": torch.randn(1, 36, 2, 4, 6, generator=generator),
        "timestep": torch.tensor([500]),
        "encoder_hidden_states": torch.randn(1, 512, 16, generator=generator),
        "encoder_hidden_states_image": torch.randn(1, 5, 16, generator=generator),
        "return_dict": False,
    }


@torch.no_grad()
def output(transformer) -> torch.Tensor:
    return transformer(**inputs())[0]


def stir(transformer, name="style"):
    """Weights as after some training: B is no longer zero."""
    generator = torch.Generator().manual_seed(1)
    for parameter in lora.parameters(transformer, name).values():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1


@pytest.mark.parametrize("targets", ["attn2", "attn1", "attn1+attn2", "attn2+ffn", r"blocks\.1\.attn2\.to_k"])
def test_a_fresh_adapter_changes_nothing_and_a_trained_one_does(pipe, targets):
    before = output(pipe.transformer)
    card = lora.AdapterCard(rank=4, alpha=8.0, targets=targets)
    count = lora.add(pipe.transformer, card)
    assert count == layers.trainable_count(pipe.transformer, targets, 4) > 0
    assert (output(pipe.transformer) - before).abs().max() == 0
    assert lora.norm(pipe.transformer) == 0
    stir(pipe.transformer)
    assert (output(pipe.transformer) - before).abs().max() > 0
    assert lora.norm(pipe.transformer) > 0


def test_trainable_count_of_the_14b_model():
    config = {"num_attention_heads": 40, "attention_head_dim": 128, "text_dim": 4096, "freq_dim": 256}
    config |= {"ffn_dim": 13824, "image_dim": 1280, "added_kv_proj_dim": 5120, "rope_max_seq_len": 1024}
    with torch.device("meta"):
        transformer = tiny_wan.transformer(layers=40, **config)
    assert sum(p.numel() for p in transformer.parameters()) == 16_394_878_784
    assert layers.trainable_count(transformer, "attn2", 8) == 19_660_800
    without_image = r"blocks\.\d+\.attn2\.(to_q|to_k|to_v|to_out\.0)"
    assert layers.trainable_count(transformer, without_image, 8) == 13_107_200


def test_attn2_means_all_six_projections(pipe):
    names = [name.split("attn2.")[1] for name in layers.target_layers(pipe.transformer, "attn2")]
    assert sorted(set(names)) == ["add_k_proj", "add_v_proj", "to_k", "to_out.0", "to_q", "to_v"]
    assert len(names) == 6 * len(pipe.transformer.blocks)


@pytest.mark.parametrize("rslora, scale", [(False, 8 / 4), (True, 8 / 4**0.5)])
def test_the_update_is_scaled_by_alpha_over_r_or_its_root(pipe, rslora, scale):
    lora.add(pipe.transformer, lora.AdapterCard(4, 8.0, r"blocks\.0\.attn2\.to_q", use_rslora=rslora))
    stir(pipe.transformer)
    layer = pipe.transformer.blocks[0].attn2.to_q
    x = torch.randn(3, 24)
    a, b = layer.lora_A["style"].weight, layer.lora_B["style"].weight
    expected = layer.base_layer(x) + scale * x @ a.T @ b.T
    torch.testing.assert_close(layer(x), expected)
    assert lora.norm(pipe.transformer) == pytest.approx(scale * (b @ a).norm().item(), rel=1e-5)


def test_pipe_load_lora_weights_reproduces_the_training_time_output(pipe, tmp_path):
    lora.add(pipe.transformer, CARD)
    stir(pipe.transformer)
    trained = output(pipe.transformer)
    lora.save(tmp_path, pipe.transformer, CARD)

    fresh = tiny_wan.pipeline()
    fresh.load_lora_weights(str(tmp_path))  # as any other tool would
    assert (output(fresh.transformer) - trained).abs().max() == 0

    ours = tiny_wan.pipeline()
    assert lora.load(ours, tmp_path) == CARD
    assert (output(ours.transformer) - trained).abs().max() == 0
    ours.set_adapters(["style"], [0.0])
    assert (output(ours.transformer) - output(tiny_wan.pipeline().transformer)).abs().max() == 0


def test_the_file_says_what_it_is(pipe, tmp_path):
    lora.add(pipe.transformer, CARD)
    path = lora.save(tmp_path, pipe.transformer, CARD)
    assert path.name == "pytorch_lora_weights.safetensors"
    with safe_open(path, "pt") as file:
        keys = list(file.keys())
    assert all(key.startswith("transformer.blocks.") for key in keys)
    assert len(keys) == 2 * 6 * 2
    assert lora.read_card(tmp_path) == CARD
    _, metadata = WanImageToVideoPipeline.lora_state_dict(str(tmp_path), return_lora_metadata=True)
    assert metadata["transformer.lora_alpha"] == 8.0 and metadata["transformer.r"] == 4
    assert not list(tmp_path.glob(".*"))


def test_the_seed_alone_decides_the_first_weights(pipe):
    torch.manual_seed(5)
    lora.add(pipe.transformer, CARD, seed=3)
    state = torch.random.get_rng_state()
    other = tiny_wan.pipeline()
    torch.manual_seed(6)
    lora.add(other.transformer, CARD, seed=3)
    a, b = lora.parameters(pipe.transformer), lora.parameters(other.transformer)
    assert all(torch.equal(a[key], b[key]) for key in a)
    torch.manual_seed(5)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "card, message",
    [
        (lora.AdapterCard(0, 8.0, "attn2"), "rank"),
        (lora.AdapterCard(4, -1.0, "attn2"), "alpha"),
        (lora.AdapterCard(4, 8.0, "attn3"), "match no linear layer"),
        (lora.AdapterCard(4, 8.0, "attn2+ffm("), "known are"),
    ],
)
def test_bad_cards_are_refused(pipe, card, message):
    with pytest.raises(ValueError, match=message):
        lora.add(pipe.transformer, card)


def test_an_adapter_of_another_base_is_refused(pipe, tmp_path):
    lora.add(pipe.transformer, CARD)
    lora.save(tmp_path, pipe.transformer, CARD)
    wide = tiny_wan.pipeline()
    wide.register_modules(transformer=tiny_wan.transformer(num_attention_heads=4, added_kv_proj_dim=48))
    with pytest.raises(ValueError, match="another base"):
        lora.load(wide, tmp_path)
    with pytest.raises(FileNotFoundError, match="pytorch_lora_weights"):
        lora.load(pipe, tmp_path / "nowhere")


def filed(folder, layout, adapter, card=CARD):
    """A checkpoint folder, and a folder with an adapter that was trained on it; both loaded from disk."""
    tiny_wan.save(folder, layout)
    pipe = pipeline.load_pipeline(folder, device="cpu")
    for part in wan_layout.experts(str(folder)):
        own = dataclasses.replace(
            card, base_model=str(folder), base_hash=provenance.weights_hash(folder, part)
        )
        lora.add(getattr(pipe, part), own)
        lora.save(adapter, getattr(pipe, part), own, expert=part)
    return pipeline.load_pipeline(folder, device="cpu")


def test_an_adapter_of_other_weights_of_the_same_shape_is_refused_unless_it_is_meant(tmp_path):
    adapter, memory = tmp_path / "lora", tmp_path / "hashes.json"
    same = filed(tmp_path / "480p", "wan2.1", adapter)
    lora.load(same, adapter, memory=memory)
    assert memory.is_file()  # the weights are not read again
    transformer = tiny_wan.transformer()
    torch.nn.init.ones_(transformer.proj_out.bias)
    other = tiny_wan.pipeline(transformer=transformer)
    other.save_pretrained(tmp_path / "720p")
    other = pipeline.load_pipeline(tmp_path / "720p", device="cpu")
    with pytest.raises(ValueError, match=r"another base: \S+/480p \(\w{12}\), .* \S+/720p's .*any_base=True"):
        lora.load(other, adapter, memory=memory)
    assert not getattr(other.transformer, "peft_config", {})
    assert lora.load(other, adapter, memory=memory, any_base=True).rank == 4
    lora.load(tiny_wan.pipeline(), adapter)  # nobody knows which weights these are


def test_an_adapter_of_an_expert_does_not_pass_for_one_of_wan21(tmp_path):
    filed(tmp_path / "a14b", "two experts", tmp_path / "lora")
    (tmp_path / "lora" / lora.file_name("transformer_2")).unlink()  # as some share them, one at a time
    tiny_wan.save(tmp_path / "wan21")
    pipe = pipeline.load_pipeline(tmp_path / "wan21", device="cpu")
    with pytest.raises(ValueError, match=r"another base \(\S+/a14b\): .* blocks.0.attn2.add_k_proj to adapt"):
        lora.load(pipe, tmp_path / "lora", any_base=True)


def test_a_damaged_file_is_named(pipe, tmp_path):
    lora.add(pipe.transformer, CARD)
    path = lora.save(tmp_path, pipe.transformer, CARD)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="not a whole safetensors"):
        lora.read_card(tmp_path)


@pytest.mark.parametrize("targets", ["attn2", "attn1+attn2+ffn"])
@pytest.mark.parametrize("rslora", [False, True])
def test_the_original_layout_loads_elsewhere_with_the_same_output(pipe, tmp_path, targets, rslora):
    """diffusers converts files in the layout of Wan's own code, as ComfyUI's users have them."""
    card = lora.AdapterCard(rank=4, alpha=8.0, targets=targets, use_rslora=rslora)
    lora.add(pipe.transformer, card)
    stir(pipe.transformer)
    trained = output(pipe.transformer)
    lora.save(tmp_path, pipe.transformer, card)
    path = lora_export.export_original(tmp_path)
    assert "diffusion_model.blocks.0.cross_attn.k_img.lora_down.weight" in load_file(path)

    fresh = tiny_wan.pipeline()
    before = output(fresh.transformer)
    fresh.load_lora_weights(str(tmp_path), weight_name=path.name)
    assert (trained - before).abs().max() > 1e-3
    torch.testing.assert_close(output(fresh.transformer), trained, rtol=1e-5, atol=1e-6)


def test_merging_is_the_adapters_output_and_unmerging_restores_the_base(pipe, tmp_path):
    base = output(pipe.transformer)
    before = {name: value.clone() for name, value in pipe.transformer.state_dict().items()}
    lora.add(pipe.transformer, CARD)
    stir(pipe.transformer)
    trained = output(pipe.transformer)
    pipe.fuse_lora()
    torch.testing.assert_close(output(pipe.transformer), trained, rtol=1e-4, atol=1e-5)
    pipe.unfuse_lora()
    pipe.disable_lora()
    torch.testing.assert_close(output(pipe.transformer), base, rtol=1e-4, atol=1e-5)
    after = {name.replace(".base_layer", ""): value for name, value in pipe.transformer.state_dict().items()}
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-5, atol=1e-6)


def test_unmerging_in_half_precision_is_off_by_one_rounding(pipe):
    # W + BA - BA is rounded twice: exact weights come from loading the base anew, or from not merging.
    transformer = pipe.transformer.to(torch.bfloat16)
    before = {name: value.clone() for name, value in transformer.state_dict().items()}
    lora.add(transformer, CARD)
    stir(transformer)
    pipe.fuse_lora()
    pipe.unfuse_lora()
    after = {name.replace(".base_layer", ""): value for name, value in transformer.state_dict().items()}
    largest = max(float(value.abs().max()) for value in before.values())
    assert max(float((after[name] - value).abs().max()) for name, value in before.items()) < largest / 2**7


def test_equal_adapters_make_equal_files(pipe, tmp_path):
    lora.add(pipe.transformer, CARD)
    a, b = (lora.save(tmp_path / name, pipe.transformer, CARD).read_bytes() for name in "ab")
    assert a == b


def trained(folder, seed, card=CARD):
    """A folder as notebook 02 leaves it, from an adapter that `seed` decides."""
    for adapter in ("lora", "control"):
        pipe = tiny_wan.pipeline()
        lora.add(pipe.transformer, card, seed=seed)
        lora.save(folder / adapter, pipe.transformer, card)
    return folder


def test_trainings_of_one_recipe_from_different_seeds_are_told_from_others(tmp_path):
    first, second = trained(tmp_path / "a", 0), trained(tmp_path / "b", 1)
    check_trainings([first])
    check_trainings([first, second])
    longer = trained(tmp_path / "c", 2, dataclasses.replace(CARD, steps=7))
    with pytest.raises(ValueError, match=r"another recipe than .*: \{'steps': \(7, 0\)\}"):
        check_trainings([first, second, longer])
    again = trained(tmp_path / "d", 1)
    with pytest.raises(ValueError, match=r"d and .*b hold the same training"):
        check_trainings([first, second, again])
    with pytest.raises(ValueError, match="hold the same training"):
        check_trainings([first, first])
    with pytest.raises(FileNotFoundError):
        check_trainings([first, tmp_path / "nowhere"])


def test_the_original_layout_holds_the_same_numbers_with_alpha_beside_them(pipe, tmp_path):
    """Back through diffusers' own conversion: B unchanged, A times alpha / r, every layer there."""
    lora.add(pipe.transformer, CARD)
    stir(pipe.transformer)
    ours = load_file(lora.save(tmp_path, pipe.transformer, CARD))
    path = lora_export.export_original(tmp_path)
    back = WanImageToVideoPipeline.lora_state_dict(str(tmp_path), weight_name=path.name)
    assert back.keys() == ours.keys()
    for key, value in ours.items():
        assert torch.equal(back[key], value * 2.0 if "lora_A" in key else value)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["cinelib"])["trigger"] == CARD.trigger


@pytest.mark.parametrize(
    "base, linked", [("Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", True), ("data/nano-wan", False)]
)
def test_the_card_for_the_hub_states_what_was_measured(pipe, tmp_path, base, linked):
    card = dataclasses.replace(CARD, trigger='the "ember" film', base_model=base)
    lora.add(pipe.transformer, card)
    lora.save(tmp_path, pipe.transformer, card)
    path = lora_export.write_card(tmp_path, "A film", {"held-out loss": 0.123456})
    text = path.read_text()
    assert "| held-out loss | 0.1235 |" in text and base in text
    assert f"{layers.trainable_count(pipe.transformer, 'attn2', 4):,} weights" in text
    data = ModelCard.load(path).data  # as the Hub reads it
    assert data.pipeline_tag == "image-to-video" and "lora" in data.tags
    assert data.instance_prompt == card.trigger
    assert (data.base_model == base) == linked
