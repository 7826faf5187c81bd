"""Stage 6, the video feature net: a small VideoMAE that learns what happens in a clip by naming it.

Frechet distances need features that see motion as well as pictures. The classes asked for here contain both:
set, light and costume colour can be read from one frame, camera move and action only from several.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinelib.classroom.loop import Log, Plan, Training, share
from cinelib.classroom.vae import graded

if TYPE_CHECKING:
    from transformers import VideoMAEModel

ATTRIBUTES = ("world", "set", "light", "subject", "action", "colour", "camera")


class Viewer(nn.Module):
    """The network with one classifier per attribute on the mean of its tokens."""

    def __init__(self, backbone: "VideoMAEModel", values: dict[str, list[str]]) -> None:
        super().__init__()
        self.backbone, self.values = backbone, values
        width = backbone.config.hidden_size
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(known)) for name, known in values.items()})

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Logits (B, values) per attribute of clips (B, T, 3, H, W)."""
        seen = features(self.backbone, pixel_values)
        return {name: head(seen) for name, head in self.heads.items()}

    def labels(self, attributes: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Index of each attribute's value, -1 for one that training never showed."""
        return {
            name: torch.tensor([known.index(row[name]) if row[name] in known else -1 for row in attributes])
            for name, known in self.values.items()
        }


def features(backbone: "VideoMAEModel", pixel_values: Tensor) -> Tensor:
    """Mean of the last hidden states, (B, width), of clips (B, T, 3, H, W) in [-1, 1]."""
    return backbone(pixel_values=pixel_values).last_hidden_state.mean(dim=1)


def viewer(backbone: "VideoMAEModel", attributes: Sequence[dict[str, Any]]) -> Viewer:
    """A viewer that knows every value in `attributes`."""
    return Viewer(backbone, {name: sorted({row[name] for row in attributes}) for name in ATTRIBUTES})


def pixel_values(frames: np.ndarray) -> Tensor:
    """uint8 (B, T, H, W, 3) -> (B, T, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def train(
    model: Viewer,
    frames: np.ndarray,
    attributes: Sequence[dict[str, Any]],
    folder: Path,
    plan: Plan,
    batch: int = 16,
    log: Log = print,
) -> Iterator[Training]:
    """Train in place on uint8 `frames` (N, T, H, W, 3), half of them re-graded; yields after each save."""
    training = Training(model, plan, folder / "viewer.pt")
    length = model.backbone.config.num_frames

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(frames), (share(batch),), generator=generator).tolist()
        start = int(torch.randint(frames.shape[1] - length + 1, (), generator=generator))
        clips = (pixel_values(frames[rows, start : start + length]) + 1) / 2
        clips = torch.stack([graded(clip.transpose(0, 1), generator) for clip in clips])  # (B, 3, T, H, W)
        logits = model((clips.transpose(1, 2) * 2 - 1).to(model.backbone.device))
        labels = model.labels([attributes[row] for row in rows])
        losses = [
            F.cross_entropy(logits[name].float(), labels[name].to(logits[name].device)) for name in logits
        ]
        return torch.stack(losses).mean()

    for _ in training.run(loss, lambda line: log(f"viewer: {line}")):
        yield training


@torch.no_grad()
def accuracy(model: Viewer, frames: np.ndarray, attributes: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Share of clips (N, T, H, W, 3) whose value is named, by attribute."""
    length = model.backbone.config.num_frames
    logits = [model(pixel_values(clip[None, :length])) for clip in frames]
    labels = model.labels(attributes)
    return {
        name: float((torch.cat([row[name] for row in logits]).argmax(-1) == labels[name]).float().mean())
        for name in model.values
    }
