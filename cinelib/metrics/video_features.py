"""Networks that see a clip whole: the course's own small ResNet, or a published VideoMAE by hub id."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cinelib.metrics.clip_sim import weights_sha256
from cinelib.metrics.extractors import in_batches
from cinelib.metrics.result import as_clip

if TYPE_CHECKING:
    import torch


class VideoFeatures:
    """One row a clip: a VideoMAE's last hidden states, averaged, or the pooled features of stacked frames.

    Args:
        model: folder or hub id of a VideoMAE, or of a ResNet whose channels are the frames of a clip, such
            as `data/nano-viewer`, which gives FD[nano].

    Raises:
        FileNotFoundError: no such network there.
        ValueError: a network of another kind.
    """

    packages = ("torch", "transformers")
    published = False  # a bare FVD is I3D's alone

    def __init__(self, model: str, device: str = "cpu", batch_size: int = 4) -> None:
        from transformers import AutoModel

        try:
            self.network = AutoModel.from_pretrained(model).eval().to(device)
        except OSError as error:
            raise FileNotFoundError(
                f"no video network at {model!r}; the course's own is data/nano-viewer, published ones are "
                "fetched with: hf download MCG-NJU/videomae-base"
            ) from error
        config = self.network.config
        self.stacked = config.model_type == "resnet"
        self.frames = getattr(config, "num_frames", 0)
        if config.model_type not in ("resnet", "videomae") or not self.frames:
            raise ValueError(
                f"{model} is a {config.model_type} for pictures or words; known are VideoMAE and a ResNet of "
                "stacked frames (data/nano-viewer)"
            )
        self.size = _pair(config.image_size)
        self.device, self.batch_size = device, batch_size
        self.name = Path(model).name.removesuffix("-viewer")
        self.weights_sha256 = weights_sha256(model)
        self.preprocessing = (
            f"{self.frames} frames evenly over the clip, stretched to {self.size[0]}x{self.size[1]}, [-1, 1]"
        )

    def __call__(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Features (n, d) float64 of clips (T, H, W, 3) uint8 with at least 2 frames."""
        checked = [as_clip(clip, minimum=2) for clip in clips]
        return in_batches(checked, self.batch_size, self._prepare, self._features)

    def _prepare(self, clip: np.ndarray) -> "torch.Tensor":
        import torch

        at = np.linspace(0, len(clip) - 1, self.frames).round().astype(int)
        height, width = self.size
        how = cv2.INTER_AREA if clip.shape[1] >= height else cv2.INTER_CUBIC
        frames = np.stack([cv2.resize(frame, (width, height), interpolation=how) for frame in clip[at]])
        return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1

    def _features(self, clips: "torch.Tensor") -> "torch.Tensor":
        """Clips (b, T, 3, H, W) -> (b, d)."""
        pixels = clips.to(self.device)
        if self.stacked:
            return self.network(pixel_values=pixels.flatten(1, 2)).pooler_output.flatten(1)
        return self.network(pixel_values=pixels).last_hidden_state.mean(1)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
