# %% [markdown]
# # 10 Appendix: metrics taken apart
#
# **What does each metric see, and what is it blind to?**
#
# Notebook 05 compares models by numbers. This one asks whether the numbers deserve it. Each metric is fed clips whose right answer is known: first clips that it must not mistake, then clips made to fool it. No model generates anything here, so it is quick.
#
# After this notebook you can
# - take MotionScore apart and break it on purpose,
# - say what a Frechet distance of 40 clips can and cannot tell,
# - name, for every metric of notebook 05, a clip that it gets wrong.
#
# | profile | time | memory | clips |
# |---|---|---|---|
# | smoke | about 30 s | 2 GB | 4 of 32 × 48 |
# | nano | about 50 s on 2 cores | 2 GB | 40 of 64 × 112 |
# | a100 | minutes | 12 GB | 40 of 720 × 1280 × 81 |
#
# **Inputs:** the film's clips (notebook 01). **Outputs:** `blind_spots.csv`, `figures/signature.png`, `metrics.json`.

# %% tags=["parameters"]
profile: str = "nano"  # name of the profile whose values fill untouched parameters
seed: int = 0  # seed of every random choice in this stage
height: int = 64  # pixels, a multiple of 16
width: int = 112  # pixels, a multiple of 16
num_frames: int = 17  # frames of one generated clip, 4k+1
fps: int = 16  # frames per second that the model was trained at
clip_model: str = "data/nano-clip"  # CLIPModel folder or hub id, empty to leave CLIP-SIM out
features: str = "data/nano-viewer"  # video network for FD[...], empty for ImageNet features of frames
i3d: str = ""  # path of the I3D torchscript file for FVD, empty for FD[...]
i3d_sha256: str = ""  # SHA-256 of that file
alexnet: str = ""  # path of AlexNet weights for LPIPS, empty for the stand-in

# %%
from cinelib.metrics.parameters import MetricsTakenApart
from cinelib.parameters import from_notebook
from cinelib.runs.stage import open_stage

params = from_notebook(MetricsTakenApart, globals())
stage = open_stage(params)
params

# %%
import os
import platform

import cv2

import cinelib

print(f"cinelib {cinelib.__version__}, Python {platform.python_version()}, OpenCV {cv2.__version__}")
print(f"device: CPU, {os.cpu_count()} cores; profile: {params.profile}")

# %% [markdown]
# ## 1. Motion
#
# Ask people about generated video and they say "it does not move", "it jerks", "it melts". MotionScore gives each complaint a number:
#
# $$\text{MotionScore} = 100 \cdot D \cdot S \cdot C$$
#
# - **amplitude** $D$: speed of the fastest 5 % of the picture, 8 times a second. 0 for a still, 1 from 0.19 short sides a second (a *short side* is the height of a wide picture).
# - **smoothness** $S$: one minus the relative acceleration along the paths of points, 16 times a second.
# - **coherence** $C$: share of pixels where flow forward and back returns to where it started, and the light is no other there. Pixels that melt do not come back, pixels that flash do not keep their light.
#
# *Flow* says for each pixel where it goes in the next frame. Ours is OpenCV's DIS, which needs no weights. It runs on OpenCV's plain code: left to itself, OpenCV takes the newest instructions of the machine, each set rounds in its own way, and a score differs by 0.4 % from one machine to the next. So a score is the same on every x86 machine to six digits; what is left is the rounding of linear algebra. A test runs it with and without the new instructions. Other processors were not tried. DIS is mended in two ways. One step of Lucas and Kanade is added, because DIS alone takes half a pixel for 0.53. And where one motion of a large surface explains the pictures as well, that motion is taken (`cinelib/metrics/flow/surfaces.py`).
#
# The name MotionScore is the workbook's own; no published benchmark of that name was found.
#
# ### Does it measure what moves?
#
# Feed it textured sheets whose motion is a formula, so that the true flow is known exactly.

# %%
import numpy as np
import pandas as pd
from backlot.synthetic import Layer, synthetic_clip
from IPython.display import display

from cinelib import show
from cinelib.metrics.flow.dense import SHORT_SIDE
from cinelib.metrics.motion import motion_score

disc = (0.35, 0.5, 0.25)  # where it is and its radius, in shares of the picture
known = {
    "pan, half a px a frame": [Layer(dx=0.5)],
    "pan, 2 px a frame": [Layer(dx=2.0)],
    "pan, 8 px a frame": [Layer(dx=8.0)],
    "zoom in": [Layer(zoom=0.01)],
    "roll": [Layer(turn=0.01)],
    "object before a wall": [Layer(), Layer(dx=2.0, disc=disc)],
    "object before a pan": [Layer(dx=-1.0), Layer(dx=2.0, disc=disc)],
}

# %%
rows = []
for name, layers in known.items():
    clip, flow = synthetic_clip(layers, num_frames=9, width=320)  # (T, H, W, 3), (T-1, H, W, 2)
    truth = np.linalg.norm(flow, axis=-1).mean() * 16 / SHORT_SIDE
    motion = motion_score(clip, fps=16)
    rows.append({"motion": name, "true speed": truth, "measured": motion.mean_speed})
    rows[-1] |= {"error %": 100 * (motion.mean_speed / truth - 1), "D": motion.amplitude}
    rows[-1] |= {"S": motion.smoothness, "C": motion.coherence, "camera share": motion.camera_share}
error_table = pd.DataFrame(rows)
assert error_table["error %"].abs().max() < 5, "flow disagrees with closed-form motion"
error_table.style.format(precision=3).hide()

# %% [markdown]
# *camera share* is the part of the motion that one shift, turn and zoom of the whole picture explains. It is near 1 for camera moves and smaller when things move by themselves.
#
# Formulas are kind. The backlot, our film set made of code, is not: flat colours, blank skies, figures that cover and uncover a wall. Its flow is known for every pixel as well:

# %%
from backlot import render, sample_scene

from cinelib.metrics.flow.dense import flow_between, planes_of
from cinelib.metrics.flow.fields import length

shots = [("historical", "pans right", 2), ("sci-fi", "pans right", 5)]
shots += [("sci-fi", "dollies in", 7), ("sci-fi", "static", 6)]
rows = []
for world, camera, number in shots:
    scene = sample_scene(1_500_000 + number, world=world, camera=camera)
    shot = render(scene, 3, 256, 448, fps=16)
    found, _ = flow_between(planes_of(shot.frames), [(0, 1), (1, 2)])  # two of (h, w, 2)
    truth, speed = (16 * length(np.stack(flows)).mean() / SHORT_SIDE for flows in (shot.flow, found))
    rows.append({"backlot": f"{world}, {camera}", "true speed": truth, "measured": speed})
    rows[-1]["error %"] = 100 * (speed / truth - 1)
pd.DataFrame(rows).style.format(precision=3).hide()

# %% [markdown]
# - A **turning camera** is measured within about 4 percent.
# - A **dolly** moves the near faster than the far. Flow is settled on up to four flat surfaces, each with a motion of its own, and guesses where a surface is blank.
# - Before a **static camera** the truth is small. A dark figure before a dark wall has hardly any edge to follow. And a shadow on the floor moves in the picture but belongs to no surface, so the exact flow leaves it out.
#
# `tests/metrics/test_motion_metric.py` repeats this on 54 scenes. Speed summed over all of them is right within 2 percent. A single clip of a moving camera is off by 2 percent in the median and by up to 4 on average; before a still camera, where little moves, by half of that little and more. The camera share is off by 2.3 points on average, by more than 5 in one clip of seven.
#
# So trust a mean over many clips. Compare single clips only when they differ by more than that, and never quote MotionScore to the last digit.
#
# ### What must not change it
#
# A mirrored clip moves as much as the clip. So does a darker one, a larger one, one at another frame rate. Each line says by how many percent the score may change.

# %%
pan, _ = synthetic_clip([Layer(dx=2.0)], num_frames=9, width=320)
turn, _ = synthetic_clip([Layer(turn=0.01)], num_frames=9, width=320)
quicker, _ = synthetic_clip([Layer(turn=0.01 * 16 / 24)], num_frames=13, width=320)
twice = np.stack([cv2.resize(f, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for f in pan])
grainy = np.clip(pan + np.random.default_rng(0).normal(0, 4, pan.shape), 0, 255).astype(np.uint8)
jpeg = np.stack([cv2.imdecode(cv2.imencode(".jpg", f, [1, 20])[1], 1) for f in twice])
letterboxed = np.pad(pan, ((0, 0), (40, 40), (0, 0), (0, 0)))
subtitled = np.pad(pan, ((0, 0), (0, 50), (0, 0), (0, 0)), constant_values=60)  # one bar, and grey
for frame in subtitled:
    cv2.putText(frame, "Who goes there?", (40, 290), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255,) * 3, 2)

# %%
harmless = [  # what, the clip, its frames a second, the clip to compare with, percent allowed
    ("mirrored", pan[:, :, ::-1], 16, pan, 0.5),
    ("upside down", pan[:, ::-1], 16, pan, 0.5),
    ("backwards", pan[::-1], 16, pan, 0.5),
    ("half as bright", pan // 2, 16, pan, 0.5),
    ("gamma 0.6", (255 * (pan / 255) ** 0.6).astype(np.uint8), 16, pan, 0.5),
    ("letterboxed", letterboxed, 16, pan, 0.5),
    ("a subtitle in a grey bar", subtitled, 16, pan, 0.5),
    ("twice the size", twice, 16, pan, 0.5),
    ("at 24 frames a second", quicker, 24, turn, 0.5),
    ("with grain", grainy, 16, pan, 3),
    ("JPEG, quality 20", jpeg, 16, twice, 3),
]

# %%
rows = []
for name, clip, rate, plain, allowed in harmless:
    change = 100 * (motion_score(clip, rate).score / motion_score(plain, 16).score - 1)
    rows.append({"clip": name, "score changes by %": change, "allowed": allowed})
    assert abs(change) <= allowed, rows[-1]
pd.DataFrame(rows).style.format(precision=2).hide()

# %% [markdown]
# These are kind cases again. The tests repeat it on nine motions and six frame rates:
#
# - Grain stays under 3 %. A pan, zoom or roll at another rate stays under 1.5 %, a slow pan under 4 % (its error of a two-hundredth of a pixel counts as acceleration).
# - Worst is JPEG of quality 20. It stays under 3 % at 720 lines (5 % for a parallax, with its many edges). A picture of 256 lines is only 32 of JPEG's blocks high; there it is up to 12 %.
#
# With RAFT's weights and an accelerator, learned flow can take the place of DIS: `motion_score(frames, fps, flow=Raft(weights))`, or `cinelib score --raft`. Its numbers are other numbers, and are called `MotionScore[raft-large]`.
#
# ### Break it
#
# Move the sliders. Jitter kills $S$, noise kills $C$, stillness kills $D$. Stutter (every frame shown twice) looks like plenty of motion to a metric that only counts speed.


# %%
def broken_motion(pan=2.0, zoom=0.0, jitter=0, noise=0, stutter=False) -> np.ndarray:
    """A synthetic clip (9, 256, 320, 3), damaged as asked."""
    clip, _ = synthetic_clip([Layer(dx=pan, zoom=zoom)], num_frames=9, width=320)
    rng = np.random.default_rng(0)
    if stutter:
        clip = clip[np.arange(9) // 2 * 2]
    shifts = rng.integers(-jitter, jitter + 1, (9, 2))
    clip = np.stack([np.roll(frame, tuple(s), (0, 1)) for frame, s in zip(clip, shifts, strict=True)])
    return np.clip(clip + rng.normal(0, noise, clip.shape), 0, 255).astype(np.uint8)


def draw_motion(pan=2.0, zoom=0.0, jitter=0, noise=0, stutter=False) -> "show.Figure":
    clip = broken_motion(pan, zoom, jitter, noise, stutter)
    motion = motion_score(clip, fps=16)
    parts = f"D {motion.amplitude:.2f} × S {motion.smoothness:.2f} × C {motion.coherence:.2f}"
    return show.filmstrip(clip, n=5, title=f"MotionScore {motion.score:.1f}: {parts}", tile=1.6)


draw_motion()

# %%
import ipywidgets

if not stage.unattended:  # a widget needs somebody to move it
    ranges = {"pan": (0, 8, 0.5), "zoom": (-0.02, 0.02, 0.005), "jitter": (0, 8), "noise": (0, 240, 20)}
    panel = ipywidgets.interactive(draw_motion, **ranges)
    for slider in panel.children[: len(ranges)]:
        slider.continuous_update = False  # draw once, when the slider is let go
    display(panel)

# %%
damages = {
    "as it is": {},
    "still": {"pan": 0.0},
    "still with noise": {"pan": 0.0, "noise": 5},
    "stutter": {"stutter": True},
    "jitter": {"jitter": 4},
    "heavy noise": {"noise": 240},
}
parts = {name: motion_score(broken_motion(**change), fps=16) for name, change in damages.items()}
mix = np.linspace(0, 1, len(pan))[:, None, None, None]
dissolve = (pan[:1] * (1 - mix) + turn[-1:, ::-1] * mix).astype("u1")
parts["dissolve to another still"] = motion_score(dissolve, 16)
parts["frames shuffled"] = motion_score(pan[np.random.default_rng(3).permutation(len(pan))], 16)

# %%
columns = ("score", "amplitude", "smoothness", "coherence", "mean_speed")
display(pd.DataFrame({n: {c: getattr(m, c) for c in columns} for n, m in parts.items()}).T.round(3))
assert parts["still"].score == 0
whole = parts["as it is"].score
assert all(motion.score < 0.7 * whole for name, motion in parts.items() if name != "as it is")

# %% [markdown]
# ### Exercise 10.1: amplitude (easy, 10 minutes)
# $D$ is the mean over time of the clipped share $\frac{s_t - t_0}{t_1 - t_0}$, where $s_t$ is the speed of the fastest 5 % in short sides a second. Below $t_0$ counts as still, above $t_1$ as fully moving. Write it.


# %% tags=["exercise"]
import numpy as np


def amplitude(speeds: np.ndarray, still: float = 0.009375, moving: float = 0.1875) -> float:
    """D of speeds (T,) in short sides per second."""
    # BEGIN SOLUTION
    return float(np.clip((speeds - still) / (moving - still), 0, 1).mean())
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Clip each instant first, then average. In the other order one wild frame pays for many still ones.

# %% tags=["check"]
import numpy as np

from cinelib.exercises import check, expect_close

with check("10.1"):
    expect_close(amplitude(np.array([0.0, 0.005])), 0.0, because="below t0 is still, and never negative")
    expect_close(amplitude(np.array([0.1875, 5.0])), 1.0, because="fast instants count as 1, not more")
    expect_close(
        amplitude(np.array([0.0, 1.0])),
        0.5,
        because="clip every instant before averaging: half of this clip does not move",
        what="half still, half fast",
    )


# %% tags=["wrong"]
import numpy as np


def amplitude(speeds, still=0.009375, moving=0.1875):
    return float(np.clip((speeds.mean() - still) / (moving - still), 0, 1))


# %% [markdown]
# ## 2. A Frechet distance of few clips
#
# FVD turns each clip into a few hundred numbers (*features*) with a network. It fits a Gaussian to the features of the real clips and one to those of the generated ones, and measures how far the two Gaussians are apart. With fewer clips than features the fit is mostly imagination.
#
# FVD is the name of the published network, I3D, only. Unless its weights are given, ours is `FD[nano]`: the features of `data/nano-viewer`, a small network that learned to name what happens in backlot clips.
#
# ### Exercise 10.2: Frechet in one dimension (easy, 10 minutes)
# For one feature the squared distance of two Gaussians is $(\mu_x - \mu_y)^2 + (\sigma_x - \sigma_y)^2$. Write it, and see what two samples of the *same* source give.


# %% tags=["exercise"]
import numpy as np


def frechet_1d(x: np.ndarray, y: np.ndarray) -> float:
    """Squared Frechet distance of Gaussians fitted to x (n,) and y (m,); population deviation (ddof 0)."""
    # BEGIN SOLUTION
    return float((x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2)
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Mind what is squared: the difference of the deviations, not the deviations.

# %% tags=["check"]
import numpy as np

from cinelib.exercises import check, expect_close
from cinelib.metrics.frechet import frechet_distance

with check("10.2"):
    x = np.random.default_rng(0).normal(size=30)
    wider = 3 * (x - x.mean()) + x.mean()
    expect_close(frechet_1d(x, x + 2), 4.0, because="a shift by 2 costs 2 squared")
    expect_close(frechet_1d(x, wider), (2 * x.std()) ** 2, because="(s - 3s) squared is 4 s squared")
    expect_close(frechet_1d(x, -x), frechet_distance(x[:, None], -x[:, None]), what="the library's answer")


# %% tags=["wrong"]
def frechet_1d(x, y):
    return float((x.mean() - y.mean()) ** 2 + abs(x.var() - y.var()))


# %% [markdown]
# The film's own clips, from notebook 01, and the networks that look at them. First an invariant: a set of clips is at distance 0 from itself, in whatever order.

# %%
from cinelib.metrics.extractors import I3D, FrameFeatures
from cinelib.preparation.dataset import VideoFolder

dataset = VideoFolder.open(stage.upstream("01_data_preparation") / "dataset")
film = [clip.frames()[: params.num_frames] for clip in dataset]  # (T, H, W, 3) each
if len(film) < 4:
    raise ValueError(f"the film has {len(film)} clips; two halves of two are the least to compare")
print(f"{len(film)} clips of the film, {film[0].shape}")

# %%
from cinelib.metrics.frechet import frechet_distance
from cinelib.metrics.video_features import VideoFeatures

pictures = FrameFeatures()
if params.i3d:
    extractor = I3D(params.i3d, params.i3d_sha256)
else:
    extractor = VideoFeatures(params.features) if params.features else pictures
points = extractor(film)  # (N, D), a row of features a clip
assert frechet_distance(points, points[::-1]) < 1e-6 * np.square(points).sum()
distance_name = "FVD" if extractor.published else f"FD[{extractor.name}]"
print(f"{distance_name}: {extractor.preprocessing}; SHA-256 {extractor.weights_sha256[:12]}")

# %% [markdown]
# Now draw two samples from the *film*, and measure how far they are apart. Both are the film, so the truth is 0.

# %%
rng = np.random.default_rng(params.seed)
half = len(film) // 2
sizes = sorted({size for size in (2, 3, 4, 6, 8, 12, 16, half) if size <= half})


def bias(size: int) -> float:
    """Mean distance of ten pairs of samples, `size` clips each, without a clip in common."""
    draws = [points[rng.permutation(len(film))[: 2 * size]] for _ in range(10)]
    return float(np.mean([frechet_distance(*np.split(draw, 2)) for draw in draws]))


film_bias = [bias(size) for size in sizes]
title = "The same source on both sides: all of this is bias"
labels = {"xlabel": "clips on each side", "ylabel": distance_name}
figure = show.curves({"film against film": (sizes, film_bias)}, title=title, **labels)
stage.save_figure(figure, "frechet_bias")
figure

# %% [markdown]
# The published FVD has 400 features and papers often have 40 clips. Two samples of *one* 400-dimensional Gaussian, whose true distance is 0:

# %%
spectra = {"all features alike": np.ones(400), "spectrum 1/k": 1 / np.sqrt(np.arange(1, 401))}
counts = [10, 20, 40, 80, 160, 320]
bias_curves = {}
for name, scale in spectra.items():
    scale = scale * np.sqrt(400 / np.square(scale).sum())  # the same total variance
    draws = [rng.normal(size=(2, n, 400)) * scale for n in counts]
    bias_curves[name] = (counts, [frechet_distance(*pair) for pair in draws])
print({name: f"{y[counts.index(40)]:.0f} at n {40}" for name, (_, y) in bias_curves.items()})
labels["ylabel"] = "Frechet distance"
figure = show.curves(bias_curves, title="Distance between equals", **labels)
stage.save_figure(figure, "frechet_bias_400")
figure

# %% [markdown]
# So a Frechet distance says nothing without two numbers beside it: how many clips, and what the same number of real clips would have got. Notebook 05 prints both. Its second number, the *kernel distance*, is 0 on average for equal sources, however few.
#
# ## 3. Every metric can be fooled
#
# Take a real clip and damage it so that one metric does not notice, or likes it better. Where a metric does not notice, it must not be quoted alone. The clip is the one of the film that moves most.

# %%
speeds = [motion_score(clip, params.fps).mean_speed for clip in film[:8]]
chosen = int(np.argmax(speeds))
real, prompt = film[chosen], dataset[chosen].text
count, high, wide = real.shape[:3]
shift = max(2, wide // 28)
steps = np.round(np.arange(count) * shift / 4).astype(int)
order = np.random.default_rng(1).permutation(high * wide)
flat = real.reshape(count, -1, 3)  # (T, H W, 3)

# %%
fooled = {
    "real clip": real,
    "first frame, repeated": np.repeat(real[:1], count, axis=0),
    "first frame, panned over": np.stack([np.roll(real[0], -step, axis=1) for step in steps]),
    "pixels shuffled": flat[:, order].reshape(real.shape),
    "played backwards": real[::-1],
    "every second frame mirrored": np.stack([f[:, ::-1] if t % 2 else f for t, f in enumerate(real)]),
    "every second frame dimmed": np.stack([f * 0.3 if t % 2 else f for t, f in enumerate(real)]).astype("u1"),
    "moved aside": np.roll(real, shift, axis=2),
    "a little blurred": np.stack([cv2.GaussianBlur(frame, (0, 0), 0.8) for frame in real]),
}
show.play(fooled, fps=params.fps, width=200)

# %% [markdown]
# What the metrics of notebook 05 say of each:
#
# - *grade*: how far are its colours from the film's, as a distance between two heaps of pixels? *lighting*: the same for lightness.
# - *drift*: how far does the look travel, by grade? The look of every frame counts; what comes and goes within a frame or two is taken out.
# - *flicker*: and this is what was taken out: how far do frames fall out of the look of their neighbours?
# - *stability*: $100\,S\,C$.
# - *clip_text*: does the picture fit the caption? *clip_temporal*: how alike are neighbouring frames? Both ask a network that compares pictures with words (CLIP, or its small stand-in).

# %%
from cinelib.metrics.clip_sim import ClipSimilarity
from cinelib.metrics.style import grade_distance, lighting_distance, look, look_drift, look_flicker

try:
    similarity = ClipSimilarity(params.clip_model) if params.clip_model else None
except FileNotFoundError as error:
    similarity = None
    print(f"CLIP-SIM left out: {error}")
film_look = look(np.concatenate([clip[:: max(1, len(clip) // 8)] for clip in film]))
assert grade_distance(film_look, film_look) == 0


# %%
def measure(frames: np.ndarray) -> dict[str, float]:
    """What notebook 05 would say of one clip (T, H, W, 3)."""
    motion, seen = motion_score(frames, params.fps), look(frames)
    found = {"grade": grade_distance(seen, film_look), "lighting": lighting_distance(seen, film_look).luma}
    found |= {"drift": look_drift(frames), "flicker": look_flicker(frames)}
    found |= {"stability": 100 * motion.smoothness * motion.coherence}
    found |= {"MotionScore": motion.score, "speed": motion.mean_speed}
    if similarity:
        found["clip_text"], found["clip_temporal"] = similarity.text_and_temporal(frames, prompt)
    return found


seen = pd.DataFrame({name: measure(frames) for name, frames in fooled.items()}).T
display(seen.round(3))

# %%
still, panned = "first frame, repeated", "first frame, panned over"
assert seen.loc[still, "drift"] == 0 and seen.loc[still, "MotionScore"] == 0
colours = seen["grade"]
assert abs(colours["pixels shuffled"] - colours["real clip"]) < 1, "grade sees no picture, only colours"
assert seen.loc[panned, "MotionScore"] > 0, "a pan over a photograph counts as motion"

# %% [markdown]
# ### A blind spot that was closed
#
# The clip whose every second frame is dimmed looks broken to anybody. Yet the first version of this workbook liked it. Its drift compared three frames, the first, the middle and the last. Its stability rested on flow alone, and flow evens out the light before it looks; a dim picture even has less texture to be unsure of. Before and after:

# %%
from itertools import combinations


def as_it_was(frames: np.ndarray) -> dict[str, float]:
    """Drift of three frames, and stability whatever becomes of the light."""
    three, motion = frames[[0, len(frames) // 2, -1]][:, None], motion_score(frames, params.fps)
    returning = motion.coherence / max(1 - motion.flash_share, 1e-6)
    drift = max(grade_distance(one, other) for one, other in combinations(three, 2))
    return {"drift, three frames": drift, "stability, any light": 100 * motion.smoothness * returning}


dimmed = "every second frame dimmed"
before = pd.DataFrame({name: as_it_was(fooled[name]) for name in ("real clip", dimmed)}).T
display(before.join(seen[["drift", "flicker", "stability"]]).round(2))
assert seen.loc[dimmed, "stability"] < 0.5 * seen.loc["real clip", "stability"]
assert seen.loc[dimmed, "flicker"] > seen.loc["real clip", "flicker"] + 2

# %% [markdown]
# A night scene by torchlight flickers too, because its light does. Compare with real clips, not with 0. And flow sees 16 frames a second: at 32 and more it may miss what *flicker* counts, which looks at every frame.
#
# ### The ones that are left
#
# Read a column at a time, and look for the wrong clip that does as well as the real one:

# %%
suspects = [("grade", "real clip", "pixels shuffled"), ("lighting", "real clip", "pixels shuffled")]
suspects += [("drift", "real clip", still), ("flicker", "real clip", "every second frame mirrored")]
suspects += [("stability", "real clip", "played backwards")]
suspects += [("MotionScore", still, panned), ("speed", "real clip", panned)]
if similarity:
    suspects += [("clip_temporal", "real clip", still), ("clip_text", "real clip", "played backwards")]
blind = [
    {"metric": metric, "fooled by": clip, "honest value": seen.loc[honest, metric], "value": seen.loc[clip, metric]}
    for metric, honest, clip in suspects
]  # fmt: skip

# %% [markdown]
# Three more take two clips each. A *perceptual distance* (LPIPS, or its stand-in) compares frame with frame: it should mind blur more than a step aside. The *networks* of the Frechet distance: how far do they see the damaged clip from the real one? And *costume* compares the costume's colour with the still's, in the opening frames.

# %%
from cinelib.metrics.perceptual import LPIPS, FeatureDistance

distance = LPIPS(params.alexnet) if params.alexnet else FeatureDistance()
aside, blurred = (float(distance(fooled[n], real).mean()) for n in ("moved aside", "a little blurred"))
blind.append({"metric": distance.name, "fooled by": "moved aside", "honest value": blurred, "value": aside})


def far(network, name: str) -> float:
    """Length of the difference that a network's features see between a fooling clip and the real one."""
    one, other = network([real, fooled[name]])
    return float(np.linalg.norm(one - other))


for network, name in ((pictures, "played backwards"), (extractor, "a little blurred")):
    row = {"metric": f"{network.name} features", "fooled by": name}
    blind.append(row | {"honest value": far(network, still), "value": far(network, name)})

# %%
from backlot.storyboard import scenes as drawn_scenes

from cinelib.metrics.costume import costume_distance

shots = (render(scene, count, high, wide, fps=params.fps) for scene in drawn_scenes().values())
dressed = next(shot for shot in shots if shot.costume_mask[0].any())
frames, mask = dressed.frames, dressed.costume_mask[:3]
swapped = np.concatenate([frames[:3], frames[3:, :, :, ::-1]])  # red turns blue after the opening frames
worn = [costume_distance(clip[:3], mask, frames[:1], mask[:1]) for clip in (frames, swapped)]
row = {"metric": "costume", "fooled by": "colours exchanged after frame 3"}
blind.append(row | {"honest value": worn[0], "value": worn[1]})
blind_spots = pd.DataFrame(blind)
blind_spots.to_csv(stage.folder / "blind_spots.csv", index=False)
blind_spots.style.format(precision=3).hide()

# %% [markdown]
# - *grade* and *lighting* cannot see that the pixels were shuffled.
# - *drift* and *flicker* prefer the frozen clip, and *clip_temporal* loves it. *flicker* knows a frame's colours, not where they are: it does not mind that every second frame is mirrored (*stability* does).
# - *MotionScore* takes a pan over a photograph for a moving picture.
# - *clip_text* is a mean over frames, so it does not know which way time runs. ImageNet features hardly do. The video network does, but was taught to forgive softness: each is blind to what the other sees.
# - A perceptual distance may punish a step aside that nobody minds more than a blur.
# - *costume* knows no pattern, and only the region and the frames that it was told.
#
# Only together do they mean something. Here are the clips, each with the metrics that it fools: the honest value, and the one that they gave.

# %%
fooled["colours exchanged after frame 3"] = swapped
strips = {"the real clip": real}
for name, group in blind_spots.groupby("fooled by", sort=False):
    said = group[["metric", "honest value", "value"]].itertuples(index=False, name=None)
    lines = [f"{metric} {honest:.3g} → {value:.3g}" for metric, honest, value in said]
    strips["\n".join([name.upper(), *lines])] = fooled[name]
title = "Each clip fools a metric (honest value → value)"
figure = show.before_after(list(strips.values()), list(strips), n=4, title=title, tile=1.7)
stage.save_figure(figure, "signature")
figure

# %% [markdown]
# ### Exercise 10.3: fool the grade (medium, 10 minutes)
# Shuffling pixels is a crude way to keep a picture's colours. Find one that leaves a picture which looks sane: change where everything is, but keep every pixel's colour. The grade distance to the clip must stay 0 and most pixels must be another colour than before.


# %% tags=["exercise"]
import numpy as np


def same_colours(frames: np.ndarray) -> np.ndarray:
    """A clip (T, H, W, 3) with the very same colours as `frames`, elsewhere in the picture."""
    # BEGIN SOLUTION
    return frames[:, ::-1, ::-1]  # turned upside down: each pixel is still there, once
    # END SOLUTION


# %% [markdown] tags=["hint"]
# The grade compares heaps of pixels, and a heap does not know where a pixel lay. Which changes move pixels without mixing them? Think of what a mirror does, or a pair of scissors.

# %% tags=["check"]
import numpy as np

from cinelib.exercises import check, expect, expect_close, expect_shape
from cinelib.metrics.style import grade_distance

with check("10.3"):
    across = np.linspace(0, 250, 32, dtype=np.uint8)[None, None, :, None]
    down = np.linspace(0, 1, 24)[None, :, None, None] * np.array([1.0, 0.6, 0.2])
    picture = np.repeat((across * (0.2 + 0.8 * down)).astype(np.uint8), 5, axis=0)  # (5, 24, 32, 3)
    answer = same_colours(picture)
    expect_shape(answer, picture.shape)
    changed = (np.asarray(answer) != picture).any(axis=-1).mean()
    expect(
        changed > 0.5, f"only {changed:.0%} of the pixels changed", "half of them should be another colour"
    )
    found = grade_distance(np.ascontiguousarray(answer), picture)
    expect_close(found, 0.0, because="a new colour is in the clip: move pixels, do not mix or tint them", atol=0.05)  # fmt: skip


# %% tags=["wrong"]
import numpy as np


def same_colours(frames):
    return 255 - frames


# %%
at_half = {"value": film_bias[-1], "n": half, "reason": "the same source on both sides, so the truth is 0"}
numbers = {f"{distance_name} film against film": at_half}
for name, (_, values) in bias_curves.items():
    numbers[f"Frechet distance between equals, {name}"] = {"value": values[counts.index(40)], "n": 40}
worst = error_table["error %"].abs().max()
numbers["motion, largest error"] = {"value": worst, "n": len(error_table), "unit": "%"}
for row in blind:
    numbers[f"{row['metric']}, {row['fooled by']}"] = {"value": row["value"], "honest": row["honest value"]}
stage.save_metrics(numbers)

# %% [markdown]
# ## Questions

# %% [markdown] tags=["quiz"]
# **1.** A model scores 0.99 on `clip_temporal`. Good?
#
# ---
#
# Not by itself: a still scores 1. Without a number for motion beside it, it rewards doing nothing.

# %% [markdown] tags=["quiz"]
# **2.** MotionScore rose by 20 %. Is the new model better?
#
# ---
#
# It moves more. Whether that is better depends on what was asked for and how real clips move: look at retention and at the distance of log-speeds to the film, in notebook 05.

# %% [markdown] tags=["quiz"]
# **3.** One paper reports FVD 310 with 40 clips, another FVD 250 with 2,048. Is the second model better?
#
# ---
#
# Nobody can tell. With 40 clips and 400 features much of the 310 is bias, as the curve of equals shows. The two can be compared only at the same number of clips.

# %% [markdown] tags=["quiz"]
# **4.** Why does coherence need the flow forward *and* back?
#
# ---
#
# Flow always finds some answer, also between two pictures that have nothing to do with each other. Going there and back is a test of it: a point that really moved comes home, a guess does not.

# %% [markdown] tags=["quiz"]
# **5.** A clip has grade 0 and drift 0. What may it still be?
#
# ---
#
# One frame of the film, repeated, with its pixels shuffled. Grade sees no picture and drift sees no motion.

# %%
stage.close()

# %% [markdown]
# ## Limitations
#
# - The blind spots are examples, made by hand. There are others.
# - Unless the published networks are given, the distances are those of stand-ins, and their names say so. They are not comparable with FVD or LPIPS of any paper.
# - Flow underestimates above half a short side a second, and is a guess where a figure covers and uncovers what is behind it. `too_fast` of `motion_score` flags the first, the error tables show the second.
# - That a metric can be fooled does not say how often a model does so. Look at the clips.
#
# **Next:** back to [05 Evaluation](05_evaluation.ipynb), where these numbers compare models.
#
# ## Links
#
# - [Content-debiased FVD, why FVD prefers stills](https://arxiv.org/abs/2404.12391)
# - [JEDi: what small samples do to FVD](https://arxiv.org/abs/2410.05203)
# - [FVMD: motion consistency by velocity and acceleration](https://arxiv.org/abs/2407.16124)
# - [LPIPS](https://arxiv.org/abs/1801.03924)
