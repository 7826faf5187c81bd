# %% [markdown]
# # 05 Evaluation
#
# **Is it better than the base model, by how much, and with what certainty?**
#
# Every number here comes with three companions: an *interval*, the *number of clips* behind it, and a *negative control*: a LoRA trained with the same recipe on shuffled looks and captions, which must fail.
# If the control does as well as the film's LoRA, the metric measures something else than what was learned.
#
# After this notebook you can
# - take MotionScore apart and break it on purpose,
# - say what a Frechet distance of 8 clips can and cannot tell,
# - compare two models on the same prompts, first frames and seeds, with an exact test,
# - reach a verdict that the numbers wrote, not you.
#
# | profile | time | memory | clips |
# |---|---|---|---|
# | smoke | about 40 s | 2 GB | 2 + 2 scenes of 32 × 48 |
# | nano | about 3 min on 2 cores | 2 GB | 8 historical + 4 sci-fi scenes of 64 × 112, 40 clips |
# | a100 | a day on one A100 | 77 GB of GPU memory | 8 + 8 scenes of 720 × 1280 × 81 |
#
# **Inputs:** the film's clips (notebook 01), LoRA and control (02), sequences (03), `data/storyboard`. **Outputs:** `table.csv`, `clips/<arm>/*.mp4`, `figures/signature.png`, `metrics.json`.

# %% tags=["parameters"]
profile: str = "nano"  # name of the profile whose values fill untouched parameters
seed: int = 0  # seed of every random choice in this stage
height: int = 64  # pixels, a multiple of 16
width: int = 112  # pixels, a multiple of 16
num_frames: int = 17  # frames of one generated clip, 4k+1
fps: int = 16  # frames per second that the model was trained at
model: str = "data/nano-wan"  # diffusers folder or hub id
storyboard: str = "data/storyboard"  # folder of neutral stills to start from
trigger: str = "emberfall film"  # phrase that opens the adapters' prompts, empty for none
in_domain_scenes: int = 8  # storyboard scenes of the film's own world
cross_domain_scenes: int = 4  # storyboard scenes of the other world
num_inference_steps: int = 12  # sampler steps
guidance_scale: float = 3.0  # classifier-free guidance
flow_shift: float = 3.0  # shift of the flow-matching schedule
clip_model: str = "data/nano-clip"  # CLIPModel folder or hub id, empty to leave CLIP-SIM out
features: str = "data/nano-viewer"  # video network for FD[...], empty for ImageNet features of frames
i3d: str = ""  # path of the I3D torchscript file for FVD, empty for FD[...]
i3d_sha256: str = ""  # SHA-256 of that file
alexnet: str = ""  # path of AlexNet weights for LPIPS, empty for the stand-in
style_runs: list[str] = []  # folders of further runs of notebook 02, same recipe, other seeds
baseline: str = ""  # diffusers folder or hub id of another model to compare with, empty for none

# %%
from cinelib.evaluation.parameters import Evaluation
from cinelib.parameters import from_notebook
from cinelib.runs.stage import open_stage

params = from_notebook(Evaluation, globals())
stage = open_stage(params)
params

# %%
import platform

import cv2

import cinelib
from cinelib.acceleration.timing import conditions

print(f"cinelib {cinelib.__version__}, Python {platform.python_version()}, OpenCV {cv2.__version__}")
print(f"device: {conditions()}; profile: {params.profile}")

# %% [markdown]
# ## 1. Motion, taken apart
#
# Ask people about generated video and they say "it does not move", "it jerks", "it melts". MotionScore gives each complaint a number:
#
# $$\text{MotionScore} = 100 \cdot D \cdot S \cdot C$$
#
# - **amplitude** $D$: speed of the fastest 5 % of the picture at 8 Hz, 0 for a still and 1 from 0.19 short sides a second,
# - **smoothness** $S$: one minus relative acceleration along the paths of points, at 16 Hz,
# - **coherence** $C$: share of pixels where flow forward and back returns to where it started. Pixels that melt do not come back.
#
# Flow is OpenCV's DIS on contrast-normalised luma, mended in two ways: one step of Lucas and Kanade, because DIS alone takes half a pixel for 0.53, and the motion of a large surface wherever that explains the pictures as well (`cinelib/metrics/flow/surfaces.py`). No weights, so anybody gets the same number. The name is the workbook's own; no published benchmark of that name was found. To trust it, feed it motions whose flow is known exactly.

# %%
import numpy as np
import pandas as pd
from IPython.display import display

from cinelib import show
from cinelib.metrics.flow.dense import SHORT_SIDE
from cinelib.metrics.motion import motion_score
from cinelib.metrics.synthetic import Layer, synthetic_clip

known = {
    "pan, half a px a frame": [Layer(dx=0.5)],
    "pan, 2 px a frame": [Layer(dx=2.0)],
    "pan, 8 px a frame": [Layer(dx=8.0)],
    "zoom in": [Layer(zoom=0.01)],
    "roll": [Layer(turn=0.01)],
    "object before a wall": [Layer(), Layer(dx=2.0, disc=(0.35, 0.5, 0.25))],
    "object before a pan": [Layer(dx=-1.0), Layer(dx=2.0, disc=(0.35, 0.5, 0.25))],
}
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
# Closed forms are kind. The backlot is not: flat colours, blank skies, figures that cover and uncover a wall. Its flow is known for every pixel as well:

# %%
from backlot import render, sample_scene

from cinelib.metrics.flow.dense import flow_between, planes_of
from cinelib.metrics.flow.fields import length

rows = []
for world, camera, number in [
    ("historical", "pans right", 2),
    ("sci-fi", "pans right", 5),
    ("sci-fi", "dollies in", 7),
    ("sci-fi", "static", 6),
]:
    shot = render(sample_scene(1_500_000 + number, world=world, camera=camera), 3, 256, 448, fps=16)
    found, _ = flow_between(planes_of(shot.frames), [(0, 1), (1, 2)])  # two of (h, w, 2)
    truth, speed = (16 * length(np.stack(flows)).mean() / SHORT_SIDE for flows in (shot.flow, found))
    rows.append({"backlot": f"{world}, {camera}", "true speed": truth, "measured": speed})
    rows[-1]["error %"] = 100 * (speed / truth - 1)
pd.DataFrame(rows).style.format(precision=3).hide()

# %% [markdown]
# A turning camera is measured within 4 percent or so. A *dolly* moves the near faster than the far: flow is settled on up to four flat surfaces, each with a motion of its own, and guesses where a surface is blank. Before a *static* camera the truth is small: a dark figure before a dark wall has hardly any edge to follow, and a shadow that moves over the floor is
# motion in the picture but not of any surface, so that the exact flow leaves it out.
#
# `tests/test_motion_metric.py` repeats this on 54 scenes. Speed summed over all of them is right within 2 percent; a single clip of a moving camera is off by 2 percent in the median and by up to 4 on average, most of it where the camera travels; before a still camera, where little moves, by half of that little and more; the camera's share by 2.3 points on average, by more than 5 in one clip of seven. So trust a mean over many clips, compare clips only when they differ by more than that, and never quote MotionScore to the last digit.
#
# What must *not* change the score, and by how much it may:

# %%
pan, _ = synthetic_clip([Layer(dx=2.0)], num_frames=9, width=320)
turn, _ = synthetic_clip([Layer(turn=0.01)], num_frames=9, width=320)
quicker, _ = synthetic_clip([Layer(turn=0.01 * 16 / 24)], num_frames=13, width=320)
twice = np.stack([cv2.resize(f, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for f in pan])
grainy = np.clip(pan + np.random.default_rng(0).normal(0, 4, pan.shape), 0, 255).astype(np.uint8)
jpeg = np.stack([cv2.imdecode(cv2.imencode(".jpg", f, [1, 20])[1], 1) for f in twice])
harmless = [  # what, the clip, its frames a second, the clip to compare with, percent allowed
    ("mirrored", pan[:, :, ::-1], 16, pan, 0.5),
    ("upside down", pan[:, ::-1], 16, pan, 0.5),
    ("backwards", pan[::-1], 16, pan, 0.5),
    ("half as bright", pan // 2, 16, pan, 0.5),
    ("gamma 0.6", (255 * (pan / 255) ** 0.6).astype(np.uint8), 16, pan, 0.5),
    ("letterboxed", np.pad(pan, ((0, 0), (40, 40), (0, 0), (0, 0))), 16, pan, 0.5),
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
# These are the kind cases again. The tests repeat it on nine motions and six frame rates: grain stays under 3 %, a pan, zoom or roll at another rate under 1.5 %, a slow pan under 4 % (its error of a two-hundredth of a pixel counts as acceleration). Worst is JPEG of quality 20: under 3 % at 720 lines (a parallax, with its many edges, 5), and on a picture of only 256 lines, where its blocks are 8 of them, up to 12 %.
#
# *camera share* is the part of the motion that one shift, turn and zoom of the whole picture explains: near 1 for camera moves, smaller when things move by themselves. Of all such movements it takes the one that leaves the least.
#
# Who has RAFT's weights and an accelerator can put learned flow in the place of DIS: `motion_score(frames, fps, flow=Raft(weights))`, or `cinelib score --raft`. Its numbers are other numbers, and are called `MotionScore[raft-large]`.
#
# Now break it. Move the sliders: jitter kills $S$, noise kills $C$, stillness kills $D$. Stutter (every frame shown twice) looks like plenty of motion to a metric that only counts speed.


# %%
def broken_motion(
    pan: float = 2.0, zoom: float = 0.0, jitter: int = 0, noise: int = 0, stutter: bool = False
):
    """A synthetic clip (9, 256, 320, 3), damaged as asked."""
    clip, _ = synthetic_clip([Layer(dx=pan, zoom=zoom)], num_frames=9, width=320)
    rng = np.random.default_rng(0)
    if stutter:
        clip = clip[np.arange(9) // 2 * 2]
    shifts = rng.integers(-jitter, jitter + 1, (9, 2))
    clip = np.stack([np.roll(frame, tuple(s), (0, 1)) for frame, s in zip(clip, shifts, strict=True)])
    return np.clip(clip + rng.normal(0, noise, clip.shape), 0, 255).astype(np.uint8)


def draw_motion(**sliders):
    clip = broken_motion(**sliders)
    motion = motion_score(clip, fps=16)
    parts = f"D {motion.amplitude:.2f} × S {motion.smoothness:.2f} × C {motion.coherence:.2f}"
    return show.filmstrip(clip, n=5, title=f"MotionScore {motion.score:.1f}: {parts}", tile=1.6)


draw_motion()

# %%
import io

import ipywidgets

later = {"continuous_update": False}
sliders = {
    "pan": ipywidgets.FloatSlider(2.0, min=0, max=8, step=0.5, description="pan", **later),
    "zoom": ipywidgets.FloatSlider(0.0, min=-0.02, max=0.02, step=0.005, description="zoom", **later),
    "jitter": ipywidgets.IntSlider(0, min=0, max=8, description="jitter", **later),
    "noise": ipywidgets.IntSlider(0, min=0, max=240, step=20, description="noise", **later),
    "stutter": ipywidgets.Checkbox(False, description="stutter"),
}
picture = ipywidgets.Image(format="png")


def redraw(change=None):
    buffer = io.BytesIO()
    draw_motion(**{name: slider.value for name, slider in sliders.items()}).savefig(buffer, format="png")
    picture.value = buffer.getvalue()


for slider in sliders.values():
    slider.observe(redraw, "value")
if not stage.unattended:  # a widget needs somebody to move it
    redraw()
    display(ipywidgets.VBox([*sliders.values(), picture]))

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
parts["dissolve to another still"] = motion_score(
    (pan[:1] * (1 - mix) + turn[-1:, ::-1] * mix).astype("u1"), 16
)
parts["frames shuffled"] = motion_score(pan[np.random.default_rng(3).permutation(len(pan))], 16)
columns = ("score", "amplitude", "smoothness", "coherence", "mean_speed")
display(pd.DataFrame({n: {c: getattr(m, c) for c in columns} for n, m in parts.items()}).T.round(3))
assert parts["still"].score == 0 and all(
    motion.score < 0.7 * parts["as it is"].score for name, motion in parts.items() if name != "as it is"
)

# %% [markdown]
# ### Exercise 5.1: amplitude (easy, 10 minutes)
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

with check("5.1"):
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
# ## 2. The clips
#
# Three arms start from the same neutral stills, with the same noise:
#
# - **base**: the model as it came; the prompt is the scene's text,
# - **LoRA**: the film's adapter; the prompt opens with the trigger phrase,
# - **control**: the adapter trained on shuffled looks and captions, same prompt as the LoRA.
#
# On the *other world* (sci-fi) the LoRA runs twice, with the trigger and without: asked for, the look should travel; not asked for, it should stay at home.

# %%
from pathlib import Path

from cinelib.preparation.storyboard import open_still, read_storyboard
from cinelib.style import lora
from cinelib.style.adapter_card import check_trainings
from cinelib.wan import pipeline
from cinelib.wan.sampling import Sampling, each, generate

style_stage = stage.upstream("02_style_stage")
trainings = {"run 1": style_stage}
trainings |= {f"run {k}": Path(folder) for k, folder in enumerate(params.style_runs, 2)}
check_trainings(list(trainings.values()))
pipe = pipeline.load_pipeline(params.model, flow_shift=params.flow_shift)
memory = stage.root / "papermill_runs" / "locks" / "hashes.json"  # where the run keeps what it has hashed
cards = {name: lora.load(pipe, style_stage / name, name, memory) for name in ("lora", "control")}
scenes = read_storyboard(params.storyboard)
home = [scene for scene in scenes if scene.world == "historical"][: params.in_domain_scenes]
away = [scene for scene in scenes if scene.world == "sci-fi"][: params.cross_domain_scenes]
if min(len(home), len(away)) < 2:
    raise ValueError(f"the storyboard has {len(home)} historical and {len(away)} sci-fi scenes; 2 are needed")
sampling = Sampling(
    params.height,
    params.width,
    params.num_frames,
    params.num_inference_steps,
    params.guidance_scale,
    params.seed,
)
print(f"{len(home)} scenes at home, {len(away)} away")
shown = ("rank", "alpha", "targets", "steps", "trigger")
pd.DataFrame({name: {field: getattr(card, field) for field in shown} for name, card in cards.items()}).T


# %%
def sample(pipe, scene, words: str) -> np.ndarray:
    """One clip (T, H, W, 3) uint8; the noise depends on seed and scene only, so that arms are paired."""
    still = open_still(scene.stills[0], params.height, params.width)
    return generate(pipe, still, words + scene.text, sampling, (scene.name,))


# %%
import time
from functools import partial

from cinelib.video import write_video

trigger = f"{params.trigger}, " if params.trigger else ""
arms = {"base": ("", ""), "LoRA": ("lora", trigger), "control": ("control", trigger)}
arms["LoRA, no trigger"] = ("lora", "")
plan = [("home", home, arm) for arm in ("base", "LoRA", "control")]
plan += [("away", away, arm) for arm in arms]
clips, started = {"home": {}, "away": {}}, time.perf_counter()
for place, there, arm in plan:
    adapter, words = arms[arm]
    pipe.enable_lora() if adapter else pipe.disable_lora()
    if adapter:
        pipe.set_adapters(adapter)
    clips[place][arm] = each(pipe, partial(sample, words=words), there, sampling)
    slug = arm.lower().replace(", ", "_").replace(" ", "_")
    for scene, frames in zip(there, clips[place][arm], strict=True):
        write_video(stage.folder / "clips" / slug / f"{scene.name}.mp4", frames, params.fps)
stage.log(f"{3 * len(home) + 4 * len(away)} clips in {time.perf_counter() - started:.0f} s")

# %%
picked = [(place, arm, 0) for place in clips for arm in clips[place]]
figure = show.before_after(
    [clips[place][arm][k] for place, arm, k in picked],
    [f"{place}\n{arm}" for place, arm, _ in picked],
    n=5,
    title="Same first frames, same noise",
)
stage.save_figure(figure, "arms")
figure

# %%
show.play({arm: found[0] for arm, found in clips["home"].items()}, fps=params.fps, width=220)

# %% [markdown]
# Any other model can join: set `baseline` to a diffusers folder or hub id (`ali-vilab/text-to-video-ms-1.7b`, VideoCrafter2's conversion `adamdad/videocrafterv2_diffusers`, `Wan-AI/Wan2.1-T2V-1.3B-Diffusers`, a Wan2.2). A model that takes text alone shares prompts and seeds with the others but not the first frame: that is part of the difference.

# %%
from cinelib.evaluation import baselines

if params.baseline:
    try:
        rival = baselines.load(params.baseline)
        for scene in home:
            first = open_still(scene.stills[0], params.height, params.width) if rival.takes_image else None
            clips["home"].setdefault("other model", []).append(
                rival.sample(scene.text, sampling, (scene.name,), first)
            )
        del rival
    except baselines.BaselineError as error:
        print(f"left out: {error}")
else:
    print("no other model asked for")

# %% [markdown]
# The film itself is the yardstick: the clips that notebook 01 prepared. Cut to the length of ours, they also serve as a fourth arm, *real*.

# %%
from cinelib.preparation.dataset import VideoFolder

film = [
    clip.frames()[: params.num_frames]
    for clip in VideoFolder.open(stage.upstream("01_data_preparation") / "dataset")
]
if len(film) < 4:
    raise ValueError(f"the film has {len(film)} clips; intervals of a feature distance need 4")
print(f"{len(film)} clips of the film, {film[0].shape}")
display(show.contact_sheet(film[:12], columns=6, tile=1.3, title="The film"))

# %% [markdown]
# ## 3. What is measured
#
# | number | question | better |
# |---|---|---|
# | grade | how far are the colours from the film's? sliced Wasserstein distance between pixel distributions, CIELAB units | lower |
# | lighting | how far is the histogram of lightness? L* units; beside it by how many stops the key light and by how much the local contrast differ | lower |
# | drift, light drift | do grade and lighting hold from the first frame to the last? | lower |
# | costume | how far is the costume's colour from the still's, the light on it discounted? CIELAB units; needs to know where the costume is, which the backlot tells for the opening frames | lower |
# | costume words, held | does the picture fit the costume's words better than another colour's (`CLIP` margin), and the last frame as well as the first (its change)? | higher |
# | stability | is the motion smooth and coherent? $100\,S\,C$ | higher |
# | MotionScore, speed | how much moves? | neither: compare |
# | `clip_text` | does the picture fit the words? | higher |
#
# An invariant before any of them is used: a set of clips is at distance 0 from itself, and their order does not matter.

# %%
from cinelib.metrics.extractors import I3D, FrameFeatures
from cinelib.metrics.frechet import frechet_distance
from cinelib.metrics.style import grade_distance, light_drift, lighting_distance, look, look_drift
from cinelib.metrics.video_features import VideoFeatures

pictures = FrameFeatures()
if params.i3d:
    extractor = I3D(params.i3d, params.i3d_sha256)
else:
    extractor = VideoFeatures(params.features) if params.features else pictures
seen_by = {"film": extractor(film)}
assert frechet_distance(seen_by["film"], seen_by["film"][::-1]) < 1e-6 * np.square(seen_by["film"]).sum()
film_look = look(np.concatenate([clip[:: max(1, len(clip) // 8)] for clip in film]))
assert grade_distance(film_look, film_look) == 0
print(f"{extractor.name}: {extractor.preprocessing}; SHA-256 {extractor.weights_sha256[:12]}")

# %%
from cinelib.metrics.clip_sim import ClipSimilarity

try:
    similarity = ClipSimilarity(params.clip_model) if params.clip_model else None
    reason = "" if similarity else "clip_model is empty"
except FileNotFoundError as error:
    similarity, reason = None, str(error)
print(f"{similarity.name}: {similarity.preprocessing}" if similarity else f"CLIP-SIM left out: {reason}")


# %%
def light(seen, aim) -> dict[str, float]:
    """Distance of the luma histograms, and what the key light and the local contrast differ by."""
    found = lighting_distance(seen, aim)
    return {
        "lighting": found.luma,
        "key ratio differs": found.key_ratio,
        "local contrast differs": found.local_contrast,
    }


def measure(frames: np.ndarray, text: str) -> dict[str, float]:
    """Every number of one clip that needs its prompt alone."""
    motion, seen = motion_score(frames, params.fps), look(frames)
    found = {
        "grade": grade_distance(seen, film_look),
        **light(seen, film_look),
        "drift": look_drift(frames),
        "light drift": light_drift(frames),
        "stability": 100 * motion.smoothness * motion.coherence,
        "MotionScore": motion.score,
        "speed": motion.mean_speed,
        "D": motion.amplitude,
        "S": motion.smoothness,
        "C": motion.coherence,
        "camera share": motion.camera_share,
        "texture share": motion.texture_share,
        "too fast": float(motion.too_fast),
    }
    if similarity:
        found["clip_text"], found["clip_temporal"] = similarity.text_and_temporal(frames, text)
    return found


# %%
import re

from backlot.palette import COLOURS
from backlot.storyboard import scenes as drawn_scenes

from cinelib.metrics.costume import costume_distance

masks = {}
for scene in home + away:  # only the backlot's own storyboard knows where its costumes are
    if panel := drawn_scenes().get(scene.name):
        shot = render(panel, 3, params.height, params.width, fps=params.fps)
        masks[scene.name] = shot.costume_mask if shot.costume_mask[0].any() else None


def measure_costume(frames: np.ndarray, scene) -> dict[str, float]:
    """Colour against the still's, and words against another colour's words."""
    found, mask = {}, masks.get(scene.name)
    if mask is not None:
        still = np.asarray(open_still(scene.stills[0], params.height, params.width))[None]
        found["costume"] = costume_distance(frames[:3], mask, still, mask[:1])
    colour = next((c for c in COLOURS if re.search(rf"\b{c}\b", scene.text)), "")
    if similarity and colour:
        others = [scene.text.replace(colour, c) for c in COLOURS if c != colour]
        margins = similarity.margins(frames, scene.text, others)  # (T,)
        found["costume words"] = float(margins.mean())
        found["costume words held"] = float(margins[-1] - margins[0])
    return found


# %%
records = []
for place, chosen in (("home", home), ("away", away)):
    for arm, found in clips[place].items():
        for scene, frames in zip(chosen, found, strict=True):
            records.append({"place": place, "arm": arm, "scene": scene.name, **measure(frames, scene.text)})
            records[-1] |= measure_costume(frames, scene)
for k, frames in enumerate(
    film[: len(home)]
):  # real against the rest of the film: what a perfect model scores
    others = look(np.concatenate([c[:: max(1, len(c) // 8)] for j, c in enumerate(film) if j != k]))
    real = measure(frames, "") if not similarity else measure(frames, home[0].text)
    seen = look(frames)
    real |= {"grade": grade_distance(seen, others), **light(seen, others)}
    real.pop("clip_text", None)  # the film's captions are other prompts: not comparable
    records.append({"place": "home", "arm": "real", "scene": f"film {k}", **real})
table = pd.DataFrame(records)
table.to_csv(stage.folder / "table.csv", index=False)
table.groupby(["place", "arm"], sort=False).mean(numeric_only=True).round(3)

# %% [markdown]
# `clip_temporal`, when it is there, never stands alone: a still scores a perfect 1. Look at *speed* in the same row.
#
# ## 4. How sure?
#
# Means over a handful of clips move about. Two things make them useful. *Pairing*: every arm drew the same scenes, so we compare scene by scene and the difficulty of a scene cancels. *Exact tests*: if the adapter did nothing, each scene's difference could as well have had
# the other sign; count how many of all $2^n$ sign patterns give a mean as large. With 8 scenes the smallest possible p is 2/256; with 4 it is 2/16, which can never be called significant. Testing several metrics earns a correction (Holm): six times 2/256 is still under 5 %, seven times is not. So six questions
# were chosen before looking; what else is measured is *explored*, and no p-value of it is called sure (a bound on light drift enters a verdict below, as an interval).
#
# ### Exercise 5.2: an exact test in three lines (medium, 15 minutes)
# Count the sign patterns whose sum is at least as large, in absolute value, as the one observed.


# %% tags=["exercise"]
import numpy as np


def exact_p(differences: list[float]) -> float:
    """Two-sided p-value over all 2^n sign patterns of paired differences."""
    # BEGIN SOLUTION
    from itertools import product

    observed = abs(sum(differences))
    sums = [abs(np.dot(signs, differences)) for signs in product((1, -1), repeat=len(differences))]
    return float(np.mean([value >= observed - 1e-12 for value in sums]))
    # END SOLUTION


# %% [markdown] tags=["hint"]
# `itertools.product((1, -1), repeat=n)` yields all patterns. The observed pattern counts itself, so p is never 0. Two-sided: compare absolute values.

# %% tags=["check"]
from cinelib.exercises import check, expect_close
from cinelib.statistics import sign_flip_test

with check("5.2"):
    expect_close(
        exact_p([1.0, 2.0, 3.0]), 2 / 8, because="all plus and all minus are equally extreme: two-sided"
    )
    expect_close(exact_p([1.0, -1.0]), 1.0, because="a sum of 0 is the least extreme of all")
    sample_differences = [0.3, -0.1, 0.4, 0.2, 0.5]
    expect_close(
        exact_p(sample_differences), sign_flip_test(sample_differences), because="ties count as extreme"
    )


# %% tags=["wrong"]
from itertools import product

import numpy as np


def exact_p(differences):
    observed = sum(differences)
    sums = [np.dot(signs, differences) for signs in product((1, -1), repeat=len(differences))]
    return float(np.mean([value >= observed for value in sums]))


# %%
from cinelib.statistics import compare, corrected, mean_interval, smallest_p

better = {"grade": -1, "lighting": -1, "costume": -1, "drift": -1, "stability": 1, "clip_text": 1}
explored = {
    "light drift": -1,
    "costume words": 1,
    "costume words held": 1,
    "MotionScore": 0,
}  # looked at, never called sure
of = {
    place: {arm: g.reset_index(drop=True) for arm, g in part.groupby("arm", sort=False)}
    for place, part in table.groupby("place", sort=False)
}
values = of["home"]


def known(name: str, place: str = "home") -> bool:
    return name in table and of[place]["base"][name].notna().sum() > 1


def paired(name: str, arm: str, other: str = "base", place: str = "home"):
    """Arm minus other, over the scenes where both have the number."""
    one, two = of[place][other][name], of[place][arm][name]
    both = one.notna() & two.notna()
    return compare(one[both], two[both])


family, extra = list(filter(known, better)), list(filter(known, explored))


# %%
def against(other: str, arm: str):
    """Paired comparisons of two arms at home, Holm over the family that verdicts rest on."""
    return corrected({n: paired(n, arm, other) for n in family}) | {n: paired(n, arm, other) for n in extra}


print(f"nothing to measure it by: {sorted({*better, *explored} - {*family, *extra}) or 'none'}")
results = {arm: against("base", arm) for arm in ("LoRA", "control")}
asked = {("LoRA", "base"): results["LoRA"], ("control", "base"): results["control"]}
asked["LoRA", "control"] = against("control", "LoRA")
print(f"n = {len(home)} pairs; the smallest p that {len(home)} pairs can give is {smallest_p(len(home)):.4f}")
print(f"times {len(family)} metrics (Holm): {min(1, len(family) * smallest_p(len(home))):.3f}")


# %%
def low_high(interval: tuple[float, float] | None) -> dict[str, float]:
    """Two columns; empty where nearly all values are equal, which no interval can be drawn from."""
    return dict(zip(("low", "high"), interval or (np.nan, np.nan), strict=True))


def row_of(name: str, result) -> dict[str, object]:
    """One line of a table of differences."""
    row = {"metric": name, "better": {-1: "lower", 1: "higher", 0: "neither"}[(better | explored)[name]]}
    row |= {"difference": result.difference, **low_high(result.interval), "n": result.n}
    return row | {"p": result.p, "p (Holm)": result.p_holm}


# %%
lines = []
for (arm, other), comparisons in asked.items():
    for name, result in comparisons.items():
        sure = "higher" if result.surely_positive else "lower" if result.surely_negative else ""
        sure = sure if name in family else "explored"
        lines.append({"arm": arm, "minus": other, **row_of(name, result), "sure": sure})
differences = pd.DataFrame(lines)
differences.to_csv(stage.folder / "differences.csv", index=False)
differences.style.format(precision=3, na_rep="").hide().set_caption("paired by scene")

# %% [markdown]
# Read the last block first: LoRA minus *control*. What the two have in common came from training at all; only what is left was learned from this film.

# %%
panels = {}
for name in family + extra:
    shown = [
        arm
        for arm in ("base", "LoRA", "control", "other model", "real")
        if arm in values and values[arm][name].notna().sum() > 1
    ]
    found = {arm: values[arm][name].dropna() for arm in shown}
    means = {arm: found[arm].mean() for arm in shown}
    entries = [(arm, means[arm], *(mean_interval(found[arm]) or (np.nan, np.nan))) for arm in shown]
    direction = {-1: "lower is better", 1: "higher is better", 0: "compare"}[(better | explored)[name]]
    panels[f"{name} ({direction}), n {len(found['base'])}"] = entries
figure = show.intervals(
    panels, title="Same first frames and noise; mean over n scenes and 95 % interval", columns=3
)
stage.save_figure(figure, "signature")
figure

# %% [markdown]
# *real* is the floor: the film's own clips against the rest of the film. No model should be expected below it. *control* shows how much of a gain any adapter would have brought.
#
# And what could these few scenes have shown at all? The spread of the paired differences tells how large a true difference must be to be found in 8 of 10 such studies, and how many scenes half of the one that was seen would need.

# %%
from cinelib.statistics import detectable_difference, pairs_needed

power_rows = []
for name in family:
    result = results["LoRA"][name]
    spread = float((values["LoRA"][name] - values["base"][name]).std())
    row = {"metric": name, "seen": result.difference, "n": result.n}
    if spread > 0:
        row["could be found"] = detectable_difference(spread, result.n, family=len(family))
        if abs(result.difference) > 0.05 * spread:
            row["scenes for half of it"] = pairs_needed(
                result.difference / 2, spread, family=len(family), most=10**6
            )
    power_rows.append(row)
pd.DataFrame(power_rows).style.format(precision=2, na_rep="").hide()

# %% [markdown]
# ### Other scenes, or another training?
#
# All intervals so far answer: what if the *scenes* had been others? The adapter was the same one each time. Train it again with another seed and the numbers move once more; who claims something of the *recipe* has to ask that as well, and then the training run, not the clip, is what there is only one of. Make further runs (only training is repeated, encoded clips are reused):
#
# `cinelib run 02 -p 02_style_stage.seed=1 --name seed-1`
#
# and name their folders (they stand in `papermill_runs/seed-1/run.yaml`) in this notebook's `style_runs`. Each further training samples the same scenes from the same noise.


# %%
def sample_again(run: str, arm: str, adapter: str) -> list[dict]:
    """The scenes at home by another training's adapter, measured."""
    lora.load(pipe, trainings[run] / adapter, "again", memory)
    pipe.set_adapters("again")
    made = each(pipe, partial(sample, words=trigger), home, sampling)
    pipe.delete_adapters("again")
    measured = [
        measure(f, s.text) | measure_costume(f, s) | {"scene": s.name}
        for f, s in zip(made, home, strict=True)
    ]
    return [{"run": run, "arm": arm, **row} for row in measured]


# %%
pipe.enable_lora()
again = [
    row
    for run in list(trainings)[1:]
    for arm in ("LoRA", "control")
    for row in sample_again(run, arm, arms[arm][0])
]
runs_table = pd.concat([table[table["place"] == "home"].assign(run="run 1"), pd.DataFrame(again)])


def by_run(name: str, other: str) -> pd.DataFrame:
    """LoRA minus `other`, a row a training and a column a scene; the base has no training."""
    lora_side, other_side = (
        runs_table[runs_table["arm"] == arm].pivot(index="run", columns="scene", values=name)
        for arm in ("LoRA", other)
    )
    return (lora_side - (other_side.loc["run 1"] if other == "base" else other_side)).dropna(axis=1)


# %%
from cinelib.statistics import mixed_model, two_way_bootstrap

over_runs, rows = {}, []
for other in ("base", "control") if again else ():
    for name in family:
        found = by_run(name, other)
        over_runs[name, other] = two_way_bootstrap(found.to_numpy())
        long = found.melt(ignore_index=False, value_name="difference").reset_index()
        model = mixed_model(long, "difference ~ 1", ["run", "scene"])
        row = {"LoRA minus": other, "metric": name, "difference": found.to_numpy().mean()}
        row |= low_high(over_runs[name, other]) | {"runs": len(found), "scenes": found.shape[1]}
        row |= dict(zip(("model low", "model high", "p"), model.effects["Intercept"][1:], strict=True))
        rows.append(row | {f"spread between {k}s": model.deviations[k] for k in ("run", "scene")})
over_trainings = pd.DataFrame(rows)
if again:
    over_trainings.to_csv(stage.folder / "over_trainings.csv", index=False)
else:
    print("one training: nothing here tells how much of a difference is this training's luck")
over_trainings.style.format(precision=3, na_rep="").hide()

# %% [markdown]
# *low* and *high* come from drawing scenes and trainings anew, both (a two-way bootstrap); *model* is a mixed model's answer to the same question, with Student's t at as many degrees of freedom as trainings allow: two of three trainings, which makes it the more cautious one. The last two columns say what differs more, trainings or scenes. Where there are further trainings, a gain enters the verdicts below only if it holds over them as well.
#
# ## 5. Motion, compared and not maximised
#
# More motion is not better by itself. What counts is whether the adapter *kept* the motion the base model had (retention, 1 is all), and whether speeds are spread like the film's.

# %%
from cinelib.metrics.motion import log_speed_distance, motion_retention

speeds = {arm: group["speed"].to_numpy() for arm, group in values.items()}
away_values = of["away"]
motion_rows = []
for place, arm, group in [
    ("home", "LoRA", values),
    ("home", "control", values),
    ("away", "LoRA", away_values),
    ("away", "control", away_values),
]:
    kept = motion_retention(group[arm]["speed"], group["base"]["speed"])
    ratio = np.log((group[arm]["speed"] + 0.002) / (group["base"]["speed"] + 0.002))
    reach = {name: np.exp(end) for name, end in low_high(mean_interval(ratio)).items()}
    motion_rows.append({"place": place, "arm": arm, "n": len(ratio), "motion kept": kept, **reach})
    motion_rows[-1]["log-speed distance to film"] = log_speed_distance(group[arm]["speed"], speeds["real"])
motion_table = pd.DataFrame(motion_rows)
motion_table.style.format(precision=3).hide()

# %% [markdown]
# Claim 11 speaks of *sequences*. Notebook 03 made some, in three arms; the same numbers for them, on the film's own world:

# %%
import json

from cinelib.video import read_video

sequences = stage.upstream("03_motion_stage") / "sequences"
made = [json.loads(line) for line in (sequences / "metadata.jsonl").read_text("utf-8").splitlines()]
made = [row for row in made if row["world"] == "historical"]
sequence_table = pd.DataFrame(
    [
        {
            "arm": row["arm"],
            "scene": row["scene"],
            **measure(*read_video(sequences / row["file_name"])[:1], row["text"]),
        }
        for row in made
    ]
)
columns = ["grade", "lighting", "drift", "stability", "MotionScore"]
print(f"{len(made)} sequences, {len(made) // sequence_table['arm'].nunique()} scenes an arm")
sequence_means = sequence_table.groupby("arm", sort=False)[columns].mean()
sequence_means["n"] = sequence_table.groupby("arm", sort=False).size()
sequence_means.style.format(precision=2)

# %% [markdown]
# ## 6. Does the look stay at home?
#
# First the same paired table as above for the other world. With this few scenes read the intervals and leave p-values alone.

# %%
cross = [
    {"arm": arm, "minus": other, **row_of(name, paired(name, arm, other, "away"))}
    for arm, other in asked
    for name in family + extra
    if known(name, "away")
]
cross = pd.DataFrame(cross).drop(columns=["p", "p (Holm)"])
cross.to_csv(stage.folder / "cross_domain.csv", index=False)
cross.style.format(precision=3, na_rep="").hide().set_caption("the other world, paired by scene")

# %% [markdown]
# With the trigger the colours should move towards the film's, without it they should not.

# %%
leak = []
for arm in ("LoRA", "LoRA, no trigger"):
    result = compare(away_values["base"]["grade"], away_values[arm]["grade"])
    leak.append({"arm": arm, "change of grade distance to the film": result.difference})
    leak[-1] |= {**low_high(result.interval), "n": result.n}
called, uncalled = (-row["change of grade distance to the film"] for row in leak)
leak = pd.DataFrame(leak)
stage.log(f"grade moves {called:.1f} towards the film with the trigger, {uncalled:.1f} without it")
leak.style.format(precision=2).hide()

# %% [markdown]
# If the second number is about as large as the first, the look has **leaked**: the adapter has learned "everything looks like this", and the trigger is a word like any other. All its training clips were the film's, so nothing taught it otherwise. Clips of other films, without the trigger, would.
#
# *Forgetting* is the other side: without the trigger nothing should have changed at all. So compare the very clips, same noise: how far is the adapted model's from the base model's, in colour and in motion, and does it still follow its prompt? What the trigger moves is the scale to judge it by.

# %%
forgotten = []
away_looks = {
    arm: [look(clip) for clip in clips["away"][arm]] for arm in ("base", "LoRA", "LoRA, no trigger")
}
for arm in ("LoRA, no trigger", "LoRA"):
    moved = [grade_distance(a, b) for a, b in zip(away_looks["base"], away_looks[arm], strict=True)]
    kept = motion_retention(away_values[arm]["speed"], away_values["base"]["speed"])
    row = {"arm": arm, "clips differ by (CIELAB)": np.mean(moved), "motion kept": kept, "n": len(moved)}
    row |= low_high(mean_interval(moved))
    if similarity:
        text = compare(away_values["base"]["clip_text"], away_values[arm]["clip_text"])
        row |= {"clip_text changes by": text.difference, "p": text.p}
    forgotten.append(row)
forgotten = pd.DataFrame(forgotten)
forgotten.style.format(precision=3).hide()

# %% [markdown]
# ## 7. What a Frechet distance of a few clips can say
#
# FVD fits a Gaussian to features of real clips and one to features of generated clips, and measures the distance. With fewer clips than feature dimensions the fit is mostly imagination: two parts of the *film* are far apart too. So the distance is printed beside that floor (as many of the film's clips in the model's place, corrected for how many are left to compare them with), with the unbiased kernel
# distance, which is 0 on average for equal sources. Without the published I3D network this is not FVD, and does not carry the name: `FD[nano]` uses `data/nano-viewer`, a small network that learned to name what happens in backlot clips, camera move and action included.
#
# ### Exercise 5.3: Frechet in one dimension (easy, 10 minutes)
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

with check("5.3"):
    x = np.random.default_rng(0).normal(size=30)
    expect_close(frechet_1d(x, x + 2), 4.0, because="a shift by 2 costs 2 squared")
    expect_close(
        frechet_1d(x, 3 * (x - x.mean()) + x.mean()),
        (2 * x.std()) ** 2,
        because="(s - 3s) squared is 4 s squared",
    )
    expect_close(frechet_1d(x, -x), frechet_distance(x[:, None], -x[:, None]), what="the library's answer")


# %% tags=["wrong"]
def frechet_1d(x, y):
    return float((x.mean() - y.mean()) ** 2 + abs(x.var() - y.var()))


# %%
from cinelib.metrics.frechet import feature_distances

frechet_rows, notes = [], {}
for arm in ("base", "LoRA", "control"):
    seen_by[arm] = extractor(clips["home"][arm])
    for result in feature_distances(
        seen_by[arm], seen_by["film"], extractor, seed=params.seed, fps=params.fps
    ).values():
        row = {"arm": arm, "metric": result.name, "value": result.value, "n": result.n}
        row |= {"low": result.interval[0], "high": result.interval[1]} if result.interval else {}
        frechet_rows.append(row | dict(result.extra))
        notes |= {f"{result.name}, {what}": why for what, why in result.notes.items()}
        stage.save_metrics({f"{result.name} {arm}": result.as_metric()})
print("\n".join(f"left out: {what}: {why}" for what, why in notes.items()))
frechet_table = pd.DataFrame(frechet_rows)
frechet_table.style.format(precision=2, na_rep="").hide()

# %%
half = len(film) // 2
sizes = sorted({size for size in (2, 3, 4, 6, 8, 12, 16, half) if size <= half})
rng = np.random.default_rng(params.seed)
bias = [
    np.mean(
        [
            frechet_distance(*np.split(seen_by["film"][rng.permutation(len(film))[: 2 * n]], 2))
            for _ in range(10)
        ]
    )
    for n in sizes
]
figure = show.curves(
    {"film against film": (sizes, bias)},
    xlabel="clips on each side",
    ylabel=frechet_table["metric"].iloc[0],
    title="The same source on both sides: all of this is bias",
)
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
figure = show.curves(bias_curves, xlabel="clips on each side", ylabel="FD", title="Distance between equals")
stage.save_figure(figure, "frechet_bias_400")
figure

# %% [markdown]
# ## 8. Every metric can be fooled
#
# For each metric a clip that it gets wrong. Where a metric does not notice, it must not be quoted alone.

# %%
from cinelib.metrics.perceptual import LPIPS, FeatureDistance, clip_distance

distance = LPIPS(params.alexnet) if params.alexnet else FeatureDistance()
real = film[int(np.argmax(speeds["real"]))]
count, height, width = real.shape[:3]
shift = max(2, width // 28)
drift = np.round(np.arange(count) * shift / 4).astype(int)
fooled = {
    "real clip": real,
    "first frame, repeated": np.repeat(real[:1], count, axis=0),
    "first frame, panned over": np.stack([np.roll(real[0], -d, axis=1) for d in drift]),
    "pixels shuffled": real.reshape(count, -1, 3)[
        :, np.random.default_rng(1).permutation(height * width)
    ].reshape(real.shape),
    "played backwards": real[::-1],
    "moved aside": np.roll(real, shift, axis=2),
    "a little blurred": np.stack([cv2.GaussianBlur(frame, (0, 0), 0.8) for frame in real]),
}
seen = {name: measure(frames, home[0].text) for name, frames in fooled.items()}
display(show.contact_sheet(list(fooled.values()), list(fooled), columns=4, tile=2))

# %%
whole, still = seen["real clip"], seen["first frame, repeated"]
aside, blurred = (distance(fooled[n], real).mean() for n in ("moved aside", "a little blurred"))


def far(net, name: str) -> float:
    """Length of the difference that a network's features see between a fooling clip and the real one."""
    one, other = net([real, fooled[name]])
    return float(np.linalg.norm(one - other))


blind = [
    ("grade", "pixels shuffled", whole["grade"], seen["pixels shuffled"]["grade"]),
    ("lighting", "pixels shuffled", whole["lighting"], seen["pixels shuffled"]["lighting"]),
    ("drift", "first frame, repeated", whole["drift"], still["drift"]),
    ("stability", "played backwards", whole["stability"], seen["played backwards"]["stability"]),
    (
        "MotionScore",
        "first frame, panned over",
        still["MotionScore"],
        seen["first frame, panned over"]["MotionScore"],
    ),
    (distance.name, "moved aside: worse than blur", blurred, aside),
    *(
        (f"{net.name}: how far", name, far(net, "first frame, repeated"), far(net, name))
        for net, name in ((pictures, "played backwards"), (extractor, "a little blurred"))
    ),
]
blind.append(("speed", "first frame, panned over", whole["speed"], seen["first frame, panned over"]["speed"]))
dressed = next((k for k, scene in enumerate(home) if masks.get(scene.name) is not None), None)
if dressed is not None:
    clip = clips["home"]["base"][dressed]
    other_cloth = np.concatenate([clip[:3], clip[3:, :, :, ::-1]])  # red turns blue after the opening frames
    blind.append(("costume", "colours exchanged after frame 3", *(
        measure_costume(frames, home[dressed])["costume"] for frames in (clip, other_cloth)
    )))  # fmt: skip
if similarity:
    blind.append(("clip_temporal", "first frame, repeated", whole["clip_temporal"], still["clip_temporal"]))
    backwards = seen["played backwards"]["clip_text"]
    blind.append(("clip_text", "played backwards", whole["clip_text"], backwards))
pd.DataFrame(blind, columns=["metric", "fooled by", "honest value", "value"]).style.format(precision=3).hide()

# %%
assert still["drift"] == 0 and still["MotionScore"] == 0
assert abs(seen["pixels shuffled"]["grade"] - whole["grade"]) < 1, "grade sees no picture, only colours"
assert seen["first frame, panned over"]["MotionScore"] > 0, "a pan over a photograph counts as motion"

# %% [markdown]
# *grade* and *lighting* cannot see that the pixels were shuffled; *drift* prefers the frozen clip and *clip_temporal* loves it; *MotionScore* takes a pan over a photograph for a moving picture; *clip_text* is a mean over frames, and ImageNet features hardly know which way time runs; the video network does, but was taught to forgive softness: each is blind to what the other sees; a perceptual distance may punish a shift that nobody minds more than a blur. Costume colour knows no pattern, and only the region that it was told. Only together do they mean something.
#
# ## 9. The next second, frame against frame
#
# The storyboard has a still one second after the first one: what really came next. The distance of the generated frame at that instant is what LPIPS is made for (here its stand-in, unless AlexNet's weights are given). The stills are *neutral*, so the film's look counts against the LoRA: read it as "how much of the scene survived". And look at the last line first: an arm that is farther from the truth than its own unmoved first frame has moved, but has not foreseen what came.

# %%
at = round(home[0].interval * params.fps)
if at < params.num_frames:
    truth = [np.asarray(open_still(s.stills[1], params.height, params.width))[None] for s in home]
    for arm in ("base", "LoRA", "control"):
        result, _ = clip_distance(
            [frames[at : at + 1] for frames in clips["home"][arm]], truth, distance, fps=params.fps
        )
        print(f"{arm:8s} {result}")
        stage.save_metrics({f"{result.name} next second {arm}": result.as_metric()})
    still = [np.asarray(open_still(s.stills[0], params.height, params.width))[None] for s in home]
    print(
        f"the first frame itself (nothing moved): {clip_distance(still, truth, distance, fps=params.fps)[0]}"
    )
else:
    print(f"left out: the next still is {at} frames away and clips have {params.num_frames}")

# %% [markdown]
# VBench is the benchmark that most papers quote. Its dimensions come from its own package under its own names, when that is installed; the workbook does not imitate them.

# %%
from cinelib.evaluation import vbench

names = vbench.WITH_STILLS + vbench.WITHOUT_PROMPTS
if lacking := vbench.missing(names):
    print(f"not installed: {lacking}")
else:
    stills = {f"{scene.name}.mp4": scene.stills[0] for scene in [*home, *away]}
    for arm in ("base", "lora", "control"):
        found = vbench.vbench_scores(
            stage.folder / "clips" / arm, names, device=str(pipe.device), stills=stills
        )
        print(arm, *(str(result) for result, _ in found.values()), sep="\n  ")

# %% [markdown]
# ## 10. Verdicts
#
# The rules stand here, before the numbers are filled in. A gain is *sure* when its interval and its corrected p-value agree; it counts only if the control does not have it as well. There are three answers, not two: a claim *holds here* when each of its parts is shown,
# it *does not hold here* when the numbers show the opposite of one part, and when an interval includes both it is *not shown here*: eight scenes that cannot tell are no evidence against.

# %%
from cinelib.statistics import equivalence, verdict

film_lora, placebo = results["LoRA"], results["control"]
NOTICED, OTHER_CLOTH = 2.3, 18  # CIELAB: what an eye just notices; half of the 36 to any other colour


# %%
def sides(interval: tuple[float, float] | None, margin: float = 0.0) -> tuple[bool, bool]:
    """Whether an interval lies below a margin, and whether it lies above; without one, neither."""
    return (interval[1] < margin, interval[0] > margin) if interval else (False, False)


def judge(name: str) -> tuple[bool, bool]:
    """Shown: surely better than base, and better than the control by an interval that leaves out 0.

    Refuted: surely worse than base, or worse than the control by such an interval. Over further trainings,
    where there are any, both intervals must leave out 0 too for a gain to be shown.
    """
    result, (below, above) = film_lora[name], sides(asked["LoRA", "control"][name].interval)
    lower, higher = result.surely_negative, result.surely_positive
    (wins, loses), (ahead, behind) = (
        ((lower, higher), (below, above)) if better[name] < 0 else ((higher, lower), (above, below))
    )
    again = [sides(over_runs[key])[better[name] > 0] for key in over_runs if key[0] == name]
    return wins and ahead and all(again), loses or behind


# %%
# fact: shown, refuted
facts = {name: judge(name) for name in ("grade", "lighting", "stability", "drift")}
drifts = [sides(film_lora[name].interval, NOTICED) for name in ("drift", "light drift")]  # bounds, no tests
facts["look held"] = all(yes for yes, _ in drifts), any(no for _, no in drifts)
facts["costume"] = facts["sequences"] = (False, False)  # unless it was measured
if "costume" in family:
    change = (values["LoRA"]["costume"] - values["base"]["costume"]).dropna()
    facts["costume"] = sides(equivalence(change, OTHER_CLOTH).interval, OTHER_CLOTH)
of_arm = {arm: group.sort_values("scene")["grade"] for arm, group in sequence_table.groupby("arm")}
if len(of_arm["lora"]) > 1:
    facts["sequences"] = sides(compare(of_arm["base"], of_arm["lora"]).interval)
# A model that stops moving is stable, and worthless.
facts["moves"] = sides(tuple(-motion_table.loc[0, ["low", "high"]].astype(float)[::-1]), -0.5)
# That the control merely fails to be sure is no failure: the LoRA must be nearer than it is.
nearer, farther = sides(asked["LoRA", "control"]["grade"].interval)
facts["control"] = nearer and not placebo["grade"].surely_negative, farther
steadier = [facts["stability"], facts["drift"]]  # one of the two will do
facts["steadier"] = any(yes for yes, _ in steadier), all(no for _, no in steadier)

# %%
published = extractor.published and distance.name == "LPIPS" and similarity and similarity.name == "CLIP-SIM"
published = bool(published)


def judged(*parts: str) -> str:
    return verdict([facts[part][0] for part in parts], [facts[part][1] for part in parts])


verdicts = {
    "claim_11": judged("grade", "lighting", "costume", "look held", "sequences"),
    "claim_13": "holds here"
    if published
    else "implemented, not measured here (needs I3D, AlexNet and CLIP weights)",
    "claim_15": judged("grade", "steadier", "moves"),
}
for claim, words in verdicts.items():
    print(f"{claim}: {words}")

# %%
reasons = {
    "grade surely nearer to the film than base, and than the control": facts["grade"],
    "lighting surely nearer to the film than base, and than the control": facts["lighting"],
    "costume's colour surely not another one than base's": facts["costume"],
    "grade and light drift surely not noticeably more than base's within a clip": facts["look held"],
    "sequences of notebook 03 surely nearer to the film's grade than base": facts["sequences"],
    "motion surely smoother and more coherent, or the look surely steadier": facts["steadier"],
    "surely at least half of the base's motion kept": facts["moves"],
    "the control fails on grade: the LoRA is nearer to the film than it is": facts["control"],
}
here = ["yes" if yes else "no, the opposite" if no else "not shown" for yes, no in reasons.values()]
display(pd.DataFrame({"fact": reasons.keys(), "here": here}).style.hide())

# %%
numbers = {
    "claim_11": film_lora["grade"],
    "claim_15": film_lora["stability"],
}
entries = {
    claim: {
        "value": result.difference,
        "interval": result.interval and list(result.interval),
        "n": result.n,
        "p_holm": result.p_holm,
        "verdict": verdicts[claim],
    }
    for claim, result in numbers.items()
}
entries["claim_13"] = {"value": float(published), "n": len(home), "verdict": verdicts["claim_13"]}
for (arm, other), comparisons in asked.items():
    for name, result in comparisons.items():
        entries[f"{name} {arm} minus {other}"] = {
            "value": result.difference,
            "interval": result.interval and list(result.interval),
            "n": result.n,
            "p": result.p,
        }
        if result.p_holm is not None:
            entries[f"{name} {arm} minus {other}"]["p_holm"] = result.p_holm
span = motion_table.loc[0, ["low", "high"]].astype(float)  # NaN: there is none
entries["motion_kept"] = {
    "value": motion_table.loc[0, "motion kept"],
    "interval": span.tolist() if span.notna().all() else None,
    "n": len(home),
}
if not similarity:
    entries["clip_text"] = {"value": None, "reason": reason}
stage.save_metrics(entries)

# %% [markdown]
# ## Questions

# %% [markdown] tags=["quiz"]
# **1.** A model scores 0.99 on `clip_temporal`. Good?
#
# ---
#
# Not by itself: a still scores 1. Without a number for motion beside it, it rewards doing nothing.

# %% [markdown] tags=["quiz"]
# **2.** Why does the negative control get the same trigger phrase and the same recipe?
#
# ---
#
# So that it differs from the LoRA in one thing only: whether looks and captions belonged together. Whatever both gain comes from training at all, not from the film. Steps belong to the recipe too: the
# line of adapters in section 2 tells how many each had. If the control had fewer, set `control_steps` of notebook 02 to `max_train_steps` before you rely on it.

# %% [markdown] tags=["quiz"]
# **3.** As many of the film's own clips, in the model's place, have a Frechet distance of 30 to the film; your model is at 28. Is it perfect?
#
# ---
#
# It is at the floor: with this few clips the metric cannot tell it from the film. That is a statement about the metric's power as much as about the model.

# %% [markdown] tags=["quiz"]
# **4.** With 4 pairs, all in favour, what is the exact two-sided p-value, and what follows?
#
# ---
#
# 2/16 = 0.125. No result of 4 pairs can be significant at 5 %; plan the number of scenes before generating.

# %% [markdown] tags=["quiz"]
# **5.** MotionScore rose by 20 %. Is the new model better?
#
# ---
#
# It moves more. Whether that is better depends on what was asked for and how real clips move: look at retention and at the distance of log-speeds to the film.

# %%
stage.close()

# %% [markdown]
# ## Limitations
#
# - One seed a scene, and one training run unless `style_runs` names more: intervals then cover scenes, not training luck.
# - Unless the published networks are given, the distances are those of stand-ins, and their names say so. They are not comparable with FVD or LPIPS of any paper. The network of `FD[nano]` never saw the film's look in training, only random grades.
# - Flow underestimates above half a short side a second and is a guess where a figure covers and uncovers what is behind it; `too_fast` flags the first, the error table shows the second.
# - Costume is judged by colour in the opening frames, where its place is known, and by words; cut and pattern are not. 720p is not judged at all by the classroom model.
# - A verdict is about this model on these scenes.
#
# **Next:** the research question (rank against motion) and the expert study are notebooks to come; until then, [00 Start here](00_start_here.ipynb) lists all claims.
#
# ## Links
#
# - [Content-debiased FVD, why FVD prefers stills](https://arxiv.org/abs/2404.12391)
# - [JEDi: what small samples do to FVD](https://arxiv.org/abs/2410.05203)
# - [VBench](https://arxiv.org/abs/2311.17982)
# - [LPIPS](https://arxiv.org/abs/1801.03924)
# - [FVMD: motion consistency by velocity and acceleration](https://arxiv.org/abs/2407.16124)
