"""Stage 6, the video feature net: a small ResNet that learns what happens in a clip by naming it.

Frechet distances need features that see motion as well as pictures. All frames enter together, stacked as
channels, so that motion is a pattern that the first convolution can see. The classes asked for contain both:
set, light and costume colour can be read from one frame, camera move and action only from several; where the
picture goes as a whole is asked for as three numbers.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classroom import variation
from classroom.camera_motion import global_motion
from classroom.loop import Log, Plan, Training, rank, share

if TYPE_CHECKING:
    from transformers import ResNetModel

ATTRIBUTES = ("world", "set", "light", "subject", "action", "colour", "camera")
MOTION = 0.1  # a usual global motion in a second, the unit that its error is counted in


class Viewer(nn.Module):
    """The network with one classifier per attribute, and the picture's motion, on its pooled features."""

    def __init__(self, backbone: "ResNetModel", values: dict[str, list[str]]) -> None:
        super().__init__()
        self.backbone, self.values = backbone, values
        width = backbone.config.hidden_sizes[-1]
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(known)) for name, known in values.items()})
        self.motion = nn.Linear(width, 3)

    def forward(self, pixel_values: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits (B, values) per attribute and motion (B, 3) in units of MOTION, of clips (B, T, 3, H, W)."""
        seen = features(self.backbone, pixel_values)
        return {name: head(seen) for name, head in self.heads.items()}, self.motion(seen)

    def labels(self, attributes: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Index of each attribute's value, -1 for one that training never showed."""
        return {
            name: torch.tensor([known.index(row[name]) if row[name] in known else -1 for row in attributes])
            for name, known in self.values.items()
        }


def features(backbone: "ResNetModel", pixel_values: Tensor) -> Tensor:
    """Pooled features (B, width) of clips (B, T, 3, H, W) in [-1, 1]."""
    stacked = pixel_values.flatten(1, 2).contiguous(memory_format=torch.channels_last)
    return backbone(pixel_values=stacked).pooler_output.flatten(1)


def viewer(backbone: "ResNetModel", attributes: Sequence[dict[str, Any]]) -> Viewer:
    """A viewer that knows every value in `attributes`."""
    return Viewer(backbone, {name: sorted({row[name] for row in attributes}) for name in ATTRIBUTES})


def pixel_values(frames: np.ndarray) -> Tensor:
    """uint8 (B, T, H, W, 3) -> (B, T, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def motions(frames: np.ndarray, folder: Path) -> np.ndarray:
    """`global_motion` of every clip (N, T, H, W, 3), float32 (N, 3); measured once and kept in `folder`."""
    path = folder / f"motion-{len(frames)}.npy"
    if not path.exists():
        draft = path.with_suffix(f".partial{rank()}.npy")  # each process of torchrun measures for itself
        np.save(draft, np.array([global_motion(clip) for clip in frames], np.float32).clip(-1, 1))
        draft.replace(path)
    return np.load(path)


def train(
    model: Viewer,
    frames: np.ndarray,
    attributes: Sequence[dict[str, Any]],
    folder: Path,
    plan: Plan,
    batch: int = 16,
    log: Log = print,
) -> Iterator[Training]:
    """Train in place on varied uint8 `frames` (N, T, H, W, 3); yields after each save."""
    training = Training(model, plan, folder / "viewer.pt")
    length = model.backbone.config.num_frames
    moved = torch.from_numpy(motions(frames, folder))

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(frames), (share(batch),), generator=generator).tolist()
        start = int(torch.randint(frames.shape[1] - length + 1, (), generator=generator))
        shown = [
            variation.vary(variation.Shown(clip, attributes[row], moved[row]), generator)
            for clip, row in zip(pixel_values(frames[rows, start : start + length]), rows, strict=True)
        ]
        logits, motion = model(torch.stack([clip.pixels for clip in shown]).to(model.backbone.device))
        labels = model.labels([clip.attributes for clip in shown])
        losses = [
            # not its own mean, which is NaN where every label of a batch is unknown
            F.cross_entropy(
                logits[name].float(), labels[name].to(motion.device), ignore_index=-1, reduction="none"
            ).mean()
            for name in logits
        ]
        truth = torch.stack([clip.motion for clip in shown]).to(motion.device)
        return torch.stack(losses).mean() + F.smooth_l1_loss(motion.float(), truth / MOTION)

    for _ in training.run(loss, lambda line: log(f"viewer: {line}")):
        yield training


@torch.no_grad()
def accuracy(model: Viewer, frames: np.ndarray, attributes: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Share of clips (N, T, H, W, 3) whose value is named, by attribute."""
    length = model.backbone.config.num_frames
    logits = [model(pixel_values(clip[None, :length]))[0] for clip in frames]
    labels = model.labels(attributes)
    return {
        name: float((torch.cat([row[name] for row in logits]).argmax(-1) == labels[name]).float().mean())
        for name in model.values
    }
