"""Step caches act or are refused; times alternate; several processes give what one gives."""

from pathlib import Path

import numpy as np
import psutil
import pytest
import tiny_wan
import torch
import yaml
from diffusers import TaylorSeerCacheConfig
from PIL import Image

from cinelib.acceleration import parallel, taylorseer, timing
from cinelib.acceleration.fewer_steps import FewerSteps
from cinelib.acceleration.first_block_cache import FirstBlockCache
from cinelib.acceleration.parallel import ParallelError, SamplingJob, Segment, lacking_devices, launch, sample
from cinelib.acceleration.parameters import InferenceAcceleration
from cinelib.acceleration.step_cache import BlockCounter, NoEffect, count_blocks, step_cache
from cinelib.acceleration.taylorseer import TaylorSeer
from cinelib.acceleration.timing import Timing, interleaved
from cinelib.evaluation.parameters import Evaluation
from cinelib.parameters import ParameterError
from cinelib.style import lora
from cinelib.wan import pipeline, sampling

ROOT = Path(__file__).resolve().parents[2]
STEPS, LAYERS = 6, 3
PLAIN = FewerSteps(STEPS)


@pytest.fixture(scope="module")
def pipe():
    pipe = tiny_wan.pipeline()
    pipe.register_modules(transformer=tiny_wan.transformer(layers=LAYERS).eval())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe, technique=PLAIN):
    """Latents of the pipeline's own call, and the blocks that it ran."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))
    clip = sampling.Sampling(32, 48, 5, technique.steps)
    with technique.apply(pipe.transformer) as counter:
        latents = sampling.call(pipe, "a knight", clip, (), "latent", image=image)
    return latents, counter


@pytest.fixture(scope="module")
def plain(pipe):
    return run(pipe)


def cache(threshold):
    return FirstBlockCache(STEPS, threshold)


@pytest.mark.parametrize(
    "technique",
    [
        PLAIN,
        FewerSteps(2),
        cache(0.0),
        cache(0.3),
        cache(1e9),
        TaylorSeer(STEPS, 3, warmup=2),
        TaylorSeer(STEPS, 2),
    ],
    ids=lambda technique: technique.name,
)
def test_each_technique_does_what_it_promises_and_leaves_nothing_behind(pipe, plain, technique):
    counter = run(pipe, technique)[1]
    technique.prove(counter)
    counted = len(counter.calls)
    assert torch.equal(run(pipe)[0], plain[0])
    assert len(counter.calls) == counted


@pytest.mark.parametrize(
    ("technique", "calls"),
    [
        (FewerSteps(2), [3, 3, 3, 2]),
        (FewerSteps(2), [3, 3]),
        (FirstBlockCache(2, 0.0), [3, 3, 1, 3]),
        (FirstBlockCache(2, 0.1), [3, 3, 2, 3]),  # neither all nor the first alone
        (FirstBlockCache(2, 0.1), [3, 3, 0, 3]),
        (FirstBlockCache(2, 0.1), [3, 1, 1, 1]),  # a first step that was not computed
        (FirstBlockCache(2, 0.1), [3, 3]),
        (TaylorSeer(3, 2, warmup=1), [3, 3, 3, 3, 3, 3]),  # it skipped nothing
        (TaylorSeer(3, 2, warmup=1), [3, 3, 0, 0, 3, 0]),
    ],
)
def test_a_count_that_is_not_the_techniques_is_refused(technique, calls):
    with pytest.raises(NoEffect, match=technique.name):
        technique.prove(BlockCounter(3, [set(range(count)) for count in calls]))


def test_the_plain_sampler_evaluates_every_block_in_two_calls_a_step(plain):
    _, counter = plain
    assert counter.per_call().tolist() == [LAYERS] * 2 * STEPS
    assert counter.skipped == 0 and counter.evaluated == 2 * STEPS * LAYERS


def test_a_cache_with_threshold_zero_changes_nothing(pipe, plain):
    latents, counter = run(pipe, cache(0.0))
    assert torch.equal(latents, plain[0]) and counter.skipped == 0


def test_a_first_block_cache_that_always_hits_computes_the_first_block_only(pipe, plain):
    latents, counter = run(pipe, cache(1e9))
    # Both branches of the first step are computed in full, later calls only their first block.
    assert counter.per_call().tolist() == [LAYERS, LAYERS] + [1] * 2 * (STEPS - 1)
    assert counter.skipped == 2 * (LAYERS - 1) * (STEPS - 1)
    assert not torch.equal(latents, plain[0]) and torch.isfinite(latents).all()


def test_more_threshold_never_computes_more(pipe):
    counts = [run(pipe, cache(threshold))[1].evaluated for threshold in (0.0, 0.05, 0.3, 1e9)]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_taylorseer_predicts_on_the_named_modules(pipe, plain):
    latents, counter = run(pipe, TaylorSeer(STEPS, 3, warmup=2))
    assert counter.per_call()[::2].tolist() == [LAYERS, LAYERS, 0, LAYERS, 0, 0]
    assert not torch.equal(latents, plain[0])


@pytest.mark.parametrize(
    ("patterns", "missed"),
    [
        ({}, 3),  # diffusers' own, which match nothing
        ({"cache_identifiers": [r"blocks\.0\.(attn1|attn2|ffn)"]}, 2),  # as many hooks as there are blocks
        ({"cache_identifiers": [r"blocks\.[02]\.(attn1|attn2|ffn)"]}, 1),
    ],
)
def test_a_cache_that_does_not_hook_every_block_is_refused_and_leaves_nothing(pipe, plain, patterns, missed):
    with (
        pytest.raises(NoEffect, match=f"attached nothing to {missed} of 3 blocks"),
        step_cache(pipe.transformer, TaylorSeerCacheConfig(**patterns)),
    ):
        pass
    assert torch.equal(run(pipe)[0], plain[0])


@pytest.mark.parametrize("part", ["attn1", "attn2", "ffn"])
def test_a_cache_that_predicts_a_part_of_each_block_has_not_skipped_the_block(pipe, monkeypatch, part):
    monkeypatch.setattr(taylorseer, "MODULES", [rf"blocks\.\d+\.{part}"])
    technique = TaylorSeer(STEPS, 3, warmup=2)
    with pytest.raises(NoEffect, match="TaylorSeer /3"):
        technique.prove(run(pipe, technique)[1])


def test_an_error_inside_leaves_nothing_behind(pipe, plain):
    with pytest.raises(RuntimeError, match="inside"), cache(0.5).apply(pipe.transformer):
        raise RuntimeError("inside")
    assert torch.equal(run(pipe)[0], plain[0])


def test_two_clips_do_not_share_a_cache(pipe):
    assert torch.equal(run(pipe, cache(0.3))[0], run(pipe, cache(0.3))[0])


def test_a_counter_that_saw_no_call_is_empty(pipe):
    with count_blocks(pipe.transformer) as counter:
        assert counter.evaluated == counter.skipped == 0 and counter.calls == []


def test_timing_alternates_and_ratios_cancel_drift(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
    order = []
    calls = {name: lambda number, name=name: order.append((name, number)) for name in "abc"}
    timings, results = interleaved(calls, rounds=3, warmup=1)
    assert [name for name, _ in order] == list("abc" + "abc" + "bca" + "cab")
    assert all(len(values) == 3 for values in results.values())
    assert timings["a"].median == 1.0
    slowing, halved = Timing((1.0, 2.0, 4.0)), Timing((0.5, 1.0, 2.0))
    assert halved.speedup(slowing) == (2.0, 2.0, 2.0)
    # Round by round 3, 2 and 10: the median of the ratios, not the ratio of medians (2) or means (8.2).
    assert Timing((1.0, 2.0, 10.0)).speedup(Timing((3.0, 4.0, 100.0))) == (3.0, 2.0, 10.0)
    with pytest.raises(ValueError, match="and one round"):
        interleaved(calls, rounds=0)


def test_a_busy_machine_is_told_as_a_share(monkeypatch):
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 25.0)
    assert timing.busy_share() == 0.25


def test_published_times_scale_but_no_card_count_reaches_187_seconds():
    seconds = yaml.safe_load((ROOT / "data" / "published.yaml").read_text("utf-8"))["wan_seconds"]
    assert min(min(times.values()) for times in seconds.values()) == 238.8 > 187
    assert seconds["A100-80GB"][1] / seconds["A100-80GB"][8] == pytest.approx(6.97, abs=0.01)


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        (InferenceAcceleration, {"fewer_steps": [12]}, "fewer_steps .* must lie between 1 and 11"),
        (InferenceAcceleration, {"thresholds": [0.0]}, "0 is the plain sampler"),
        (InferenceAcceleration, {"processes": 1}, "processes"),
        (Evaluation, {"i3d": "i3d.pt"}, "i3d and i3d_sha256 go together"),
        (Evaluation, {"in_domain_scenes": 1}, "in_domain_scenes"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_a_kernel_starts(model, values, message):
    with pytest.raises(ParameterError, match=message):
        model.check(values)


def job(model, image, **changes):
    segments = (
        Segment(image, "a knight", 0),
        Segment(image, "the film", 1, last_image=image),
        Segment(image, "a knight", 2),
    )
    return SamplingJob(str(model), segments, sampling.Sampling(32, 48, 5, 2), flow_shift=5.0, **changes)


@pytest.fixture(scope="module")
def saved(tmp_path_factory, pipe):
    folder = tmp_path_factory.mktemp("parallel")
    pipe.save_pretrained(folder / "model")
    image = str(folder / "first.png")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(image)
    return folder / "model", image


def test_processes_without_an_accelerator_of_their_own_are_refused(saved, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 0)
    assert lacking_devices(2) is None  # on a CPU they share cores
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setattr(parallel.subprocess, "run", lambda *_, **__: pytest.fail("processes were started"))
    assert lacking_devices(1) is None
    with pytest.raises(ValueError, match="2 processes need 2 accelerators, one each; here: 1"):
        launch(job(*saved), 2)


@pytest.mark.parametrize(("processes", "what"), [(1, "12 tokens"), (5, "12 tokens"), (4, "2 heads")])
def test_what_cannot_be_shared_is_refused_before_anything_starts(saved, processes, what):
    with pytest.raises(ValueError, match=f"over {processes} processes cannot share {what}"):
        launch(job(*saved), processes)


def test_a_wide_still_is_cropped_and_not_stretched(saved, tmp_path):
    """White rims that cropping to the clip's shape cuts off, and stretching would keep."""
    model, _ = saved
    wide = np.full((32, 96, 3), 255, np.uint8)
    wide[:, 24:-24] = np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(wide[:, 24:-24]).save(tmp_path / "middle.png")
    pipe = pipeline.load_pipeline(model, device="cpu")
    cropped, given = (
        sample(pipe, one, one.segments[1])
        for one in (job(model, str(tmp_path / name)) for name in ("wide.png", "middle.png"))
    )
    assert torch.equal(cropped, given)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_give_exactly_what_one_gives(saved, tmp_path):
    """With an adapter, and another flow shift than the model's own."""
    pipe, card = (
        pipeline.load_pipeline(saved[0], device="cpu", flow_shift=5.0),
        lora.AdapterCard(2, 4.0, "attn2"),
    )
    lora.add(pipe.transformer, card)
    for value in lora.parameters(pipe.transformer).values():
        value.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    lora.save(tmp_path, pipe.transformer, card)
    given = job(*saved, rounds=3, lora=str(tmp_path))
    here = [sample(pipe, given, segment) for segment in given.segments]
    outcomes = launch(given, 2)
    assert set(outcomes) == {"single", "threads", "again", "segments", "context"}
    for mode, outcome in outcomes.items():
        assert len(outcome.seconds) == (1 if mode == "single" else 3) and min(outcome.seconds) > 0
        for latents, alone in zip(outcome.latents, outcomes["single"].latents, strict=True):
            if mode in ("threads", "again"):  # more threads add in another order
                torch.testing.assert_close(latents, alone, rtol=1e-4, atol=1e-4)
            else:
                assert torch.equal(latents, alone), mode
    for latents, wanted in zip(outcomes["single"].latents, here, strict=True):
        torch.testing.assert_close(latents, wanted, rtol=1e-4, atol=1e-4)
    first, _, third = outcomes["single"].latents
    assert not torch.equal(first, third)  # a segment's number is its noise


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_failing_process_says_why(saved):
    model, _ = saved
    with pytest.raises(ParallelError, match="FileNotFoundError"):
        launch(job(model, "nowhere.png"), 2)
