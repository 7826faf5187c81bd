"""When a style stage fills a GPU: while it encodes, while it trains, while it samples.

Each moment says in its own words what it takes for granted; the fullest one decides what fits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from cinelib.cost import rehearsal
from cinelib.cost.memory import STORED, Memory
from cinelib.cost.step import Step
from cinelib.style.parameters import StyleStage
from cinelib.wan import layers
from cinelib.wan.geometry import Geometry, read_configs

# Share that a VAE's or encoder's passing bytes may be off by: cuDNN picks the algorithms of 3D convolutions
# by what is free, and some want a scratch copy of their input.
_CONVOLUTIONS = 0.25
_ENCODER_BYTES = {"vae": 4, "text_encoder": 2, "image_encoder": 4}  # a weight, as `wan.load_pipeline` loads


def _still(weights: float, passing: float) -> Memory:
    return Memory(weights, 0.0, 0.0, passing, _CONVOLUTIONS)


@dataclass(frozen=True)
class Phases:
    """What a stage with `params` computes on, and the moments at which it fills a GPU."""

    params: StyleStage

    @cached_property
    def geometry(self) -> Geometry:
        """Of one clip. Raises FileNotFoundError for an unknown model."""
        params = self.params
        return Geometry(read_configs(params.model), params.height, params.width, params.num_frames)

    @cached_property
    def step(self) -> Step:
        """One pass, with the longest context that training draws."""
        params = self.params
        return Step(
            self.geometry,
            params.rank,
            params.targets,
            clips=params.train_batch_size,
            half=params.precision == "bf16",
            checkpointing=params.gradient_checkpointing,
            images=1 if self.geometry.layout.first_frame_in_place or not params.unaltered_share else 2,
        )

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Weights of each part of the model, exact."""
        return {part: layers.count(part, config) for part, config in self.geometry.configs.items()}

    @cached_property
    def adapter(self) -> int:
        """Weights of one adapter, exact; a model of two experts gets two."""
        found = layers.adapted_layers(self.geometry.configs["transformer"], self.params.targets)
        return self.params.rank * sum(inputs + outputs for inputs, outputs in found.values())

    @property
    def experts(self) -> int:
        """Transformers of the model; each is trained by itself, on its own noise levels."""
        return len(self.geometry.layout.experts)

    @cached_property
    def moments(self) -> dict[str, Memory]:
        """Each moment of the stage by its name, such as "training: a step", in the stage's order."""
        phases = {"encoding": self._encoding, "training": self._training, "sampling": self._sampling}
        return {f"{phase}: {name}": found for phase, of in phases.items() for name, found in of()}

    @cached_property
    def a_step(self) -> Memory:
        """A step of one process: base, adapter and its optimiser, activations, nothing else.

        Assumes that weights are stored in low precision or divided before they come to the GPU, so that
        loading takes no more than what lies there afterwards. One expert of two is trained at a time.
        """
        params = self.params
        # fp32 weights, gradients and AdamW's two moments; a moving average if there is one
        adapter = self.adapter * (20.0 if params.ema_decay > 0 else 16.0)
        if params.strategy == "fsdp2":
            adapter /= params.processes
        cast_up = 1 / self._blocks if params.gradient_checkpointing else 1.0
        base = self._trained_base(cast_up)
        return Memory(base, adapter, self.step.saved_bytes, self.step.passing_bytes)

    def _encoding(self) -> Iterator[tuple[str, Memory]]:
        """One encoder at work, clip by clip, the others beside it: `Encoders` loads them together."""
        present = [name for name in _ENCODER_BYTES if name in self.parameters]
        weights = sum(_ENCODER_BYTES[name] * self.parameters[name] for name in present)
        for name in present:
            config = self.geometry.configs[name]
            passing = self._vae[0] if name == "vae" else rehearsal.encoder_bytes(name, config)
            yield name.replace("_", " ").replace("vae", "VAE"), _still(weights, passing)

    def _training(self) -> Iterator[tuple[str, Memory]]:
        """A step and, where there are sample clips, their decoding.

        Assumes that the VAE stays beside transformer, adapter and optimiser for the sample clips. Their
        denoising takes less than the step: it is the same forward pass, and keeps nothing.
        """
        if not self.params.sample_every or self.experts > 1:
            yield "a step", self.a_step
            return
        vae = _ENCODER_BYTES["vae"] * self.parameters["vae"]
        beside = replace(self.a_step, base=self.a_step.base + vae)
        yield "a step", beside
        decoding = _still(self._trained_base(1 / self._blocks) + vae, self._vae[1])
        yield "sample clips", replace(decoding, adapter=beside.adapter)

    def _sampling(self) -> Iterator[tuple[str, Memory]]:
        """The transformer and the VAE, each by itself: assumes model offload, in one process.

        The base is whole (nothing divides it here) and stored as in training, two adapters lie beside it,
        and the two passes of classifier-free guidance come one after the other, without gradient.
        """
        denoising = rehearsal.denoising_bytes(self.geometry, self._own == 2)
        base = self._base(1 / self._blocks)
        yield "denoising", Memory(base, 2 * 4 * self.adapter, 0.0, denoising)
        yield "decoding", _still(_ENCODER_BYTES["vae"] * self.parameters["vae"], self._vae[1])

    @property
    def _blocks(self) -> int:
        return self.geometry.configs["transformer"]["num_layers"]

    @property
    def _own(self) -> int:
        """Bytes of a weight of the transformer that is not stored in fewer."""
        return 2 if self.params.precision == "bf16" else 4

    @property
    def _vae(self) -> tuple[float, float]:
        return rehearsal.vae_bytes(self.geometry.configs["vae"], self.geometry)

    def _base(self, cast_up: float) -> float:
        """Bytes of the frozen transformer, of whose linear layers autograd holds a share `cast_up` whole."""
        whole, stored = self.parameters["transformer"], self.params.base_precision
        if not stored:
            return float(self._own * whole)
        return self._own * (whole - self._linear) + (STORED[stored] + self._own * cast_up) * self._linear

    def _trained_base(self, cast_up: float) -> float:
        """Under FSDP a share of all, and two blocks gathered: this one and the next."""
        base = self._base(cast_up)
        if self.params.strategy == "fsdp2":
            base = base / self.params.processes + 2 * self._own * self._linear / self._blocks
        return base

    @cached_property
    def _linear(self) -> int:
        """Weights of the blocks' linear layers: what a low-precision base stores in fewer bits."""
        found = layers.block_layers(self.geometry.configs["transformer"])
        return sum(inputs * outputs for inputs, outputs in found.values())
