"""Bytes of GPU memory that a LoRA step holds: weights, optimiser, saved activations, and what passes.

Saved activations follow diffusers' `WanTransformerBlock` operation by operation, with flash attention;
tests compare them with what autograd saves. What passes (gradients and casts that live for an operation or
two) is bounded from measured peaks, an estimate.
"""

from dataclasses import dataclass

from cinelib.cost.operations import attentions, linears
from cinelib.cost.step import Step

# Bytes a weight, scales included, of what a frozen linear layer of the blocks is stored in.
STORED = {"fp8": 1.0, "nf4": 0.5 + 4 / 64}
_ALLOCATOR = 1.05  # share that PyTorch's caching allocator keeps beyond what is in use


@dataclass(frozen=True)
class Memory:
    """Bytes of one process when it is fullest.

    Attributes:
        base: weights of models, frozen.
        adapter: what is trained, with its gradients and moments.
        activations: what waits for the backward pass.
        passing: all else that comes and goes.
        unsure: how far off activations and passing may be, as a share of them. `base` and `adapter` are
            exact. A rehearsal of the 14B and 5B models' whole steps on shapes alone is met within 4 %
            (a test). What it cannot see is assumed: how far the allocator's holes exceed the 5 % that
            are counted, and what a GPU's kernels take for themselves (attention's backward pass sums in
            fp32, cuBLAS and cuDNN want room to work). Beside the one published measurement, of other
            code, the forecast grows with the clip by an eighth too much (a test).
            `tests/benchmarks/lora_14b.py` measures ours; it has not run on a GPU yet.
    """

    base: float
    adapter: float
    activations: float
    passing: float
    unsure: float = 0.1

    @property
    def total(self) -> float:
        """With the allocator's share on what comes and goes."""
        return self.base + self.adapter + _ALLOCATOR * (self.activations + self.passing)

    @property
    def error(self) -> float:
        """Bytes that `total` may be off by, either way."""
        return self.unsure * _ALLOCATOR * (self.activations + self.passing)

    @property
    def low(self) -> float:
        """The least that it may take."""
        return self.total - self.error

    @property
    def high(self) -> float:
        """The most that it may take."""
        return self.total + self.error


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
    carried = {name: gradient for name, *_, gradient in linears(step, names, reached)}
    found = _adapters(step, names, reached) + _attentions(step, names, reached)
    found += _norms(step, names, reached, carried)
    if carried["ffn.net.2"]:  # the activation function's input
        found += step.tokens * _size(step) * step.config["ffn_dim"]
    if carried["ffn.net.0.proj"]:  # six shifts, scales and gates and two times 1 + scale
        times = step.tokens if step.time_per_token else 1
        found += 4 * times * step.width * (8 if reached else 7)
    return found


def _adapters(step: Step, names: frozenset[str], reached: bool) -> float:
    """Inputs of both thin matrices; autocast copies the first one, and weights, where fp32 shares it."""
    found, size = 0.0, _size(step)
    for name, tokens, inputs, outputs, has_gradient in linears(step, names, reached):
        if name not in names:
            continue
        shared = not step.half and name.split(".")[-1] in {"to_k", "to_v", "add_k_proj", "add_v_proj"}
        found += size * tokens * (step.rank + (0 if shared else inputs))
        found += 2 * step.rank * (outputs + (inputs if has_gradient else 0)) if step.half else 0
    return found


def _attentions(step: Step, names: frozenset[str], reached: bool) -> float:
    """Outputs with their log-sum-exps, keys and values; the query once for text and image."""
    found, size, heads = 0.0, _size(step), step.config["num_attention_heads"]
    for place, (context, has_gradient) in enumerate(attentions(step, names, reached)):
        if has_gradient:
            found += step.tokens * (size * step.width * (2 if place < 2 else 1) + 4 * heads)
            found += 2 * size * context * step.width
    return found


def _norms(step: Step, names: frozenset[str], reached: bool, carried: dict[str, bool]) -> float:
    """Inputs in fp32; RMS norms of queries and keys keep one more number a token, layer norms two."""
    rms, layer = 4 * step.width + 4, 4 * step.width + 8
    count = {name: carried[name] or name in names for name in carried}
    found = step.tokens * layer * (reached + carried["attn2.to_q"] + carried["ffn.net.0.proj"])
    found += step.tokens * rms * (count["attn1.to_q"] + count["attn1.to_k"] + count["attn2.to_q"])
    found += step.text_tokens * rms * count["attn2.to_k"]
    return found + step.image_tokens * rms * count.get("attn2.add_k_proj", False)


def _shared(step: Step) -> float:
    """Beside the blocks: the context, the last norm's input, the prediction, the timesteps' embedding."""
    n, d = step.tokens, step.width
    kept = step.checkpointing or not step.half
    context = (step.text_tokens + step.image_tokens) * d * _size(step) if kept else 0.0
    times = n * d * (_size(step) * 6 * step.checkpointing + 4) if step.time_per_token else 0.0
    rotary = 0 if step.checkpointing else 2 * 4 * n * step.config["attention_head_dim"]
    return context + times + rotary + n * (4 * d + 8) + 4 * n * step.outputs
