"""Models to compare with, each through its own diffusers pipeline: from text alone, or from a still as well.

Which pipeline a checkpoint needs is read from its own files; names and sizes are in `cinelib.wan.catalogue`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, TextToVideoSDPipeline, UNet3DConditionModel, WanPipeline
from huggingface_hub import HfApi, snapshot_download
from PIL import Image

from cinelib.evaluation.videocrafter import FrameRateUNet
from cinelib.wan import layout
from cinelib.wan.pipeline import default_device, load_pipeline
from cinelib.wan.sampling import Sampling, call, generate

MODELSCOPE = "ali-vilab/text-to-video-ms-1.7b"
# The release is a bare state dict; this conversion holds the denoiser alone, in diffusers' layout.
_CONVERSIONS = {"VideoCrafter/VideoCrafter2": "adamdad/videocrafterv2_diffusers"}
_KNOWN = (
    "ModelScope (TextToVideoSDPipeline), VideoCrafter2 (a UNet3D with fps_embedding, no pipeline around it), "
    "Wan (WanPipeline, WanImageToVideoPipeline)"
)
_REACH_SECONDS = 10


class BaselineError(RuntimeError):
    """A baseline cannot be loaded: the message says why, and for missing weights the command that helps."""


@dataclass(frozen=True)
class Baseline:
    """A loaded model. `takes_image`: whether clips start from a given still, and so pair with the others'."""

    name: str
    pipeline: Any
    takes_image: bool

    def sample(
        self, prompt: str, sampling: Sampling, key: Sequence[str | int] = (), first: Image.Image | None = None
    ) -> np.ndarray:
        """One clip (T, H, W, 3) uint8; seed and key decide its noise.

        Raises:
            ValueError: a first frame missing for a model that takes one, or given to one that does not.
        """
        if self.takes_image != (first is not None):
            needs = "starts from a first frame" if self.takes_image else "takes text alone"
            raise ValueError(f"{self.name} {needs}")
        if first is not None:
            return generate(self.pipeline, first, prompt, sampling, key)
        video = call(self.pipeline, prompt, sampling, key, "np")[0]
        return np.rint(np.clip(video, 0, 1) * 255).astype(np.uint8)


def load(
    model: str,
    companion: str = MODELSCOPE,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
) -> Baseline:
    """Load a diffusers folder or hub id: ModelScope, VideoCrafter2 (converted), Wan2.1 and Wan2.2.

    What is cached is used without asking the hub. The sampler's schedule is what the checkpoint says.

    Args:
        companion: where a checkpoint that is a denoiser alone, as VideoCrafter2's conversion is, takes text
            encoder, VAE and scheduler from.

    Raises:
        BaselineError: the model cannot be loaded, for whatever reason: its weights are not here and cannot be
            fetched now (the message holds the `hf download` command), or they are damaged or of another kind.
    """
    try:
        return _load(model, companion, dtype, device)
    except BaselineError:
        raise
    except Exception as error:  # whatever diffusers, transformers or safetensors make of a damaged file
        whole = Path(model).expanduser().is_dir() or not isinstance(error, OSError)
        anew = "" if whole else f"; fetch it anew with `hf download {model}`"
        raise BaselineError(f"{model} cannot be loaded: {type(error).__name__}: {error}{anew}") from error


def _load(model: str, companion: str, dtype: torch.dtype | None, device: Any) -> Baseline:
    if model in _CONVERSIONS:
        raise BaselineError(
            f"{model} is no diffusers checkpoint; fetch its conversion with `hf download "
            f"{_CONVERSIONS[model]}` and its companion with `hf download {companion}`, and name the former"
        )
    device = torch.device(device or default_device())
    dtype = dtype or (torch.float32 if device.type == "cpu" else torch.float16)
    place = _place(model)
    if "UNet" in _config(place).get("_class_name", ""):  # a denoiser without a pipeline around it
        unet = _fitting(model, place, dtype)
        pipe = TextToVideoSDPipeline.from_pretrained(_place(companion, unet=None), dtype=dtype, unet=unet)
        return _ready(model, pipe, device)
    index = layout.read(place)
    kind = str(index.get("_class_name"))
    if kind == "TextToVideoSDPipeline":
        return _ready(model, TextToVideoSDPipeline.from_pretrained(place, dtype=dtype), device)
    if kind == "WanPipeline" and not layout.of_index(index).first_frame_in_place:
        return _ready(model, _wan_text(place, dtype), device)
    try:
        layout.check(place)
    except NotImplementedError as error:
        raise BaselineError(f"{model} is a {kind}; baselines are {_KNOWN}") from error
    return Baseline(model, load_pipeline(place, None, device), takes_image=True)


def _ready(model: str, pipe: Any, device: torch.device) -> Baseline:
    pipe.set_progress_bar_config(disable=True)
    return Baseline(model, pipe.to(device), takes_image=False)


def _place(model: str, **without: None) -> str:
    """The folder that holds `model`, given, cached or fetched now; parts in `without` need not be there."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder)
    if folder.is_absolute() or model.startswith(".") or Path(folder.parts[0]).is_dir():
        raise BaselineError(f"no model at {model}: there is no such folder")
    try:
        return _snapshot(model, True, without)
    except OSError:
        pass
    try:
        HfApi().model_info(model, timeout=_REACH_SECONDS)  # one try, in bounded time
        return _snapshot(model, False, without)
    except Exception as error:
        command = f"`hf download {model}`"
        if model in _CONVERSIONS.values():
            command += f" and its companion, by default with `hf download {MODELSCOPE}`"
        raise BaselineError(
            f"{model} is neither a folder here nor whole in the hub's cache, and the hub did not give it "
            f"({type(error).__name__}: {error}); fetch it with {command}, or give the path of a local copy"
        ) from error


def _snapshot(model: str, local_files_only: bool, without: dict[str, None]) -> str:
    if model in _CONVERSIONS.values():
        parts = ["config.json", "diffusion_pytorch_model*"]
        return snapshot_download(model, allow_patterns=parts, local_files_only=local_files_only)
    return str(DiffusionPipeline.download(model, local_files_only=local_files_only, **without))


def _wan_text(place: str, dtype: torch.dtype) -> Any:
    # Wan's authors decode in float32, and its range does not fit into float16.
    wide = torch.bfloat16 if dtype == torch.float16 else dtype
    dtypes = {"default": torch.float32, **dict.fromkeys((*layout.EXPERTS, "text_encoder"), wide)}
    return WanPipeline.from_pretrained(place, dtype=dtypes)


def _config(place: str) -> dict[str, Any]:
    path = Path(place, "config.json")
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _fitting(model: str, place: str, dtype: torch.dtype) -> UNet3DConditionModel:
    """The denoiser in the class whose weights are exactly those of the file."""
    told = bool(_config(place).get("fps_cond"))
    left: dict[str, list[str]] = {}
    for kind in (FrameRateUNet,) if told else (UNet3DConditionModel, FrameRateUNet):
        try:
            unet, report = kind.from_pretrained(place, dtype=dtype, output_loading_info=True)
        except (ValueError, RuntimeError) as error:
            raise BaselineError(f"{model} does not fit diffusers' UNet3DConditionModel: {error}") from error
        left = {name: sorted(report[name]) for name in ("missing_keys", "unexpected_keys") if report[name]}
        if not left:
            return unet
    raise BaselineError(
        f"{model} does not fit diffusers' UNet3DConditionModel, with fps_embedding or without: "
        + "; ".join(f"{len(keys)} {name}, {', '.join(keys[:3])}" for name, keys in left.items())
    )
