# %% [markdown]
# # 05 Evaluation
#
# **Is it better than the base model, by how much, and with what certainty?**
#
# Notebook 02 trained a LoRA, and its clips look like the film. Do they, or do we only hope so? Here the same scenes are made with and without it, and measured.
#
# No number comes alone. Beside it stand an *interval* (where the true value may lie), the *number of clips* behind it, and a *negative control*: a LoRA trained with the same recipe on shuffled looks, which must fail. If the control does as well as the film's LoRA, the number measures something else than what was learned.
#
# After this notebook you can
# - compare two models on the same prompts, first frames and seeds, with an exact test,
# - tell a gain from the luck of eight scenes, or of one training,
# - reach a verdict that the numbers wrote, not you.
#
# What each metric sees, and how to fool it, is taken apart in [10 Metrics taken apart](10_metrics_taken_apart.ipynb).
#
# | profile | time | memory | clips |
# |---|---|---|---|
# | smoke | about 40 s | 2 GB | 2 + 2 scenes of 32 × 48 |
# | nano | about 3 min on 2 cores | 2 GB | 8 historical + 4 sci-fi scenes of 64 × 112, 40 clips |
# | a100 | a day on one A100 | 77 GB of GPU memory | 8 + 8 scenes of 720 × 1280 × 81 |
#
# **Inputs:** the film's clips (notebook 01), LoRA and control (02), sequences (03), `data/storyboard`. **Outputs:** `table.csv`, `differences.csv`, `clips/<arm>/*.mp4`, `figures/signature.png`, `metrics.json`.

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
model: str = "data/nano-wan"  # diffusers folder or hub id
storyboard: str = "data/storyboard"  # folder of neutral stills to start from
trigger: str = "emberfall film"  # phrase that opens the adapters' prompts, empty for none
in_domain_scenes: int = 8  # storyboard scenes of the film's own world
cross_domain_scenes: int = 4  # storyboard scenes of the other world
num_inference_steps: int = 12  # sampler steps
guidance_scale: float = 3.0  # classifier-free guidance
flow_shift: float = 3.0  # shift of the flow-matching schedule
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
# ## 1. The clips
#
# Three arms start from the same neutral stills, with the same noise:
#
# - **base**: the model as it came, with a plain prompt, the scene's text. (Notebook 02 has its base say the trigger phrase too, to isolate the adapter. Here the question is what a user gains, who would not say it without one.)
# - **LoRA**: the film's adapter; the prompt opens with the trigger phrase,
# - **control**: the adapter trained on shuffled looks, same prompt as the LoRA.
#
# On the *other world* (sci-fi) the LoRA runs twice, with the trigger and without. Asked for, the look should travel; not asked for, it should stay at home.

# %%
from pathlib import Path

import pandas as pd

from cinelib.style import lora
from cinelib.style.adapter_card import check_trainings
from cinelib.wan import pipeline

style_stage = stage.upstream("02_style_stage")
trainings = {"run 1": style_stage}
trainings |= {f"run {k}": Path(folder) for k, folder in enumerate(params.style_runs, 2)}
check_trainings(list(trainings.values()))
pipe = pipeline.load_pipeline(params.model, flow_shift=params.flow_shift)
memory = stage.root / "papermill_runs" / "locks" / "hashes.json"  # where the run keeps what it has hashed
cards = {name: lora.load(pipe, style_stage / name, name, memory) for name in ("lora", "control")}
shown = ("rank", "alpha", "targets", "steps", "trigger")
pd.DataFrame({name: {field: getattr(card, field) for field in shown} for name, card in cards.items()}).T

# %%
from cinelib.preparation.storyboard import open_still, read_storyboard

scenes = read_storyboard(params.storyboard)
home = [scene for scene in scenes if scene.world == "historical"][: params.in_domain_scenes]
away = [scene for scene in scenes if scene.world == "sci-fi"][: params.cross_domain_scenes]
if min(len(home), len(away)) < 2:
    raise ValueError(f"the storyboard has {len(home)} historical and {len(away)} sci-fi scenes; 2 are needed")
print(f"{len(home)} scenes at home, {len(away)} away")

# %%
import numpy as np

from cinelib.wan.sampling import Sampling, each, generate

size = (params.height, params.width, params.num_frames)
sampling = Sampling(*size, params.num_inference_steps, params.guidance_scale, params.seed)


def sample(pipe, scene, words: str) -> np.ndarray:
    """One clip (T, H, W, 3) uint8; the noise depends on seed and scene only, so that arms are paired."""
    still = open_still(scene.stills[0], params.height, params.width)
    return generate(pipe, still, words + scene.text, sampling, (scene.name,))


# %%
from functools import partial

from cinelib.video import write_video


def film_arm(arm: str, adapter: str, words: str, there: list) -> list[np.ndarray]:
    """The clips of one arm, one a scene; also written to `clips/<arm>/`."""
    pipe.enable_lora() if adapter else pipe.disable_lora()
    if adapter:
        pipe.set_adapters(adapter)
    found = each(pipe, partial(sample, words=words), there, sampling)
    slug = arm.lower().replace(", ", "_").replace(" ", "_")
    for scene, frames in zip(there, found, strict=True):
        write_video(stage.folder / "clips" / slug / f"{scene.name}.mp4", frames, params.fps)
    return found


# %%
import time

phrase = f"{params.trigger}, " if params.trigger else ""
arms = {"base": ("", ""), "LoRA": ("lora", phrase), "control": ("control", phrase)}
unasked = {"LoRA, no trigger": ("lora", "")}
started = time.perf_counter()
clips = {
    place: {arm: film_arm(arm, *how, there) for arm, how in (arms | unasked).items()}
    for place, there in (("home", home), ("away", away))
}
stage.log(f"{4 * (len(home) + len(away))} clips in {time.perf_counter() - started:.0f} s")

# %%
from cinelib import show

picked = {f"{place}\n{arm}": found[0] for place, made in clips.items() for arm, found in made.items()}
figure = show.before_after(list(picked.values()), list(picked), n=5, title="Same first frames, same noise")
stage.save_figure(figure, "arms")
figure

# %%
show.play({arm: found[0] for arm, found in clips["home"].items()}, fps=params.fps, width=220)

# %% [markdown]
# Any other model can join. Set `baseline` to a diffusers folder or hub id (`ali-vilab/text-to-video-ms-1.7b`, VideoCrafter2's conversion `adamdad/videocrafterv2_diffusers`, `Wan-AI/Wan2.1-T2V-1.3B-Diffusers`, a Wan2.2). A model that takes text alone gets the same prompts and seeds but no first frame. That is part of the difference.

# %%
from cinelib.evaluation import baselines


def from_other_model(rival) -> list[np.ndarray]:
    """Its clips of the scenes at home."""
    opening = partial(open_still, height=params.height, width=params.width)
    firsts = [opening(scene.stills[0]) if rival.takes_image else None for scene in home]
    return [
        rival.sample(scene.text, sampling, (scene.name,), first)
        for scene, first in zip(home, firsts, strict=True)
    ]


try:
    if params.baseline:
        clips["home"]["other model"] = from_other_model(baselines.load(params.baseline))
    print("the other model joins" if params.baseline else "no other model asked for")
except baselines.BaselineError as error:
    print(f"left out: {error}")

# %% [markdown]
# The film itself is the yardstick: the clips that notebook 01 prepared. Cut to the length of ours, they also serve as a fourth arm, *real*.

# %%
from IPython.display import display

from cinelib.preparation.dataset import VideoFolder

dataset = VideoFolder.open(stage.upstream("01_data_preparation") / "dataset")
film = [clip.frames()[: params.num_frames] for clip in dataset]
if len(film) < 4:
    raise ValueError(f"the film has {len(film)} clips; intervals of a feature distance need 4")
print(f"{len(film)} clips of the film, {film[0].shape}")
display(show.contact_sheet(film[:12], columns=6, tile=1.3, title="The film"))

# %% [markdown]
# ## 2. What is measured
#
# | number | question | better |
# |---|---|---|
# | grade | how far are the colours from the film's? a distance between two heaps of pixels (sliced Wasserstein), in CIELAB units | lower |
# | lighting | the same for lightness alone, in L* units; beside it by how many stops the key light and by how much the local contrast differ | lower |
# | drift, light drift | how far do grade and lighting travel within the clip? | lower |
# | flicker, light flicker | how far does a frame fall out of its neighbours' look? | lower |
# | costume | how far is the costume's colour from the still's, the light on it discounted? CIELAB units; needs to know where the costume is, which the backlot tells for the opening frames | lower |
# | costume words, held | does the picture fit the costume's words better than another colour's, and the last frame as well as the first? | higher |
# | stability | is the motion smooth and coherent? $100\,S\,C$ | higher |
# | MotionScore, speed | how much moves? | neither: compare |
# | `clip_text` | does the picture fit the words? | higher |
#
# Of a CIELAB distance 2.3 is about what an eye just notices. $S$ and $C$ are two factors of MotionScore, which notebook 10 takes apart.
#
# An invariant before any of them is used: a set of clips is at distance 0 from itself, and their order does not matter.

# %%
from cinelib.metrics.extractors import I3D, FrameFeatures
from cinelib.metrics.frechet import frechet_distance
from cinelib.metrics.video_features import VideoFeatures

if params.i3d:
    extractor = I3D(params.i3d, params.i3d_sha256)
else:
    extractor = VideoFeatures(params.features) if params.features else FrameFeatures()
seen_by = {"film": extractor(film)}
assert frechet_distance(seen_by["film"], seen_by["film"][::-1]) < 1e-6 * np.square(seen_by["film"]).sum()
print(f"{extractor.name}: {extractor.preprocessing}; SHA-256 {extractor.weights_sha256[:12]}")

# %%
from cinelib.metrics.style import (
    grade_distance,
    light_drift,
    light_flicker,
    lighting_distance,
    look,
    look_drift,
    look_flicker,
)


def look_of(some: list[np.ndarray]):
    """The look of several clips together, by about eight frames of each."""
    return look(np.concatenate([clip[:: max(1, len(clip) // 8)] for clip in some]))


film_look = look_of(film)
assert grade_distance(film_look, film_look) == 0

# %%
from cinelib.metrics.clip_sim import ClipSimilarity

try:
    similarity = ClipSimilarity(params.clip_model) if params.clip_model else None
    reason = "" if similarity else "clip_model is empty"
except FileNotFoundError as error:
    similarity, reason = None, str(error)
print(f"{similarity.name}: {similarity.preprocessing}" if similarity else f"CLIP-SIM left out: {reason}")


# %%
def style_of(frames: np.ndarray, aim) -> dict[str, float]:
    """How far a clip's grade and light are from those of a look, and whether they hold."""
    seen = look(frames)
    light = lighting_distance(seen, aim)
    return {
        "grade": grade_distance(seen, aim),
        "lighting": light.luma,
        "key ratio differs": light.key_ratio,
        "local contrast differs": light.local_contrast,
        "drift": look_drift(frames),
        "light drift": light_drift(frames),
        "flicker": look_flicker(frames),
        "light flicker": light_flicker(frames),
    }


# %%
from cinelib.metrics.motion import motion_score


def motion_of(frames: np.ndarray) -> dict[str, float]:
    """How much moves, how smoothly, how coherently."""
    motion = motion_score(frames, params.fps)
    return {
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


def measure(frames: np.ndarray, text: str, aim=film_look) -> dict[str, float]:
    """Every number of one clip (T, H, W, 3) that needs its prompt alone."""
    found = style_of(frames, aim) | motion_of(frames)
    if similarity:
        found["clip_text"], found["clip_temporal"] = similarity.text_and_temporal(frames, text)
    return found


# %%
from backlot import render
from backlot.storyboard import scenes as drawn_scenes

masks = {}
for scene in home + away:  # only the backlot's own storyboard knows where its costumes are
    if panel := drawn_scenes().get(scene.name):
        shot = render(panel, 3, params.height, params.width, fps=params.fps)
        masks[scene.name] = shot.costume_mask if shot.costume_mask[0].any() else None

# %%
import re

from backlot.palette import COLOURS

from cinelib.metrics.costume import costume_distance


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
        found |= {"costume words": float(margins.mean())}
        found |= {"costume words held": float(margins[-1] - margins[0])}
    return found


# %%
records = []
for place, there in (("home", home), ("away", away)):
    for arm, found in clips[place].items():
        for scene, frames in zip(there, found, strict=True):
            row = {"place": place, "arm": arm, "scene": scene.name}
            records.append(row | measure(frames, scene.text) | measure_costume(frames, scene))

# %% [markdown]
# What would a perfect model score? Not 0: one clip of the film differs from the rest of it. So every clip of the film is measured against all others, as the arm *real*. All of them: the first few may come from one place and one hour, and be nearer to each other than the film is to itself.

# %%
for k, frames in enumerate(film):
    rest = look_of([clip for j, clip in enumerate(film) if j != k])
    row = measure(frames, home[0].text, rest)
    row.pop("clip_text", None)  # the film's captions are other prompts: not comparable
    records.append({"place": "home", "arm": "real", "scene": f"film {k}", **row})
table = pd.DataFrame(records)
table.to_csv(stage.folder / "table.csv", index=False)
table.groupby(["place", "arm"], sort=False).mean(numeric_only=True).round(3)

# %% [markdown]
# `clip_temporal`, when it is there, never stands alone: a still scores a perfect 1. Look at *speed* in the same row.
#
# ## 3. How sure?
#
# Means over a handful of clips move about. Two things make them useful.
#
# - **Pairing.** Every arm drew the same scenes. So we compare scene by scene, and how difficult a scene is cancels.
# - **Exact tests.** If the adapter did nothing, each scene's difference could as well have had the other sign. Of all $2^n$ patterns of signs, count those whose mean is as large. That share is the *p-value*: small when luck alone hardly ever does it.
#
# With 8 scenes the smallest possible p is 2/256. With 4 it is 2/16, which can never be called significant at 5 %.
#
# The *interval* of a mean belongs to that test: it holds the means that the test would not reject, and a little more where the values are skewed. What it leaves out, the test rejects. Fewer than 7 values get none: they could not keep its promise of 95 %.
#
# ### Exercise 5.1: an exact test in three lines (medium, 15 minutes)
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

with check("5.1"):
    found = exact_p([1.0, 2.0, 3.0])
    expect_close(found, 2 / 8, because="all plus and all minus are equally extreme: two-sided")
    expect_close(exact_p([1.0, -1.0]), 1.0, because="a sum of 0 is the least extreme of all")
    some = [0.3, -0.1, 0.4, 0.2, 0.5]
    expect_close(exact_p(some), sign_flip_test(some), because="ties count as extreme")


# %% tags=["wrong"]
from itertools import product

import numpy as np


def exact_p(differences):
    observed = sum(differences)
    sums = [np.dot(signs, differences) for signs in product((1, -1), repeat=len(differences))]
    return float(np.mean([value >= observed for value in sums]))


# %% [markdown]
# Who asks twenty questions gets one "significant" answer by luck. Holm's correction pays for the number of questions. Six times 2/256 is still under 5 %, seven times is not. So six questions about *gains* were chosen before looking. Two more ask what they *cost*; they are a family of their own, so that nobody hides a loss by asking for many gains. What else is measured is *explored*, and no p-value of it is called sure.
#
# ### Exercise 5.2: pay for asking often (medium, 15 minutes)
# Holm's rule: sort the p-values. The smallest of $n$ is multiplied by $n$, the next by $n-1$, and so on. None may come out smaller than the one before it, and none above 1. Return them in the order given.


# %% tags=["exercise"]
def holm_by_hand(p_values: list[float]) -> list[float]:
    """Corrected p-values, in the order of `p_values`."""
    # BEGIN SOLUTION
    corrected, least = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, index in enumerate(order):
        least = max(least, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = least
    return corrected
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Sort the *positions*, not the values, and carry the largest corrected value so far along.

# %% tags=["check"]
from cinelib.exercises import check, expect_close
from cinelib.statistics import holm

with check("5.2"):
    found = holm_by_hand([0.04, 0.01])
    expect_close(found, [0.04, 0.02], because="the smallest is multiplied by 2, and stays where it was")
    found = holm_by_hand([0.02, 0.021, 0.9])
    expect_close(found, [0.06, 0.06, 0.9], because="0.021 x 2 is 0.042: not below the one before it")
    found = holm_by_hand([0.7, 0.8])
    expect_close(found, [1.0, 1.0], because="a probability is at most 1")
    some = [0.3, 0.004, 0.02, 0.02, 0.5]
    expect_close(holm_by_hand(some), holm(some), what="the library's answer")


# %% tags=["wrong"]
def holm_by_hand(p_values):
    return [min(1.0, p * len(p_values)) for p in p_values]


# %%
gains = {"grade": -1, "lighting": -1, "costume": -1, "drift": -1, "flicker": -1, "stability": 1}
costs = {"clip_text": 1, "speed": 0}
words = {"costume words": 1, "costume words held": 1}
explored = {"light drift": -1, "light flicker": -1, **words, "MotionScore": 0}
better = gains | costs | explored
of = {
    place: {arm: g.reset_index(drop=True) for arm, g in part.groupby("arm", sort=False)}
    for place, part in table.groupby("place", sort=False)
}
values = of["home"]


def known(name: str, place: str = "home") -> bool:
    return name in table and of[place]["base"][name].notna().sum() > 1


family, paid, extra = (list(filter(known, names)) for names in (gains, costs, explored))
lacking = sorted({*better} - {*family, *paid, *extra})
print(f"nothing to measure it by: {lacking or 'none'}")

# %%
from cinelib.statistics import compare, corrected, smallest_p


def paired(name: str, arm: str, other: str = "base", place: str = "home"):
    """Arm minus other, over the scenes where both have the number."""
    one, two = of[place][other][name], of[place][arm][name]
    both = one.notna() & two.notna()
    return compare(one[both], two[both])


def against(other: str, arm: str):
    """Paired comparisons of two arms at home, Holm over the gains and over the costs."""
    found = {name: paired(name, arm, other) for name in family + paid + extra}
    apart = (corrected({name: found[name] for name in names}) for names in (family, paid) if names)
    return found | {name: result for part in apart for name, result in part.items()}


asked = {(arm, "base"): against("base", arm) for arm in ("LoRA", "control")}
asked["LoRA", "control"] = against("control", "LoRA")
print(f"n = {len(home)} pairs; the smallest p that {len(home)} pairs can give is {smallest_p(len(home)):.4f}")
print(f"times {len(family)} metrics (Holm): {min(1, len(family) * smallest_p(len(home))):.3f}")


# %%
def low_high(interval: tuple[float, float] | None) -> dict[str, float]:
    """Two columns; empty where the values are too few, or nearly all equal, and carry no interval."""
    return dict(zip(("low", "high"), interval or (np.nan, np.nan), strict=True))


def row_of(name: str, result) -> dict[str, object]:
    """One line of a table of differences."""
    row = {"metric": name, "better": {-1: "lower", 1: "higher", 0: "neither"}[better[name]]}
    row |= {"difference": result.difference, **low_high(result.interval), "n": result.n}
    return row | {"p": result.p, "p (Holm)": result.p_holm}


# %%
lines = []
for (arm, other), comparisons in asked.items():
    for name, result in comparisons.items():
        sure = "higher" if result.surely_positive else "lower" if result.surely_negative else ""
        sure = "explored" if name in extra else sure
        lines.append({"arm": arm, "minus": other, **row_of(name, result), "sure": sure})
differences = pd.DataFrame(lines)
differences.to_csv(stage.folder / "differences.csv", index=False)
show.table(differences).format(precision=3, na_rep="").hide().set_caption("paired by scene")

# %% [markdown]
# Read the last block first: LoRA minus *control*. What the two have in common came from training at all; only what is left was learned from this film.

# %%
from cinelib.statistics import mean_interval

DIRECTION = {-1: "lower is better", 1: "higher is better", 0: "compare"}


def panel(name: str) -> list[tuple[str, float, float, float]]:
    """Mean and interval of each arm that has this number, for a small multiple."""
    known_arms = [arm for arm in (*arms, "other model", "real") if arm in values]
    found = {arm: values[arm][name].dropna() for arm in known_arms if values[arm][name].notna().sum() > 1}
    return [(arm, v.mean(), *(mean_interval(v) or (np.nan, np.nan))) for arm, v in found.items()]


panels = {}
for name in family + paid + extra:
    count = values["base"][name].notna().sum()
    panels[f"{name} ({DIRECTION[better[name]]}), n {count}"] = panel(name)
title = f"Mean over n scenes (real: over {len(film)} clips of the film) and 95 % interval"
figure = show.intervals(panels, title=title, columns=3)
stage.save_figure(figure, "signature")
figure

# %% [markdown]
# *real* is the floor: the film's own clips against the rest of the film. No model should be expected below it. *control* shows how much of a gain any adapter would have brought.
#
# ### What could eight scenes have shown at all?
#
# The spread of the paired differences tells how large a true difference must be to be found in 8 of 10 such studies. *Found* means what it means in the verdicts below: the interval leaves out 0, and p times six is below 5 %. So such studies are simulated and judged by that very rule. (A power formula for the t-test promises more: what it calls 8 of 10 is 7 here.) The last column tells how many scenes half of the difference that was seen would need.

# %%
from cinelib.statistics import detectable_difference, pairs_needed


def power_of(name: str) -> dict[str, object]:
    """What a study of this size could find in this metric, and what half of the effect would need."""
    result = asked["LoRA", "base"][name]
    spread = float((values["LoRA"][name] - values["base"][name]).std())
    row = {"metric": name, "seen": result.difference, "n": result.n}
    if spread > 0:
        row["could be found"] = detectable_difference(spread, result.n, family=len(family))
    if abs(result.difference) > 0.05 * spread > 0:
        needed = pairs_needed(result.difference / 2, spread, family=len(family), most=10**6)
        row["scenes for half of it"] = needed
    return row


show.table(pd.DataFrame([power_of(name) for name in family])).format(precision=2, na_rep="").hide()

# %% [markdown]
# ### Other scenes, or another training?
#
# All intervals so far answer one question: what if the *scenes* had been others? The adapter was the same one each time. Train it again with another seed and the numbers move once more. Who claims something of the *recipe* has to ask that as well, and then the training run, not the clip, is what there is only one of.
#
# Make further runs (only training is repeated, encoded clips are reused):
#
# `cinelib run 02 -p 02_style_stage.seed=1 --name seed-1`
#
# Then name their folders (they stand in `papermill_runs/seed-1/run.yaml`) in this notebook's `style_runs`. Each further training makes the same scenes from the same noise.


# %%
def sample_again(run: str, arm: str, adapter: str) -> list[dict]:
    """The scenes at home by another training's adapter, measured."""
    lora.load(pipe, trainings[run] / adapter, "again", memory)
    pipe.set_adapters("again")
    made = each(pipe, partial(sample, words=phrase), home, sampling)
    pipe.delete_adapters("again")
    return [
        {"run": run, "arm": arm, "scene": s.name} | measure(f, s.text) | measure_costume(f, s)
        for f, s in zip(made, home, strict=True)
    ]


# %%
pipe.enable_lora()
further = [(run, arm) for run in list(trainings)[1:] for arm in ("LoRA", "control")]
again = [row for run, arm in further for row in sample_again(run, arm, arms[arm][0])]
runs_table = pd.concat([table[table["place"] == "home"].assign(run="run 1"), pd.DataFrame(again)])


def by_run(name: str, other: str) -> pd.DataFrame:
    """LoRA minus `other`, a row a training and a column a scene; the base has no training."""
    one, two = (
        runs_table[runs_table["arm"] == arm].pivot(index="run", columns="scene", values=name)
        for arm in ("LoRA", other)
    )
    return (one - (two.loc["run 1"] if other == "base" else two)).dropna(axis=1)


# %%
from cinelib.statistics import mixed_model, two_way_bootstrap


def over_trainings(name: str, other: str) -> dict[str, object]:
    """One difference, over scenes and trainings both: by a bootstrap and by a mixed model."""
    found = by_run(name, other)
    long = found.melt(ignore_index=False, value_name="difference").reset_index()
    model = mixed_model(long, "difference ~ 1", ["run", "scene"])
    row = {"LoRA minus": other, "metric": name, "difference": found.to_numpy().mean()}
    row |= low_high(over_runs[name, other]) | {"runs": len(found), "scenes": found.shape[1]}
    row |= dict(zip(("model low", "model high", "p"), model.effects["Intercept"][1:], strict=True))
    return row | {f"spread between {k}s": model.deviations[k] for k in ("run", "scene")}


# %%
wanted = [(name, other) for other in ("base", "control") for name in family] if again else []
over_runs = {(name, other): two_way_bootstrap(by_run(name, other).to_numpy()) for name, other in wanted}
trainings_table = pd.DataFrame([over_trainings(name, other) for name, other in wanted])
if again:
    trainings_table.to_csv(stage.folder / "over_trainings.csv", index=False)
    display(show.table(trainings_table).format(precision=3, na_rep="").hide())
else:
    print("one training: nothing here tells how much of a difference is this training's luck")

# %% [markdown]
# *low* and *high* come from drawing scenes and trainings anew, both (a two-way bootstrap). *model* is a mixed model's answer to the same question. It uses Student's t with as many degrees of freedom as the trainings allow, two for three trainings, so it is the more cautious one. The last two columns say what differs more, trainings or scenes.
#
# Where there are further trainings, a gain enters the verdicts below only if it holds over them as well. Somebody has done it for you with three: seeds 0, 1 and 2, nano profile, 2 cores.

# %%
recorded = Path("papermill_runs/reference/three_trainings.csv")
if not again and recorded.is_file():
    three = pd.read_csv(recorded)
    display(
        show.table(three).format(precision=1, subset=three.columns[2:]).format(precision=3, subset="p").hide()
    )

# %% [markdown]
# Look at *grade*. The LoRA is nearer to the film than the base model and than the control, by about the same in each training. What differs is the scene. The two last methods disagree on whether that is sure: the mixed model has only three trainings to learn from, and says so.
#
# ## 4. Motion, compared and not maximised
#
# More motion is not better by itself. Two questions count. Did the adapter *keep* the motion that the base model had (1 is all of it)? And are the speeds spread like the film's?

# %%
from cinelib.metrics.motion import log_speed_distance, motion_retention


def motion_kept(place: str, arm: str) -> dict[str, object]:
    """The share of the base model's motion that an arm kept, with its interval."""
    speed, base = of[place][arm]["speed"], of[place]["base"]["speed"]
    ratio = np.log((speed + 0.002) / (base + 0.002))
    row = {"place": place, "arm": arm, "n": len(ratio), "motion kept": motion_retention(speed, base)}
    row |= {name: np.exp(end) for name, end in low_high(mean_interval(ratio)).items()}
    return row | {"log-speed distance to film": log_speed_distance(speed, values["real"]["speed"])}


places = [(place, arm) for place in ("home", "away") for arm in ("LoRA", "control")]
motion_table = pd.DataFrame([motion_kept(*where) for where in places])
show.table(motion_table).format(precision=3, na_rep="").hide()

# %% [markdown]
# Claim 11 speaks of *sequences*. Notebook 03 made some, in three arms. Here are the same numbers for them, on the film's own world:

# %%
import json

from cinelib.video import read_video

sequences = stage.upstream("03_motion_stage") / "sequences"
made = [json.loads(line) for line in (sequences / "metadata.jsonl").read_text("utf-8").splitlines()]
made = [row for row in made if row["world"] == "historical"]
sequence_rows = []
for row in made:
    frames, _ = read_video(sequences / row["file_name"])
    sequence_rows.append({"arm": row["arm"], "scene": row["scene"], **measure(frames, row["text"])})
sequence_table = pd.DataFrame(sequence_rows)
by_arm = sequence_table.groupby("arm", sort=False)
sequence_means = by_arm[["grade", "lighting", "drift", "stability", "MotionScore"]].mean()
show.table(sequence_means.assign(n=by_arm.size())).format(precision=2)

# %% [markdown]
# ## 5. Does the look stay at home?
#
# First the same paired table as above for the other world. Nothing here is called sure: with fewer than 7 scenes there is not even an interval.

# %%
cross = [
    {"arm": arm, "minus": other, **row_of(name, paired(name, arm, other, "away"))}
    for arm, other in asked
    for name in family + paid + extra
    if known(name, "away")
]
cross = pd.DataFrame(cross).drop(columns=["p", "p (Holm)"])
cross.to_csv(stage.folder / "cross_domain.csv", index=False)
show.table(cross).format(precision=3, na_rep="").hide().set_caption("the other world, paired by scene")

# %% [markdown]
# With the trigger the colours should move towards the film's, without it they should not.

# %%
leak = []
for place in ("home", "away"):
    for arm in ("LoRA", *unasked):
        result = compare(of[place]["base"]["grade"], of[place][arm]["grade"])
        row = {"place": place, "arm": arm, "change of grade distance to the film": result.difference}
        leak.append(row | low_high(result.interval) | {"n": result.n})
leak = pd.DataFrame(leak)
for place, rows in leak.groupby("place", sort=False):
    called, uncalled = -rows["change of grade distance to the film"]
    stage.log(f"{place}: {called:.1f} towards the film with the trigger, {uncalled:.1f} without it")
    unit = {"unit": "CIELAB", "n": int(rows["n"].iloc[0])}
    stage.save_metrics(
        {f"leak_{place}": {"value": uncalled, **unit}, f"asked_{place}": {"value": called, **unit}}
    )
show.table(leak).format(precision=2, na_rep="").hide()

# %% [markdown]
# If the second number of a place is about as large as the first, the look has **leaked**: the adapter has learned "everything looks like this", and the trigger is a word like any other. A third of the samples in notebook 02 work against that (`preservation_share`): they have no trigger and keep the look of their first frame. More of them leak less, and bring less of the look when it is asked for.
#
# **Forgetting** is the other side: without the trigger nothing should have changed at all. So compare the very clips, made from the same noise. How far is the adapted model's from the base model's, in colour and in motion, and does it still follow its prompt? What the trigger moves is the scale to judge it by.


# %%
def forgotten(arm: str) -> dict[str, object]:
    """How far an arm's clips of the other world are from the base model's."""
    now, before = of["away"][arm], of["away"]["base"]
    pairs = zip(clips["away"]["base"], clips["away"][arm], strict=True)
    moved = [grade_distance(look(one), look(other)) for one, other in pairs]
    row = {"arm": arm, "clips differ by (CIELAB)": np.mean(moved), **low_high(mean_interval(moved))}
    row |= {"motion kept": motion_retention(now["speed"], before["speed"]), "n": len(moved)}
    if similarity:
        text = compare(before["clip_text"], now["clip_text"])
        row["clip_text changes by"] = text.difference
    return row


show.table(pd.DataFrame(map(forgotten, ("LoRA, no trigger", "LoRA")))).format(precision=3, na_rep="").hide()

# %% [markdown]
# ## 6. The clips as a set, and the next second
#
# A *Frechet distance* asks how far the arm's clips, as a set, are from the film's. With few clips most of it is bias (notebook 10 shows how much). So it stands beside its *floor*: what as many of the film's own clips get in the model's place. The *kernel distance* below it is 0 on average for equal sources.
#
# Without the published I3D network this is not FVD, and does not carry the name.

# %%
from cinelib.metrics.frechet import feature_distances


def set_distances(arm: str) -> dict:
    """Frechet and kernel distance of an arm's clips at home to the film's."""
    seen_by[arm] = extractor(clips["home"][arm])
    return feature_distances(seen_by[arm], seen_by["film"], extractor, seed=params.seed, fps=params.fps)


distances = {arm: set_distances(arm) for arm in arms}
for arm, found in distances.items():
    stage.save_metrics({f"{name} {arm}": result.as_metric() for name, result in found.items()})

# %%
frechet_rows, notes = [], {}
for arm, found in distances.items():
    for name, result in found.items():
        row = {"arm": arm, "metric": name, "value": result.value, "n": result.n}
        frechet_rows.append(row | low_high(result.interval) | dict(result.extra))
        notes |= {f"{name}, {what}": why for what, why in result.notes.items()}
print("\n".join(f"left out: {what}: {why}" for what, why in notes.items()))
show.table(pd.DataFrame(frechet_rows)).format(precision=2, na_rep="").hide()

# %% [markdown]
# The storyboard has a still one second after the first one: what really came next. The distance of the generated frame at that instant is what LPIPS is made for (here its stand-in, unless AlexNet's weights are given). The stills are *neutral*, so the film's look counts against the LoRA: read it as "how much of the scene survived".
#
# Look at the last line first. An arm that is farther from the truth than its own unmoved first frame has moved, but has not foreseen what came.

# %%
from cinelib.metrics.perceptual import LPIPS, FeatureDistance, clip_distance

distance = LPIPS(params.alexnet) if params.alexnet else FeatureDistance()
at = round(home[0].interval * params.fps)


def stills(number: int) -> list[np.ndarray]:
    """A still of each scene at home, as a clip of one frame: 0 the first, 1 what came a second later."""
    return [np.asarray(open_still(s.stills[number], params.height, params.width))[None] for s in home]


def from_truth(frames: list[np.ndarray]):
    """Distance of one frame a scene from the still that came next, over the scenes."""
    return clip_distance(frames, stills(1), distance, fps=params.fps)[0]


if at < params.num_frames:
    for arm in arms:
        result = from_truth([frames[at : at + 1] for frames in clips["home"][arm]])
        stage.log(f"{arm}: {result}")
        stage.save_metrics({f"{result.name} next second {arm}": result.as_metric()})
    print(f"the first frame itself (nothing moved): {from_truth(stills(0))}")
else:
    print(f"left out: the next still is {at} frames away and clips have {params.num_frames}")

# %% [markdown]
# VBench is the benchmark that most papers quote. Its dimensions come from its own package under its own names, when that is installed; the workbook does not imitate them.

# %%
from cinelib.evaluation import vbench

names = vbench.WITH_STILLS + vbench.WITHOUT_PROMPTS
first_stills = {f"{scene.name}.mp4": scene.stills[0] for scene in [*home, *away]}
if lacking := vbench.missing(names):
    print(f"not installed: {lacking}")
else:
    for arm in ("base", "lora", "control"):
        folder = stage.folder / "clips" / arm
        found = vbench.vbench_scores(folder, names, device=str(pipe.device), stills=first_stills)
        print(arm, *(str(result) for result, _ in found.values()), sep="\n  ")

# %% [markdown]
# ## 7. Verdicts
#
# The rules stand here, before the numbers are filled in.
#
# **What is sure.** A part of a claim is surely so when its 95 % interval *and* its p-value, corrected for all six questions, say so. Both come from `cinelib.statistics`, the same for every claim in this course. Fewer than 7 scenes decide nothing.
#
# **Three answers, not two.** A part is *shown* when it is surely so, and *refuted* when the opposite surely is. Else it is *not shown*: eight scenes that cannot tell are no evidence against. A claim that says "this and that" **holds here** when all its parts are shown. It **does not hold here** as soon as one is refuted. Else it is **not shown here**.
#
# **Claim 11**, the look is carried into coherent sequences, says five things:
# - grade and lighting come nearer to the film than base. The control must not do as well, and the sequences of notebook 03 must be nearer too;
# - the costume is not another one: its colour stays within half of the way to any other colour;
# - drift and flicker grow by less than an eye notices (2.3).
#
# Notebook 03 makes two sequences of this world unless it is asked for more. With two, claim 11 can fail here and cannot hold: set its `max_scenes` to 14.
#
# **Claim 15**, gains in fidelity and temporal stability over base, says four:
# - grade comes nearer to the film, nearer than the control does;
# - the clips are *steadier*: less drift, less flicker, and smoother motion with half of the base's motion kept. Whoever claims "steadier" claims all three. One that is surely worse refutes it.
#
# What "must" be so besides (the control, the sequences, the motion that is kept) can withhold a part, and never refutes it.
#
# Two processors do not make the same clips to the last bit. So differences are rounded first, to what they agree on: 0.01 CIELAB, and 0.1 of stability.
#
# ### Exercise 5.3: three answers (easy, 5 minutes)
# A difference has an interval, and lower is better. Say "better" when all of the interval is below 0, "worse" when all of it is above, and "cannot tell" otherwise. `None` is an interval that could not be drawn.


# %% tags=["exercise"]
def answer(interval: tuple[float, float] | None) -> str:
    """What an interval of a difference says, where lower is better."""
    # BEGIN SOLUTION
    if interval is None:
        return "cannot tell"
    low, high = interval
    return "better" if high < 0 else "worse" if low > 0 else "cannot tell"
    # END SOLUTION


# %% [markdown] tags=["hint"]
# "better" needs the *upper* end below 0. Both ends on either side of 0, or no interval at all, leave it open.

# %% tags=["check"]
from cinelib.exercises import check, expect_equal

with check("5.3"):
    expect_equal(answer((-9.0, -2.0)), "better", because="all of the interval is below 0")
    expect_equal(answer((0.5, 3.0)), "worse", because="all of the interval is above 0")
    expect_equal(answer((-9.0, 0.2)), "cannot tell", because="it includes 0, and 0 is no difference")
    expect_equal(answer((-0.2, 9.0)), "cannot tell", because="not shown is not the same as refuted")
    expect_equal(answer(None), "cannot tell", because="without an interval nothing is sure")


# %% tags=["wrong"]
def answer(interval):
    return "better" if interval and sum(interval) < 0 else "worse"


# %%
from cinelib.statistics import Answer, Part, all_of, ask

NOTICED, OTHER_CLOTH = 2.3, 18  # CIELAB: what an eye just notices; half of the 36 to any other colour
HALF = float(np.log(0.5))


def questions(table: pd.DataFrame, sequences: pd.DataFrame) -> dict[str, Part]:
    """What claims 11 and 15 say of the clips at home, one part each; what was not measured is not asked.

    Args:
        table: a row a clip with `place`, `arm`, `scene` and its numbers; `sequences` the same for notebook 03.
    """
    made = table[(table["place"] == "home") & (table["arm"] != "real")]
    arms, carried = made.pivot(index="scene", columns="arm"), sequences.pivot(index="scene", columns="arm")

    def change(name: str, other: str = "base") -> pd.Series:
        return (arms[name, "LoRA"] - arms[name, other]).dropna() if name in table else pd.Series(dtype=float)

    speed = np.log(arms["speed"] + 0.002)
    moves = Part(speed["LoRA"] - speed["base"], low=HALF, digits=2)
    to_control = {name: Part(change(name, "control"), high=0, digits=2) for name in ("grade", "lighting")}
    in_sequences = Part(carried["grade", "lora"] - carried["grade", "base"], high=0, digits=2)
    said = {
        "grade": {"high": 0, "gates": (to_control["grade"],)},
        "grade, in sequences too": {"high": 0, "gates": (to_control["grade"], in_sequences)},
        "lighting": {"high": 0, "gates": (to_control["lighting"],)},
        "costume": {"low": -OTHER_CLOTH, "high": OTHER_CLOTH},
        "drift, not noticed": {"high": NOTICED},
        "flicker, not noticed": {"high": NOTICED},
        "drift": {"high": 0},
        "flicker": {"high": 0},
        "stability": {"low": 0, "gates": (moves,), "digits": 1},
    }
    changes = {name: change(name.split(",")[0]) for name in said}
    return {
        name: Part(changes[name], **{"digits": 2} | how) for name, how in said.items() if len(changes[name])
    }


# %%
def claims(answers: dict[str, Answer]) -> dict[str, Answer]:
    """Claims 11 and 15 from the answers to their parts."""

    def every(*parts: str) -> Answer:
        return all_of(*(answers.get(part, Answer.UNKNOWN) for part in parts))

    held = every("drift, not noticed", "flicker, not noticed")
    steadier = every("drift", "flicker", "stability")
    carried = every("grade, in sequences too", "lighting", "costume")
    return {"claim_11": all_of(carried, held), "claim_15": all_of(every("grade"), steadier)}


# %% [markdown]
# Several trainings, where they were asked for, are one more thing that must be so. A gain that they do not have in common is withheld.


# %%
def over_all(name: str) -> Answer:
    """Shown unless an interval over further trainings holds 0, or lies on the other side of it."""
    ends = [over_runs[key] for key in over_runs if key[0] == name]
    sign = gains[name]
    good = all(span is not None and min(sign * end for end in span) > 0 for span in ends)
    return Answer.SHOWN if good else Answer.UNKNOWN


def withheld(name: str, answer: Answer) -> Answer:
    """The answer of a part, after the trainings were heard."""
    asks_gain = name != "costume" and "not noticed" not in name
    return all_of(answer, over_all(name.split(",")[0])) if asks_gain else answer


# %%
from cinelib.statistics import fact, not_measured, verdict

findings = ask(questions(table, sequence_table))
found = {name: withheld(name, finding.answer) for name, finding in findings.items()}
published = extractor.published and distance.name == "LPIPS"
published = bool(published and similarity and similarity.name == "CLIP-SIM")
verdicts = {claim: verdict(answer) for claim, answer in claims(found).items()}
unpublished = not_measured("I3D, AlexNet and CLIP weights")
verdicts["claim_13"] = verdict(fact(published)) if published else unpublished
print("\n".join(f"{claim}: {words}" for claim, words in sorted(verdicts.items())))

# %%
wording = {
    "grade": "grade nearer to the film than base, and than the control",
    "grade, in sequences too": "the same, and nearer than base in the sequences of notebook 03",
    "lighting": "lighting nearer to the film than base, and than the control",
    "costume": "costume's colour not another one than base's",
    "drift, not noticed": "drift not noticeably more than base's",
    "flicker, not noticed": "flicker not noticeably more than base's",
    "drift": "less drift than base",
    "flicker": "less flicker than base",
    "stability": "motion smoother and more coherent than base's, half of it kept",
}
reasons = [
    {"surely": words, "here": found[name], **low_high(findings[name].part.interval)}
    | {"n": findings[name].part.n, "p (Holm)": findings[name].p_holm}
    for name, words in wording.items()
    if name in found
]
show.table(pd.DataFrame(reasons)).format(precision=3, na_rep="").hide()

# %% [markdown]
# *low*, *high* and *n* are of LoRA minus base. Where they look sure and the line says "not shown", something else withheld it: the correction for six questions, the control, the sequences, or the motion.
#
# Claims 16 and 17 are about the field: models that make seconds of video from words, and a gap to commercial systems. `baseline` lets another model join. That is no measurement of a field, so they get no verdict here.


# %%
def entry(result) -> dict[str, object]:
    """A comparison as `metrics.json` has it."""
    found = {"value": result.difference, "interval": result.interval and list(result.interval)}
    found |= {"n": result.n, "p": result.p}
    return found if result.p_holm is None else found | {"p_holm": result.p_holm}


quoted_for = {"claim_11": "grade", "claim_15": "stability"}
entries = {
    claim: findings[name].as_metric() | {"unit": f"{name}, LoRA minus base", "verdict": verdicts[claim]}
    for claim, name in quoted_for.items()
}
entries["claim_13"] = {"value": float(published), "n": len(home), "verdict": verdicts["claim_13"]}
for claim, needs in (("claim_16", "other models' weights"), ("claim_17", "a commercial system")):
    entries[claim] = {"value": None, "reason": "about the field", "verdict": not_measured(needs)}
entries |= {f"part: {name}": f.as_metric() | {"answer": found[name]} for name, f in findings.items()}
for (arm, other), comparisons in asked.items():
    entries |= {f"{name} {arm} minus {other}": entry(result) for name, result in comparisons.items()}

# %%
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
# ## 8. What to quote
#
# Whoever cites this run needs the numbers in one place, the bad ones beside the good ones. First the six gains that were asked for and the two costs, *sure* after correction:

# %%
quoted = differences[differences["metric"].isin(family + paid) & (differences["arm"] == "LoRA")]
quoted = quoted[["metric", "minus", "difference", "low", "high", "n", "p (Holm)", "sure"]]
show.table(quoted).format(precision=1, na_rep="").format(precision=3, subset="p (Holm)", na_rep="").hide()

# %% [markdown]
# Where a difference has no interval, or is not sure, quote it as that: "in these scenes, not shown beyond them". The same goes for what a means table says of the other world.
#
# Then what notebook 02 measured on its own samples, and recorded. Its *base* says the trigger phrase as well; ours does not.
#
# - *grade together*: all clips of an arm as one heap of pixels, against the film. The *floor* is one half of the film against the other.
# - *film specific gain*: an adapter that darkens everything comes nearer to many films. How much nearer to this one than to the same film in a dozen other grades?
# - *own grade distance*: how far is a clip from the base model's clip of that scene, put into the film's own grade? If that does not fall, the adapter has not learned the colourist's mapping.

# %%
by_02 = json.loads((style_stage / "metrics.json").read_text("utf-8"))
wanted = (
    "grade_together",
    "film_specific_gain",
    "own_grade_distance",
    "lighting_distance",
    "costume_distance",
)
from_02 = {
    name.replace("_", " "): {"value": row["value"], **low_high(row.get("interval"))}
    | {"n": row.get("n"), "p": row.get("p")}
    for name, row in by_02.items()
    if name.startswith(wanted) and "[" not in name
}
show.table(pd.DataFrame(from_02).T).format(precision=1, na_rep="").format(precision=3, subset="p", na_rep="")

# %% [markdown]
# ## Questions

# %% [markdown] tags=["quiz"]
# **1.** Why does the negative control get the same trigger phrase and the same recipe?
#
# ---
#
# So that it differs from the LoRA in one thing only: whether its clips had a look in common. Whatever both gain comes from training at all, not from the film. Steps belong to the recipe too: the table of adapters in section 1 tells how many each had.

# %% [markdown] tags=["quiz"]
# **2.** As many of the film's own clips, in the model's place, have a Frechet distance of 30 to the film; your model is at 28. Is it perfect?
#
# ---
#
# It is at the floor: with this few clips the metric cannot tell it from the film. That is a statement about the metric's power as much as about the model.

# %% [markdown] tags=["quiz"]
# **3.** With 4 pairs, all in favour, what is the exact two-sided p-value, and what follows?
#
# ---
#
# 2/16 = 0.125. No result of 4 pairs can be significant at 5 %; plan the number of scenes before generating.

# %% [markdown] tags=["quiz"]
# **4.** The interval of LoRA minus base is [−9.1, 0.2]. Is the LoRA no better than the base model?
#
# ---
#
# Nobody can tell from these scenes. Most of the interval is on the good side, and 0 is in it. "Not shown" is the answer, and more scenes are the remedy; section 3 says how many.

# %% [markdown] tags=["quiz"]
# **5.** You train three LoRAs and evaluate each on 8 scenes. Are that 24 independent results?
#
# ---
#
# No. The 8 scenes are the same each time, and the 8 clips of one training share its luck. Both must be drawn anew, which is what the two-way bootstrap does. For a claim about the recipe there are three results.

# %%
stage.close()

# %% [markdown]
# ## Limitations
#
# - One seed a scene, and one training run unless `style_runs` names more: intervals then cover scenes, not training luck.
# - Unless the published networks are given, the distances are those of stand-ins, and their names say so. They are not comparable with FVD or LPIPS of any paper. The network of `FD[nano]` never saw the film's look in training, only random grades.
# - What each metric is blind to is the subject of [10 Metrics taken apart](10_metrics_taken_apart.ipynb).
# - Costume is judged by colour in the opening frames, where its place is known, and by words; cut and pattern are not. 720p is not judged at all by the classroom model.
# - A verdict is about this model on these scenes.
#
# **Next:** [10 Metrics taken apart](10_metrics_taken_apart.ipynb). The research question (rank against motion) and the expert study are notebooks to come; until then, [00 Start here](00_start_here.ipynb) lists all claims.
#
# ## Links
#
# - [VBench](https://arxiv.org/abs/2311.17982)
# - [LPIPS](https://arxiv.org/abs/1801.03924)
# - [Holm: a simple sequentially rejective multiple test procedure](https://www.jstor.org/stable/4615733)
