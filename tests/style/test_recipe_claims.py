"""What the source says of its recipe, counted: no number may come from the parameters alone."""

import pytest
import tiny_training
import torch

from cinelib.style import lora, recipe_claims
from cinelib.style.history import History
from cinelib.style.parameters import StyleStage


def test_saved_bytes_are_those_of_the_activations_and_the_gradients_are_right():
    first, second = torch.nn.Linear(4, 3, bias=False), torch.nn.Linear(3, 2, bias=False)
    x, model = torch.ones(5, 4), torch.nn.Sequential(first, second)
    size, gradients = recipe_claims.saved_bytes(model, lambda model: model(x).square().sum())
    assert size == 4 * (5 * 4 + 5 * 3 + 5 * 2)  # what each step was given, once; no weight
    hidden = first(x)
    outer = 2 * second(hidden)
    expected = torch.cat([((outer @ second.weight).T @ x).flatten(), (outer.T @ hidden).flatten()])
    torch.testing.assert_close(gradients, expected)
    assert first.weight.grad is None, "nothing is left for the next step"


def test_checkpointing_keeps_less_and_computes_the_same_gradients(tmp_path):
    from cinelib.style import encoded_clips, flow_matching

    examples, _ = tiny_training.encode(tmp_path / "set", tmp_path / "cache")
    transformer, batch = tiny_training.fresh_transformer(), encoded_clips.read_batch(examples[:1], 1)
    noise, sigma = torch.randn_like(batch.latents), torch.tensor([0.5])
    found = {}
    for switch in (transformer.enable_gradient_checkpointing, transformer.disable_gradient_checkpointing):
        switch()
        loss = lambda model: flow_matching.flow_matching_loss(model, batch, sigma, noise).mean()  # noqa: E731
        found[switch.__name__] = recipe_claims.saved_bytes(transformer, loss)
    (less, a), (more, b) = found.values()
    assert 0 < less < more / 2
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("accumulated", [2, 4])
def test_the_loop_counts_the_clips_of_a_step(tmp_path, accumulated):
    encoded = tiny_training.encode(tmp_path / "set", tmp_path / "cache")
    recipe = tiny_training.changed(
        tiny_training.RECIPE, max_train_steps=2, gradient_accumulation_steps=accumulated, train_batch_size=2
    )
    history = tiny_training.fit(tiny_training.fresh_transformer(), encoded, tmp_path / "run", recipe)
    assert [row["clips"] for row in history.train] == [2 * accumulated] * 2


def entries(
    card=None, bytes_kept=None, clips=None, same=True, stopped=None, distances=(3, 2, 2, 1), **params
):
    history = History(
        train=[{"learning_rate": 1e-3}, {"learning_rate": params.pop("rate", 3e-5)}],
        validation=[{"step": 10 * k, "loss": loss} for k, loss in enumerate((4, 3, 2, 1))],
        samples=[{"step": 10 * k, "distance": d} for k, d in enumerate(distances)],
        step=params.pop("step", 200),
        stopped=stopped,
    )
    history.train[0]["learning_rate"] = 0.0
    return recipe_claims.entries(
        StyleStage(**params),
        card or lora.AdapterCard(8, 16.0, "attn2"),
        history,
        clips or {2: 2, 4: 4},
        bytes_kept or {"with": 10, "without": 40},
        same,
    )


def test_what_the_run_did_is_said_and_what_it_did_not_do_is_not():
    found = entries()
    said = {claim: entry["verdict"] for claim, entry in found.items()}
    assert said["claim_01"] == said["claim_02"] == said["claim_03"] == said["claim_06"] == "holds here"
    assert said["claim_04"] == said["claim_07"] == "contradicts itself"
    assert all(said[claim].startswith("implemented, not measured") for claim in ("claim_05", "claim_08"))
    assert found["claim_04"]["by_accumulation"] == {"2": 2, "4": 4}
    assert found["claim_06"]["value"] == 0.25
    assert found["claim_08"]["would_stop_at"] == {"held-out loss": None, "perceptual": 20}


@pytest.mark.parametrize(
    ("changes", "claim", "verdict"),
    [
        ({"card": lora.AdapterCard(4, 16.0, "attn2")}, "claim_01", "not measured"),
        ({"rate": 5e-3}, "claim_02", "not measured"),
        ({"warmup_ratio": 0.1}, "claim_02", "not measured"),
        ({"weight_decay": 0.0}, "claim_03", "not measured"),
        ({"clips": {2: 1, 4: 2}}, "claim_04", "holds here"),
        ({"step": 4000, "precision": "bf16"}, "claim_05", "holds here"),
        ({"step": 4000}, "claim_05", "not measured"),
        ({"bytes_kept": {"with": 41, "without": 40}}, "claim_06", "does not hold here"),
        ({"same": False}, "claim_06", "does not hold here"),
        ({"stopped": "x", "early_stopping": "perceptual"}, "claim_08", "holds here"),
        ({"stopped": "x"}, "claim_08", "not measured"),
    ],
)
def test_each_verdict_follows_its_number(changes, claim, verdict):
    assert verdict in entries(**changes)[claim]["verdict"]


def test_a_curve_that_always_falls_would_not_have_stopped():
    found = entries(distances=(4, 3, 2, 1))["claim_08"]
    assert found["value"] is None and "lower than the one before" in found["reason"]
