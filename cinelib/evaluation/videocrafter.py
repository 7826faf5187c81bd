"""VideoCrafter2's denoiser, which diffusers has all parts of but not the whole."""

import functools
from typing import Any

import torch
from diffusers import UNet3DConditionModel
from diffusers.models.embeddings import TimestepEmbedding, Timesteps

FRAME_RATE = 24.0  # what the programs published with the conversion tell it


class FrameRateUNet(UNet3DConditionModel):
    """VideoCrafter2's denoiser: diffusers' UNet3D that is also told the clip's frames per second.

    The rate is embedded as the timestep is, by weights of its own (`fps_embedding`), and added to it. This
    is the class that the conversion calls `UNet3DVideoCrafterConditionModel`. Sampling follows the
    companion's noise schedule, as in the programs published with the conversion; the release's own sampler
    also shrinks the latents at high noise (`use_scale`), which neither they nor we do. Another rate than
    theirs is set on the loaded denoiser (`fps`).
    """

    fps: float = FRAME_RATE

    @functools.wraps(UNet3DConditionModel.__init__)  # diffusers passes only what the signature names
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        width = self.config.block_out_channels[0]
        self.fps_proj = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.fps_embedding = TimestepEmbedding(width, 4 * width, act_fn=self.config.act_fn)
        self.time_embedding.register_forward_hook(self._with_rate)

    @classmethod
    def extract_init_dict(cls, config_dict: dict[str, Any], **named: Any) -> Any:
        """As diffusers' own, which warns of `fps_cond`: that is what this class is, not a setting of it."""
        settings = {name: value for name, value in config_dict.items() if name != "fps_cond"}
        return super().extract_init_dict(settings, **named)

    def _with_rate(self, _module: Any, _inputs: Any, embedding: torch.Tensor) -> torch.Tensor:
        rate = self.fps_proj(torch.tensor([self.fps], device=embedding.device))
        return embedding + self.fps_embedding(rate.to(embedding.dtype))
