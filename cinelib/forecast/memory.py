"""Bytes of GPU memory that a LoRA step holds: weights, optimiser, saved activations, and what passes.

Saved activations follow diffusers' `WanTransformerBlock` operation by operation, with flash attention;
tests compare them with what autograd saves. What passes (gradients and casts that live for an operation or
two) is bounded from measured peaks, an estimate.
"""

from dataclasses import dataclass

from cinelib.forecast.operations import attentions, linears
from cinelib.forecast.step import Step

# Bytes a weight, scales included, of what a frozen linear layer of the blocks is stored in.
STORED = {"fp8": 1.0, "nf4": 0.5 + 4 / 64}
_ALLOCATOR = 1.05  # share that PyTorch's caching allocator keeps beyond what is in use


@dataclass(frozen=True)
class Memory:
    """Bytes of one process at the peak of a step."""

    base: float
    adapter: float
    activations: float
    passing: float

    @property
    def total(self) -> float:
        """With the allocator's share on what comes and goes."""
        return self.base + self.adapter + _ALLOCATOR * (self.activations + self.passing)


def base_bytes(parameters: int, linear: int, stored: str, own: int, cast_up: float) -> float:
    """Of the frozen transformer, `linear` of whose `parameters` lie in the blocks' linear layers.

    Args:
        stored: "" for `own` bytes a weight, or a key of `STORED`.
        cast_up: share of the linear layers that is cast up at once: all that autograd holds.
    """
    if not stored:
        return float(own * parameters)
    return own * (parameters - linear) + (STORED[stored] + own * cast_up) * linear


def adapter_bytes(parameters: int, moving_average: bool) -> float:
    """fp32 weights, gradients and AdamW's two moments; a moving average if there is one."""
    return parameters * (16.0 + (4.0 if moving_average else 0.0))


def saved_bytes(step: Step) -> float:
    """Activations that wait for the backward pass when the forward pass has ended."""
    if step.checkpointing:
        inputs = len(step.adapted) * _size(step) * step.tokens * step.width
        return step.clips * (inputs + _shared(step))
    blocks = (block_bytes(step, n, r) for n, r in zip(step.adapted, step.reached(), strict=True))
    return step.clips * (sum(blocks) + _shared(step))


def passing_bytes(step: Step) -> float:
    """At the peak of the backward pass: a recomputed block's activations, gradients, casts.

    The largest of three moments, with coefficients fitted to peaks of live tensors on a CPU (tests hold
    them to it): the prediction's own gradients, a feed-forward layer's, and a text projection's.
    """
    n, d, f = step.tokens, step.width, step.config["ffn_dim"]
    feed_forward = _size(step) / 2 * n * (2 * d + 3.5 * f)
    gradients = max(16 * n * step.outputs, feed_forward, 16 * step.text_tokens * d)
    block = block_bytes(step, step.adapted[-1], reached=True) if step.checkpointing else 0.0
    return step.clips * (block + gradients)


def _size(step: Step) -> int:
    return 2 if step.half else 4


def block_bytes(step: Step, names: frozenset[str], reached: bool) -> float:
    """What one block saves for a clip whose input carries a gradient, or not (`reached`)."""
    n, d, f, s = step.tokens, step.width, step.config["ffn_dim"], _size(step)
    found = 0.0
    after_attention = False
    for name, tokens, inputs, outputs, has_gradient in linears(step, names, reached):
        if name in names:  # autocast copies the adapter's input and weights; in fp32 layers share the input
            shared = not step.half and name.split(".")[-1] in {"to_k", "to_v", "add_k_proj", "add_v_proj"}
            found += tokens * (s * step.rank + (0 if shared else s * inputs))
            found += 2 * step.rank * (outputs + (inputs if has_gradient else 0)) if step.half else 0
        if name == "ffn.net.0.proj":
            after_attention = has_gradient
    for place, (context, has_gradient) in enumerate(attentions(step, names, reached)):
        if has_gradient:  # output and log-sum-exp; keys and values; the query once for text and image
            found += n * (s * d + 4 * step.config["num_attention_heads"]) + 2 * s * context * d
            found += s * n * d if place < 2 else 0.0
    norm = 4 * d + 4  # RMS norms save their input in fp32 and one scale a token
    first, *_ = (has_gradient for _, has_gradient in attentions(step, names, reached))
    found += n * (norm + 4) if reached else 0.0
    found += n * norm * sum(reached or f"attn1.{name}" in names for name in ("to_q", "to_k"))
    query_input = first or "attn1.to_out.0" in names
    found += n * (norm + 4) if query_input else 0.0
    found += n * norm if query_input or "attn2.to_q" in names else 0.0
    found += step.text_tokens * norm if "attn2.to_k" in names else 0.0
    found += step.image_tokens * norm if "attn2.add_k_proj" in names else 0.0
    if after_attention:
        found += n * (norm + 4)
    if after_attention or "ffn.net.0.proj" in names:
        found += n * s * f
    # Shifts, scales and gates: six of them and two times 1 + scale, for each token or for all.
    times = n if step.time_per_token else 1
    return found + (4 * times * d * (8 if reached else 7) if after_attention else 0)


def _shared(step: Step) -> float:
    """Beside the blocks: the context, the last norm's input, the prediction, the timesteps' embedding."""
    n, d = step.tokens, step.width
    kept = step.checkpointing or not step.half
    context = (step.text_tokens + step.image_tokens) * d * _size(step) if kept else 0.0
    times = n * d * (_size(step) * 6 * step.checkpointing + 4) if step.time_per_token else 0.0
    rotary = 0 if step.checkpointing else 2 * 4 * n * step.config["attention_head_dim"]
    return context + times + rotary + n * (4 * d + 8) + 4 * n * step.outputs
