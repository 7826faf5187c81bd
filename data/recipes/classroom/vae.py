"""Stage 1, the autoencoder: single frames first, then clips that grow to full length.

A single frame costs a ninth of what a clip does, and most of the picture's structure is learned there. The
temporal taps, which single frames never touch, start neutral and are trained on clips afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from classroom import autoencoder, principal
from classroom.loop import Log, Plan, Training, generator, share, world

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

NOISE = 0.05  # added to latents in units of their own scale, so that the decoder forgives the sampler


@dataclass(frozen=True)
class Phase:
    """Batches of one kind: `batch` crops of `frames` frames and height x width pixels, for `steps` steps."""

    steps: int
    batch: int
    frames: int
    height: int
    width: int
    learning_rate: float
    clips: int | None = None  # the first so many training clips; None: all
    squared: float = 2.0  # weight of the squared error, which PSNR counts, beside the absolute one


PHASES = (
    Phase(steps=1000, batch=8, frames=1, height=64, width=64, learning_rate=2e-3, clips=640),
    Phase(steps=7000, batch=8, frames=1, height=64, width=64, learning_rate=1.5e-3),
    Phase(steps=1000, batch=4, frames=9, height=64, width=64, learning_rate=6e-4),
    Phase(steps=700, batch=4, frames=17, height=64, width=64, learning_rate=6e-4),
    Phase(steps=4500, batch=4, frames=9, height=64, width=64, learning_rate=8e-4, squared=8),
    Phase(steps=300, batch=4, frames=17, height=64, width=64, learning_rate=4e-4, squared=8),
)


def crops(frames: np.ndarray, phase: Phase, generator: torch.Generator) -> Tensor:
    """Random crops in random grades: (B, 3, T, H, W) in [-1, 1] from uint8 `frames` (N, T, H, W, 3).

    The grade (gain, gamma and tint per channel, saturation) widens what the decoder can show beyond the
    neutral looks of the training scenes; one crop in ten keeps its outer frames and is grey between,
    because that is what Wan encodes as the condition.
    """

    def pick(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    count, length, height, width = frames.shape[:4]
    batch = []
    for _ in range(share(phase.batch)):
        t, y, x = (pick(full - part + 1) for full, part in zip(
            (length, height, width), (phase.frames, phase.height, phase.width), strict=True
        ))  # fmt: skip
        crop = frames[pick(count), t : t + phase.frames, y : y + phase.height, x : x + phase.width]
        pixels = (
            torch.from_numpy(np.ascontiguousarray(crop)).permute(3, 0, 1, 2).float() / 255
        )  # (3, T, H, W)
        batch.append(_grey_inside(graded(pixels, generator) * 2 - 1, generator))
    return torch.stack(batch)


def graded(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """`pixels` (3, T, H, W) in [0, 1], half the time in a random grade."""
    draw = torch.rand(8, generator=generator) * 2 - 1
    if draw[7] < 0:
        return pixels
    grey = pixels.mean(dim=0, keepdim=True)
    saturated = grey + (pixels - grey) * (1 + 0.4 * draw[0])
    gain = (1 + 0.2 * draw[1] + 0.15 * draw[2:5]).view(3, 1, 1, 1)
    return (saturated.clamp(0, 1) ** torch.exp(0.3 * draw[5]) * gain + 0.06 * draw[6]).clamp(0, 1)


def _grey_inside(pixels: Tensor, generator: torch.Generator) -> Tensor:
    draw = float(torch.rand((), generator=generator))
    if pixels.shape[1] > 1 and draw < 0.1:
        pixels[:, 1 : -1 if draw < 0.05 else None] = 0
    return pixels


def loss(vae: "AutoencoderKLWan", pixels: Tensor, generator: torch.Generator, squared: float = 2.0) -> Tensor:
    """Absolute plus squared error of the unclamped reconstruction, and a light pull on the latents' scale."""
    pixels = pixels.to(vae.device)
    latents = autoencoder.encode(vae, pixels).float()
    scale = latents.detach().std()
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    decoded = autoencoder.decode(vae, latents + NOISE * scale * noise).float()
    error = decoded - pixels
    spread = (latents.square().mean() - 1).clamp(min=0)  # unit scale at most: noise must keep its meaning
    return error.abs().mean() + squared * error.square().mean() + 1e-3 * spread


def train(
    vae: "AutoencoderKLWan",
    frames: np.ndarray,
    folder: Path,
    phases: tuple[Phase, ...] = PHASES,
    plan: Plan | None = None,
    log: Log = print,
) -> Iterator[Training]:
    """Train `vae` in place through `phases`, each resumable in `folder`; yields after each save."""
    plan = plan or Plan(steps=1, learning_rate=1e-3, ema=0.99)
    if not _path(folder, phases, 0).exists():
        autoencoder.start_from_frames(vae)
        pictures = replace(phases[0], batch=256 * world(), frames=1)
        principal.start(vae, crops(frames, pictures, generator(plan.seed, -1))[:, :, 0])
    for number, phase in enumerate(phases):
        if number and phases[number - 1].frames == 1 < phase.frames:
            autoencoder.start_from_frames(vae)
        training = Training(
            vae,
            replace(plan, steps=phase.steps, learning_rate=phase.learning_rate, seed=plan.seed + number),
            _path(folder, phases, number),
        )

        def batch_loss(step: int, generator: torch.Generator, phase: Phase = phase) -> Tensor:
            return loss(vae, crops(frames[: phase.clips], phase, generator), generator, phase.squared)

        for _ in training.run(
            batch_loss, lambda line, phase=phase: log(f"vae {phase.frames} frames: {line}")
        ):
            yield training
        # the next phase starts from the average: it is the better network
        with torch.no_grad():
            for name, value in training.averaged().items():
                training.trained[name].copy_(value)


def _path(folder: Path, phases: tuple[Phase, ...], number: int) -> Path:
    return folder / f"vae-{number}-{phases[number].frames}frames.pt"


def finished(folder: Path, phases: tuple[Phase, ...]) -> list[Path]:
    """The checkpoints of `phases` that there are, in order.

    Raises:
        FileNotFoundError: there is none.
    """
    paths = [_path(folder, phases, number) for number in range(len(phases))]
    existing = [path for path in paths if path.exists()]
    if not existing:
        raise FileNotFoundError(f"{paths[0]} is missing: run the vae stage first")
    return existing


@torch.no_grad()
def latent_statistics(vae: "AutoencoderKLWan", clips: Tensor) -> dict[str, list[float]]:
    """latents_mean and latents_std for the config, from `clips` (N, 3, T, H, W) in [-1, 1]."""
    latents = torch.cat([autoencoder.encode(vae, clip[None].to(vae.device)).float().cpu() for clip in clips])
    return {
        "latents_mean": [round(float(value), 5) for value in latents.mean(dim=(0, 2, 3, 4))],
        "latents_std": [round(float(value), 5) for value in latents.std(dim=(0, 2, 3, 4))],
    }


@torch.no_grad()
def channel_effects(vae: "AutoencoderKLWan", clips: Tensor, size: float = 0.5) -> Tensor:
    """What noise in one latent channel does to the decoded pixels, (16,), relative to the channels' mean.

    Squared pixel change by noise of `size` times the channel's own spread, over `clips` (N, 3, T, H, W).
    """
    latents = autoencoder.encode(vae, clips.to(vae.device)).float()
    decoded = autoencoder.decode(vae, latents)
    spread, effects = latents.std(dim=(0, 2, 3, 4)), []
    for channel in range(latents.shape[1]):
        noise = torch.randn(latents[:, channel].shape, generator=generator(0, channel)).to(latents)
        changed = latents.clone()
        changed[:, channel] += size * spread[channel] * noise
        effects.append((autoencoder.decode(vae, changed) - decoded).square().mean())
    return torch.stack(effects) / torch.stack(effects).mean()


def psnr(decoded: Tensor, pixels: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each frame, (B, T), of clips (B, 3, T, H, W) in [-1, 1]."""
    error = ((decoded.clamp(-1, 1) - pixels) / 2).square().mean(dim=(1, 3, 4))
    return -10 * torch.log10(error.clamp(min=1e-10))
