"""When a style stage fills a GPU: while it encodes, while it trains, while it samples.

Each moment says in its own words what it takes for granted; the fullest one decides what fits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from cinelib.cost import memory, rehearsal
from cinelib.cost.memory import Memory
from cinelib.cost.step import Step
from cinelib.style.parameters import StyleStage
from cinelib.wan import layers as parts
from cinelib.wan.geometry import Geometry

# Share that a VAE's or encoder's passing bytes may be off by: cuDNN picks the algorithms of 3D convolutions
# by what is free, and some want a scratch copy of their input.
_CONVOLUTIONS = 0.25
_ENCODER_BYTES = {"vae": 4, "text_encoder": 2, "image_encoder": 4}  # a weight, as `wan.load_pipeline` loads


@dataclass(frozen=True)
class Phases:
    """Moments of a stage with `params`, `parameters` counted by part and `adapter` in one adapter."""

    params: StyleStage
    geometry: Geometry
    step: Step
    parameters: dict[str, int]
    adapter: int

    @cached_property
    def all(self) -> dict[str, Memory]:
        """Every moment by its name, in the stage's order."""
        return {
            **{f"encoding: {name}": found for name, found in self._encoding()},
            **{f"training: {name}": found for name, found in self._training()},
            **{f"sampling: {name}": found for name, found in self._sampling()},
        }

    @cached_property
    def a_step(self) -> Memory:
        """A step of one process: base, adapter and its optimiser, activations, nothing else.

        Assumes that weights are stored in low precision or divided before they come to the GPU, so that
        loading takes no more than what lies there afterwards. One expert of two is trained at a time.
        """
        params = self.params
        adapter = memory.adapter_bytes(self.adapter, params.ema_decay > 0)
        if params.strategy == "fsdp2":
            adapter /= params.processes
        cast_up = 1 / self._blocks if params.gradient_checkpointing else 1.0
        kept, passing = memory.saved_bytes(self.step), memory.passing_bytes(self.step)
        return Memory(self._trained_base(cast_up), adapter, kept, passing)

    def _encoding(self) -> Iterator[tuple[str, Memory]]:
        """One encoder at work, clip by clip, the others beside it: `Encoders` loads them together."""
        present = [name for name in _ENCODER_BYTES if name in self.parameters]
        weights = sum(_ENCODER_BYTES[name] * self.parameters[name] for name in present)
        for name in present:
            passing = self._vae[0] if name == "vae" else self._encoder(name)
            yield name.replace("_", " ").replace("vae", "VAE"), self._still(weights, passing)

    def _training(self) -> Iterator[tuple[str, Memory]]:
        """A step and, where there are sample clips, their decoding.

        Assumes that the VAE stays beside transformer, adapter and optimiser for the sample clips. Their
        denoising takes less than the step: it is the same forward pass, and keeps nothing.
        """
        if not self._draws_samples:
            yield "a step", self.a_step
            return
        vae = _ENCODER_BYTES["vae"] * self.parameters["vae"]
        beside = replace(self.a_step, base=self.a_step.base + vae)
        yield "a step", beside
        lying = self._trained_base(1 / self._blocks) + vae
        decoding = self._still(lying, self._vae[1])
        yield "sample clips", replace(decoding, adapter=beside.adapter)

    def _sampling(self) -> Iterator[tuple[str, Memory]]:
        """The transformer and the VAE, each by itself: assumes model offload, in one process.

        The base is whole (nothing divides it here) and stored as in training, two adapters lie beside it,
        and the two passes of classifier-free guidance come one after the other, without gradient.
        """
        denoising = rehearsal.denoising_bytes(self.geometry, half=self._own == 2)
        base = self._base(1 / self._blocks)
        yield "denoising", Memory(base, 2 * 4 * self.adapter, 0.0, denoising)
        yield "decoding", self._still(_ENCODER_BYTES["vae"] * self.parameters["vae"], self._vae[1])

    @property
    def _draws_samples(self) -> bool:
        return bool(self.params.sample_every) and "transformer_2" not in self.parameters

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

    def _encoder(self, name: str) -> float:
        return rehearsal.encoder_bytes(name, self.geometry.configs[name])

    def _base(self, cast_up: float) -> float:
        stored, whole = self.params.base_precision, self.parameters["transformer"]
        return memory.base_bytes(whole, self._linear, stored, self._own, cast_up)

    def _trained_base(self, cast_up: float) -> float:
        """Under FSDP a share of all, and two blocks gathered: this one and the next."""
        base = self._base(cast_up)
        if self.params.strategy == "fsdp2":
            base = base / self.params.processes + 2 * self._own * self._linear / self._blocks
        return base

    @cached_property
    def _linear(self) -> int:
        """Weights of the blocks' linear layers: what a low-precision base stores in fewer bits."""
        layers = parts.block_layers(self.geometry.configs["transformer"])
        return sum(inputs * outputs for inputs, outputs in layers.values())

    @staticmethod
    def _still(weights: float, passing: float) -> Memory:
        return Memory(weights, 0.0, 0.0, passing, _CONVOLUTIONS)
