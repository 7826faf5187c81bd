"""Any VideoMAE as a feature extractor: the course's own small one, or a published one by hub id."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cinelib.metrics.clip import as_clip
from cinelib.metrics.clip_sim import weights_sha256


class VideoFeatures:
    """Mean of a VideoMAE's last hidden states, one row a clip.

    Args:
        model: folder or hub id. A folder `data/nano-viewer` gives FD[nano].

    Raises:
        FileNotFoundError: no VideoMAE there.
    """

    published = False  # a bare FVD is I3D's alone

    def __init__(self, model: str, device: str = "cpu") -> None:
        from transformers import VideoMAEModel

        try:
            self.network = VideoMAEModel.from_pretrained(model).eval().to(device)
        except OSError as error:
            raise FileNotFoundError(
                f"no VideoMAE at {model!r}; the course's own is data/nano-viewer, published ones are "
                "fetched with: hf download MCG-NJU/videomae-base"
            ) from error
        config = self.network.config
        self.frames = config.num_frames
        self.size = _pair(config.image_size)
        self.device, self.name = device, Path(model).name.removesuffix("-viewer")
        self.weights_sha256 = weights_sha256(model)
        self.preprocessing = (
            f"{self.frames} frames evenly over the clip, stretched to {self.size[0]}x{self.size[1]}, [-1, 1]"
        )

    def __call__(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Features (n, d) float64 of clips (T, H, W, 3) uint8 with at least 2 frames."""
        return np.stack([self._one(as_clip(clip, minimum=2)) for clip in clips])

    def _one(self, clip: np.ndarray) -> np.ndarray:
        import torch

        at = np.linspace(0, len(clip) - 1, self.frames).round().astype(int)
        height, width = self.size
        how = cv2.INTER_AREA if clip.shape[1] >= height else cv2.INTER_CUBIC
        frames = np.stack([cv2.resize(frame, (width, height), interpolation=how) for frame in clip[at]])
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
        with torch.inference_mode():
            hidden = self.network(pixel_values=pixels.to(self.device)).last_hidden_state
        return hidden[0].mean(0).double().cpu().numpy()


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
