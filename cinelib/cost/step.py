"""What one training step of a LoRA on the Wan transformer computes on, in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cinelib.wan import layers
from cinelib.wan.geometry import Geometry


@dataclass(frozen=True)
class Step:
    """One forward and backward pass.

    Attributes:
        config: of the transformer.
        clips: in one forward pass.
        tokens: of one clip's video; `text_tokens` and `image_tokens` are what it looks at.
        rank: of the adapter.
        adapted: names of the adapted layers in each block, such as `attn2.to_q`.
        half: whether it computes in bf16 under autocast, else in fp32.
        checkpointing: whether blocks are computed again in the backward pass.
        time_per_token: whether each token has a timestep of its own (Wan2.2 TI2V).
    """

    config: Mapping[str, Any]
    clips: int
    tokens: int
    text_tokens: int
    image_tokens: int
    rank: int
    adapted: tuple[frozenset[str], ...]
    half: bool
    checkpointing: bool
    time_per_token: bool = False

    @property
    def width(self) -> int:
        """Channels of the hidden states."""
        return self.config["num_attention_heads"] * self.config["attention_head_dim"]

    @property
    def outputs(self) -> int:
        """Numbers that the transformer answers for one token."""
        patch = self.config["patch_size"]
        return self.config["out_channels"] * patch[0] * patch[1] * patch[2]

    def reached(self) -> list[bool]:
        """For each block, whether its input carries a gradient: whether a block before it is adapted."""
        found, so_far = [], False
        for names in self.adapted:
            found.append(so_far)
            so_far = so_far or bool(names)
        return found


def make(
    geometry: Geometry,
    rank: int,
    targets: str,
    clips: int = 1,
    half: bool = True,
    checkpointing: bool = False,
    images: int = 1,
) -> Step:
    """The step for clips of this geometry; `images` is 2 where the last frame is shown too.

    Raises:
        ValueError: `targets` name no layer.
    """
    config = geometry.configs["transformer"]
    adapted: list[set[str]] = [set() for _ in range(config["num_layers"])]
    for name in layers.adapted_layers(config, targets):
        if name.startswith("blocks."):
            number, layer = name.removeprefix("blocks.").split(".", 1)
            adapted[int(number)].add(layer)
    return Step(
        config=config,
        clips=clips,
        tokens=geometry.tokens,
        text_tokens=geometry.text_tokens,
        image_tokens=images * geometry.image_tokens,
        rank=rank,
        adapted=tuple(frozenset(names) for names in adapted),
        half=half,
        checkpointing=checkpointing,
        time_per_token=config["in_channels"] == geometry.configs["vae"]["z_dim"],
    )
