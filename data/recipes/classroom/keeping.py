"""What comes back from an accelerator: weights, their configs and a log, each file replaced in one step."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

LOG, SUMMARY, PICTURES = "log.jsonl", "summary.json", "samples.npz"
PARTS = ("vae", "transformer")


class Keeper:
    """Writes into `folder`; a kill at any moment leaves the last good file of each name."""

    def __init__(self, folder: Path, seconds: Callable[[], float], say: Callable[[str], None]) -> None:
        self.folder, self._seconds, self._say = folder, seconds, say
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOG).write_text("", encoding="utf-8")

    def replace(self, name: str, write: Callable[[Path], None]) -> None:
        """Let `write` make a draft of the file `name`, then put it in place."""
        draft = self.folder / f".{name}.partial"
        write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(self.folder / name)

    def weights(self, part: str, net: torch.nn.Module, state: dict[str, Tensor]) -> bool:
        """Weights `state` of `net` in half precision, its config beside them; False if not finite."""
        halves = {name: value.detach().half().cpu().contiguous() for name, value in state.items()}
        if not all(bool(value.isfinite().all()) for value in halves.values()):
            self.log("not kept: not finite", part=part)
            return False
        self.replace(f"{part}.safetensors", lambda draft: save_file(halves, draft))
        config = json.dumps(dict(net.config), indent=2, default=str)
        self.replace(f"{part}.json", lambda draft: draft.write_text(config + "\n", encoding="utf-8"))
        return True

    def log(self, what: str, **values: Any) -> None:
        """One line in the log and on the screen."""
        row = {"seconds": round(self._seconds(), 1), "what": what, **values}
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._say(f"{row['seconds']:6.1f} s {what} " + " ".join(f"{k}={v}" for k, v in values.items()))

    def summary(self, **values: Any) -> None:
        """The whole run in one table."""
        text = json.dumps(values, indent=2) + "\n"
        self.replace(SUMMARY, lambda draft: draft.write_text(text, encoding="utf-8"))


def save_pictures(path: Path, pictures: dict[str, np.ndarray]) -> None:
    """Clips uint8 (N, T, H, W, 3) by name, compressed."""
    with path.open("wb") as file:
        np.savez_compressed(file, **pictures)


def load_autoencoder(folder: Path) -> "AutoencoderKLWan":
    """The autoencoder in a checkpoint's folder, in full precision; needs no `accelerate`."""
    from diffusers import AutoencoderKLWan

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    net = AutoencoderKLWan.from_config(config)
    net.load_state_dict(load_file(folder / "diffusion_pytorch_model.safetensors"))
    return net.float().eval()
