"""MotionScore = 100 D S C: how much moves, how smoothly, how coherently.

No benchmark of that name was found in the literature; this definition is the workbook's own. Amplitude
takes its thresholds from VBench (what counts as moving) and VMBench (a floor under it), smoothness is the
relative acceleration of FVMD, coherence the forward-backward check of Sundaram et al. (2010) on pixels that
keep their light. More motion is not better by itself: compare with the base model or with real clips.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cinelib.metrics.flow.bars import Bars
from cinelib.metrics.flow.dense import SHORT_SIDE, flow_between, in_picture, in_threads, planes_of
from cinelib.metrics.flow.fields import camera_part, coherent, length, warp
from cinelib.metrics.flow.light import steady_light
from cinelib.metrics.metric import COSINE, DISTANCE, SHARE, Clip, Found, Metric, Range
from cinelib.metrics.result import as_clip

if TYPE_CHECKING:
    from cinelib.metrics.flow.raft import Raft

MOVING = 6 * 8 / SHORT_SIDE  # t1: VBench calls a clip moving above 6 px per 1/8 s at 256
STILL = 0.05 * MOVING  # t0
FAST = 0.5  # short sides per second above which DIS underestimates
_FLASHES = 0.05  # of the picture: more is worth a word
_AMPLITUDE_HZ, _SMOOTHNESS_HZ = 8.0, 16.0

_NUMBERS: dict[str, tuple[str, Range]] = {  # the field of `Motion`, and between what it lies
    "MotionScore": ("score", (0.0, 100.0)),
    "D": ("amplitude", SHARE),
    "S": ("smoothness", COSINE),
    "C": ("coherence", SHARE),
    "mean speed": ("mean_speed", DISTANCE),
    "camera share": ("camera_share", SHARE),
    "texture share": ("texture_share", SHARE),
    "flash share": ("flash_share", SHARE),
    "too fast for flow": ("too_fast", SHARE),
}

# Frames (T, h, w, 3) and pairs of them to flow there and flow back, two lists of (h, w, 2) in pixels.
Flow = Callable[[np.ndarray, list[tuple[int, int]]], tuple[list[np.ndarray], list[np.ndarray]]]


@dataclass(frozen=True)
class Motion:
    """MotionScore and its parts; speeds in short sides per second."""

    score: float
    amplitude: float
    smoothness: float
    coherence: float
    mean_speed: float
    camera_share: float | None
    texture_share: float
    flash_share: float  # of what returns, how much does not keep its light
    too_fast: bool
    bars: Bars  # that were left out, pixels: top, bottom, left, right


def motion_score(
    frames: np.ndarray, fps: float | None, seconds: Sequence[float] | None = None, flow: Flow | None = None
) -> Motion:
    """Measure the motion of one clip.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        fps: frames per second; ignored when `seconds` is given.
        seconds: true time of each frame, strictly increasing, for variable frame rates.
        flow: another engine, such as `raft.Raft`, in the place of DIS; its numbers are not comparable with
            those of DIS and go under its own name.

    Returns:
        D = mean_t clip((s_t - t0) / (t1 - t0), 0, 1) of the speed s_t of the fastest 5 % at 8 Hz;
        S = 1 - sum|W(F') - F| / (sum(|F| + |W(F')|) + .05 N) and C at 16 Hz, the share of the picture that
        returns and keeps its light (`light.steady_light`); `camera_share` is None for a clip without motion.
        Where the frame rate is no multiple of 8 or 16 Hz, steps are the nearest whole number of frames, and
        speeds and accelerations are scaled to the nominal one.

    Raises:
        ValueError: fps missing or under 8, times not increasing, or a clip shorter than 1/4 s.
    """
    frames = as_clip(frames, minimum=3)
    times = _times(len(frames), fps, seconds)
    planes = planes_of(frames)
    slow, fast = (_sampled(times, rate) for rate in (_AMPLITUDE_HZ, _SMOOTHNESS_HZ))
    pairs = [*pairwise(slow.tolist()), *pairwise(fast.tolist())]
    flows, returns = flow(in_picture(frames), pairs) if flow else flow_between(planes, pairs)
    steps = len(slow) - 1
    forward, backward = flows[steps:], returns[steps:]
    # Both directions, because a zoom in and the same zoom out show different pixels at the border.
    sizes = np.array(in_threads(_speeds, zip(flows[:steps], returns[:steps], strict=True)))
    top, mean = sizes.T / np.diff(times[slow])
    amplitude = float(np.clip((top - STILL) / (MOVING - STILL), 0, 1).mean())
    smooth = _smoothness(forward, np.diff(times[fast]) * _SMOOTHNESS_HZ)
    masks = in_threads(lambda pair: coherent(*pair), zip(forward, backward, strict=True))
    steady = steady_light([planes.luma[at] for at in fast], forward, backward)
    returning = float(np.mean([_share(*mask) for mask in masks]))
    coherence = float(np.mean([_share(*mask, light) for mask, light in zip(masks, steady, strict=True)]))
    return Motion(
        score=100 * amplitude * smooth * coherence,
        amplitude=amplitude,
        smoothness=smooth,
        coherence=coherence,
        mean_speed=float(mean.mean()),
        camera_share=_camera_share(forward, masks),
        texture_share=planes.texture,
        flash_share=1 - coherence / returning if returning else 0.0,
        too_fast=bool(top.max() > FAST),
        bars=planes.bars,
    )


@dataclass(frozen=True)
class MotionMetric(Metric):
    """MotionScore and its parts, at the frames' true times; by RAFT's flow, its `network`, under its name."""

    network: "Raft | None" = None
    name: str = "motion"

    @property
    def values(self) -> Mapping[str, Range]:
        """The bare names are those of DIS; speeds in short sides a second."""
        return {self._named(name): span for name, (_, span) in _NUMBERS.items()}

    def of(self, clip: Clip) -> Found:
        """The clip's motion, and what makes it hard to read."""
        motion = motion_score(clip.frames, None, clip.times, self.network)
        flashes, notes = motion.flash_share > _FLASHES, []
        if motion.amplitude == 0 and not flashes:
            notes.append("a still: whatever rewards stability rewards this")
        if flashes:
            notes.append(f"flashes: {motion.flash_share:.0%} of what can be followed does not keep its light")
        if any(motion.bars):
            sides = zip(("top", "bottom", "left", "right"), motion.bars, strict=True)
            notes.append("bars left out: " + ", ".join(f"{side} {size} px" for side, size in sides if size))
        if motion.too_fast and not self.network:  # RAFT was taught on longer ways
            notes.append(
                f"too fast for flow: its fastest 5 % pass {FAST:g} short sides a second, where speeds come "
                "out too low"
            )
        found = {self._named(name): getattr(motion, part) for name, (part, _) in _NUMBERS.items()}
        numbers = {name: "nothing moves" if one is None else float(one) for name, one in found.items()}
        return Found(numbers, tuple(notes))

    def _named(self, part: str) -> str:
        return f"{part}[{self.network.name}]" if self.network else part


def motion_retention(speeds: np.ndarray, base_speeds: np.ndarray) -> float:
    """Paired change of mean speed against the base model: exp(mean log((v + .002) / (v_base + .002)))."""
    speeds, base = _checked(speeds, "speeds"), _checked(base_speeds, "base_speeds")
    if speeds.shape != base.shape:
        raise ValueError(f"speeds must be paired, got shapes {speeds.shape} and {base.shape}")
    return float(np.exp(np.mean(np.log((speeds + 0.002) / (base + 0.002)))))


def log_speed_distance(speeds: np.ndarray, real_speeds: np.ndarray) -> float:
    """Wasserstein-1 distance between the log-speeds (v + .002) of generated and of real clips.

    Raises:
        ValueError: no speeds, or speeds that are negative, NaN or infinite.
    """
    from scipy.stats import wasserstein_distance

    speeds, real = _checked(speeds, "speeds"), _checked(real_speeds, "real_speeds")
    return float(wasserstein_distance(np.log(speeds + 0.002), np.log(real + 0.002)))


def _checked(speeds: np.ndarray, name: str) -> np.ndarray:
    speeds = np.asarray(speeds, float)
    if speeds.ndim != 1 or len(speeds) < 1 or not np.isfinite(speeds).all() or (speeds < 0).any():
        raise ValueError(f"{name} must be a 1-d array of finite numbers, none negative, got {speeds}")
    return speeds


def _times(count: int, fps: float | None, seconds: Sequence[float] | None) -> np.ndarray:
    if seconds is None:
        if fps is None or not np.isfinite(fps) or fps < _AMPLITUDE_HZ:
            raise ValueError(f"fps must be given and at least {_AMPLITUDE_HZ:g}, got {fps}")
        times = np.arange(count) / fps
    else:
        times = np.asarray(seconds, float)
        if times.shape != (count,) or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise ValueError(f"seconds must hold {count} strictly increasing times, one a frame")
        if float(np.median(np.diff(times))) > 1 / _AMPLITUDE_HZ + 1e-3:
            rate = 1 / float(np.median(np.diff(times)))
            raise ValueError(f"{rate:.3g} frames a second; amplitude needs at least {_AMPLITUDE_HZ:g}")
    if times[-1] - times[0] < 2 / _AMPLITUDE_HZ - 1e-6:
        raise ValueError(f"a clip must last at least {2 / _AMPLITUDE_HZ} s, got {times[-1] - times[0]:.3f} s")
    return times


def _sampled(times: np.ndarray, rate: float) -> np.ndarray:
    """Frames about 1 / `rate` seconds apart: those nearest to the ticks of a clock, centred in the clip."""
    # A whole number of frames a tick: in steps of 1 and 2 frames in turn, the errors of flow, which grow
    # slower than the step, would pass for acceleration. Centred: a reversed clip has the same instants.
    frame, length = float(np.median(np.diff(times))), times[-1] - times[0]
    tick = max(1, int(1 / (rate * frame) + 0.5 + 1e-6)) * frame
    ticks = int(np.floor(length / tick + 1e-6))
    clock = times[0] + (length - ticks * tick) / 2 + np.arange(ticks + 1) * tick
    return np.unique(np.abs(times[None] - clock[:, None]).argmin(axis=1))


def _speeds(flows: Sequence[np.ndarray]) -> tuple[float, float]:
    """Mean length of the fastest 5 % and of all, in short sides; both flow directions together."""
    speed = np.concatenate([length(flow).ravel() for flow in flows])
    fastest = max(1, round(0.05 * speed.size))
    top = np.partition(speed, -fastest)[-fastest:]
    return tuple(float(part.mean(dtype=np.float64)) / SHORT_SIDE for part in (top, speed))


def _smoothness(flows: Sequence[np.ndarray], steps: Sequence[float]) -> float:
    """One minus the relative acceleration along paths; `steps` are the flows' times in units of 1/16 s."""

    def terms(at: int) -> tuple[float, float]:
        arriving, inside = warp(flows[at + 1], flows[at])
        velocity, arriving = flows[at] / steps[at], arriving / steps[at + 1]
        change = float(length(arriving - velocity)[inside].sum(dtype=np.float64))
        change /= (steps[at] + steps[at + 1]) / 2
        moved = float((length(velocity) + length(arriving))[inside].sum(dtype=np.float64))
        return change, moved + 0.05 * float(inside.sum())

    change, total = np.array(in_threads(terms, range(len(flows) - 1))).sum(axis=0)
    return float(1 - change / total) if total else 0.0


def _share(mask: np.ndarray, inside: np.ndarray, weight: np.ndarray | float = 1.0) -> float:
    return float((mask * weight)[inside].mean(dtype=np.float64)) if inside.any() else 0.0


def _camera_share(
    flows: Sequence[np.ndarray], masks: Sequence[tuple[np.ndarray, np.ndarray]]
) -> float | None:
    """What one similarity a frame explains: sum|F_cam| / (sum|F_cam| + sum|F - F_cam|), reliable pixels."""
    parts = in_threads(
        lambda pair: camera_part(pair[0], np.logical_and(*pair[1])), zip(flows, masks, strict=True)
    )
    measured, camera = (np.concatenate(found) for found in zip(*parts, strict=True))
    explained, left = (float(length(part).sum(dtype=np.float64)) for part in (camera, measured - camera))
    still = len(measured) * STILL * SHORT_SIDE / _SMOOTHNESS_HZ
    return explained / (explained + left) if explained + left > still else None
