"""Cache, examples and the training loop, on the smoke checkpoint and tiny backlot clips."""

import dataclasses
import functools
import math
import shutil
import threading

import numpy as np
import pytest
import style_dataset
import tiny_training
import torch
from safetensors.torch import load_file, save_file
from tiny_training import (
    CARD,
    ENCODING,
    MODEL,
    RECIPE,
    changed,
    fit,
    fresh_transformer,
    same,
    uphill,
    weights,
)

from cinelib.parameters import ParameterError, resolve
from cinelib.preparation import storyboard
from cinelib.preparation.dataset import VideoFolder
from cinelib.style import cache, distributed, encoded_clips, flow_matching, grading, lora, training_state
from cinelib.style.parameters import StyleStage
from cinelib.style.training_state import TrainingState
from cinelib.wan import conditioning, pipeline


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return style_dataset.write(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def encoded(dataset, store):
    return tiny_training.encode(dataset, store)


@pytest.fixture
def transformer():
    return fresh_transformer()


# --- cache -----------------------------------------------------------------------------------------


def encode(dataset, store, encoding=ENCODING):
    encoders, box = encoded_clips.Encoders(MODEL, device="cpu"), cache.Cache(store)
    return (
        encoded_clips.encode_clips(VideoFolder.open(dataset), encoding, encoders, box),
        box.report,
        encoders,
    )


def test_a_second_encoding_reuses_all_and_loads_nothing(dataset, store, encoded):
    found, report, encoders = encode(dataset, store)
    assert found == encoded[0]
    assert not report.encoded and report.reused == {"latents": 12, "condition": 12, "text": 8}
    assert encoders._pipe is None


@pytest.mark.parametrize(
    "change, kinds",
    [
        ({"trigger": "another, "}, {"text"}),
        ({"num_frames": 5}, {"latents", "condition"}),
        ({"variants": 3}, {"latents", "condition"}),
        ({"seed": 1}, {"latents", "condition"}),
        ({"film": grading.draw(2)}, {"latents", "condition"}),
    ],
)
def test_what_changes_is_encoded_anew_and_nothing_else(dataset, store, encoded, change, kinds):
    _, report, _ = encode(dataset, store, dataclasses.replace(ENCODING, **change))
    assert set(report.encoded) == kinds


@pytest.mark.parametrize(
    "part, kinds",
    [("vae", {"latents", "condition"}), ("image_encoder", {"condition"}), ("text_encoder", {"text"})],
)
def test_other_weights_have_other_entries(dataset, store, encoded, tmp_path, part, kinds):
    other = tmp_path / "other"
    shutil.copytree(MODEL, other)
    (path,) = (other / part).glob("*.safetensors")
    tensors = load_file(path)
    first = min(tensors)
    save_file({**tensors, first: tensors[first] + 0.1}, path, {"format": "pt"})
    encoders, box = encoded_clips.Encoders(str(other), device="cpu"), cache.Cache(store)
    clip = list(VideoFolder.open(dataset))[:1]
    encoded_clips.encode_clips(clip, ENCODING, encoders, box)
    assert set(box.report.encoded) == kinds
    assert set(box.report.reused) == {"latents", "condition", "text"} - kinds


def test_a_damaged_or_swapped_entry_is_made_again(dataset, store, encoded):
    a, b = encoded[0][0].latents, encoded[0][1].latents
    good = cache.read(a)["latents"].clone()  # the tensor is mapped from the file
    a.write_bytes(a.read_bytes()[:-40])
    assert len(encode(dataset, store)[1].replaced) == 1
    assert torch.equal(cache.read(a)["latents"], good)
    kept = a.read_bytes()
    a.write_bytes(b.read_bytes())
    assert "made from something else" in encode(dataset, store)[1].replaced[0]
    assert a.read_bytes() == kept


def test_an_entry_that_is_not_finite_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="NaN"):
        cache.Cache(tmp_path).entry("latents", {"k": 1}, lambda: {"x": torch.tensor([float("nan")])})
    assert not list(tmp_path.rglob("*.safetensors"))


def test_refused_clips_are_named_and_the_others_kept(dataset, store, encoded, tmp_path):
    broken = tmp_path / "set"
    shutil.copytree(dataset, broken)
    (broken / "clips" / "01.mp4").write_bytes(b"not a video")
    found, report, _ = encode(broken, store)
    assert [name for name, _ in report.refused] == ["clips/01.mp4"] and len(found) == 3
    with pytest.raises(ValueError, match="training is at 24"):
        encode(dataset, store, dataclasses.replace(ENCODING, fps=24))
    with pytest.raises(ValueError, match="is 32x48, training is at 64x48"):
        encode(dataset, store, dataclasses.replace(ENCODING, height=64))


def test_entries_hold_what_the_encoders_make(dataset, encoded):
    pipe = pipeline.load_pipeline(MODEL, device="cpu", without=("transformer",))
    clip = VideoFolder.open(dataset)[0]
    batch = encoded_clips.read_batch(encoded[0][:1], 0)
    pixels = pipeline.to_pixels(clip.frames())
    close = functools.partial(torch.testing.assert_close, rtol=0, atol=1e-4)  # see Encoders.latents
    close(batch.latents, pipeline.encode_video(pipe.vae, pixels))
    close(batch.condition, conditioning.condition(pipe.vae, pixels[:, :, 0], 9, pixels[:, :, -1]))
    assert torch.equal(batch.prompt_embeds, pipeline.encode_text(pipe, clip.text).float())
    regraded = encoded_clips.read_batch(encoded[0][:1], 1)
    assert batch.image_embeds.shape[1] == 2 * regraded.image_embeds.shape[1]
    assert torch.equal(regraded.latents, batch.latents)
    assert not torch.equal(regraded.condition[:, 4:], batch.condition[:, 4:])


def test_of_a_longer_clip_the_middle_is_trained_on(dataset, store, encoded):
    found, _, encoders = encode(dataset, store, dataclasses.replace(ENCODING, num_frames=5))
    pixels = pipeline.to_pixels(VideoFolder.open(dataset)[0].frames()[2:7])
    wanted = pipeline.encode_video(encoders.pipe.vae, pixels)
    torch.testing.assert_close(encoded_clips.read_batch(found[:1], 0).latents, wanted, rtol=0, atol=1e-4)


def tensors_of(found):
    """Everything in the entries of some examples, in their order."""
    paths = [path for example in found for path in (example.latents, *example.conditions, example.prompt)]
    return [tensor for path in paths for tensor in cache.read(path).values()]


@pytest.fixture
def threads():
    """Sets torch's number of threads, for the time of a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_clips_encoded_side_by_side_are_those_encoded_one_by_one(dataset, tmp_path, threads):
    broken = tmp_path / "set"
    shutil.copytree(dataset, broken)
    (broken / "clips" / "02.mp4").write_bytes(b"not a video")
    threads(1)
    one_by_one, _, _ = encode(broken, tmp_path / "one")
    threads(2)
    found, report, _ = encode(broken, tmp_path / "two")
    assert [example.name for example in found] == [f"clips/0{k}.mp4" for k in (0, 1, 3)]
    assert [name for name, _ in report.refused] == ["clips/02.mp4"]
    assert report.encoded == {"latents": 9, "condition": 9, "text": 6}
    for ours, theirs in zip(tensors_of(found), tensors_of(one_by_one), strict=True):
        assert torch.equal(ours, theirs)
    seen = [torch.get_num_threads()]
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [2, 2]


def test_an_error_side_by_side_ends_the_encoding(dataset, tmp_path, monkeypatch, threads):
    threads(2)
    nowhere = torch.full((1, 16, 3, 4, 6), math.nan)
    monkeypatch.setattr(
        pipeline, "encode_video", lambda vae, pixels: nowhere.expand(len(pixels), -1, -1, -1, -1)
    )
    with pytest.raises(ValueError, match="NaN"):
        encode(dataset, tmp_path)
    assert torch.get_num_threads() == 2 and not list(tmp_path.rglob("*.safetensors"))


def test_a_clips_latents_do_not_depend_on_its_company():
    encoders = encoded_clips.Encoders(MODEL, device="cpu")
    videos = list(torch.randn(5, 3, 9, 32, 48, generator=torch.Generator().manual_seed(0)).split(1))
    together = encoders.latents([*videos, videos[0][:, :, :5]])
    for k in (0, 4):
        assert torch.equal(encoders.latents([videos[k]])[0], together[k])
    assert together[5].shape == (1, 16, 2, 4, 6)
    large = pipeline.encode_video(encoders.pipe.vae, torch.cat(videos))
    torch.testing.assert_close(torch.cat(together[:5]), large, rtol=0, atol=1e-4)


def test_the_control_differs_in_its_looks_alone(dataset, store, encoded):
    control, _, _ = encode(dataset, store, dataclasses.replace(ENCODING, shuffle_looks=True))
    for ours, theirs in zip(encoded[0], control, strict=True):
        assert ours.latents != theirs.latents and ours.conditions[0] != theirs.conditions[0]
        same = {"latents": theirs.latents, "conditions": theirs.conditions}
        assert dataclasses.replace(ours, **same) == theirs
        assert ours.conditions[1:] == theirs.conditions[1:]


def test_each_regraded_first_frame_has_its_whole_clip_in_that_grade(dataset, store, encoded):
    clip, example = VideoFolder.open(dataset)[0], encoded[0][0]
    grade = grading.draw(ENCODING.seed, 0, 1)
    filmed = clip.frames()[: example.num_frames]
    wanted = grading.apply(filmed, ENCODING.film, grade)
    pipe = encoded_clips.Encoders(MODEL, device="cpu").pipe
    found = cache.read(example.regraded[1])["latents"]
    expected = pipeline.encode_video(pipe.vae, pipeline.to_pixels(wanted))[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    without, _, _ = encode(dataset, store, dataclasses.replace(ENCODING, keep_looks=False))
    assert without[0] == dataclasses.replace(example, regraded=())


def measured(frames):
    return grading.measure(list(frames))


def test_drawn_grades_surround_the_neutral_stills():
    stills = [still for scene in storyboard.read_storyboard("data/storyboard") for still in scene.stills]
    neutral = measured(np.asarray(storyboard.open_still(still, 64, 112)) for still in stills)
    drawn = [grading.draw(0, k) for k in range(500)]
    means, spreads = (np.array([getattr(grade, part) for grade in drawn]) for part in ("mean", "std"))
    assert (np.abs(means.mean(0) - neutral.mean) < 5).all(), "the control would be pulled somewhere"
    assert (np.abs(spreads.mean(0) / neutral.std - 1) < 0.25).all(), "stills would be too flat or too strong"
    np.testing.assert_allclose(means.std(0), (6, 5, 8), rtol=0.2)


def test_regrading_gives_the_film_the_grade_and_keeps_what_is_darker_darker():
    dark, light = (np.full((2, 8, 8, 3), value, np.uint8) for value in (60, 100))
    for clip in (dark, light):
        clip[:, ::2] += 40
    film = measured([*dark, *light])
    grade = grading.Grade((45.0, 3.0, -4.0), (8.0, 2.0, 2.0))
    shown = [grading.apply(clip, film, grade) for clip in (dark, light)]
    found = measured(np.concatenate(shown))
    np.testing.assert_allclose(found.mean, grade.mean, atol=1)
    assert found.std[0] == pytest.approx(8.0, abs=1)
    assert shown[0].mean() < shown[1].mean() - 10
    same = grading.apply(light, film, dataclasses.replace(film, std=(film.std[0], 4.0, 4.0)))
    assert np.abs(same.astype(int) - light).max() <= 5  # the film's grade is rounded to whole units
    with pytest.raises(ValueError, match="without frames"):
        measured([])


# --- the loss and the draws ------------------------------------------------------------------------


class Constant(torch.nn.Module):
    """Predicts a constant velocity and notes what it was shown."""

    def __init__(self, value):
        super().__init__()
        self.value, self.seen = value, {}

    def forward(self, hidden_states, **rest):
        self.seen = {"hidden_states": hidden_states, **rest}
        return (torch.full_like(hidden_states[:, :16], self.value),)


def make_batch(latents):
    b, _, t, h, w = latents.shape
    condition = torch.full((b, 20, t, h, w), 7.0)
    return encoded_clips.Batch(("x",) * b, latents, condition, torch.zeros(b, 512, 4), torch.zeros(b, 3, 4))


def test_loss_against_the_formula():
    latents, noise = torch.full((2, 16, 1, 2, 2), 3.0), torch.full((2, 16, 1, 2, 2), 5.0)
    model, sigma = Constant(1.5), torch.tensor([0.25, 1.0])
    loss = flow_matching.flow_matching_loss(model, make_batch(latents), sigma, noise)
    torch.testing.assert_close(loss, torch.full((2,), (1.5 - (5.0 - 3.0)) ** 2))
    shown = model.seen["hidden_states"]
    assert shown.shape == (2, 36, 1, 2, 2)
    torch.testing.assert_close(shown[:, 0, 0, 0, 0], torch.tensor([0.75 * 3 + 0.25 * 5, 5.0]))
    assert (shown[:, 16:] == 7).all()
    torch.testing.assert_close(model.seen["timestep"], torch.tensor([250.0, 1000.0]))


def test_the_loss_leaves_out_a_first_frame_that_is_given_in_place_of_noise():
    """Wan2.2 TI2V: a condition with the latents' own channels."""
    latents, noise = torch.full((2, 16, 3, 4, 6), 3.0), torch.full((2, 16, 3, 4, 6), 5.0)
    latents[:, :, 0] = 100.0
    given = torch.full((2, 16, 1, 4, 6), 7.0)
    batch = dataclasses.replace(make_batch(latents), condition=given, image_embeds=None)
    model, sigma = Constant(1.5), torch.tensor([0.25, 1.0])
    loss = flow_matching.flow_matching_loss(model, batch, sigma, noise)
    torch.testing.assert_close(loss, torch.full((2,), (1.5 - (5.0 - 3.0)) ** 2))
    shown = model.seen["hidden_states"]
    assert torch.equal(shown[:, :, :1], given) and torch.equal(shown[1, :, 1:], noise[1, :, 1:])
    assert model.seen["timestep"][0].tolist() == [0.0] * 6 + [250.0] * 12


def test_noise_levels_follow_their_distribution():
    def levels(**how):
        return torch.cat(
            [flow_matching.sample_sigma(torch.Generator().manual_seed(k), **how) for k in range(4000)]
        )

    uniform = levels()
    assert uniform.min() > 0 and uniform.max() < 1
    assert uniform.mean() == pytest.approx(0.5, abs=0.02) and uniform.std() == pytest.approx(
        12**-0.5, abs=0.02
    )
    logit = torch.logit(levels(sampling="logit_normal"))
    assert logit.mean() == pytest.approx(0, abs=0.06) and logit.std() == pytest.approx(1, abs=0.05)
    # the shift is monotone, so it moves the median as it moves 0.5: 3*.5/(1+2*.5) = .75
    assert levels(shift=3.0).median() == pytest.approx(0.75, abs=0.03)
    with pytest.raises(ValueError, match="known are"):
        levels(sampling="cosmap")


def test_each_epoch_visits_each_clip_once_in_its_own_order(encoded):
    found, _ = encoded
    order = [flow_matching.draw(RECIPE, k, found).index for k in range(12 * len(found))]
    epochs = np.reshape(order, (12, len(found)))
    assert (np.sort(epochs, axis=1) == np.arange(len(found))).all()
    assert len({tuple(epoch) for epoch in epochs}) > 3


def test_shares_of_dropped_captions_and_filmed_conditions(encoded):
    found, _ = encoded
    recipe = changed(RECIPE, caption_dropout=0.2, unaltered_share=0.3)
    draws = [flow_matching.draw(recipe, k, found) for k in range(2000)]
    assert np.mean([d.drop_caption for d in draws]) == pytest.approx(0.2, abs=0.03)
    assert np.mean([d.condition == 0 for d in draws]) == pytest.approx(0.3, abs=0.04)
    assert {d.condition for d in draws} == {0, 1, 2}


def test_clips_of_one_batch_share_a_condition_and_nothing_else(encoded):
    """Tokens of one and of two images do not stack."""
    recipe = changed(RECIPE, train_batch_size=2, unaltered_share=0.5)
    for place in range(20):
        batch, sigma, noise = flow_matching.read_samples(recipe, place, *encoded)
        known = batch.condition[:, :4, -1].flatten(1)  # whether the last frame is given
        assert torch.equal(known[0], known[1])
        assert sigma[0] != sigma[1] and not torch.equal(noise[0], noise[1])


def test_validation_is_the_same_number_every_time_and_needs_no_order(transformer, encoded):
    found, _ = encoded
    first = flow_matching.validate(transformer, found[:2])
    torch.manual_seed(99)
    assert flow_matching.validate(transformer, found[:2]) == first
    assert first["loss"] == pytest.approx(np.mean([first[f"{s:g}"] for s in flow_matching.VALIDATION_SIGMAS]))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_held_out_loss_sees_the_regraded_frame_under_noise_of_each_clips_own(
    transformer, encoded, precision
):
    """As clips are trained and sampled: from a neutral still, in the training's precision."""
    seen = []

    def watched(model, batch, sigma, noise):
        seen.append((batch.condition, sigma.item(), noise, torch.is_autocast_enabled("cpu")))
        return torch.zeros(1)

    clips, levels = encoded[0][:2], (0.25, 0.75)
    flow_matching.validate(transformer, clips, watched, levels, precision)
    conditions, sigmas, noises, half = zip(*seen, strict=True)
    assert sigmas == 2 * levels and set(half) == {precision == "bf16"}
    for example, condition in zip(clips, conditions[::2], strict=True):
        assert torch.equal(condition, encoded_clips.read_batch([example], 2).condition)
        assert not torch.equal(condition, encoded_clips.read_batch([example], 0).condition)
    assert torch.equal(noises[0], noises[1]) and torch.equal(noises[2], noises[3])
    assert not torch.equal(noises[0], noises[2])


# --- the loop --------------------------------------------------------------------------------------


def test_training_changes_the_adapter_only_and_lowers_the_training_loss(transformer, encoded, tmp_path):
    frozen = {n: p.detach().clone() for n, p in transformer.named_parameters() if "lora_" not in n}
    before = weights(transformer)
    one = (encoded[0][:1], encoded[1])
    recipe = changed(RECIPE, max_train_steps=60, caption_dropout=0.0, validation_every=30)
    start = flow_matching.validate(transformer, one[0])["loss"]
    history = fit(transformer, one, tmp_path, recipe, examples=tuple(one[0]), validation=tuple(one[0]))
    assert not same(before, weights(transformer))
    assert all(torch.equal(p, frozen[n]) for n, p in transformer.named_parameters() if n in frozen)
    assert history.validation[0]["loss"] == start
    assert history.validation[-1]["loss"] < start
    assert history.step == 60 and len(history.train) == 60


def test_the_learning_rate_warms_up_and_falls_as_a_cosine(transformer, encoded, tmp_path):
    recipe = changed(RECIPE, max_train_steps=20, warmup_ratio=0.18, validation_every=100)  # 3.6 steps: 4
    rates = [row["learning_rate"] for row in fit(transformer, encoded, tmp_path, recipe).train]
    expected = [1e-2 * k / 4 for k in range(1, 5)]
    expected += [1e-2 * 0.5 * (1 + math.cos(math.pi * k / 16)) for k in range(1, 17)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-12)


def test_gradients_are_clipped_after_their_norm_is_noted(transformer, encoded, tmp_path, monkeypatch):
    step, applied = TrainingState.step, []

    def watched(state):
        gradients = [weight.grad for weight in state.weights.values()]
        applied.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))
        step(state)

    monkeypatch.setattr(TrainingState, "step", watched)
    norm = fit(transformer, encoded, tmp_path / "free").train[0]["gradient"]
    applied.clear()
    tight = changed(RECIPE, max_grad_norm=norm / 10)
    noted = [row["gradient"] for row in fit(fresh_transformer(), encoded, tmp_path / "tight", tight).train]
    assert noted[0] == pytest.approx(norm)
    assert applied == pytest.approx([min(found, norm / 10) for found in noted], rel=1e-3)


def test_accumulation_equals_one_larger_batch(encoded, tmp_path):
    """The source's contradiction: 1 clip x 4 accumulated is an effective batch of 4, not of 2."""
    results, losses = [], []
    for size, times in ((1, 4), (4, 1), (1, 2)):
        transformer = fresh_transformer()
        recipe = changed(
            RECIPE,
            max_train_steps=2,
            train_batch_size=size,
            gradient_accumulation_steps=times,
            unaltered_share=0.0,
            preservation_share=0.0,  # a batch is of one kind
        )
        one_variant = [dataclasses.replace(e, conditions=e.conditions[:2]) for e in encoded[0]]
        history = fit(transformer, (one_variant, encoded[1]), tmp_path / f"{size}{times}", recipe)
        results.append(weights(transformer))
        losses.append(history.train[0]["loss"])  # the mean over all clips of the step
    for name in results[0]:
        torch.testing.assert_close(results[0][name], results[1][name], rtol=1e-4, atol=1e-5)
    assert not all(torch.allclose(results[0][n], results[2][n], rtol=1e-4, atol=1e-5) for n in results[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0] != pytest.approx(losses[2], rel=1e-3)


def test_early_stopping_keeps_the_best_weights_and_says_why(transformer, encoded, tmp_path):
    start = weights(transformer)
    recipe = changed(RECIPE, max_train_steps=40, validation_every=2, patience=3, warmup_ratio=0.5)
    history = fit(transformer, encoded, tmp_path, recipe, loss=uphill)
    losses = [row["loss"] for row in history.validation]
    assert losses[-1] > losses[0] == min(losses)
    assert history.step == 6 and "step 0" in history.stopped and "3 measurements" in history.stopped
    assert same(start, weights(transformer))


def test_clips_of_different_lengths_cannot_share_a_batch(encoded):
    a, b = encoded[0][0], dataclasses.replace(encoded[0][1], num_frames=5)
    with pytest.raises(ValueError, match="equally long"):
        encoded_clips.read_batch([a, b], 0)


def test_an_empty_dataset_is_refused(transformer, encoded, tmp_path):
    with pytest.raises(ValueError, match="no examples"):
        fit(transformer, encoded, tmp_path, examples=())


def test_a_bf16_base_trains_an_fp32_adapter_that_the_pipeline_samples_with(encoded, tmp_path):
    """The 14B model's case: base in bf16, adapter in fp32, autocast between them."""
    from PIL import Image

    from cinelib.wan import sampling as generation

    pipe = pipeline.load_pipeline(MODEL, dtype=torch.bfloat16, device="cpu")
    assert pipe.transformer.dtype == torch.bfloat16 and pipe.vae.dtype == torch.float32
    lora.add(pipe.transformer, CARD)
    history = fit(pipe.transformer, encoded, tmp_path, changed(RECIPE, precision="bf16"))
    adapter = weights(pipe.transformer)
    assert all(value.dtype == torch.float32 for value in adapter.values())
    assert history.validation[-1]["adapter_norm"] != history.validation[0]["adapter_norm"]
    lora.save(tmp_path, pipe.transformer, CARD)
    fresh = pipeline.load_pipeline(MODEL, dtype=torch.bfloat16, device="cpu")
    lora.load(fresh, tmp_path)
    sampling = generation.Sampling(32, 48, 5, num_inference_steps=2)
    image = Image.new("RGB", (48, 32), "grey")
    clip = generation.generate(fresh, image, "a knight", sampling, last=image)
    assert clip.shape == (5, 32, 48, 3)


def test_batches_of_clips_of_different_lengths_are_refused_before_the_first_step(encoded, tmp_path):
    found, null = encoded
    mixed = [*found[:3], dataclasses.replace(found[3], num_frames=5)]
    recipe = changed(RECIPE, train_batch_size=2, gradient_accumulation_steps=3)
    with pytest.raises(ValueError, match=r"2 of 3 have 9 frames, clips/03.mp4 has 5; .*_steps 6 \(as many"):
        fit(fresh_transformer(), (mixed, null), tmp_path, recipe)
    assert not list(tmp_path.iterdir())


def test_the_paper_preset_has_the_sources_numbers_and_both_of_its_batches():
    params = resolve(StyleStage, "paper", {})
    named = (params.rank, params.lora_alpha, params.learning_rate, params.warmup_ratio, params.weight_decay)
    assert named == (8, 16.0, 3e-5, 0.05, 0.01) and params.max_train_steps == 4000
    assert training_state.BETAS == (0.9, 0.999)
    assert params.precision == "bf16" and params.gradient_checkpointing and params.patience
    assert params.early_stopping == "perceptual"
    assert params.train_batch_size * params.gradient_accumulation_steps == 4
    assert resolve(StyleStage, "paper", {"gradient_accumulation_steps": 2}).gradient_accumulation_steps == 2


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rank": 0}, "rank = 0"),
        ({"learning_rate": -1e-3}, "learning_rate = -0.001"),
        ({"processes": 2}, "strategy 'single' with processes 2"),
        ({"strategy": "fsdp2", "processes": 2, "base_precision": "fp8"}, "cannot be sharded"),
        ({"patience": 1, "early_stopping": "either", "sample_every": 0}, "needs sample clips"),
        ({"ema_decay": 1.0}, "ema_decay = 1.0"),
    ],
)
def test_bad_parameters_of_the_stage_are_refused(change, message):
    with pytest.raises(ParameterError, match=message):
        resolve(StyleStage, "nano", change)


@pytest.mark.parametrize(
    "change", [{"learning_rate": -1e-3}, {"max_train_steps": 0}, {"ema_decay": 1.0}, {"warmup_ratio": -0.1}]
)
def test_a_recipe_out_of_range_is_refused(change):
    (name, value) = next(iter(change.items()))
    with pytest.raises(ValueError, match=f"(?s){name}.* should be .*input_value={value}"):
        changed(RECIPE, **change)


def test_gradient_checkpointing_changes_nothing_but_memory(transformer, encoded, tmp_path):
    results, start = {}, weights(transformer)
    for on in (True, False):  # on one model, as the film and its control are trained
        distributed.fill(lora.parameters(transformer), start)
        recipe = changed(RECIPE, max_train_steps=3, gradient_checkpointing=on)
        fit(transformer, encoded, tmp_path / str(on), recipe)
        results[on] = weights(transformer)
        assert transformer.is_gradient_checkpointing == on
    for name in results[True]:
        torch.testing.assert_close(results[True][name], results[False][name])


def test_the_optimiser_gets_the_recipes_rates_betas_and_decay(transformer):
    from accelerate import Accelerator

    recipe = changed(RECIPE, learning_rate=3e-3, weight_decay=0.3, warmup_ratio=0.0)
    state = TrainingState(transformer, "style", recipe, Accelerator(cpu=True))
    (group,) = state.optimizer.param_groups
    assert group["betas"] == (0.9, 0.999) and group["weight_decay"] == 0.3 and group["initial_lr"] == 3e-3
    weight = next(iter(state.weights.values()))
    before = weight.detach().clone()
    for one in state.weights.values():
        one.grad = torch.zeros_like(one)
    state.optimizer.step()  # without a gradient AdamW only lets weights decay
    torch.testing.assert_close(weight.detach(), before * (1 - 3e-3 * 0.3))


def test_a_dropped_caption_is_the_empty_prompt(encoded):
    examples, null_prompt = encoded
    recipe = changed(RECIPE, caption_dropout=0.999, preservation_share=0.0)
    dropped, kept = (
        flow_matching.read_samples(changed(recipe, caption_dropout=share), 0, examples, null_prompt)[0]
        for share in (0.999, 0.0)
    )
    first = flow_matching.draw(recipe, 0, examples)
    for batch, path in ((dropped, null_prompt), (kept, examples[first.index].prompt)):
        wanted = encoded_clips.read_batch([examples[first.index]], first.condition, [path])
        assert torch.equal(batch.prompt_embeds[:1], wanted.prompt_embeds)
    assert not torch.equal(dropped.prompt_embeds, kept.prompt_embeds)
    assert torch.equal(dropped.latents, kept.latents), "all else stays"


def test_samples_that_keep_a_look_have_no_trigger_and_reach_the_regraded_clip(encoded):
    examples, null_prompt = encoded
    recipe = changed(RECIPE, preservation_share=0.4, unaltered_share=0.2, caption_dropout=0.1)
    draws = [flow_matching.draw(recipe, k, examples) for k in range(2000)]
    kept = [d for d in draws if d.keep_look]
    assert len(kept) / len(draws) == pytest.approx(0.4, abs=0.04)
    assert np.mean([d.condition == 0 for d in draws]) == pytest.approx(0.2, abs=0.03)
    assert all(d.condition for d in kept)
    dropped = [d for d in draws if d.drop_caption]
    assert len(dropped) / len(draws) == pytest.approx(0.1, abs=0.02)
    for k, drawn in enumerate(draws[:40]):
        example = examples[drawn.index]
        batch, _, _ = flow_matching.read_samples(recipe, k, examples, null_prompt)
        target = example.regraded[drawn.condition - 1] if drawn.keep_look else example.latents
        prompt = null_prompt if drawn.drop_caption else example.prompt
        prompt = example.plain_prompt if drawn.keep_look and not drawn.drop_caption else prompt
        assert torch.equal(batch.latents[0], cache.read(target)["latents"])
        assert torch.equal(batch.prompt_embeds[0], encoded_clips.read_prompt(prompt))
        assert torch.equal(batch.condition[0], cache.read(example.conditions[drawn.condition])["condition"])


def test_looks_are_kept_only_where_a_trigger_tells_samples_apart():
    with pytest.raises(ValueError, match="needs a trigger"):
        StyleStage(trigger="")
    assert StyleStage(trigger="", preservation_share=0).recipe().preservation_share == 0


def test_shares_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="together at most 1"):
        changed(RECIPE, preservation_share=0.9, unaltered_share=0.2)
