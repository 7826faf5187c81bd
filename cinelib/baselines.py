"""Models to compare with, each through its own diffusers pipeline: from text alone, or from a still as well.

Which pipeline a checkpoint needs is read from its own files; names and sizes are in `cinelib.catalogue`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from cinelib import generation, wan, wan_layout

MODELSCOPE = "ali-vilab/text-to-video-ms-1.7b"
# The release is a bare state dict; this conversion holds the denoiser alone, in diffusers' layout.
_CONVERSIONS = {"VideoCrafter/VideoCrafter2": "adamdad/videocrafterv2_diffusers"}


@dataclass(frozen=True)
class Baseline:
    """A loaded model. `takes_image`: whether clips start from a given still, and so pair with the others'."""

    name: str
    pipeline: Any
    takes_image: bool

    def sample(
        self,
        prompt: str,
        sampling: generation.Sampling,
        key: Sequence[str | int] = (),
        first: Image.Image | None = None,
    ) -> np.ndarray:
        """One clip (T, H, W, 3) uint8; seed and key decide its noise.

        Raises:
            ValueError: a first frame missing for a model that takes one, or given to one that does not.
        """
        if self.takes_image != (first is not None):
            needs = "starts from a first frame" if self.takes_image else "takes text alone"
            raise ValueError(f"{self.name} {needs}")
        if first is not None:
            return generation.generate(self.pipeline, first, prompt, sampling, key)
        with torch.inference_mode():
            video = self.pipeline(
                prompt=prompt,
                negative_prompt="",
                height=sampling.height,
                width=sampling.width,
                num_frames=sampling.num_frames,
                num_inference_steps=sampling.num_inference_steps,
                guidance_scale=sampling.guidance_scale,
                generator=generation.generator(sampling.seed, *key),
                output_type="np",
            ).frames[0]
        return np.rint(np.clip(video, 0, 1) * 255).astype(np.uint8)


def load(
    model: str,
    companion: str = MODELSCOPE,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    flow_shift: float | None = None,
) -> Baseline:
    """Load a diffusers folder or hub id: ModelScope, VideoCrafter2 (converted), Wan2.1 and Wan2.2.

    Args:
        companion: where a checkpoint that is a denoiser alone, as VideoCrafter2's conversion is, takes text
            encoder, VAE and scheduler from.

    Raises:
        FileNotFoundError: weights are not here; the message holds the `hf download` command.
        NotImplementedError: the checkpoint is of another kind, or its weights do not fit diffusers' classes.
    """
    if model in _CONVERSIONS:
        raise FileNotFoundError(
            f"{model} is no diffusers checkpoint; fetch its conversion with `hf download "
            f"{_CONVERSIONS[model]}` and its companion with `hf download {companion}`, and name the former"
        )
    device = torch.device(device or wan.default_device())
    dtype = dtype or (torch.float32 if device.type == "cpu" else torch.float16)
    if _is_denoiser(model):
        pipe = _modelscope(companion, dtype, unet=_denoiser(model, dtype))
        return _ready(model, pipe, device)
    index = wan_layout.read(model)
    kind = str(index.get("_class_name"))
    if kind == "TextToVideoSDPipeline":
        return _ready(model, _modelscope(model, dtype), device)
    if kind == "WanPipeline" and not index.get("expand_timesteps"):
        return _ready(model, _wan_text(model, dtype, flow_shift), device)
    return Baseline(model, wan.load_pipeline(model, None, device, flow_shift), takes_image=True)


def _ready(model: str, pipe: Any, device: torch.device) -> Baseline:
    pipe.set_progress_bar_config(disable=True)
    return Baseline(model, pipe.to(device), takes_image=False)


def _modelscope(model: str, dtype: torch.dtype, **parts: Any) -> Any:
    from diffusers import TextToVideoSDPipeline

    wan_layout.read(model)  # says how to fetch what is missing
    return TextToVideoSDPipeline.from_pretrained(model, dtype=dtype, **parts)


def _wan_text(model: str, dtype: torch.dtype, flow_shift: float | None) -> Any:
    from diffusers import UniPCMultistepScheduler, WanPipeline

    # Wan's authors decode in float32, and its range does not fit into float16.
    wide = torch.bfloat16 if dtype == torch.float16 else dtype
    dtypes = {"default": torch.float32, "transformer": wide, "transformer_2": wide, "text_encoder": wide}
    pipe = WanPipeline.from_pretrained(model, dtype=dtypes)
    if flow_shift is not None:
        pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config, flow_shift=flow_shift)
    return pipe


def _is_denoiser(model: str) -> bool:
    """Whether the checkpoint is a UNet without a pipeline around it."""
    folder = Path(model)
    if folder.is_dir():
        config = folder / "config.json"
        alone = config.is_file() and not (folder / "model_index.json").is_file()
        return alone and "UNet3D" in json.loads(config.read_text("utf-8")).get("_class_name", "")
    return model in _CONVERSIONS.values()


def _denoiser(model: str, dtype: torch.dtype) -> Any:
    from diffusers import UNet3DConditionModel

    try:
        unet, report = UNet3DConditionModel.from_pretrained(model, dtype=dtype, output_loading_info=True)
    except OSError as error:
        raise FileNotFoundError(f"{model} is not here; fetch it with `hf download {model}`") from error
    except (ValueError, RuntimeError) as error:
        raise NotImplementedError(f"{model} does not fit diffusers' UNet3DConditionModel: {error}") from error
    left = {name: len(report[name]) for name in ("missing_keys", "unexpected_keys") if report.get(name)}
    if left:
        raise NotImplementedError(
            f"{model} does not fit diffusers' UNet3DConditionModel: {left}; it needs a class of its own"
        )
    return unet
