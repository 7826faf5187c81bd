"""Every number of a training, at the size that ships and at the size that tests run."""

from dataclasses import dataclass, replace

from classroom import architecture, scenes, vae
from classroom.loop import Plan


@dataclass(frozen=True)
class Settings:
    """All the numbers of one training. `NANO` is what ships, `SMOKE` tests the code."""

    size: architecture.Size
    shape: scenes.Shape
    clips: int
    net_clips: int  # of these, those that the small nets learn from
    captions: int
    language: Plan
    contrast: Plan
    vae: Plan
    denoiser: Plan
    viewer: Plan
    vae_phases: tuple[vae.Phase, ...] = vae.PHASES
    batch: int = 16
    text_batch: int = 64
    seed: int = 1


NANO = Settings(
    size=architecture.NANO,
    shape=scenes.Shape(17, 64, 112),
    clips=6144,
    net_clips=2048,
    captions=6000,
    language=Plan(steps=400, learning_rate=2e-3),
    contrast=Plan(steps=500, learning_rate=1e-3, ema=0.99),
    vae=Plan(steps=1, learning_rate=1e-3, ema=0.99),
    denoiser=Plan(
        steps=29_000,
        learning_rate=1e-3,
        ema=0.999,
        milestones=(500, 1500, 3000, 5000, 8000, 13_500, 17_500, 21_002, 29_000),
    ),
    viewer=Plan(steps=2000, learning_rate=1e-3, ema=0.99),
)
_QUICK = Plan(steps=3, learning_rate=1e-3, warmup=1, bf16=False)
SMOKE = Settings(
    size=architecture.SMOKE,
    shape=scenes.Shape(5, 32, 48),
    clips=4,
    net_clips=4,
    captions=32,
    language=_QUICK,
    contrast=_QUICK,
    vae=replace(_QUICK, ema=0.9),
    denoiser=replace(_QUICK, ema=0.9, milestones=(2,)),
    viewer=replace(_QUICK, ema=0.9),
    vae_phases=(
        vae.Phase(steps=2, batch=2, frames=1, height=32, width=32, learning_rate=1e-3),
        vae.Phase(steps=2, batch=2, frames=5, height=32, width=32, learning_rate=1e-3),
    ),
    batch=2,
    text_batch=4,
)
SETTINGS = {"nano": NANO, "smoke": SMOKE}
