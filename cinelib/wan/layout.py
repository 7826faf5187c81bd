"""Which Wan a checkpoint is, read from its `model_index.json` alone."""

from pathlib import Path
from typing import Any

from diffusers import WanImageToVideoPipeline


def check(model: str) -> None:
    """Refuse what is no Wan image-to-video checkpoint.

    Wan2.2 TI2V-5B is filed as a `WanPipeline` with `expand_timesteps`, which takes a first frame too.

    Raises:
        FileNotFoundError: as `read`.
        NotImplementedError: naming what the checkpoint is instead.
    """
    index = read(model)
    kind = index.get("_class_name")
    if kind in {"WanImageToVideoPipeline", "FirstLastPipeline"} or index.get("expand_timesteps"):
        return
    raise NotImplementedError(f"{model} is a {kind}, not a WanImageToVideoPipeline")


def experts(model: str) -> dict[str, tuple[float, float]]:
    """The transformers of a checkpoint by component name, with the noise levels that each of them denoises.

    Wan2.2 A14B hands over from `transformer` to `transformer_2` where noise falls below `boundary_ratio`.
    """
    boundary = read(model).get("boundary_ratio")
    if boundary is None:
        return {"transformer": (0.0, 1.0)}
    return {"transformer": (boundary, 1.0), "transformer_2": (0.0, boundary)}


def components(model: str) -> set[str]:
    """Names of the parts that a checkpoint has: those with a class, `["diffusers", "AutoencoderKLWan"]`."""
    parts = {name: value for name, value in read(model).items() if isinstance(value, list | tuple)}
    return {name for name, value in parts.items() if len(value) == 2 and value[1] is not None}


def read(model: str) -> dict[str, Any]:
    """The `model_index.json` of a diffusers folder or a hub id.

    Raises:
        FileNotFoundError: no such folder, or the hub cannot be reached and nothing is cached.
    """
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
