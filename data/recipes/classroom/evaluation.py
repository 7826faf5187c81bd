"""How good a classroom checkpoint is, measured on held-out scenes with fixed seeds."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from backlot import render, sample_scene
from backlot.action import faces_camera

from cinelib.metrics.extractors import Extractor
from classroom import autoencoder, encoding, scenes
from classroom.camera_motion import MOVES, camera_move, mean_speed
from classroom.likeness import likeness, repeated, zoomed
from classroom.over_time import frame_distances, psnr_over_time, round_trip
from classroom.sampling import generate
from classroom.sheet import samples_sheet
from classroom.vae import psnr

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan, WanImageToVideoPipeline
    from matplotlib.figure import Figure

Table = dict[str, dict[str, Any]]
SHAPE = scenes.Shape(17, 64, 112)
FIRST_SEED = 500_000  # within the evaluation seeds: away from the storyboard's


def autoencoder_table(vae: "AutoencoderKLWan", frames: np.ndarray) -> Table:
    """PSNR and SSIM of whole clips uint8 (N, T, H, W, 3) as decoded, and the error of frame differences."""
    pixels = encoding.to_pixels(frames)
    decoded = []
    with torch.no_grad():
        for clip in pixels:
            decoded.append(autoencoder.decode(vae, autoencoder.encode(vae, clip[None])).clamp(-1, 1))
    decoded = torch.cat(decoded)
    per_frame = psnr(decoded, pixels)
    flicker = (decoded.diff(dim=2) - pixels.diff(dim=2)).abs().mean() * 127.5
    count = len(frames)
    return {
        "vae_psnr": _row(
            per_frame.mean(), count, "dB", per_frame=[round(float(v), 2) for v in per_frame.mean(0)]
        ),
        "vae_psnr_last_frame": _row(per_frame[:, -1].mean(), count, "dB"),
        "vae_ssim": _row(_ssim(decoded, pixels), count, ""),
        "vae_temporal_difference_error": _row(flicker, count, "grey levels of 255"),
    }


def _ssim(decoded: torch.Tensor, pixels: torch.Tensor) -> float:
    from torchvision.transforms.functional import gaussian_blur, rgb_to_grayscale

    # Wang et al. 2004 on luma: 11x11 Gaussian window of sigma 1.5, constants 0.01 and 0.03
    x, y = (
        rgb_to_grayscale(video.transpose(1, 2).flatten(0, 1).add(1).div(2)) for video in (decoded, pixels)
    )

    def blur(image: torch.Tensor) -> torch.Tensor:
        return gaussian_blur(image, [11, 11], [1.5, 1.5])

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    map_ = ((2 * mx * my + 1e-4) * (2 * cov + 9e-4)) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    return float(map_.mean())


def camera_table(clips: scenes.Clips, made: np.ndarray, asked: list[str]) -> Table:
    """Camera control and speed of clips `made` (N, T, H, W, 3) whose captions ask for the moves `asked`.

    The move is measured from the generated pixels. The same measurement on the real clips tells how far it
    can be trusted.
    """
    hits = [camera_move(clip) == move for clip, move in zip(made, asked, strict=True)]
    real = [camera_move(clip) == move for clip, move in zip(clips.frames, asked, strict=True)]
    moving = [row for row, move in enumerate(asked) if move != "static"]
    speed = np.mean([mean_speed(made[row]) for row in moving])
    true_speed = np.mean([mean_speed(clips.frames[row]) for row in moving])
    first = psnr(encoding.to_pixels(made[:, :1]), encoding.to_pixels(clips.frames[:, :1]))
    by_move = {
        move: round(float(np.mean([hit for hit, a in zip(hits, asked, strict=True) if a == move])), 3)
        for move in MOVES
    }
    return {
        "camera_control": _row(np.mean(hits), len(hits), "share", by_move=by_move),
        "camera_control_of_real_clips": _row(np.mean(real), len(real), "share"),
        "speed_ratio": _row(speed / true_speed, len(moving), "generated / real"),
        "first_frame_psnr": _row(first.mean(), len(hits), "dB"),
    }


def motion_table(
    pipe: "WanImageToVideoPipeline", extractors: Sequence[Extractor], per_move: int, **sampler: Any
) -> Table:
    """`camera_table` on `per_move` held-out scenes of each of MOVES, `likeness` to each extractor, by frame.

    The caption asks for the move, the first frame is the scene's. Other captions: the same first frames with
    the caption of a scene that asks for another move. PSNR over time counts the scenes in which the subject
    stays in place, so that the caption says all that moves.
    """
    clips, asked = scenes_per_move(per_move)
    first = clips.frames[:, 0]
    made = generate(pipe, first, clips.captions, SHAPE.num_frames, **sampler)
    stills = {
        "first_frame_repeated": np.stack([repeated(frame, SHAPE.num_frames) for frame in first]),
        "first_frame_zoomed": np.stack([zoomed(frame, SHAPE.num_frames) for frame in first]),
    }
    arms = {"generated": made, "round_trip": round_trip(pipe.vae, clips.frames), **stills}
    table = camera_table(clips, made, asked)
    placed = np.array([faces_camera(values["action"]) for values in clips.attributes])
    table |= psnr_over_time(clips.frames[placed], {name: arm[placed] for name, arm in arms.items()})
    if extractors:
        table |= frame_distances(clips.frames, arms)
        others = clips.captions[per_move:] + clips.captions[:per_move]
        tricks = stills | {"other_captions": generate(pipe, first, others, SHAPE.num_frames, **sampler)}
        for extractor in extractors:
            rows = likeness(extractor, clips.frames, made, tricks)
            table |= {f"{name}[{extractor.name}]": row for name, row in rows.items()}
    return table


def ending_table(pipe: "WanImageToVideoPipeline", count: int, **sampler: Any) -> Table:
    """PSNR of the generated last frame to the real one, when it is given and when it is not.

    Beside it what a still would reach: a model that heeds its caption ends nearer to the real end than that.
    """
    clips = scenes.render_clips(scenes.evaluation_seeds(count, FIRST_SEED + 50_000), SHAPE)
    first, last = clips.frames[:, 0], clips.frames[:, -1]

    def row(frames: np.ndarray) -> dict[str, Any]:
        near = psnr(encoding.to_pixels(frames[:, None]), encoding.to_pixels(last[:, None]))
        return _row(near.mean(), count, "dB")

    def ending(given: np.ndarray | None) -> np.ndarray:
        made = generate(pipe, first, clips.captions, SHAPE.num_frames, last=given, **sampler)
        return made[:, -1]

    return {
        "last_frame_psnr_given": row(ending(last)),
        "last_frame_psnr_not_given": row(ending(None)),
        "last_frame_psnr_first_frame_repeated": row(first),
    }


def evaluate(
    pipe: "WanImageToVideoPipeline",
    extractors: Sequence[Extractor] = (),
    clips: int = 8,
    log: Callable[[str], None] = print,
    **sampler: Any,
) -> Table:
    """Every measurement, each on about `clips` held-out clips (camera control: `clips` per move)."""
    held_out = scenes.render_clips(scenes.evaluation_seeds(clips, FIRST_SEED), SHAPE)
    table: Table = {}
    for measure in (
        lambda: autoencoder_table(pipe.vae, held_out.frames),
        lambda: motion_table(pipe, extractors, clips, **sampler),
        lambda: ending_table(pipe, clips, **sampler),
    ):
        rows = measure()
        for name, row in rows.items():
            log(f"{name:34} {row['value']:8.3f} {row['unit']:18} n={row['n']}")
        table |= rows
    return table


def samples(pipe: "WanImageToVideoPipeline", count: int = 12, **sampler: Any) -> "Figure":
    """The first `count` held-out scenes, generated with seeds 0, 1, ..., beside the real ones."""
    clips = scenes.render_clips(scenes.evaluation_seeds(count, FIRST_SEED), SHAPE)
    made = generate(pipe, clips.frames[:, 0], clips.captions, SHAPE.num_frames, **sampler)
    return samples_sheet(made, clips.frames, clips.captions)


def scenes_per_move(per_move: int) -> tuple[scenes.Clips, list[str]]:
    """`per_move` held-out clips of each of MOVES, and the move that each asks for."""
    frames, captions, attributes, asked = [], [], [], []
    for number, move in enumerate(MOVES):
        for seed in scenes.evaluation_seeds(per_move, FIRST_SEED + 1000 * (number + 1)):
            scene = sample_scene(seed, camera=move)
            clip = render(scene, SHAPE.num_frames, SHAPE.height, SHAPE.width)
            frames.append(clip.frames)
            captions.append(clip.caption)
            attributes.append(clip.attributes)
            asked.append(move)
    return scenes.Clips(np.stack(frames), captions, attributes), asked


def _row(value: Any, n: int, unit: str, **more: Any) -> dict[str, Any]:
    return {"value": round(float(value), 4), "n": n, "unit": unit, **more}
