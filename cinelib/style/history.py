"""Notebook 02: what a training measured: its curves, when they stop it, TensorBoard's files."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

Weights = dict[str, torch.Tensor]


@dataclass
class EarlyStopping:
    """A curve's lowest value, the weights that reached it, and how many measurements ago that was."""

    name: str
    best: float = math.inf
    step: int = 0
    since: int = 0
    weights: Weights = field(default_factory=dict)

    def note(self, value: float, step: int, weights: Callable[[], Weights]) -> None:
        """Take one measurement; `weights` is asked for a copy only when it is the lowest so far."""
        if value < self.best:
            self.best, self.step, self.since, self.weights = value, step, 0, weights()
        else:
            self.since += 1

    def reason(self, patience: int) -> str | None:
        """Why to stop, or None while there is hope; patience 0 never stops."""
        if not patience or self.since < patience:
            return None
        return (
            f"{self.name} has not fallen below {self.best:.4f} (step {self.step}) "
            f"in {self.since} measurements; that step's weights are kept"
        )


@dataclass
class History:
    """Curves of one training, why it stopped early, and where it was continued."""

    train: list[dict[str, float]] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    samples: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    stopped: str | None = None
    resumed_at: list[int] = field(default_factory=list)


class TrainingBoard:
    """TensorBoard's event files in one folder.

    A resumed training writes its whole history again: what an earlier process wrote after its last
    checkpoint would otherwise stay in the curves.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=0)

    def rows(self, group: str, rows: list[Mapping[str, float]]) -> None:
        """Each number of each row, at the row's step, as `group/name`."""
        for row in rows:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(f"{group}/{name}", value, int(row["step"]))

    def pictures(self, name: str, frames: np.ndarray, step: int) -> None:
        """Frames (N, H, W, 3) uint8 side by side."""
        self._writer.add_images(name, frames, step, dataformats="NHWC")

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
