"""What a training measures: average, early stopping, sample clips at fixed noise, TensorBoard's files."""

import math

import numpy as np
import pytest
import tiny_training
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_training import MODEL, RECIPE, changed, fit, fresh_transformer, same, weights

from cinelib.style import encoded_clips, flow_matching, lora, samples
from cinelib.style.history import EarlyStopping, TrainingBoard
from cinelib.wan import conditioning, pipeline


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    base = tmp_path_factory.mktemp("history")
    return tiny_training.encode(base / "set", base / "cache")


@pytest.fixture(scope="module")
def pipe():
    return pipeline.load_pipeline(MODEL, device="cpu")


@pytest.fixture
def transformer():
    return fresh_transformer()


class Growing:
    """A distance that grows with every clip, as if samples only became worse."""

    name = "PD[growing]"

    def __init__(self):
        self.calls = 0

    def __call__(self, frames, reference):
        self.calls += 1
        return np.full(len(frames), float(self.calls))


def clips(pipe, encoded, folder, distance=None):
    settings = samples.SampleClips(fps=16, every=2, num_inference_steps=2)
    found = settings.start(pipe, encoded[0], folder)
    found.distance = distance or found.distance
    return found


# --- moving average --------------------------------------------------------------------------------


def test_the_average_follows_its_formula_and_is_what_is_measured_and_shipped(transformer, encoded, tmp_path):
    steps = [weights(transformer)]
    recipe = changed(RECIPE, ema_decay=0.4, validation_every=6)
    history = fit(
        transformer,
        encoded,
        tmp_path,
        recipe,
        progress=lambda step, total: steps.append(weights(transformer)),
    )
    expected = {name: value.double() for name, value in steps[0].items()}
    for k, now in enumerate(steps[1:], start=1):
        decay = 0.0 if k == 1 else min(0.4, k / (9 + k))  # diffusers' warm-up
        expected = {n: decay * v + (1 - decay) * now[n].double() for n, v in expected.items()}
    for name, value in weights(transformer).items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-7)
    assert not same(weights(transformer), steps[-1])
    assert history.validation[-1]["loss"] == flow_matching.validate(transformer, encoded[0][:1])["loss"]
    assert history.validation[-1]["adapter_norm"] == pytest.approx(lora.norm(transformer))
    assert history.validation[0]["adapter_norm"] == 0


def test_without_an_average_training_is_untouched_by_it(transformer, encoded, tmp_path):
    last = []
    fit(transformer, encoded, tmp_path, progress=lambda step, total: last.append(weights(transformer)))
    assert same(last[-1], weights(transformer))


# --- early stopping --------------------------------------------------------------------------------


def test_early_stopping_counts_measurements_since_the_lowest():
    stopping, kept = EarlyStopping("held-out loss"), []
    for step, value in enumerate([3.0, 2.0, 2.0, math.nan, 2.5]):
        stopping.note(value, step, lambda: kept.append("copy") or {"w": torch.ones(1)})
    assert (stopping.best, stopping.step, stopping.since, len(kept)) == (2.0, 1, 3, 2)
    assert stopping.reason(0) is stopping.reason(4) is None
    assert "has not fallen below 2.0000 (step 1) in 3 measurements" in stopping.reason(3)


@pytest.mark.parametrize("curve", ["perceptual", "either"])
def test_a_distance_that_falls_no_more_stops_and_keeps_its_best(transformer, encoded, pipe, tmp_path, curve):
    start = weights(transformer)
    recipe = changed(RECIPE, max_train_steps=40, validation_every=40, patience=3, early_stopping=curve)
    found = clips(pipe, encoded, tmp_path / "samples", Growing())
    history = fit(transformer, encoded, tmp_path / "checkpoints", recipe, samples=found)
    assert history.step == 6 and history.stopped.startswith("PD[growing] has not fallen below")
    assert "(step 0) in 3 measurements" in history.stopped
    assert same(start, weights(transformer))
    assert [row["step"] for row in history.samples] == [0, 2, 4, 6]
    assert len(list((tmp_path / "samples").glob("step-*-0.mp4"))) == 4


def test_one_expert_of_two_is_not_asked_for_clips(transformer, encoded, pipe, tmp_path):
    recipe = changed(RECIPE, sigma_range=(0.9, 1.0))
    with pytest.raises(ValueError, match=r"no clip can be sampled from noise levels \(0.9, 1.0\) alone"):
        fit(transformer, encoded, tmp_path, recipe, samples=clips(pipe, encoded, tmp_path))


def test_what_is_not_measured_cannot_stop(transformer, encoded, tmp_path):
    recipe = changed(RECIPE, patience=2, early_stopping="perceptual")
    with pytest.raises(ValueError, match="needs sample clips"):
        fit(transformer, encoded, tmp_path, recipe)
    with pytest.raises(ValueError, match="needs held-out examples"):
        fit(transformer, encoded, tmp_path, changed(RECIPE, patience=2), validation=())


# --- sample clips ----------------------------------------------------------------------------------


def test_samples_are_what_the_pipeline_samples_without_guidance(pipe, encoded):
    image, text = Image.new("RGB", (48, 32), (180, 90, 40)), "a knight in the film"
    pixels = pipeline.to_pixels(np.asarray(image)[None])[:, :, 0]
    batch = encoded_clips.Batch(
        ("x",),
        torch.zeros(1, 16, 3, 4, 6),
        conditioning.condition(pipe.vae, pixels, 9),
        pipeline.encode_text(pipe, text),
        pipeline.encode_image(pipe, [image]),
    )
    found = samples.sample_latents(pipe.transformer, pipe.scheduler, batch, steps=3, seed=5)
    noise = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(5))
    shape = {"height": 32, "width": 48, "num_frames": 9, "num_inference_steps": 3, "guidance_scale": 1.0}
    theirs = pipe(image=image, prompt=text, latents=noise, output_type="latent", **shape).frames
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4)


def test_the_same_weights_give_the_same_samples_and_stillness_has_no_movement(pipe, encoded, tmp_path):
    found = clips(pipe, encoded, tmp_path)
    a, b = (found.draw(pipe.transformer) for _ in range(2))
    assert len(a) == 1 and found.distance.name == "PD[effnet-lite0]"
    assert torch.equal(a[0], b[0]) and a[0].shape == (1, 16, 3, 4, 6)
    film = encoded_clips.read_batch(encoded[0][:1], 0).latents
    row, last = found.measure([film], step=0)
    assert row == {"step": 0, "distance": 0.0, "movement": pytest.approx(1.0)}
    assert last.shape == (1, 32, 48, 3) and last.dtype == np.uint8
    frames = pipeline.to_frames(pipeline.decode_video(pipe.vae, film))
    still = np.repeat(frames[:1], len(frames), axis=0)
    assert samples.movement(still, found.distance) == 0 < samples.movement(frames, found.distance)


# --- TensorBoard -----------------------------------------------------------------------------------


def curves(folder):
    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_tensorboard_shows_the_curves(transformer, encoded, tmp_path):
    history = fit(transformer, encoded, tmp_path / "checkpoints", board=tmp_path / "board")
    found = curves(tmp_path / "board")
    for curve in ("train", "validation"):
        rows = [(row["step"], pytest.approx(row["loss"])) for row in getattr(history, curve)]
        assert found[f"{curve}/loss"] == rows
    assert [step for step, _ in found["validation/adapter_norm"]] == [0, 3, 6]


def test_a_resumed_training_leaves_no_step_twice(tmp_path):
    first = TrainingBoard(tmp_path)
    first.rows("train", [{"step": k, "loss": float(k)} for k in range(1, 6)])
    first.close()
    again = TrainingBoard(tmp_path)  # the last checkpoint was at step 3
    again.rows("train", [{"step": k, "loss": 10.0 + k} for k in range(1, 4)])
    again.close()
    assert curves(tmp_path)["train/loss"] == [(1, 11.0), (2, 12.0), (3, 13.0)]
