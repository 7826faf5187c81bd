"""Clips, and what they encode to, in the memory of the accelerator that trains on them.

Row 2k of what is encoded is clip k, row 2k + 1 its mirror image with its own caption.
"""

from dataclasses import fields
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from classroom import autoencoder, encoding, text
from classroom.denoiser import Encoded
from classroom.rushes import Rushes

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan, WanImageToVideoPipeline

PANS = 2.0  # how much oftener a pan is drawn, the move that is learned last
MIRRORS = 0.5  # how often a mirror image is drawn beside its original: real scenes come first


def to_pixels(frames: Tensor) -> Tensor:
    """uint8 (B, T, H, W, 3) on any device -> float (B, 3, T, H, W) in [-1, 1]."""
    return frames.movedim(-1, 1).float() / 127.5 - 1


class Footage:
    """Up to `capacity` clips as they arrive."""

    def __init__(self, capacity: int, device: torch.device) -> None:
        self.capacity, self.device = capacity, device
        self.frames = torch.empty(0, dtype=torch.uint8)
        self.captions: list[str] = []
        self.mirrored: list[str] = []

    def __len__(self) -> int:
        return len(self.captions)

    def add(self, rushes: Rushes) -> None:
        """Take in what a worker delivered; what is beyond the capacity is left out."""
        room = min(len(rushes), self.capacity - len(self))
        if not len(self.frames):
            shape = (self.capacity, *rushes.frames.shape[1:])
            self.frames = torch.empty(shape, dtype=torch.uint8, device=self.device)
        rows = slice(len(self), len(self) + room)
        self.frames[rows] = torch.from_numpy(rushes.frames[:room]).to(self.device)
        self.captions += rushes.captions[:room]
        self.mirrored += rushes.mirrored[:room]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Pixels (count, 3, T, H, W) of random clips, a third of them mirrored."""
        rows = torch.randint(len(self), (count,), generator=generator, device=self.device)
        flip = torch.rand(count, generator=generator, device=self.device) < MIRRORS / (1 + MIRRORS)
        pixels = to_pixels(self.frames[rows])
        return torch.where(flip.view(-1, 1, 1, 1, 1), pixels.flip(-1), pixels)


class Encoder:
    """Encodes clips on the device of `pipe`, in the layouts of `encoding`."""

    def __init__(self, pipe: "WanImageToVideoPipeline", vae: "AutoencoderKLWan") -> None:
        self.pipe, self.vae = pipe, vae  # `vae` may be its half-precision copy
        self.device, self.dtype = vae.device, vae.dtype
        size = pipe.image_encoder.config.image_size
        self._square = (size, size)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(pipe.image_processor.image_mean, device=self.device).view(shape)
        self._std = torch.tensor(pipe.image_processor.image_std, device=self.device).view(shape)

    @torch.no_grad()
    def __call__(self, pixels: Tensor, captions: list[str]) -> dict[str, Tensor]:
        """Every field of `Encoded` but `no_text`, of clips (B, 3, T, H, W), in half precision."""
        known = torch.zeros(2, 1, pixels.shape[2], 1, 1, device=self.device)
        known[:, :, 0] = 1
        known[1, :, -1] = 1
        given = [self.latents(pixels * one) for one in known]
        encoded = {
            "latents": self.latents(pixels),
            "condition": torch.cat([_mask(known[0], given[0]), given[0]], dim=1),
            "condition_last": torch.cat([_mask(known[1], given[1]), given[1]], dim=1),
            "image": self.image_tokens(pixels[:, :, 0]),
            "image_last": self.image_tokens(pixels[:, :, -1]),
            "text": encoding.text_tokens(self.pipe, captions).to(self.device),
        }
        return {name: value.half() for name, value in encoded.items()}

    def latents(self, pixels: Tensor) -> Tensor:
        """Normalised latents (B, 16, t, h, w)."""
        raw = autoencoder.encode(self.vae, pixels.to(self.dtype)).float()
        mean, std = statistics(self.vae)
        return (raw - mean) / std

    def image_tokens(self, frames: Tensor) -> Tensor:
        """CLIP tokens (B, tokens, image_dim) of frames (B, 3, H, W) in [-1, 1], squeezed to a square."""
        squeezed = F.interpolate((frames + 1) / 2, self._square, mode="bicubic", antialias=True).clamp(0, 1)
        wanted = (squeezed - self._mean) / self._std
        return self.pipe.image_encoder(wanted, output_hidden_states=True).hidden_states[-2]


def statistics(vae: "AutoencoderKLWan") -> tuple[Tensor, Tensor]:
    """Mean and spread of the latents as the config has them, each (1, 16, 1, 1, 1)."""
    device, shape = next(vae.parameters()).device, (1, -1, 1, 1, 1)
    mean, std = vae.config.latents_mean, vae.config.latents_std
    return torch.tensor(mean, device=device).view(shape), torch.tensor(std, device=device).view(shape)


def _mask(known: Tensor, latents: Tensor) -> Tensor:
    flags = known.flatten()
    mask = torch.cat([flags[:1].repeat(4), flags[1:]]).view(-1, 4).T  # (4, t)
    return mask.view(1, 4, -1, 1, 1).expand(len(latents), -1, -1, *latents.shape[3:])


class Library:
    """What the clips of `footage` encode to, each beside its mirror image, as far as encoded."""

    def __init__(self, footage: Footage, encoder: Encoder) -> None:
        self.footage, self.encoder, self.clips = footage, encoder, 0
        self._kept: dict[str, Tensor] = {}
        self._chances = torch.zeros(2 * footage.capacity, device=footage.device)
        self._no_text = encoding.text_tokens(encoder.pipe, [""]).half().to(footage.device)

    @property
    def waiting(self) -> int:
        """Clips that are filmed and not yet encoded."""
        return len(self.footage) - self.clips

    def encode_next(self, count: int) -> None:
        """Encode up to `count` waiting clips."""
        rows = range(self.clips, min(self.clips + count, len(self.footage)))
        pixels = to_pixels(self.footage.frames[rows.start : rows.stop])
        told = [self.footage.captions[row] for row in rows], [self.footage.mirrored[row] for row in rows]
        for side, captions in enumerate(told):
            opened = text.with_strangers(captions, seed=rows.start + side)
            encoded = self.encoder(pixels.flip(-1) if side else pixels, opened)
            where = slice(2 * rows.start + side, 2 * rows.stop, 2)
            self._keep(encoded, where)
            seen = [PANS if "pans" in caption else 1.0 for caption in captions]
            self._chances[where] = torch.tensor(seen, device=self._chances.device) * (MIRRORS if side else 1)
        self.clips = rows.stop

    def _keep(self, encoded: dict[str, Tensor], where: slice) -> None:
        for name, value in encoded.items():
            if name not in self._kept:
                self._kept[name] = value.new_zeros((2 * self.footage.capacity, *value.shape[1:]))
            self._kept[name][where] = value

    def draw(self, count: int, generator: torch.Generator) -> Encoded:
        """A random batch."""
        chances = self._chances[: 2 * self.clips]
        rows = torch.multinomial(chances, count, replacement=True, generator=generator)
        return Encoded(**{name: value[rows] for name, value in self._kept.items()}, no_text=self._no_text)


def encoded_once(encoder: Encoder, rushes: Rushes, together: int = 32) -> Encoded:
    """`rushes` as they are, all at once."""
    parts = []
    for start in range(0, len(rushes), together):
        rows = slice(start, start + together)
        pixels = to_pixels(torch.from_numpy(rushes.frames[rows]).to(encoder.device))
        parts.append(encoder(pixels, rushes.captions[rows]))
    names = [field.name for field in fields(Encoded) if field.name != "no_text"]
    joined = {name: torch.cat([part[name] for part in parts]) for name in names}
    no_text = encoding.text_tokens(encoder.pipe, [""]).half().to(encoder.device)
    return Encoded(**joined, no_text=no_text)
