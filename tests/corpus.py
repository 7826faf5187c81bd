"""Small video files with known content, in any codec, container, frame rate, rotation or state of repair."""

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

NTSC_FILM = Fraction(24000, 1001)


def even_times(seconds: float, fps: float | Fraction) -> list[float]:
    """Presentation times of a constant-rate clip."""
    return [float(k / Fraction(fps)) for k in range(round(seconds * float(fps)))]


def moving_square(
    times: Sequence[float], speed: float, height: int = 90, width: int = 160, size: int = 16
) -> np.ndarray:
    """A white square on textured grey whose left edge is at `8 + speed * t` pixels: (T, H, W, 3) uint8.

    Drawn with sub-pixel coverage, so its centroid moves exactly by `speed` pixels a second.
    """
    rng = np.random.default_rng(7)
    ground = np.repeat(rng.integers(60, 110, (height, width, 1)), 3, axis=2)
    top = height // 2 - size // 2
    columns = np.arange(width)
    frames = []
    for seconds in times:
        left = 8 + speed * seconds
        cover = np.clip(np.minimum(columns + 1, left + size) - np.maximum(columns, left), 0, 1)
        frame = ground.astype(float)
        band = frame[top : top + size]
        frame[top : top + size] = band + (255 - band) * cover[None, :, None]
        frames.append(frame.round().astype(np.uint8))
    return np.stack(frames)


def square_position(frame: np.ndarray) -> float:
    """Centre of the bright square of `moving_square` in pixels, by the centroid of its profile."""
    height = frame.shape[0]
    middle = frame[height // 2 - 2 : height // 2 + 2].astype(float).mean(axis=(0, 2))
    weight = np.clip(middle - 150, 0, None)
    return float((weight * (np.arange(len(middle)) + 0.5)).sum() / weight.sum())


def write(
    path: Path,
    frames: np.ndarray,
    times: Sequence[float],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    audio: bool = False,
    declared_fps: float | Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode `frames` (T, H, W, 3) shown at `times` (seconds); `rotation` is metadata only.

    `declared_fps` is what the stream's header claims, whatever `times` says.
    """
    quality = {"libx264": {"crf": "12"}, "libx265": {"crf": "14", "x265-params": "log-level=none"}}
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / 24
    rate = Fraction(declared_fps or 1 / step).limit_denominator(1001)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.options = options or quality.get(codec, {})
        # AVI has no timestamps: its frames are numbered.
        base = 1 / rate if path.suffix == ".avi" else Fraction(1, 90000)
        stream.codec_context.time_base = base
        if rotation:
            stream.set_display_rotation(rotation)
        sound = (
            container.add_stream("aac" if path.suffix != ".webm" else "libopus", rate=48000)
            if audio
            else None
        )
        for pixels, seconds in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            frame.time_base, frame.pts = base, round(Fraction(seconds) / base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _hum(container, sound, times[-1] + step)
    return path


def _hum(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    layout = "stereo"
    tone = np.sin(2 * np.pi * 220 * np.arange(int(48000 * seconds)) / 48000).astype(np.float32) * 0.1
    for start in range(0, len(tone) - 1023, 1024):
        frame = av.AudioFrame.from_ndarray(np.stack([tone[start : start + 1024]] * 2), "fltp", layout)
        frame.sample_rate, frame.pts = 48000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def panning_shot(
    num_frames: int, seed: int, height: int = 90, width: int = 160, step: float = 1.5
) -> np.ndarray:
    """A textured wall of its own colours that slides by `step` pixels a frame: (T, H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 1, (12, 40, 1)) * rng.uniform(60, 220, 3) + rng.uniform(20, 35, 3)
    wall = np.kron(coarse, np.ones((-(-height // 12), 16, 1)))[:height]
    offsets = (np.arange(num_frames) * step).astype(int)
    return np.stack([wall[:, o % 400 : o % 400 + width] for o in offsets]).clip(0, 255).astype(np.uint8)


def rough_cut(fps: int = 24) -> tuple[np.ndarray, dict[str, tuple[int, int]]]:
    """A messy reel and the frame span of each of its parts, as (first, last exclusive)."""
    black = np.zeros((fps, 90, 160, 3), np.uint8)
    slate = np.repeat(panning_shot(1, 50), 2 * fps, axis=0)
    fade = np.concatenate([np.ones(2 * fps), np.linspace(1, 0, fps)])[:, None, None, None]
    boxed = panning_shot(3 * fps, 54)
    boxed[:, :12], boxed[:, -12:] = 0, 0
    flicker = 1 + 0.25 * np.sin(np.arange(3 * fps))[:, None, None, None]
    locked = (np.repeat(panning_shot(1, 56), 3 * fps, axis=0) * 0.7 * flicker).clip(0, 255)
    parts = {
        "leader": black,
        "slate": slate,
        "pan": panning_shot(3 * fps, 51),
        "short": panning_shot(fps, 52),
        "fade": panning_shot(3 * fps, 53) * fade,
        "gap": black,
        "letterbox": boxed,
        "long": panning_shot(11 * fps, 55, step=1.0),
        "candle": locked,
    }
    edges = np.cumsum([0, *(len(part) for part in parts.values())]).tolist()
    spans = dict(zip(parts, pairwise(edges), strict=True))
    return np.concatenate(list(parts.values())).astype(np.uint8), spans


def slow_count(steps: int) -> Iterator[int]:
    """A job that takes 0.4 s a step and reports each."""
    for step in range(steps):
        time.sleep(0.4)
        yield step
    return steps
