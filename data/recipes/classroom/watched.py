"""What a training on an accelerator knows and shows of itself: clips, measurements, pictures, files."""

from contextlib import ExitStack
from dataclasses import astuple
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from classroom import calm, encoding, flow, sampling, scenes, vae
from classroom.attention import short_text
from classroom.budget import Budget
from classroom.clock import Clock
from classroom.keeping import PICTURES, Keeper, save_pictures
from classroom.rushes import Crew, Rushes
from classroom.store import Footage, to_pixels

if TYPE_CHECKING:
    from diffusers import WanImageToVideoPipeline, WanTransformer3DModel

HELD_OUT = 620_000  # within the evaluation seeds: away from those of `evaluation` and of the cards


class Watched:
    """The state of one run, measured on held-out clips and kept in files as it goes."""

    crew: Crew
    pipe: "WanImageToVideoPipeline"
    shown: "WanTransformer3DModel"  # what is measured and kept
    compared: flow.HeldOut

    def __init__(self, budget: Budget, device: torch.device, clock: Clock, keeper: Keeper) -> None:
        self.budget, self.device, self.clock, self.keeper = budget, device, clock, keeper
        self.footage = Footage(budget.capacity, device)
        self.unseen: list[Rushes] = []
        self.random = torch.Generator(device).manual_seed(1)
        self.history: dict[str, list] = {"autoencoder": [], "transformer": []}
        self.pictures: dict[str, np.ndarray] = {}
        self.steps: dict[str, int] = {}
        self.tuned = False  # whether convolutions choose their algorithm by trial
        self._kept = ExitStack()

    @property
    def seeds(self) -> list[int]:
        """Held-out scenes first, then as many training scenes as there may be."""
        held_out = scenes.evaluation_seeds(self.budget.held_out, HELD_OUT)
        return [*held_out, *scenes.training_seeds(self.budget.capacity)]

    @cached_property
    def _held_out(self) -> Rushes:
        parts = sorted(self.unseen, key=lambda part: part.seeds[0])
        captions = [caption for part in parts for caption in part.captions]
        return Rushes(np.concatenate([part.frames for part in parts]), captions, [], [])

    def collect(self) -> None:
        """Take what the workers have finished."""
        for rushes in self.crew.delivered():
            if rushes.seeds[0] in scenes.evaluation_seeds(self.budget.held_out, HELD_OUT):
                self.unseen.append(rushes)
            else:
                self.footage.add(rushes)

    def _say(self, line: str) -> None:
        self.keeper.log(line)

    def _cast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.budget.half)

    def _measure_autoencoder(self, net: torch.nn.Module, pixels: Tensor, steps: int) -> None:
        torch.backends.cudnn.benchmark = False  # not for shapes that come once
        shown = to_pixels(self.footage.frames[: min(256, len(self.footage))])
        with self._cast():
            settled = calm.settle(net, shown)
            found = calm.measured(net, pixels)
        row = {"seconds": round(self.clock.seconds, 1), "steps": steps, **found, "settled": settled}
        self.history["autoencoder"].append(row)
        self.keeper.log("autoencoder", clips=len(self.footage), **row)
        self.keeper.weights("vae", net, net.state_dict())

    def _measure_transformer(self, states: dict[str, dict[str, Tensor]], steps: int, clips: int) -> None:
        tables = {}
        for name, state in states.items():
            self.shown.load_state_dict(state, strict=False)
            with short_text(self.shown), self._cast():
                tables[name] = self.compared.table(self.shown, self.pipe.vae)
        best = min(tables, key=lambda name: flow.total(tables[name]))
        self.shown.load_state_dict(states[best], strict=False)
        row = {"seconds": round(self.clock.seconds, 1), "steps": steps, "encoded": clips, "best": best}
        self.history["transformer"].append(
            row | {"held_out": tables, "generated_psnr": self._generate(steps)}
        )
        self.keeper.log("transformer", **self.history["transformer"][-1])
        self.keeper.weights("transformer", self.shown, self.shown.state_dict())
        captions, shape = self._held_out.captions[: self.budget.pictures], astuple(self.budget.shape)
        self.keeper.summary(
            clips=len(self.footage), shape=shape, captions=captions, steps=self.steps, history=self.history
        )

    def _generate(self, steps: int) -> list[float]:
        real = self._held_out
        count = self.budget.pictures
        self.pipe.transformer = self.shown
        made = sampling.generate(
            self.pipe, real.frames[:count, 0], real.captions[:count], self.budget.shape.num_frames,
            num_inference_steps=12, guidance_scale=3.0, bf16=self.budget.half,
        )  # fmt: skip
        self.pictures |= {"real": real.frames[:count], f"step {steps}": made}
        self.keeper.replace(PICTURES, lambda draft: save_pictures(draft, self.pictures))
        near = vae.psnr(encoding.to_pixels(made), encoding.to_pixels(real.frames[:count])).mean(0)
        return [round(float(value), 2) for value in near]
