"""Floating-point operations of a LoRA step, counted as `torch.utils.flop_counter` counts them.

A linear layer of n tokens takes 2 n in out forward. Backward it takes as much again for its input's
gradient, and nothing for its frozen weights; an adapter's two thin matrices take theirs. Attention takes
4 n m d forward and 10 n m d backward, because flash attention computes its scores again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cinelib.cost.step import Step


@dataclass(frozen=True)
class Operations:
    """Of one forward and backward pass over `clips` clips."""

    forward: float
    backward: float
    recomputed: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.forward + self.backward + self.recomputed


def of_step(step: Step) -> Operations:
    """Operations of one pass: exact for linear layers and attention, norms and sums left out."""
    ends = _ends(step)
    head = 2.0 * step.tokens * step.width * step.outputs
    forward, backward, again, clips = 0.0, 0.0, 0.0, step.clips
    for names, reached in zip(step.adapted, step.reached(), strict=True):
        ahead, back = _block(step, names, reached)
        forward, backward = forward + ahead, backward + back
        again += ahead if step.checkpointing and (reached or names) else 0.0
    return Operations(clips * (ends + head + forward), clips * (head + backward), clips * again)


def _ends(step: Step) -> float:
    """Embeddings of patches, timestep, text and image."""
    config, d = step.config, step.width
    patch = step.outputs // config["out_channels"] * config["in_channels"]
    times = step.tokens if step.time_per_token else 1
    found = step.tokens * patch * d + times * (config["freq_dim"] * d + 7 * d * d)
    found += step.text_tokens * (config["text_dim"] * d + d * d)
    if image := config.get("image_dim"):
        found += step.image_tokens * (image * image + image * d)
    return 2.0 * found


def _block(step: Step, names: frozenset[str], reached: bool) -> tuple[float, float]:
    forward, backward = 0.0, 0.0
    for name, tokens, inputs, outputs, has_gradient in linears(step, names, reached):
        plain, thin = 2.0 * tokens * inputs * outputs, 2.0 * tokens * step.rank
        forward += plain
        backward += plain if has_gradient else 0.0
        if name in names:
            forward += thin * (inputs + outputs)
            backward += thin * (2 * outputs + (2 if has_gradient else 1) * inputs)
    for context, has_gradient in attentions(step, names, reached):
        product = float(step.tokens) * context * step.width
        forward += 4 * product
        backward += 10 * product if has_gradient else 0.0
    return forward, backward


def linears(step: Step, names: frozenset[str], reached: bool) -> Iterator[tuple[str, int, int, int, bool]]:
    """(name, tokens, in, out, whether its input carries a gradient) of a block's linear layers."""
    n, d, f = step.tokens, step.width, step.config["ffn_dim"]
    for name in ("to_q", "to_k", "to_v"):
        yield f"attn1.{name}", n, d, d, reached
    (_, first), *_ = attentions(step, names, reached)
    yield "attn1.to_out.0", n, d, d, first
    after = first or "attn1.to_out.0" in names
    yield "attn2.to_q", n, d, d, after
    for name in ("to_k", "to_v"):
        yield f"attn2.{name}", step.text_tokens, d, d, False
    if step.image_tokens:
        for name in ("add_k_proj", "add_v_proj"):
            yield f"attn2.{name}", step.image_tokens, d, d, False
    second = any(has_gradient for _, has_gradient in list(attentions(step, names, reached))[1:])
    yield "attn2.to_out.0", n, d, d, second
    then = after or second or "attn2.to_out.0" in names
    yield "ffn.net.0.proj", n, d, f, then
    yield "ffn.net.2", n, f, d, then or "ffn.net.0.proj" in names


def attentions(step: Step, names: frozenset[str], reached: bool) -> Iterator[tuple[int, bool]]:
    """(tokens looked at, whether anything of it carries a gradient): video, text, image."""
    first = reached or bool({"attn1.to_q", "attn1.to_k", "attn1.to_v"} & names)
    yield step.tokens, first
    query = first or "attn1.to_out.0" in names or "attn2.to_q" in names
    yield step.text_tokens, query or bool({"attn2.to_k", "attn2.to_v"} & names)
    if step.image_tokens:
        yield step.image_tokens, query or bool({"attn2.add_k_proj", "attn2.add_v_proj"} & names)
