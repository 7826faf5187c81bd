"""Which Wan a checkpoint is: how many experts it has, and how it is shown the first frame."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXPERTS = ("transformer", "transformer_2")  # names in a diffusers folder; the second is Wan2.2 A14B's


@dataclass(frozen=True)
class Layout:
    """What tells one Wan image-to-video checkpoint from another.

    Attributes:
        experts: names of the transformers, each for a range of noise levels of its own.
        first_frame_in_place: whether the first frame stands in place of noise, its tokens at timestep 0, and
            there is no place for a last one (Wan2.2 TI2V). Else frames are joined to the noise as channels.
    """

    experts: tuple[str, ...]
    first_frame_in_place: bool


def of_index(index: Mapping[str, Any]) -> Layout:
    """By a `model_index.json`, which is a pipeline's `config` too."""
    two = index.get("boundary_ratio") is not None
    return Layout(EXPERTS if two else EXPERTS[:1], bool(index.get("expand_timesteps")))


def of_configs(configs: Mapping[str, Mapping[str, Any]]) -> Layout:
    """By the configs of transformer and VAE, where there is no index: a published model that is not here."""
    in_place = takes_the_place(configs["transformer"]["in_channels"], configs["vae"]["z_dim"])
    return Layout(tuple(part for part in EXPERTS if part in configs), in_place)


def takes_the_place(channels: int, latent_channels: int) -> bool:
    """Whether a first frame of so many channels replaces noise: it has the latents' own channels."""
    return channels == latent_channels


def check(model: str) -> None:
    """Refuse what is no Wan image-to-video checkpoint.

    Wan2.2 TI2V-5B is filed as a `WanPipeline` with `expand_timesteps`, which takes a first frame too.

    Raises:
        FileNotFoundError: as `read`.
        NotImplementedError: naming what the checkpoint is instead.
    """
    index = read(model)
    kind = index.get("_class_name")
    if kind in {"WanImageToVideoPipeline", "FirstLastPipeline"} or of_index(index).first_frame_in_place:
        return
    raise NotImplementedError(f"{model} is a {kind}, not a WanImageToVideoPipeline")


def experts(model: str) -> dict[str, tuple[float, float]]:
    """The transformers by name, with the noise levels of each: A14B's second takes those below a boundary."""
    index = read(model)
    names, boundary = of_index(index).experts, index.get("boundary_ratio") or 0.0
    return dict(zip(names, ((boundary, 1.0), (0.0, boundary)), strict=False))


def components(model: str) -> set[str]:
    """Names of the parts that a checkpoint has: those with a class, `["diffusers", "AutoencoderKLWan"]`."""
    parts = {name: value for name, value in read(model).items() if isinstance(value, list | tuple)}
    return {name for name, value in parts.items() if len(value) == 2 and value[1] is not None}


def read(model: str) -> dict[str, Any]:
    """The `model_index.json` of a diffusers folder or a hub id.

    Raises:
        FileNotFoundError: no such folder, or the hub cannot be reached and nothing is cached.
    """
    from diffusers import WanImageToVideoPipeline

    folder = Path(model)
    # "data/typo" reads like a hub id; a first part that is a folder here means that a folder was meant.
    is_local = folder.is_absolute() or model.startswith(".") or Path(folder.parts[0]).is_dir()
    if is_local and not (folder / "model_index.json").is_file():
        raise FileNotFoundError(f"no model at {model}: a diffusers folder holds a model_index.json")
    try:
        return dict(WanImageToVideoPipeline.load_config(model))
    except OSError as error:
        raise FileNotFoundError(
            f"{model} is neither a folder here nor on the hub within reach; "
            f"fetch it with `hf download {model}`, or give the path of a local copy"
        ) from error
