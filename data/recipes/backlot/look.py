"""The look: a colour grade, contrast, grain and vignette, applied to finished frames last of all."""

from dataclasses import dataclass

import numpy as np

from backlot.palette import RGB

LUMA = np.float32([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Look:
    """A grade. Shadows and highlights are added tints; 0 and 1 defaults change nothing."""

    name: str = "neutral"
    exposure: float = 1.0
    contrast: float = 1.0
    lift: float = 0.0
    saturation: float = 1.0
    warmth: float = 0.0
    shadows: RGB = (0.0, 0.0, 0.0)
    highlights: RGB = (0.0, 0.0, 0.0)
    vignette: float = 0.0
    grain: float = 0.0

    @property
    def split_tone(self) -> float:
        """How far shadows and highlights are pushed apart: 0 for every neutral look."""
        return float(np.abs(np.subtract(self.highlights, self.shadows)).max())


FILM_LOOK = Look(
    name="emberfall", exposure=1.0, contrast=1.18, lift=0.03, saturation=0.90, warmth=0.0,
    shadows=(-0.070, 0.050, 0.085), highlights=(0.16, 0.03, -0.20), vignette=0.42, grain=0.016,
)  # fmt: skip


def sample_look(rng: np.random.Generator) -> Look:
    """A neutral look: small changes of exposure, contrast and colour, never a split tone."""
    return Look(
        exposure=float(rng.uniform(0.92, 1.10)),
        contrast=float(rng.uniform(0.92, 1.10)),
        saturation=float(rng.uniform(0.85, 1.20)),
        warmth=float(rng.uniform(-0.05, 0.05)),
        vignette=float(rng.uniform(0.0, 0.12)),
    )


def sample_grade(rng: np.random.Generator) -> Look:
    """Any film's look: tint, split tone, vignette and grain; for nets that must see through them."""
    return Look(
        exposure=float(rng.uniform(0.75, 1.2)),
        contrast=float(rng.uniform(0.85, 1.25)),
        lift=float(rng.uniform(0, 0.05)),
        saturation=float(rng.uniform(0.6, 1.3)),
        warmth=float(rng.uniform(-0.12, 0.12)),
        shadows=tuple(rng.normal(0, 0.07, 3)),
        highlights=tuple(rng.normal(0, 0.11, 3)),
        vignette=float(rng.uniform(0, 0.5)),
        grain=float(rng.uniform(0, 0.02)),
    )


def apply_look(frames: np.ndarray, look: Look, seed: int = 0, first: int = 0) -> np.ndarray:
    """Grade `frames` (..., H, W, 3) uint8 or float in 0..1; returns uint8.

    Grain depends on `seed` and the frame's number counted from `first`, so it is the same on every run.

    Raises:
        ValueError: frames that are not RGB images.
    """
    frames = np.asarray(frames)
    if frames.ndim < 3 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be (..., H, W, 3), got {frames.shape}")
    stack = frames.reshape(-1, *frames.shape[-3:])
    shade = _vignette(*stack.shape[1:3], look.vignette)
    graded = np.stack([_grade(frame, look, shade, seed, first + k) for k, frame in enumerate(stack)])
    return graded.reshape(frames.shape)


def _grade(frame: np.ndarray, look: Look, shade: np.ndarray, seed: int, number: int) -> np.ndarray:
    rgb = frame.astype(np.float32) / 255 if frame.dtype == np.uint8 else frame.astype(np.float32)
    rgb = rgb * np.float32([1 + look.warmth, 1, 1 - look.warmth]) * look.exposure
    luma = (rgb @ LUMA)[..., None]
    rgb = luma + (rgb - luma) * look.saturation
    rgb = (rgb - 0.42) * look.contrast + 0.42
    rgb *= shade
    if look.split_tone > 0:
        level = np.clip(rgb @ LUMA, 0, 1)[..., None]
        rgb += np.float32(look.shadows) * (1 - level) ** 2 + np.float32(look.highlights) * level * (
            1.6 - 0.6 * level
        )
    rgb = look.lift + rgb * (1 - look.lift)
    if look.grain > 0:
        noise = np.random.default_rng([seed, number]).standard_normal(rgb.shape[:2], np.float32)
        rgb += (look.grain * noise)[..., None]
    return (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)


def _vignette(height: int, width: int, strength: float) -> np.ndarray:
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    return (1 - strength * np.clip((x * x + y * y) / 2, 0, 1) ** 1.3)[..., None]
