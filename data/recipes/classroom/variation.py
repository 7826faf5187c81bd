"""Training clips varied together with what is true of them: a pan to the left, mirrored, goes right."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from classroom.vae import graded

UNKNOWN = ""  # an attribute that nobody can name any more
_MIRRORED = {"left": "right", "right": "left"}
_REVERSED = {**_MIRRORED, "in": "out", "out": "in", "up": "down", "down": "up"}


@dataclass(frozen=True)
class Shown:
    """A clip (T, 3, H, W) in [-1, 1], its attributes and the picture's motion: right, down, zoom."""

    pixels: Tensor
    attributes: dict[str, Any]
    motion: Tensor


def vary(shown: Shown, generator: torch.Generator) -> Shown:
    """Graded, mirrored, played backwards and softened, each at random.

    Softened, because a feature net that looks for sharpness first cannot tell what a soft picture does.
    """
    mirror, back, soften, sigma = torch.rand(4, generator=generator).tolist()
    pixels = graded((shown.pixels.transpose(0, 1) + 1) / 2, generator).transpose(0, 1) * 2 - 1
    if soften < 0.5:
        pixels = gaussian_blur(pixels, [7, 7], [0.3 + sigma, 0.3 + sigma])
    varied = replace(shown, pixels=pixels)
    varied = mirrored(varied) if mirror < 0.5 else varied
    return backwards(varied) if back < 0.3 else varied


def mirrored(shown: Shown) -> Shown:
    """Left and right exchanged."""
    camera = _renamed(shown.attributes["camera"], _MIRRORED)
    sign = torch.tensor([-1.0, 1.0, 1.0])
    return Shown(shown.pixels.flip(-1), {**shown.attributes, "camera": camera}, shown.motion * sign)


def backwards(shown: Shown) -> Shown:
    """Played backwards; nobody can say what action that is."""
    camera = _renamed(shown.attributes["camera"], _REVERSED)
    attributes = {**shown.attributes, "camera": camera, "action": UNKNOWN}
    return Shown(shown.pixels.flip(0), attributes, -shown.motion)


def _renamed(move: str, names: dict[str, str]) -> str:
    return " ".join(names.get(word, word) for word in move.split())
