"""The recipe for one accelerator: clips and their mirror images, clocks, files that survive a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SMOKE = ROOT / "data" / "smoke-wan"


# clips


def test_a_scene_mirrored_twice_is_itself():
    from backlot import sample_scene
    from classroom.rushes import mirrored

    scenes = [sample_scene(seed) for seed in range(60)]
    assert all(mirrored(mirrored(scene)) == scene for scene in scenes)
    for scene in scenes:
        sides = [word for word in scene.caption.split() if word in ("left", "right")]
        other = [word for word in mirrored(scene).caption.split() if word in ("left", "right")]
        assert other == [{"left": "right", "right": "left"}[word] for word in sides]


@pytest.mark.parametrize("move", ["pans left", "pans right", "dollies in"])
def test_the_mirrored_caption_names_the_move_that_the_mirror_shows(move):
    from backlot import render, sample_scene
    from classroom.camera_motion import camera_move
    from classroom.rushes import mirrored

    scene = sample_scene(11, camera=move)
    frames = render(scene).frames
    assert camera_move(frames) == move
    assert camera_move(np.ascontiguousarray(frames[:, :, ::-1])) == mirrored(scene).camera


def test_filmed_clips_are_the_rendered_ones():
    from classroom import rushes, scenes

    shape = scenes.Shape(5, 32, 48)
    filmed, rendered = rushes.film(range(3), shape), scenes.render_clips(range(3), shape)
    assert np.array_equal(filmed.frames, rendered.frames)
    assert filmed.captions == rendered.captions


def test_every_seed_falls_to_one_worker():
    from classroom.rushes import blocks

    seeds = range(100, 137)
    shared = [seed for worker in range(3) for part in blocks(worker, 3, seeds, 4) for seed in part]
    assert sorted(shared) == list(seeds)


def test_what_is_encoded_at_once_has_wans_layout():
    import torch
    from classroom import encoding, rushes, scenes
    from classroom.store import Encoder, encoded_once

    from cinelib.wan.pipeline import load_pipeline

    pipe = load_pipeline(SMOKE)
    filmed = rushes.film(range(3, 5), scenes.Shape(9, 32, 48))
    mine = encoded_once(Encoder(pipe, pipe.vae), filmed)
    pixels = encoding.to_pixels(filmed.frames)
    for name, theirs in {
        "latents": encoding.latents(pipe.vae, pixels, bf16=False),
        "condition": encoding.condition(pipe.vae, pixels, False, bf16=False),
        "condition_last": encoding.condition(pipe.vae, pixels, True, bf16=False),
        "text": encoding.text_tokens(pipe, filmed.captions),
    }.items():
        assert torch.allclose(getattr(mine, name).float(), theirs, atol=5e-3), name
    theirs = encoding.image_tokens(pipe, filmed.frames[:, 0])  # squeezed by another library
    assert torch.nn.functional.cosine_similarity(mine.image.float(), theirs, dim=-1).min() > 0.99


# schedules and optimisers


def test_a_span_ends_at_rate_zero_on_a_fast_and_on_a_slow_machine():
    from classroom.clock import Clock, Often, Span

    for seconds_a_step in (0.03, 4.0):
        time = [50.0]
        clock = Clock(now=lambda time=time: time[0])
        span, often, rates, saves = Span(5.0, 105.0, peak=1.0), Often(clock, 20.0), [], 0
        while not span.over(clock.seconds):
            rates.append(span.rate(clock.seconds))
            saves += often.due()
            time[0] += seconds_a_step
        assert max(rates) == pytest.approx(1, abs=0.02)
        assert rates[-1] < 0.01
        assert all(0 <= rate <= 1 for rate in rates)
        assert saves == 5


@pytest.mark.parametrize("shape", [(48, 16), (16, 48), (32, 32)])
def test_orthogonal_matrices_have_singular_values_near_one(shape):
    import torch
    from classroom.muon import orthogonal

    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0)) * 5
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert float(values.min()) > 0.3
    assert float(values.max()) < 1.4
    assert torch.allclose(orthogonal(matrices[1:2]), orthogonal(matrices)[1:2], atol=0.05)


def test_muon_takes_the_matrices_of_the_blocks_and_learns():
    import torch
    from classroom import architecture
    from classroom.muon import optimizers

    model = architecture.transformer(architecture.SMOKE)
    muon, adamw = optimizers(model, 1e-3)
    held = [group["params"] for optimizer in (muon, adamw) for group in optimizer.param_groups]
    assert sum(len(part) for part in held) == len(list(model.parameters()))
    assert all(weight.ndim == 2 for weight in held[0])
    weight = torch.nn.Parameter(torch.zeros(4, 6))
    goal, optimizer = (
        torch.randn(4, 6, generator=torch.Generator().manual_seed(0)),
        type(muon)([weight], 0.05),
    )
    for _ in range(200):
        loss = (weight - goal).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert float(loss) < 0.05


def test_compiling_that_fails_or_takes_too_long_leaves_the_plain_function():
    import torch
    from classroom.compiled import pays

    lines, state = [], []

    def slow(on):
        state.append(on)
        try:
            time.sleep(5 if on else 0)
        except Exception:
            time.sleep(5)

    def broken(on):
        state.append(on)
        if on:
            raise RuntimeError("no compiler")

    for switch in (slow, broken):
        assert not pays(switch, lambda: None, torch.device("cpu"), 0.2, lines.append)
        assert state[-1] is False
    assert "OutOfTimeError" in lines[0]
    assert "no compiler" in lines[1]


# the autoencoder


def test_half_size_latents_are_judged_by_the_half_size_picture():
    import torch
    from classroom import architecture, autoencoder, calm

    torch.manual_seed(0)
    net = architecture.vae(architecture.SMOKE)
    pixels = torch.rand(2, 3, 5, 32, 48) * 2 - 1
    small = autoencoder.decode(net, calm.half_size(autoencoder.encode(net, pixels)))
    assert small.shape == calm.half_size(pixels).shape == (2, 3, 5, 16, 24)
    assert float(calm.fidelity(pixels, pixels, calm.WEIGHTS)) == 0

    def loss(half):
        return calm.loss(net, pixels, torch.Generator().manual_seed(0), calm.Weights(half=half))

    apart = float(loss(1.0) - loss(0.0))
    assert apart == pytest.approx(2 * float(loss(0.5) - loss(0.0)), rel=1e-3)
    assert apart > 0.01
    loss(0.5).backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_conditions_are_grey_between_their_frames():
    import torch
    from classroom import calm

    clips = calm.grey_inside(torch.ones(4000, 1, 3, 1, 1), torch.Generator().manual_seed(0)).flatten(1)
    seen = {tuple(int(value) for value in row) for row in clips}
    assert seen == {(1, 1, 1), (1, 0, 0), (1, 0, 1)}
    assert float((clips[:, 1] == 0).float().mean()) == pytest.approx(0.1, abs=0.02)


# from start to files


def _start(out, seconds):
    command = [sys.executable, "-m", "classroom.shot", "--recipe", "rehearsal", "--device", "cpu"]
    command += ["--source", str(SMOKE), "--out", str(out), "--seconds", str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_rehearsal_leaves_files_that_become_a_checkpoint(tmp_path):
    from classroom.adopt import adopt
    from classroom.checkpoint import checksums

    assert _start(tmp_path / "out", 20).wait() == 0
    returned = {path.name for path in (tmp_path / "out").iterdir()}
    assert len(returned) <= 8
    rows = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["what"] == "finished"
    model = adopt(SMOKE, tmp_path / "out", tmp_path / "model", "one processor")
    assert "seeds 0 to about " in (model / "README.md").read_text()
    history = json.loads((model / "training.json").read_text())
    assert "denoiser" in history["stages"]
    assert len(history["held_out"][-1]["held_out"]["average"]["0.6"]["velocity_error"]) == 2
    listed = dict(reversed(line.split("  ")) for line in (model / "SHA256SUMS").read_text().splitlines())
    assert listed == checksums(model)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_kill_leaves_the_last_good_files_and_no_worker(tmp_path):
    from safetensors.torch import load_file

    process = _start(tmp_path, 600)
    weights = tmp_path / "vae.safetensors"
    while not weights.exists():
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(value.isfinite().all() for value in load_file(weights).values())
    assert json.loads((tmp_path / "vae.json").read_text())["z_dim"] == 16
    assert (tmp_path / "log.jsonl").read_text().count("\n") >= 2
