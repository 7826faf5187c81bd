"""A base in few bits: a fresh adapter is exactly nothing, it learns in fp32, and memory falls."""

import numpy as np
import pytest
import tiny_training
import torch
from PIL import Image
from tiny_training import CARD, MODEL, RECIPE, changed, fit, same, weights
from torch.utils._python_dispatch import TorchDispatchMode

from cinelib.style import encoded_clips, flow_matching, lora
from cinelib.wan import low_precision, pipeline, sampling


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    base = tmp_path_factory.mktemp("bits")
    return tiny_training.encode(base / "set", base / "cache")


ENCODERS = ("vae", "text_encoder", "image_encoder")


def base(precision=""):
    return pipeline.load_pipeline(MODEL, device="cpu", without=ENCODERS, base_precision=precision).transformer


def stored(precision):
    if precision == "nf4":
        pytest.importorskip("bitsandbytes", reason="an optional package: pip install -e '.[accelerator]'")
    return base(precision)


@torch.no_grad()
def loss(transformer, encoded):
    batch = encoded_clips.read_batch(encoded[0][:1], 1)
    noise = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(0))
    return flow_matching.flow_matching_loss(transformer, batch, torch.tensor([0.6]), noise)


def bits(transformer):
    """The base's stored weights, as bytes: float8 has no comparison of its own."""
    return {
        name: value.detach().clone().view(torch.uint8)
        for name, value in transformer.named_parameters()
        if "lora_" not in name
    }


@pytest.mark.parametrize("precision", ["fp8", "nf4"])
def test_a_base_in_few_bits_trains_an_fp32_adapter(encoded, tmp_path, precision):
    transformer = stored(precision)
    before = loss(transformer, encoded)
    torch.testing.assert_close(before, loss(base(), encoded), rtol=0.05, atol=0)
    lora.add(transformer, CARD)
    assert torch.equal(loss(transformer, encoded), before)  # a fresh adapter changes nothing
    start, frozen = weights(transformer), bits(transformer)
    recipe = changed(RECIPE, max_train_steps=30, validation_every=30, caption_dropout=0.0)
    one = encoded[0][:1]
    history = fit(transformer, encoded, tmp_path, recipe, examples=one, validation=one)
    assert history.validation[-1]["loss"] < history.validation[0]["loss"]
    assert all(value.dtype == torch.float32 for value in weights(transformer).values())
    assert not same(start, weights(transformer)) and same(frozen, bits(transformer))


def stored_bytes(transformer):
    return sum(parameter.nbytes for parameter in transformer.parameters())


@pytest.mark.parametrize("precision, share", [("fp8", 1 / 4), ("nf4", 1 / 8)])
def test_the_linear_layers_of_the_blocks_take_their_share_of_the_bytes(precision, share):
    def linear(transformer):
        layers = [m for m in transformer.blocks.modules() if isinstance(m, torch.nn.Linear)]
        return sum(m.weight.numel() * m.weight.element_size() for m in layers)

    plain, small = base(), stored(precision)
    assert linear(small) == pytest.approx(share * linear(plain), rel=0.01)
    assert stored_bytes(small) < stored_bytes(plain)


def test_a_fresh_adapter_is_drawn_in_fp32_whatever_the_base_is_stored_in():
    plain, small = base(), base("fp8")
    for transformer in (plain, small):
        lora.add(transformer, CARD, seed=3)
    assert same(weights(plain), weights(small))


def test_only_with_checkpointing_is_no_weight_held_in_full_until_the_backward_pass(encoded):
    def held(checkpointing):
        transformer = base("fp8")
        lora.add(transformer, CARD)
        if checkpointing:
            transformer.enable_gradient_checkpointing()
        ffn = transformer.blocks[0].ffn.net[0].proj.weight.shape
        shapes = []
        batch = encoded_clips.read_batch(encoded[0][:1], 1)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: shapes.append(x.shape) or x, lambda x: x):
            flow_matching.flow_matching_loss(
                transformer, batch, torch.tensor([0.6]), torch.zeros_like(batch.latents)
            )
        return sum(shape in (ffn, ffn[::-1]) for shape in shapes)

    assert held(False) > 0 == held(True)


class Moves(TorchDispatchMode):
    """Bytes that are copied from the CPU to the meta device, which stands for a card here."""

    total = 0

    def __torch_dispatch__(self, operation, types, args=(), named=None):
        found = operation(*args, **(named or {}))
        if operation is torch.ops.aten._to_copy.default and args[0].device.type == "cpu":
            self.total += found.nbytes if found.device.type == "meta" else 0
        return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_card_is_never_given_more_of_the_base_than_is_stored(dtype):
    def moved(device):
        with Moves() as moves:
            pipe = pipeline.load_pipeline(MODEL, dtype, device, without=ENCODERS, base_precision="fp8")
        return moves.total, pipe

    (read, _), (total, pipe) = moved("cpu"), moved("meta")  # diffusers reads by way of the meta device too
    assert {value.device.type for value in pipe.transformer.parameters()} == {"meta"}
    buffers = sum(buffer.nbytes for buffer in pipe.transformer.buffers())
    assert total - read == stored_bytes(pipe.transformer) + buffers


def test_what_waits_to_be_divided_stays_on_the_cpu_in_the_cards_precision():
    pipe = pipeline.load_pipeline(MODEL, device="meta", waiting=("transformer",))
    parts = (pipe.transformer, pipe.vae, pipe.text_encoder)
    assert [part.device.type for part in parts] == ["cpu", "meta", "meta"]
    assert pipe.transformer.dtype == torch.bfloat16
    on_cpu = pipeline.load_pipeline(MODEL, device="cpu", offload=True)  # nothing to offload
    assert not hasattr(on_cpu.transformer, "_hf_hook")


@pytest.mark.parametrize("precision", ["fp8", "nf4"])
def test_an_adapter_loaded_onto_a_base_in_few_bits_is_what_was_trained(encoded, tmp_path, precision):
    transformer = stored(precision)
    lora.add(transformer, CARD)
    generator = torch.Generator().manual_seed(1)
    for value in lora.parameters(transformer).values():
        value.data = torch.randn(value.shape, generator=generator)
    lora.save(tmp_path, transformer, CARD)
    fresh = pipeline.load_pipeline(MODEL, device="cpu", without=ENCODERS, base_precision=precision)
    lora.load(fresh, tmp_path)
    assert same(weights(transformer), weights(fresh.transformer))
    assert torch.equal(loss(fresh.transformer, encoded), loss(transformer, encoded))


def test_components_that_come_and_go_sample_the_same_clip():
    """Under the hooks of `offload`, the CPU standing for the card."""
    still = Image.new("RGB", (48, 32), (200, 40, 90))
    clip = sampling.Sampling(32, 48, 5, 2, 3.0)

    def clips(offloaded):
        pipe = pipeline.load_pipeline(MODEL, device="cpu", base_precision="fp8")
        if offloaded:
            pipe.enable_model_cpu_offload(device="cpu")
        texts = ["a knight", "a castle"]
        return sampling.each(
            pipe, lambda own, text: sampling.generate(own, still, text, clip), texts[:1], clip
        ) + [sampling.generate(pipe, still, text, clip) for text in texts]

    for plain, offloaded in zip(clips(False), clips(True), strict=True):
        assert np.array_equal(plain, offloaded)


def test_wrong_uses_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="known are '', 'fp8', 'nf4'"):
        base("int3")
    transformer = base()
    lora.add(transformer, CARD)
    with pytest.raises(ValueError, match="before the adapter"):
        low_precision.store(transformer, "fp8")
    monkeypatch.setattr(low_precision.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="needs bitsandbytes: pip install"):
        base("nf4")
