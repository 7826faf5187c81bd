"""Notebook 02: what the source says of its recipe, counted on the training that ran."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from cinelib.statistics import Answer, fact, not_measured, verdict
from cinelib.style.adapter_card import AdapterCard
from cinelib.style.history import EarlyStopping, History
from cinelib.style.parameters import StyleStage
from cinelib.style.training_state import BETAS

CONTRADICTION = "contradicts itself"


def saved_bytes(
    model: torch.nn.Module, loss: Callable[[torch.nn.Module], torch.Tensor]
) -> tuple[int, torch.Tensor]:
    """Bytes that autograd keeps for a loss's backward pass, and the gradients of all trained weights (N,).

    What is kept for several layers counts once, the model's own weights never: they are there anyway.
    """
    kept: dict[int, int] = {}
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = loss(model)
    size = sum(kept.values())
    value.backward()
    trained = [weight for weight in model.parameters() if weight.grad is not None]
    gradients = torch.cat([weight.grad.flatten().float() for weight in trained])
    model.zero_grad()
    return size, gradients


def stop_of(rows: list[dict[str, float]], key: str, patience: int) -> int | None:
    """The step at which a curve would have stopped the training, None if never."""
    curve = EarlyStopping(key)
    for row in rows:
        curve.note(row[key], int(row["step"]), dict)
        if curve.reason(patience):
            return int(row["step"])
    return None


def entries(
    params: StyleStage,
    card: AdapterCard,
    history: History,
    clips_per_step: Mapping[int, int],
    bytes_kept: Mapping[str, int],
    same_gradients: bool,
) -> dict[str, dict[str, Any]]:
    """Claims 1 to 8 as `metrics.json` has them: value, n, verdict.

    Args:
        card: of the adapter that was written.
        clips_per_step: clips of one optimiser step, counted, by gradient accumulation.
        bytes_kept: for the backward pass, "with" checkpointing and "without".
    """
    run = "a run of profile paper"
    rates = [row["learning_rate"] for row in history.train]
    recipe = max(rates) == 3e-5 and params.warmup_ratio == 0.05
    smaller = fact(same_gradients and bytes_kept["with"] < bytes_kept["without"])
    long = history.step >= 4000 and params.precision == "bf16"
    perceptual = bool(history.stopped and params.early_stopping != "loss")
    sharded = params.strategy in ("fsdp2", "deepspeed_zero2")
    stops = {
        "held-out loss": stop_of(history.validation, "loss", 1),
        "perceptual": stop_of(history.samples, "distance", 1),
    }
    found: dict[str, dict[str, Any]] = {
        "claim_01": {
            "value": card.alpha / card.rank,
            "verdict": _ran(card.rank == 8 and card.alpha == 16, run),
        },
        "claim_02": {"value": max(rates), "verdict": _ran(recipe, run)},
        "claim_03": {
            "value": params.weight_decay,
            "verdict": _ran(BETAS == (0.9, 0.999) and params.weight_decay == 0.01, run),
        },
        "claim_04": {
            "value": clips_per_step[4],
            "verdict": CONTRADICTION if clips_per_step[4] != 2 else verdict(Answer.SHOWN),
            "by_accumulation": {str(k): count for k, count in clips_per_step.items()},
        },
        "claim_05": {"value": history.step, "verdict": _ran(long, run)},
        "claim_06": {
            "value": bytes_kept["with"] / bytes_kept["without"],
            "verdict": verdict(smaller),
            "bytes": dict(bytes_kept),
        },
        "claim_07": {"value": float(sharded), "verdict": CONTRADICTION},
        "claim_08": {
            "value": stops["perceptual"],
            "verdict": _ran(perceptual, "a training that it stops"),
            "would_stop_at": stops,
        },
    }
    if stops["perceptual"] is None:
        found["claim_08"]["reason"] = "each measurement was lower than the one before, or there was none"
    return {claim: {"n": 1, **entry} for claim, entry in found.items()}


def _ran(so: bool, needs: str) -> str:
    return verdict(Answer.SHOWN) if so else not_measured(needs)
