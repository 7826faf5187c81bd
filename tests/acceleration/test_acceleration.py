"""Step caches act or are refused; times alternate; several processes give what one gives."""

import numpy as np
import pytest
import tiny_wan
import torch
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig
from PIL import Image

from cinelib.acceleration import step_cache as acceleration
from cinelib.acceleration.parallel import Job, ParallelError, Segment, launch
from cinelib.acceleration.parameters import InferenceAcceleration
from cinelib.acceleration.step_cache import (
    WAN_TAYLORSEER_MODULES,
    NoEffect,
    block_ledger,
    hooked_modules,
    step_cache,
)
from cinelib.acceleration.timing import WAN_PUBLISHED_SECONDS, Timing, interleaved
from cinelib.evaluation.parameters import Evaluation
from cinelib.parameters import ParameterError

STEPS, LAYERS = 6, 3


@pytest.fixture(scope="module")
def pipe():
    pipe = tiny_wan.pipeline()
    pipe.register_modules(transformer=tiny_wan.transformer(layers=LAYERS).eval())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sample(pipe, config=None, steps=STEPS):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))
    with step_cache(pipe.transformer, config) as ledger:
        latents = pipe(
            image=image,
            prompt="a knight",
            negative_prompt="",
            height=32,
            width=48,
            num_frames=5,
            num_inference_steps=steps,
            guidance_scale=3.0,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).frames
    return latents, ledger


@pytest.fixture(scope="module")
def plain(pipe):
    return sample(pipe)


def taylorseer(**changes):
    settings = {"cache_interval": 3, "disable_cache_before_step": 2, "taylor_factors_dtype": torch.float32}
    return TaylorSeerCacheConfig(**{**settings, "cache_identifiers": WAN_TAYLORSEER_MODULES, **changes})


def test_the_plain_sampler_evaluates_every_block_in_two_calls_a_step(plain):
    _, ledger = plain
    assert ledger.per_call().tolist() == [LAYERS] * 2 * STEPS
    assert ledger.skipped == 0 and ledger.evaluated == 2 * STEPS * LAYERS


def test_a_cache_with_threshold_zero_changes_nothing(pipe, plain):
    latents, ledger = sample(pipe, FirstBlockCacheConfig(threshold=0.0))
    assert torch.equal(latents, plain[0]) and ledger.skipped == 0


def test_a_first_block_cache_that_always_hits_computes_the_first_block_only(pipe, plain):
    latents, ledger = sample(pipe, FirstBlockCacheConfig(threshold=1e9))
    # Both branches of the first step are computed in full, later calls only their first block.
    assert ledger.per_call().tolist() == [LAYERS, LAYERS] + [1] * 2 * (STEPS - 1)
    assert ledger.skipped_share == pytest.approx((LAYERS - 1) * (STEPS - 1) / (LAYERS * STEPS))
    assert not torch.equal(latents, plain[0]) and torch.isfinite(latents).all()


def test_more_threshold_never_computes_more(pipe):
    counts = [sample(pipe, FirstBlockCacheConfig(threshold=t))[1].evaluated for t in (0.0, 0.05, 0.3, 1e9)]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_taylorseer_predicts_on_the_named_modules(pipe, plain):
    latents, ledger = sample(pipe, taylorseer())
    # Steps 0 and 1 warm up; then (step - 3) % 3 == 0 is computed.
    assert ledger.per_call()[::2].tolist() == [LAYERS, LAYERS, 0, LAYERS, 0, 0]
    assert not torch.equal(latents, plain[0])


def test_taylorseers_default_patterns_are_refused_because_they_match_nothing(pipe):
    with pytest.raises(NoEffect, match="attached 0 hooks to a transformer of 3 blocks"):
        sample(pipe, taylorseer(cache_identifiers=None))


def test_a_cache_leaves_nothing_behind(pipe, plain):
    with (
        pytest.raises(RuntimeError, match="inside"),
        step_cache(pipe.transformer, FirstBlockCacheConfig(threshold=0.5)),
    ):
        assert len(hooked_modules(pipe.transformer)) == LAYERS
        raise RuntimeError("inside")
    assert hooked_modules(pipe.transformer) == []
    assert torch.equal(sample(pipe)[0], plain[0])


def test_two_clips_do_not_share_a_cache(pipe):
    config = FirstBlockCacheConfig(threshold=0.3)
    assert torch.equal(sample(pipe, config)[0], sample(pipe, config)[0])


def test_the_ledger_counts_a_call_outside_a_pipeline(pipe):
    with block_ledger(pipe.transformer) as ledger:
        assert ledger.skipped_share == 0 and ledger.calls == []
    ledger.clear()
    assert ledger.evaluated == 0


def test_timing_alternates_and_ratios_cancel_drift(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(acceleration.time, "perf_counter", lambda: float(next(clock)))
    order = []
    calls = {name: lambda number, name=name: order.append((name, number)) for name in "abc"}
    timings, results = interleaved(calls, rounds=3, warmup=1)
    assert [name for name, _ in order] == list("abc" + "abc" + "bca" + "cab")
    assert all(len(values) == 3 for values in results.values())
    assert timings["a"].median == 1.0
    slowing, halved = Timing((1.0, 2.0, 4.0)), Timing((0.5, 1.0, 2.0))
    assert halved.speedup(slowing) == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="and one round"):
        interleaved(calls, rounds=0)


def test_published_times_scale_but_no_card_count_reaches_187_seconds():
    assert min(WAN_PUBLISHED_SECONDS.values()) == 238.8 > 187
    assert WAN_PUBLISHED_SECONDS["A100-80GB", 1] / WAN_PUBLISHED_SECONDS["A100-80GB", 8] == pytest.approx(
        6.97, abs=0.01
    )


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
    segments = (Segment(image, "a knight", 0), Segment(image, "the film", 1, last_image=image))
    return Job(
        **{
            "model": str(model),
            "segments": segments,
            "height": 32,
            "width": 48,
            "num_frames": 5,
            "num_inference_steps": 2,
            "guidance_scale": 3.0,
            "flow_shift": 3.0,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory, pipe):
    folder = tmp_path_factory.mktemp("parallel")
    pipe.save_pretrained(folder / "model")
    image = str(folder / "first.png")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(image)
    return folder / "model", image


@pytest.mark.parametrize(("processes", "what"), [(1, "12 tokens"), (5, "12 tokens"), (4, "2 heads")])
def test_what_cannot_be_shared_is_refused_before_anything_starts(saved, processes, what):
    with pytest.raises(ValueError, match=f"over {processes} processes cannot share {what}"):
        launch(job(*saved), processes)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_give_exactly_what_one_gives(saved):
    outcomes = launch(job(*saved, rounds=2), 2)
    assert set(outcomes) == {"single", "threads", "segments", "context"}
    for mode, outcome in outcomes.items():
        assert len(outcome.seconds) == 2 and min(outcome.seconds) > 0
        for latents, alone in zip(outcome.latents, outcomes["single"].latents, strict=True):
            if mode == "threads":  # more threads add in another order
                torch.testing.assert_close(latents, alone, rtol=1e-4, atol=1e-4)
            else:
                assert torch.equal(latents, alone), mode
    first, second = outcomes["single"].latents
    assert not torch.equal(first, second)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_failing_process_says_why(saved):
    model, _ = saved
    with pytest.raises(ParallelError, match="FileNotFoundError"):
        launch(job(model, "nowhere.png"), 2)
