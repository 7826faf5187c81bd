"""`cinelib plan`: its numbers against models that are really built, counted and run."""

import dataclasses
import json
import weakref

import pytest
import style_dataset
import tiny_wan
import torch
from diffusers import WanTransformer3DModel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from cinelib import cache, examples, lora
from cinelib.catalogue import CATALOGUE
from cinelib.classroom import architecture
from cinelib.cli import app
from cinelib.dataset import VideoFolder
from cinelib.forecast import hardware, memory, operations, outlook, parts, step, storage
from cinelib.geometry import Geometry, read_configs
from cinelib.profiles import resolve

TINY = {"num_attention_heads": 3, "in_channels": 36, "out_channels": 16}
VAE = {"z_dim": 16, "dim_mult": [1, 2, 4, 4], "temperal_downsample": [False, True, True]}
CLIP = {"image_size": 28, "patch_size": 14}
TARGETS = ["attn2", "attn1", "attn1+attn2+ffn", r"blocks\.1\.attn1\.to_out\.0"]


def transformers() -> dict[str, WanTransformer3DModel]:
    plain = {"image_dim": None, "added_kv_proj_dim": None}
    return {
        "nano": architecture.transformer(architecture.NANO),
        "tiny": tiny_wan.transformer(layers=3),
        "two experts": tiny_wan.transformer(layers=3, **plain),
        "text and image": tiny_wan.transformer(layers=3, in_channels=48, out_channels=48, **plain),
    }


class Case:
    """A real transformer with an adapter, its inputs, and the step that is forecast for them."""

    def __init__(self, name, targets="attn2", half=False, checkpointing=False, size=(64, 128)):
        torch.manual_seed(0)
        self.half = half
        self.transformer = transformers()[name].train()
        if half:
            self.transformer.to(torch.bfloat16)
        config = dict(self.transformer.config)
        configs = {"transformer": config, "vae": VAE}
        if name == "text and image":
            configs["vae"] = {**VAE, "z_dim": 48, "patch_size": 2}
        if config["image_dim"]:
            configs["image_encoder"] = CLIP
        self.geometry = Geometry(configs, *size, 17)
        self.step = step.make(self.geometry, 4, targets, half=half, checkpointing=checkpointing)
        lora.add(self.transformer, lora.AdapterCard(4, 8.0, targets))
        if checkpointing:
            self.transformer.enable_gradient_checkpointing()

    def loss(self):
        config, tokens = self.transformer.config, self.step.tokens
        image = torch.zeros(1, self.step.image_tokens, config.image_dim) if config.image_dim else None
        timestep = torch.full((1, tokens), 500.0) if self.step.time_per_token else torch.tensor([500.0])
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            answer = self.transformer(
                torch.zeros(1, config.in_channels, *self.geometry.latents[1:]),
                timestep,
                torch.zeros(1, 512, config.text_dim),
                image,
                return_dict=False,
            )[0]
            return answer.float().square().mean()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("name", ["nano", "tiny", "two experts", "text and image"])
def test_operations_are_those_that_torch_counts(name, targets, checkpointing):
    """To the last one: of 40 settings tried when this was written none was off by 1 in 10,000."""
    case = Case(name, targets, checkpointing=checkpointing)
    with FlopCounterMode(display=False) as counter:
        loss = case.loss()
        forward = counter.get_total_flops()
        loss.backward()
    found = operations.of_step(case.step)
    assert found.forward == forward
    assert found.total == pytest.approx(counter.get_total_flops(), rel=1e-9)


def saved_by_autograd(case) -> int:
    """Bytes of distinct storages that wait for the backward pass, weights left out."""
    own = {p.untyped_storage().data_ptr() for p in case.transformer.parameters()}
    storages = {}

    def keep(tensor):
        place = tensor.untyped_storage()
        if place.data_ptr() not in own:
            storages[place.data_ptr()] = place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _loss = case.loss()
    return sum(place.nbytes() for place in storages.values())


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["nano", "tiny", "text and image"])
def test_saved_activations_are_what_autograd_saves(name, half, checkpointing):
    """Forecast over counted was 0.9998 to 1.0000 in fp32 and 1.001 to 1.018 in bf16 (rotary tables)."""
    case = Case(name, half=half, checkpointing=checkpointing)
    assert memory.saved_bytes(case.step) == pytest.approx(saved_by_autograd(case), rel=0.02)


@pytest.mark.parametrize("targets", TARGETS[1:3])
def test_saved_activations_for_other_targets(targets):
    case = Case("tiny", targets, half=True)
    assert memory.saved_bytes(case.step) == pytest.approx(saved_by_autograd(case), rel=0.02)


class Live(TorchDispatchMode):
    """Bytes of the tensors that operations made and that are still alive, and their peak."""

    def __init__(self):
        super().__init__()
        self.sizes, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {self.place(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        answer = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(answer):
            if isinstance(tensor, torch.Tensor) and self.place(tensor) not in {*given, *self.sizes}:
                storage, place = tensor.untyped_storage(), self.place(tensor)
                self.sizes[place] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.forget, place)
        return answer

    @staticmethod
    def place(tensor):
        return tensor.untyped_storage()._cdata

    def forget(self, place):
        self.now -= self.sizes.pop(place)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_the_peak_is_bounded_by_the_forecast_and_not_far_below_it(half, checkpointing):
    """On a CPU, of the nano transformer on clips that are large beside the text: 0.96 to 1.14 when fitted."""
    case = Case("nano", half=half, checkpointing=checkpointing, size=(128, 256))
    with Live() as live:
        case.loss().backward()
    forecast = memory.saved_bytes(case.step) + memory.passing_bytes(case.step)
    assert 0.95 < forecast / live.peak < 1.25


def test_memory_grows_with_the_clip_as_the_author_of_diffusion_pipe_measured():
    """Wan 14B, bf16 under checkpointing: 12.2 GB at 512 x 512 x 21, 15.7 GB at 41 frames (its issue 153)."""
    short, long = (
        outlook.Outlook(resolve_style(height=512, width=512, num_frames=frames), 1).memory.total
        for frames in (21, 41)
    )
    assert (long - short) / 1e9 == pytest.approx(3.5, rel=0.15)


def test_checkpointing_trades_memory_for_a_second_forward_pass():
    plain, again = (Case("nano", checkpointing=value).step for value in (False, True))
    assert memory.saved_bytes(again) < memory.saved_bytes(plain) / 5
    ratio = operations.of_step(again).total / operations.of_step(plain).total
    assert 1.3 < ratio < 1.6


@pytest.mark.parametrize("layout", ["wan2.1", "text and image"])
def test_the_cache_has_the_size_that_was_forecast(tmp_path, layout):
    model = tiny_wan.save(tmp_path / "model", layout)
    clips = VideoFolder.open(style_dataset.write(tmp_path / "set", count=3, width=64))
    encoding = examples.Encoding(32, 64, 9, 16, variants=2)
    encoders, store = examples.Encoders(str(model), device="cpu"), cache.Cache(tmp_path / "cache")
    found = examples.encode_clips(clips, encoding, encoders, store)
    examples.encode_clips(clips, dataclasses.replace(encoding, scramble=True), encoders, store)
    examples.encode_text("", encoders, store)
    tokens = [len(cache.read(example.prompt)["prompt_embeds"]) for example in found]
    geometry = Geometry(read_configs(str(model)), 32, 64, 9)
    forecast = storage.of_training(
        geometry, 3, 2, caption_tokens=round(sum(tokens) / 3), adapter=0, last_frame=layout == "wan2.1"
    )
    sizes = {
        kind: sum(path.stat().st_size for path in (tmp_path / "cache" / kind).iterdir())
        for kind in ("latents", "condition", "text")
    }
    assert forecast.latents == pytest.approx(sizes["latents"], rel=0.03)
    assert forecast.conditions == pytest.approx(sizes["condition"], rel=0.03)
    assert forecast.text == pytest.approx(sizes["text"], rel=0.25)  # a few hundred bytes a caption


def plan(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["plan", *arguments])


def test_the_plan_of_the_paper_states_the_published_counts_and_its_error():
    answer = plan("--profile", "a100", "--gpu", "H200")
    assert "16,394,878,784" in answer.stdout and "5,680,910,336" in answer.stdout
    assert "19,660,800" in answer.stdout and "75,600 tokens" in answer.stdout
    assert "estimated" in answer.stdout and "±40%" in answer.stdout


def test_what_cannot_fit_is_refused_with_the_nearest_that_does():
    answer = plan("--gpu", "rtx-4090", "--gpu", "A100-80GB", "-p", "02.gradient_checkpointing=false")
    assert answer.exit_code == 2
    small, large = answer.stderr.splitlines()
    assert small.startswith("error: RTX-4090: a step needs ") and "-p 02." in small
    options = large.split("the nearest that fits is ")[1].split(" (")[0].split()
    again = plan("--gpu", "A100-80GB", *options)
    assert again.exit_code == 0, again.stderr


def test_changes_to_no_effect_come_before_changes_to_the_result():
    params = resolve_style(num_frames=17, height=480, width=832, gradient_checkpointing=False)
    assert not outlook.Outlook(params, 40).fits(hardware.GPUS["A100-80GB"])
    _, changes = outlook.Outlook(params, 40).nearest(hardware.GPUS["A100-80GB"])
    assert changes == {"gradient_checkpointing": True}


def resolve_style(**changes):
    from cinelib.parameters import StyleStage

    return resolve(StyleStage, "a100", {"base_precision": "", **changes})


def test_copies_in_each_process_can_become_shares():
    copies = outlook.Outlook(resolve_style(processes=4, launch="ddp"), 40)
    _, changes = copies.nearest(hardware.GPUS["A100-80GB"])
    assert changes == {"base_precision": "fp8"}  # nearer than another engine
    rounded = copies.with_changes(base_precision="fp8", num_frames=97)
    assert rounded.nearest(hardware.GPUS["A100-80GB"])[1] == {"base_precision": "nf4"}


def test_sharding_divides_the_weights_and_leaves_the_activations():
    one = outlook.Outlook(resolve_style(), 40)
    two = one.with_changes(processes=2, launch="fsdp2")
    assert two.memory.activations == one.memory.activations
    assert one.memory.base / 2 < two.memory.base < 0.6 * one.memory.base
    gpu = hardware.GPUS["A100-80GB"]
    assert two.seconds(gpu) >= one.seconds(gpu)


def test_a_low_precision_base_saves_nothing_without_recomputation():
    plain = outlook.Outlook(resolve_style(gradient_checkpointing=False), 40)
    assert plain.with_changes(base_precision="fp8").memory.base > plain.memory.base
    again = plain.with_changes(gradient_checkpointing=True)
    stored = [again.with_changes(base_precision=name).memory.base for name in ("", "fp8", "nf4")]
    assert stored == sorted(stored, reverse=True) and stored[2] < 0.35 * stored[0]


def test_the_shares_of_the_peak_are_those_of_the_published_times():
    film = Geometry(CATALOGUE["Wan-AI/Wan2.1-I2V-14B-720P-Diffusers"].configs, 720, 1280, 81)
    for name, seconds in {"A100-80GB": 2715.5, "H100-80GB": 1491.6, "H200": 974.0}.items():
        gpu = hardware.GPUS[name]
        assert film.sampling_flops(40) / seconds / (gpu.peak * 1e12) == pytest.approx(gpu.share, abs=0.015)
        assert outlook.Outlook(resolve_style(), 40).clip_seconds(gpu) == pytest.approx(seconds, rel=0.03)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu", "A100-90GB"], "did you mean A100-80GB?"),
        (["-p", "02.model=nowhere/nothing"], "known ids"),
        (["-p", "02.targets=attn9"], "match no linear layer"),
        (["-p", "02.rank=0"], "rank"),
        (["-p", "02.model=Wan-AI/Wan2.1-T2V-1.3B-Diffusers"], "cannot be adapted"),
    ],
)
def test_requests_that_mean_nothing_are_refused_in_one_line(arguments, message):
    answer = plan(*arguments)
    assert answer.exit_code == 2 and message in answer.stderr
    assert answer.stderr.startswith("error: ") and "Traceback" not in answer.output


def test_two_experts_and_a_local_folder():
    answer = plan("--json", "-p", "02.model=Wan-AI/Wan2.2-I2V-A14B-Diffusers", "--gpu", "H200")
    found = json.loads(answer.stdout)
    assert found["parameters"]["transformer_2"] == 14_288_901_184 and found["adapter"] == 13_107_200
    nano = json.loads(plan("--json", "--profile", "nano").stdout)
    model = architecture.transformer(architecture.NANO)
    assert nano["parameters"]["transformer"] == sum(p.numel() for p in model.parameters())
    assert nano["gpus"]["A100-80GB"]["fits"]
    assert parts.count("transformer", dict(model.config)) == nano["parameters"]["transformer"]
