"""Notebook 02: sample clips during training, from the same noise, and their distance to the film's.

The source stops when LPIPS no longer falls. Distances to aligned frames punish motion that is a little
late as if it were wrong, and a clip that stands still can look better than one that moves. So the samples'
own movement is measured beside the distance: 1 moves as the film does, 0 stands still.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan, SchedulerMixin, WanTransformer3DModel

from cinelib.metrics.perceptual import LPIPS, FeatureDistance, Perceptual
from cinelib.style.encoded_clips import Batch, Example, read_batch
from cinelib.video import write_video
from cinelib.wan import conditioning, pipeline


@torch.no_grad()
def sample_latents(
    transformer: WanTransformer3DModel, scheduler: SchedulerMixin, batch: Batch, steps: int, seed: int
) -> torch.Tensor:
    """Latents like `batch.latents`, denoised in `steps` steps without guidance, from the seed's noise."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(batch.latents.shape, generator=generator).to(batch.latents.device)
    scheduler = type(scheduler).from_config(scheduler.config)  # a sampler remembers its last steps
    scheduler.set_timesteps(steps, device=latents.device)
    given = 0
    for timestep in scheduler.timesteps:
        sigma = (timestep / 1000).float().repeat(len(latents))
        hidden_states, timesteps, given = conditioning.model_input(latents, batch.condition, sigma)
        velocity = transformer(
            hidden_states=hidden_states,
            timestep=timesteps,
            encoder_hidden_states=batch.prompt_embeds,
            encoder_hidden_states_image=batch.image_embeds,
            return_dict=False,
        )[0]
        latents = scheduler.step(velocity.float(), timestep, latents, return_dict=False)[0]
    return torch.cat([batch.condition[:, :, :given], latents[:, :, given:]], dim=2) if given else latents


def movement(frames: np.ndarray, distance: Perceptual) -> float:
    """Mean distance between neighbouring frames of (T, H, W, 3); 0 for a clip that stands still."""
    return float(distance(frames[1:], frames[:-1]).mean())


@dataclass(frozen=True)
class SampleClips:
    """Settings of the sample clips of a training.

    Attributes:
        clips: how many held-out clips are sampled, each from its last re-graded first frame.
        every: optimiser steps between two sets of samples.
        alexnet: path of AlexNet's weights for LPIPS, "" for its stand-in under its own name.
    """

    fps: int
    clips: int = 1
    every: int = 50
    num_inference_steps: int = 12
    alexnet: str = ""

    def start(
        self, pipe: pipeline.FirstLastPipeline, validation: Sequence[Example], folder: Path
    ) -> "Samples":
        """Ready to draw, with the VAE and the sampler of `pipe`; its transformer is not touched.

        The clips are written into `folder`, as `step-00000000-0.mp4`.
        """
        device = str(pipe.vae.device)
        distance = LPIPS(self.alexnet, device) if self.alexnet else FeatureDistance(device)
        return Samples(self, folder, pipe.vae, pipe.scheduler, validation[: self.clips], distance)


@dataclass
class Samples:
    """Draws the sample clips of a training and measures them."""

    settings: SampleClips
    folder: Path
    vae: AutoencoderKLWan
    scheduler: SchedulerMixin
    examples: Sequence[Example]
    distance: Perceptual
    film: list[np.ndarray] = field(default_factory=list, init=False)

    def draw(self, transformer: WanTransformer3DModel, precision: str = "fp32") -> list[torch.Tensor]:
        """The latents (1, 16, t, h, w) of one clip an example, under the weights of this moment."""
        device = transformer.device
        found = []
        for seed, example in enumerate(self.examples):
            batch = read_batch([example], len(example.conditions) - 1).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                steps = self.settings.num_inference_steps
                found.append(sample_latents(transformer, self.scheduler, batch, steps, seed))
        return found

    def measure(self, drawn: Sequence[torch.Tensor], step: int) -> tuple[dict[str, float], np.ndarray]:
        """`distance` to the film's clips and `movement` against theirs, means over clips; all last frames."""
        if not self.film:  # the same every time
            latents = [read_batch([example], 0).latents for example in self.examples]
            self.film = [pipeline.to_frames(pipeline.decode_video(self.vae, x)) for x in latents]
        rows, last = [], []
        for number, (latents, reference) in enumerate(zip(drawn, self.film, strict=True)):
            clip = pipeline.to_frames(pipeline.decode_video(self.vae, latents))
            path = self.folder / f"step-{step:08d}-{number}.mp4"
            write_video(path, clip, self.settings.fps)
            own = movement(clip, self.distance) / max(movement(reference, self.distance), 1e-9)
            rows.append((float(self.distance(clip, reference).mean()), own))
            last.append(clip[-1])
        distance, moved = np.mean(rows, axis=0)
        return {"step": step, "distance": float(distance), "movement": float(moved)}, np.stack(last)
