"""RAFT (Teed and Deng 2020) in the place of DIS: learned flow, for who has its weights and an accelerator."""

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cinelib.files import hash_of

if TYPE_CHECKING:
    import torch

RAFT_FETCH = "curl -LO https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth"
_PUBLISHED = {"ff5fadd5": "raft-large", "01064c6d": "raft-small"}  # torchvision names files by SHA-256
_MULTIPLE, _LEAST = 8, 128  # pixels


class Raft:
    """Flow by torchvision's RAFT, large or small, as the weights are; one number of refinements for all.

    It measures the same clips as DIS, bars cut off and the short side 256, but sees colour, and its flow is
    neither refined nor settled afterwards. So its MotionScore is another number, and carries its `name`.

    Args:
        weights: torchvision's file.
        refinements: rounds of the recurrent update; 12 in training, more change little.

    Raises:
        FileNotFoundError: no such file; the message holds the command that fetches it.
        ValueError: the file does not hold RAFT's weights.
    """

    packages = ("torch", "torchvision")

    def __init__(
        self, weights: str | Path, device: str = "cpu", refinements: int = 12, batch_size: int = 4
    ) -> None:
        path = Path(weights)
        if not path.is_file():
            raise FileNotFoundError(f"no RAFT weights at {path}; fetch them with: {RAFT_FETCH}")
        self.device, self.refinements, self.batch_size = device, refinements, batch_size
        self.weights_sha256 = hash_of(path)
        size, self.network = _network(path)
        self.network.eval().requires_grad_(False).to(device)
        mark = self.weights_sha256[:8]
        self.name = _PUBLISHED.get(mark, f"raft-{size}-{mark}")
        self.preprocessing = f"short side 256, RGB in [-1, 1], {refinements} refinements"

    def __call__(
        self, frames: np.ndarray, pairs: list[tuple[int, int]]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Flow from frame a to b of each pair, and back, of frames (T, h, w, 3) uint8.

        Two lists of (h, w, 2) float32, pixels (x, y).
        """
        both = [*pairs, *((b, a) for a, b in pairs)]
        starts = range(0, len(both), self.batch_size)
        found = [flow for at in starts for flow in self._flows(frames, both[at : at + self.batch_size])]
        return found[: len(pairs)], found[len(pairs) :]

    def _flows(self, frames: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
        import torch

        height, width = frames.shape[1:3]
        starts, ends = zip(*pairs, strict=True)
        with torch.inference_mode():
            here, there = (_padded(frames[list(side)]).to(self.device) for side in (starts, ends))
            *_, flow = self.network(here, there, num_flow_updates=self.refinements)
        return flow[:, :, :height, :width].permute(0, 2, 3, 1).float().cpu().numpy()


def _padded(frames: np.ndarray) -> "torch.Tensor":
    """(B, 3, H, W) in [-1, 1], the last row and column repeated up to a size that RAFT takes."""
    import torch
    from torch.nn.functional import pad

    pixels = torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1
    below, beside = (max(_LEAST, -(-size // _MULTIPLE) * _MULTIPLE) - size for size in frames.shape[1:3])
    return pad(pixels, (0, beside, 0, below), mode="replicate")


def _network(path: Path) -> "tuple[str, torch.nn.Module]":
    import torch
    from torchvision.models.optical_flow import raft_large, raft_small

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        small = len(state["feature_encoder.convnormrelu.0.bias"]) == 32
        network = raft_small(weights=None) if small else raft_large(weights=None)
        network.load_state_dict(state)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no weights of RAFT; fetch them with: {RAFT_FETCH}") from error
    return ("small" if small else "large"), network
