"""Sizes and costs from configs alone: pixels, latents, tokens, floating-point operations.

Nothing is loaded but JSON, so the 14B model is reckoned with as easily as the classroom one.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cinelib.wan.catalogue import CATALOGUE
from cinelib.wan.layout import EXPERTS, Layout, of_configs

WAN_14B_ID = "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers"
WAN_14B = CATALOGUE[WAN_14B_ID].configs
_PARTS = (*EXPERTS, "vae", "text_encoder", "image_encoder")


def read_configs(model: str) -> dict[str, Mapping[str, Any]]:
    """Configs of the parts of a diffusers folder, or of a known published id.

    Raises:
        FileNotFoundError: neither a folder with a transformer and a VAE nor a known id.
    """
    files = {name: Path(model) / name / "config.json" for name in _PARTS}
    if files["transformer"].is_file() and files["vae"].is_file():
        return {name: json.loads(path.read_text("utf-8")) for name, path in files.items() if path.is_file()}
    if model in CATALOGUE and CATALOGUE[model].configs:
        return CATALOGUE[model].configs
    lacking = [str(files[name]) for name in ("transformer", "vae") if not files[name].is_file()]
    known = ", ".join(name for name, published in CATALOGUE.items() if published.configs)
    raise FileNotFoundError(f"model {model!r}: no {', '.join(lacking)}; known ids: {known}")


@dataclass(frozen=True)
class Geometry:
    """One clip on its way through a Wan image-to-video model; shapes without the batch axis.

    `height`, `width` in pixels and `num_frames` (4k+1) as generated.
    """

    configs: Mapping[str, Mapping[str, Any]]
    height: int
    width: int
    num_frames: int

    text_tokens = 512  # padded; WanAttnProcessor relies on it

    @property
    def layout(self) -> Layout:
        """How many experts the model has, and how it is shown the first frame."""
        return of_configs(self.configs)

    @property
    def width_of_model(self) -> int:
        """Channels of the transformer's hidden states."""
        config = self.configs["transformer"]
        return config["num_attention_heads"] * config["attention_head_dim"]

    @property
    def compression(self) -> tuple[int, int]:
        """Factors of the VAE in time and in each direction of space."""
        vae = self.configs["vae"]
        space = 2 ** (len(vae["dim_mult"]) - 1) * (vae.get("patch_size") or 1)
        return 2 ** sum(vae["temperal_downsample"]), space

    @property
    def pixels(self) -> tuple[int, int, int, int]:
        """(3, T, H, W)."""
        return 3, self.num_frames, self.height, self.width

    @property
    def latents(self) -> tuple[int, int, int, int]:
        """(C, t, h, w): the first frame alone, then one latent frame for each `time` frames."""
        time, space = self.compression
        frames = (self.num_frames - 1) // time + 1
        return self.configs["vae"]["z_dim"], frames, self.height // space, self.width // space

    @property
    def model_input(self) -> tuple[int, int, int, int]:
        """(C, t, h, w): noisy latents, the mask's channels and the first frame's latents together."""
        return self.configs["transformer"]["in_channels"], *self.latents[1:]

    @property
    def tokens(self) -> int:
        """Video tokens: latents cut into patches."""
        patches = zip(self.latents[1:], self.configs["transformer"]["patch_size"], strict=True)
        return math.prod(side // patch for side, patch in patches)

    @property
    def image_tokens(self) -> int:
        """Tokens of one CLIP-encoded image: its patches and the class token; 0 without an encoder."""
        clip = self.configs.get("image_encoder")
        return (clip["image_size"] // clip["patch_size"]) ** 2 + 1 if clip else 0

    def flops(self) -> float:
        """Floating-point operations of one forward pass of the transformer, a multiply-add as two.

        Per video token and layer: 4 d^2 (self-attention) + 2 d^2 (cross-attention) + 2 d f (feed-forward)
        weights, and 2 * 2 d for each token attended to. Projections of text and image tokens, embeddings
        and norms are left out: under 1 % at 720p.
        """
        config = self.configs["transformer"]
        d, f = self.width_of_model, config["ffn_dim"]
        attended = self.tokens + self.text_tokens + self.image_tokens
        per_token = 2 * (6 * d * d + 2 * d * f) + 4 * d * attended
        return float(config["num_layers"] * self.tokens * per_token)

    def sampling_flops(self, num_inference_steps: int, guided: bool = True) -> float:
        """Operations of a whole sampling; classifier-free guidance takes two passes a step."""
        return self.flops() * num_inference_steps * (2 if guided else 1)
