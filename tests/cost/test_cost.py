"""`cinelib estimate`: its numbers against models that are really built, counted and run."""

import dataclasses
import importlib
import json
from pathlib import Path

import pytest
import style_dataset
import tiny_training
import tiny_wan
import torch
from classroom import architecture
from diffusers import WanTransformer3DModel
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from cinelib.cli.app import app
from cinelib.cost import hardware, memory, outlook, rehearsal, storage
from cinelib.cost.step import Step
from cinelib.parameters import resolve
from cinelib.preparation.dataset import VideoFolder
from cinelib.style import cache, encoded_clips, grading, lora
from cinelib.style.parameters import StyleStage
from cinelib.wan import layers
from cinelib.wan.catalogue import CATALOGUE
from cinelib.wan.geometry import Geometry, read_configs

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
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
        self.step = Step(self.geometry, 4, targets, half, checkpointing)
        lora.add(self.transformer, lora.AdapterCard(4, 8.0, targets))
        if checkpointing:
            self.transformer.enable_gradient_checkpointing()

    def loss(self):
        config, clip = self.transformer.config, self.geometry
        image = torch.zeros(1, clip.image_tokens, config.image_dim) if config.image_dim else None
        per_token = clip.layout.first_frame_in_place
        timestep = torch.full((1, clip.tokens), 500.0) if per_token else torch.tensor([500.0])
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
    """To the last one, although two blocks or three are rehearsed, on shapes alone."""
    case = Case(name, targets, checkpointing=checkpointing)
    with FlopCounterMode(display=False) as counter:
        case.loss().backward()
    assert case.step.operations == counter.get_total_flops()


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
    """Although small clips are rehearsed, on shapes alone. In bf16 the case rounds rotary tables too."""
    case = Case(name, half=half, checkpointing=checkpointing)
    assert case.step.saved_bytes == pytest.approx(saved_by_autograd(case), rel=0.02 if half else 1e-3)


@pytest.mark.parametrize("targets", TARGETS[1:3])
def test_saved_activations_for_other_targets(targets):
    case = Case("tiny", targets)
    assert case.step.saved_bytes == pytest.approx(saved_by_autograd(case), rel=1e-3)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_the_peak_is_bounded_by_the_forecast_and_not_far_below_it(half, checkpointing):
    """On a CPU, of the nano transformer on clips that are large beside the text: 0.96 to 1.14 when fitted."""
    case = Case("nano", half=half, checkpointing=checkpointing, size=(128, 256))
    with rehearsal.Live() as live:
        case.loss().backward()
    forecast = case.step.saved_bytes + case.step.passing_bytes
    assert 0.95 < forecast / live.peak < 1.25


# (profile, changes): bytes at the fullest moment and of a step, operations a step, bytes of the cache and of
# checkpoints. Operations are as they were when formulas of our own reckoned them. Both memories grew when an
# H100 showed that the allocator keeps the root of the live bytes (in GiB) beyond them, and not 5 %.
PREDICTED = {
    ("smoke", ()): (1.38600e08, 2.76938e07, 2.47498e07, 1896064, 221184),
    ("nano", ()): (2.47746e08, 2.47746e08, 1.232873e10, 19188352, 7077888),
    ("a100", ()): (8.14150e10, 8.14150e10, 1.05911e17, 7410715264, 1101004800),
    ("paper", ()): (9.67557e10, 9.67557e10, 1.05911e17, 5862378544, 1101004800),
    ("a100", (("gradient_checkpointing", False), ("base_precision", ""))): (
        *(7.96578e11, 7.96578e11, 7.96777e16, 7410715264, 1101004800),
    ),
    ("a100", (("targets", "attn1+attn2+ffn"), ("rank", 32))): (
        *(9.03850e10, 9.03850e10, 1.07405e17, 7410715264, 10055843840),
    ),
    ("a100", (("model", "Wan-AI/Wan2.2-I2V-A14B-Diffusers"),)): (
        *(7.77022e10, 7.77022e10, 1.0532e17, 7094913664, 1468006400),
    ),
    ("a100", (("model", "Wan-AI/Wan2.2-TI2V-5B-Diffusers"), ("height", 704), ("num_frames", 121))): (
        *(3.37960e10, 2.74675e10, 7.7936e15, 3587918464, 330301440),
    ),
}


@pytest.mark.parametrize(("profile", "changes"), PREDICTED)
def test_predictions_of_the_shipped_profiles_stay(profile, changes):
    found = outlook.Outlook(resolve(StyleStage, profile, dict(changes)), 40)
    step, disk = found.moments["training: a step"], found.storage
    numbers = (found.peak.total, step.total, found.operations, disk.cache, disk.checkpoints)
    assert numbers == pytest.approx(PREDICTED[profile, changes], rel=2e-4)


def test_blocks_that_are_adapted_differently_are_rehearsed_one_by_one():
    """Of three blocks the second is adapted; the first saves nothing then."""
    case = Case("tiny", r"blocks\.1\.attn1\.to_out\.0")
    assert case.step.saved_bytes == pytest.approx(saved_by_autograd(case), rel=1e-3)
    plain = Case("tiny", "attn2").step
    block = dataclasses.replace(case.step, checkpointing=True)._block_bytes
    assert 0.5 < block / dataclasses.replace(plain, checkpointing=True)._block_bytes < 1


def test_memory_grows_with_the_clip_as_the_author_of_diffusion_pipe_measured():
    """Wan 14B, bf16 under checkpointing: 12.2 GB at 512 x 512 x 21, 15.7 GB at 41 frames (its issue 153).

    Of live tensors: with what the allocator kept on our H100 we would say about 4.5 GB for these 3.5.
    """
    short, long = (
        outlook.Outlook(resolve_style(height=512, width=512, num_frames=frames), 1).a_step.live
        for frames in (21, 41)
    )
    assert (long - short) / 1e9 == pytest.approx(3.5, rel=0.15)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_batch_of_two_takes_twice_what_a_clip_takes(checkpointing):
    one = Case("tiny", checkpointing=checkpointing).step
    two = dataclasses.replace(one, clips=2)
    for name in ("operations", "saved_bytes", "passing_bytes"):
        assert getattr(two, name) == pytest.approx(2 * getattr(one, name))


def test_checkpointing_trades_memory_for_a_second_forward_pass():
    plain, again = (Case("nano", checkpointing=value).step for value in (False, True))
    assert again.saved_bytes < plain.saved_bytes / 5
    ratio = again.operations / plain.operations
    assert 1.3 < ratio < 1.6


@pytest.mark.parametrize(("layout", "share"), [("wan2.1", 0.25), ("wan2.1", 0.0), ("text and image", 0.25)])
def test_the_cache_has_the_size_that_was_forecast(tmp_path, layout, share):
    model = tiny_wan.save(tmp_path / "model", layout)
    clips = VideoFolder.open(style_dataset.write(tmp_path / "set", count=3, width=64))
    encoding = encoded_clips.Encoding(32, 64, 9, 16, grading.draw(0), 2, "a film, ", keep_looks=share > 0)
    encoders, store = encoded_clips.Encoders(str(model), device="cpu"), cache.Cache(tmp_path / "cache")
    found = encoded_clips.encode_clips(clips, encoding, encoders, store)
    encoded_clips.encode_clips(clips, dataclasses.replace(encoding, shuffle_looks=True), encoders, store)
    encoded_clips.encode_text("", encoders, store)
    texts = [path for example in found for path in (example.prompt, example.plain_prompt)]
    tokens = [len(cache.read(path)["prompt_embeds"]) for path in texts]
    geometry = Geometry(read_configs(str(model)), 32, 64, 9)
    params = resolve_style(conditioning_variants=2, preservation_share=share)
    forecast = storage.of_training(params, geometry, 3, adapter=0, caption_tokens=round(sum(tokens) / 6))
    sizes = {
        kind: sum(path.stat().st_size for path in (tmp_path / "cache" / kind).iterdir())
        for kind in ("latents", "condition", "text")
    }
    assert forecast.latents == pytest.approx(sizes["latents"], rel=0.03)
    assert forecast.conditions == pytest.approx(sizes["condition"], rel=0.03)
    assert forecast.text == pytest.approx(sizes["text"], rel=0.25)  # a few hundred bytes a caption


def plan(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["estimate", *arguments])


def test_the_plan_of_the_paper_states_the_published_counts_and_its_error():
    answer = plan("--profile", "a100", "--gpu", "H200")
    assert "16,394,878,784" in answer.stdout and "5,680,910,336" in answer.stdout
    assert "19,660,800" in answer.stdout and "75,600 tokens" in answer.stdout
    assert "75.8 GiB ± 1.5 GiB" in answer.stdout and "±40%" in answer.stdout


def test_what_cannot_fit_is_refused_with_the_nearest_that_does():
    answer = plan("--gpu", "rtx-4090", "--gpu", "A100-80GB", "-p", "02.gradient_checkpointing=false")
    assert answer.exit_code == 2
    small, large = answer.stderr.splitlines()
    assert small.startswith("error: RTX-4090: training: a step needs ") and "-p 02." in small
    options = large.split("the nearest that surely fits is ")[1].split(" (")[0].split()
    again = plan("--gpu", "A100-80GB", *options)
    assert again.exit_code == 0, again.stderr


def test_changes_to_no_effect_come_before_changes_to_the_result():
    params = resolve_style(num_frames=17, height=480, width=832, gradient_checkpointing=False)
    assert outlook.Outlook(params, 40).fits(hardware.GPUS["A100-80GB"]) == "no"
    _, changes = outlook.Outlook(params, 40).nearest(hardware.GPUS["A100-80GB"])
    assert changes == {"gradient_checkpointing": True}
    pair = outlook.Outlook(resolve_style(num_frames=49, train_batch_size=2), 40)
    _, changes = pair.nearest(hardware.GPUS["A100-80GB"])
    assert changes == {"train_batch_size": 1, "gradient_accumulation_steps": 8}


def resolve_style(**changes):
    return resolve(StyleStage, "a100", {"base_precision": "", **changes})


def test_copies_in_each_process_can_become_shares():
    copies = outlook.Outlook(resolve_style(processes=4, strategy="ddp"), 40)
    _, changes = copies.nearest(hardware.GPUS["A100-80GB"])
    assert changes == {"base_precision": "fp8"}  # nearer than another engine
    rounded = copies.with_changes(base_precision="fp8", num_frames=89)
    assert rounded.nearest(hardware.GPUS["A100-80GB"])[1] == {"base_precision": "nf4"}


def test_sharding_divides_the_weights_and_leaves_the_activations():
    one = outlook.Outlook(resolve_style(), 40)
    two = one.with_changes(processes=2, strategy="fsdp2")
    assert two.a_step.activations == one.a_step.activations
    assert one.a_step.base / 2 < two.a_step.base < 0.6 * one.a_step.base
    assert two.a_step.adapter == one.a_step.adapter / 2
    gpu = hardware.GPUS["A100-80GB"]
    assert two.seconds(gpu) >= one.seconds(gpu)
    slow = dataclasses.replace(
        gpu, link=1e-3
    )  # then all waits for weights: twice a batch, 2 bytes, the other half
    weights = 2 * 2 * two.parameters["transformer"] / 2
    assert two.seconds(slow) == pytest.approx(two.params.gradient_accumulation_steps * weights / 1e6)


def test_a_low_precision_base_saves_nothing_without_recomputation():
    plain = outlook.Outlook(resolve_style(gradient_checkpointing=False), 40)
    assert plain.with_changes(base_precision="fp8").a_step.base > plain.a_step.base
    again = plain.with_changes(gradient_checkpointing=True)
    stored = [again.with_changes(base_precision=name).a_step.base for name in ("", "fp8", "nf4")]
    assert stored == sorted(stored, reverse=True) and stored[2] < 0.35 * stored[0]


def test_the_shares_of_the_peak_are_those_of_the_published_times():
    film = Geometry(CATALOGUE["Wan-AI/Wan2.1-I2V-14B-720P-Diffusers"].configs, 720, 1280, 81)
    for name, seconds in {"A100-80GB": 2715.5, "H200": 974.0}.items():
        gpu = hardware.GPUS[name]
        assert film.sampling_flops(40) / seconds / (gpu.peak * 1e12) == pytest.approx(gpu.share, abs=0.015)
        assert outlook.Outlook(resolve_style(), 40).clip_seconds(gpu) == pytest.approx(seconds, rel=0.03)


MEASURED = json.loads((RESULTS / "accelerator.json").read_text("utf-8"))["rows"]
PLAIN = [row for row in MEASURED if row["kind"] != "smoke" and row["technique"] in ("", "fp8 storage")]


@pytest.mark.parametrize("row", PLAIN, ids=[row["name"] for row in PLAIN])
def test_what_an_h100_measured_lies_within_the_stated_error(row, monkeypatch):
    """Every plain row; caches and other kernels are techniques that the estimate does not know."""
    monkeypatch.syspath_prepend(RESULTS.parent)
    rows = importlib.import_module("accelerator_rows")
    fields = {field.name for field in dataclasses.fields(rows.Row)} - {"published"}
    given = rows.Row(**{name: value for name, value in row.items() if name in fields})
    found = rows.plan(given, "H100-80GB")
    seconds = row.get("seconds", row.get("seconds_reckoned"))
    assert seconds == pytest.approx(found["seconds"], rel=found["seconds_error"])
    missed = row["peak_bytes"]["reserved"] - found["bytes"]
    assert missed <= found["bytes_error"]
    if given.checkpointing:  # without, the allocator keeps less than is said
        assert missed >= -found["bytes_error"]


def test_the_h100_says_measured_and_the_a100_assumed():
    answer = plan("--gpu", "H100-80GB", "--gpu", "A100-80GB")
    assert "share of H100-80GB: measured" in answer.stdout and "±11%" in answer.stdout
    assert "share of A100-80GB: assumed" in answer.stdout and "±30%" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu", "A100-90GB"], "did you mean 'A100-80GB'?"),
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
    assert nano["gpus"]["A100-80GB"]["fits"] == "yes"
    assert layers.count("transformer", dict(model.config)) == nano["parameters"]["transformer"]


GIB = 2**30


@pytest.mark.parametrize("layout", ["wan2.1", "text and image"])
def test_the_vae_takes_what_was_rehearsed(layout):
    """Really run on a CPU, on a clip of another size and length."""
    vae = tiny_wan.LAYOUTS[layout]().vae.eval()
    height, width, frames = 128, 192, 17
    with torch.no_grad(), rehearsal.Live() as encoding:
        latents = vae.encode(torch.zeros(1, 3, frames, height, width)).latent_dist.mode()
    with torch.no_grad(), rehearsal.Live() as decoding:
        vae.decode(torch.zeros(latents.shape), return_dict=False)
    clip = Geometry({"vae": dict(vae.config)}, height, width, frames)
    forecast = rehearsal.vae_bytes(dict(vae.config), clip)
    assert forecast == pytest.approx((encoding.peak, decoding.peak), rel=0.06)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["nano", "tiny", "two experts", "text and image"])
def test_a_forward_pass_without_gradient_takes_what_was_rehearsed(name, half):
    """The rehearsal has two blocks, the model three or more: a block leaves nothing behind."""
    case = Case(name)
    case.transformer.delete_adapters("style")
    config, dtype = case.transformer.config, torch.bfloat16 if half else torch.float32
    case.transformer.to(dtype).eval()
    with torch.no_grad(), rehearsal.Live() as live:
        shapes = [(1, *case.geometry.model_input), (1, 512, config.text_dim)]
        video, text = (torch.zeros(shape, dtype=dtype) for shape in shapes)
        image = None
        if config.image_dim:
            image = torch.zeros(1, case.geometry.image_tokens, config.image_dim, dtype=dtype)
        in_place = case.geometry.layout.first_frame_in_place
        timestep = torch.zeros(1, case.geometry.tokens) if in_place else torch.zeros(1)
        case.transformer(video, timestep, text, image, return_dict=False)
    assert rehearsal.denoising_bytes(case.geometry, half) == pytest.approx(live.peak, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "size"),
    [("Wan2.1-I2V-14B-720P", (720, 1280, 81)), ("Wan2.2-TI2V-5B", (704, 1280, 121))],
)
def test_a_whole_step_of_the_published_models_takes_what_is_forecast(model, size):
    """All blocks at full size, on shapes alone. Forecast over counted was 0.97 and 1.03 when written."""
    clip = Geometry(CATALOGUE[f"Wan-AI/{model}-Diffusers"].configs, *size)
    forecast = Step(clip, 8, "attn2", checkpointing=True)
    transformer = layers.build("transformer", clip.configs["transformer"]).requires_grad_(False).train()
    lora.add(transformer, lora.AdapterCard(8, 16.0, "attn2"))
    transformer.enable_gradient_checkpointing()
    config = transformer.config
    with FakeTensorMode():
        rehearsal.fake(transformer, torch.bfloat16)
        timestep = torch.zeros(1, clip.tokens) if clip.layout.first_frame_in_place else torch.zeros(1)
        image = torch.zeros(1, clip.image_tokens, config.image_dim) if config.image_dim else None
        with rehearsal.Live() as live, torch.autocast("cpu", torch.bfloat16):
            video, text = torch.zeros(1, *clip.model_input), torch.zeros(1, 512, config.text_dim)
            transformer(video, timestep, text, image, return_dict=False)[0].float().square().mean().backward()
    assert forecast.saved_bytes + forecast.passing_bytes == pytest.approx(live.peak, rel=0.04)


def test_the_fullest_moment_decides_what_fits():
    """On 8 small cards a step fits; but then one process samples with the whole base, 30.5 GiB."""
    small = {"height": 480, "width": 832, "num_frames": 17}
    shared = outlook.Outlook(resolve_style(processes=8, strategy="fsdp2", **small), 40)
    gpu = hardware.GPUS["RTX-4090"]
    assert gpu.holds(shared.a_step) == "yes" and shared.fits(gpu) == "no"
    assert shared.moments["sampling: denoising"].base == pytest.approx(2 * 16_394_878_784, rel=0.001)
    assert shared.peak is shared.moments["sampling: denoising"]
    assert shared.fits(hardware.GPUS["A6000"]) == "yes"


def test_each_moment_has_its_own_weights():
    moments = outlook.Outlook(resolve_style(base_precision="nf4"), 40).moments
    assert list(moments) == [
        "encoding: VAE",
        "encoding: text encoder",
        "encoding: image encoder",
        "training: a step",
        "training: sample clips",
        "sampling: denoising",
        "sampling: decoding",
    ]
    vae = 4 * 126_892_531
    assert moments["sampling: decoding"].base == vae
    encoders = [moment.base for name, moment in moments.items() if name.startswith("encoding")]
    assert min(encoders) == max(encoders) > vae + 2 * 5_680_910_336  # they are loaded together
    trained, sampled = (moments[name].base for name in ("training: a step", "sampling: denoising"))
    assert trained == sampled + vae  # which waits for the sample clips
    without = outlook.Outlook(resolve_style(base_precision="nf4", sample_every=0), 40).moments
    assert "training: sample clips" not in without and without["training: a step"].base == sampled


def test_sample_clips_are_given_up_before_the_base_is_rounded():
    small = {"height": 480, "width": 832, "num_frames": 85, "base_precision": "fp8"}
    fp8 = outlook.Outlook(resolve_style(**small), 40)
    gpu = hardware.GPUS["A6000"]
    assert gpu.holds(fp8.a_step) == "yes" and fp8.fits(gpu) == "tight"
    assert fp8.nearest(gpu)[1] == {"sample_every": 0}
    needed = fp8.with_changes(patience=5, early_stopping="perceptual")
    assert needed.nearest(gpu)[1] == {"base_precision": "nf4"}


class Given(memory.Memory):
    """Of which the allocator keeps nothing."""

    kept = 0.0


def test_a_verdict_knows_its_error():
    gpu = hardware.GPUS["A100-80GB"]
    assert gpu.free == gpu.memory - 1  # the driver's
    free = gpu.free * GIB
    for share, verdict in ((0.90, "yes"), (0.98, "tight"), (1.02, "tight"), (1.10, "no")):
        assert gpu.holds(Given(0, 0, 0, share * free, unsure=0.05)) == verdict
    assert gpu.holds(memory.Memory(free, 0, 0, 0)) == "yes"  # weights are exact
    assert gpu.holds(memory.Memory(free + 1, 0, 0, 0)) == "no"


def test_what_may_not_fit_is_warned_of_and_not_refused():
    two = ["-p", "02.model=Wan-AI/Wan2.2-I2V-A14B-Diffusers", "-p", "02.num_frames=89"]
    answer = plan(*two, "--gpu", "A100-80GB")
    assert answer.exit_code == 0 and "tight" in answer.stdout
    assert answer.stderr.startswith("warning: A100-80GB: training: a step needs 77.")
    assert "surely fits is -p 02.base_precision=nf4" in answer.stderr


def test_processes_share_a_base_in_its_own_precision_unless_another_was_asked_for():
    short = plan("--json", "--processes", "8")
    long = plan("--json", "-p", "02.processes=8", "-p", "02.strategy=fsdp2", "-p", "02.base_precision=")
    assert json.loads(short.stdout) == json.loads(long.stdout)
    assert "stands for -p 02.processes=8 -p 02.strategy=fsdp2 -p 02.base_precision=\n" in short.stderr
    refused = plan("--processes", "8", "-p", "02.base_precision=fp8")
    assert refused.exit_code == 2 and refused.stderr.count("\n") == 1 and len(refused.stderr) < 150
    assert "'fp8' cannot be sharded" in refused.stderr and "'ddp'" in refused.stderr
    copies = plan("--processes", "8", "-p", "02.base_precision=fp8", "-p", "02.strategy=ddp")
    assert copies.exit_code == 0 and "a copy on each of 8, base in fp8" in copies.stdout
    twice = plan("--processes", "8", "-p", "02.processes=2")
    assert twice.exit_code == 2 and "give one" in twice.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--processes", "2"),
        ("--processes", "16"),
        ("-p", "02.gradient_checkpointing=false"),
        ("-p", "02.base_precision="),
    ],
)
def test_the_given_setting_is_marked_once_and_stands_among_others(arguments):
    table = plan(*arguments).stdout.split("GPU memory of other settings")[1].split("time: ")[0]
    assert table.count("<- given") == 1
    rows = [line.split("   ")[0] for line in table.splitlines() if "checkpointing" in line]
    assert len(rows) == len(set(rows)) >= 7


def test_time_counts_both_experts_and_both_controls():
    changes = {"max_train_steps": 1000}
    two = outlook.Outlook(resolve_style(model="Wan-AI/Wan2.2-I2V-A14B-Diffusers", **changes), 40)
    one = outlook.Outlook(resolve_style(**changes), 40)
    gpu = hardware.GPUS["H200"]
    assert (one.training_steps, two.training_steps) == (2000, 4000)
    assert two.training_seconds(gpu) == pytest.approx(4000 * two.seconds(gpu))
    told = plan("-p", "02.model=Wan-AI/Wan2.2-I2V-A14B-Diffusers", "--gpu", "H200")
    assert "2 experts x (4000 + 4000 of the control) = 16000 steps" in told.stdout
    assert two.storage.adapters == 2 * 3 * 4 * two.adapter  # film in two layouts, control
    assert two.storage.checkpoints == 2 * one.storage.checkpoints * two.adapter / one.adapter


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_checkpoints_have_the_size_that_was_forecast(tmp_path, decay):
    """Of a film's training that may be stopped and a control's that may not, an adapter wide enough."""
    transformer = tiny_training.fresh_transformer(lora.AdapterCard(64, 64.0, "attn2"))
    encoded = tiny_training.encode(tmp_path / "set", tmp_path / "cache")
    for name, patience in (("film", 5), ("control", 0)):
        recipe = tiny_training.changed(
            tiny_training.RECIPE, max_train_steps=4, ema_decay=decay, patience=patience
        )
        tiny_training.fit(transformer, encoded, tmp_path / name, recipe)
    size = sum(path.stat().st_size for name in ("film", "control") for path in (tmp_path / name).glob("*.pt"))
    adapter = sum(value.numel() for value in lora.parameters(transformer).values())
    clip = Geometry(read_configs(tiny_training.MODEL), 32, 48, 9)
    params = resolve_style(ema_decay=decay, patience=5, early_stopping="loss", checkpoints_kept=2)
    forecast = storage.of_training(params, clip, 1, adapter)
    assert forecast.checkpoints == pytest.approx(size, rel=0.1)
