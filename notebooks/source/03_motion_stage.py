# %% [markdown]
# # 03 Motion stage
#
# **How do styled keyframes become a coherent sequence?**
#
# Notebook 02 trained a LoRA that puts the film's look on a still. Now we make a scene. Three neutral stills, a second apart, become three keyframes in the film's look. The model draws the frames between them. Each piece between two keyframes is a job of its own, so a long sequence can be made on many devices at once.
#
# After this notebook you can
# - write the sampler's loop yourself and get the pipeline's output, bit by bit,
# - condition a model on a first *and* a last frame,
# - measure whether a sequence has seams, and whether it moves at all.
#
# | profile | time | memory | makes |
# |---|---|---|---|
# | smoke | about 30 s | 1 GB | 2 scenes of noise: logic only |
# | nano | about 80 s on 2 cores | 2 GB | 4 scenes of 33 frames, 64 x 112 |
# | a100 | hours on one A100, less on several | under 80 GB | 4 scenes of 33 frames, 720 x 1280 |
#
# **Inputs:** the LoRA of notebook 02, the stills of a storyboard. **Outputs:** `keyframes/`, `sequences/` (MP4 and `metadata.jsonl`), `seams.csv`, `figures/signature.png`.

# %% tags=["parameters"]
profile: str = "nano"  # name of the profile whose values fill untouched parameters
seed: int = 0  # seed of every random choice in this stage
height: int = 64  # pixels, a multiple of 16
width: int = 112  # pixels, a multiple of 16
num_frames: int = 17  # frames of one generated clip, 4k+1
fps: int = 16  # frames per second that the model was trained at
model: str = "data/nano-wan"  # diffusers folder or hub id
storyboard: str = "data/storyboard"  # folder of neutral stills to start from
trigger: str = "emberfall film"  # phrase that opens every prompt, empty for none
max_scenes: int = 4  # storyboard scenes, taken from all worlds in turn
keyframe_frames: int = 17  # frames of the clip that a keyframe opens, 4k+1
lora_scale: float = 1.0  # strength of the LoRA
num_inference_steps: int = 12  # sampler steps
guidance_scale: float = 3.0  # classifier-free guidance
flow_shift: float = 3.0  # shift of the flow-matching schedule

# %%
from cinelib.motion.parameters import MotionStage
from cinelib.parameters import from_notebook
from cinelib.runs.stage import open_stage

params = from_notebook(MotionStage, globals())
stage = open_stage(params)
params

# %%
import platform
import time

import diffusers
import torch

from cinelib.wan import conditioning, pipeline

started = time.perf_counter()
device = pipeline.default_device()
print(f"Python {platform.python_version()}, torch {torch.__version__}, diffusers {diffusers.__version__}")
print(f"device: {device}, {torch.get_num_threads()} threads; profile: {params.profile}")

# %% [markdown]
# ## 1. Model, LoRA, storyboard

# %%
from cinelib import show
from cinelib.motion import seams, sequence
from cinelib.preparation.storyboard import (
    StoryboardScene,
    frames_between,
    in_turn,
    open_still,
    read_storyboard,
)
from cinelib.style import lora
from cinelib.wan import sampling

pipe = pipeline.load_pipeline(params.model, flow_shift=params.flow_shift)
memory = stage.root / "papermill_runs" / "locks" / "hashes.json"  # where the run keeps what it has hashed
card = lora.load(pipe, stage.upstream("02_style_stage") / "lora", "style", memory)

# %%
scenes = in_turn(read_storyboard(params.storyboard), params.max_scenes)
trigger_text = f"{params.trigger}, " if params.trigger else ""
segment_frames = frames_between(scenes[0], params.fps, params.num_frames)
size = (params.height, params.width)
stills = {scene.name: [open_still(p, *size) for p in scene.stills] for scene in scenes}
print(f"LoRA of rank {card.rank}, {card.steps} steps; a segment has {segment_frames} frames")

# %%
show.contact_sheet(
    [still for scene in scenes for still in stills[scene.name]],
    [f"{scene.world}, {k * scene.interval:g} s" for scene in scenes for k in range(len(scene.stills))],
    columns=len(scenes[0].stills),
    tile=2.2,
    title="The storyboard: neutral stills, a scene a row",
)

# %% [markdown]
# The stills' distance in time fixes how many frames lie between them: one second at 16 frames a second makes 17 frames, both ends included. More would be slow motion, fewer a rush.

# %% [markdown]
# ## 2. The sampler, by hand
#
# Notebook 04 times this loop and makes it faster. Here you write it.
#
# Training taught the transformer the velocity $v = \varepsilon - x$ on the line from clip to noise. Sampling walks that line backwards. Start at pure noise, ask for the velocity, take a step towards the clip, ask again. *Classifier-free guidance* asks twice, with the
# prompt and with an empty one, and exaggerates the difference: $v = v_{empty} + g\,(v_{text} - v_{empty})$.
#
# Here is all of it. `scheduler.step` is UniPC, which uses the last velocities too. The plain step is Euler's: exercise 3.1.


# %%
@torch.no_grad()
def sample_by_hand(first, prompt: str, num_frames: int, generator: torch.Generator) -> torch.Tensor:
    """Latents (1, 16, t, h, w) of a clip that starts from the image `first`."""
    transformer, scheduler, g = pipe.transformer, pipe.scheduler, params.guidance_scale
    text, empty = (pipeline.encode_text(pipe, words).to(transformer.dtype) for words in (prompt, ""))
    image = pipeline.encode_image(pipe, [first]).to(transformer.dtype)  # (1, N, D)
    pixels = pipe.video_processor.preprocess(first, *size).to(device)  # (1, 3, H, W) in [-1, 1]
    given = conditioning.condition(pipe.vae, pixels, num_frames)  # (1, 20, t, h, w)
    x = torch.randn(1, 16, *given.shape[2:], generator=generator).to(device)  # pure noise

    def velocity(words: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen = torch.cat([x, given], dim=1).to(transformer.dtype)  # (1, 36, t, h, w)
        return transformer(seen, t.expand(1), words, image, return_dict=False)[0]

    scheduler.set_timesteps(params.num_inference_steps, device=device)
    for t in scheduler.timesteps:
        v = velocity(text, t)
        if g > 1:
            v_empty = velocity(empty, t)
            v = v_empty + g * (v - v_empty)
        x = scheduler.step(v, t, x, return_dict=False)[0]
    return x


# %%
scene = scenes[0]
settings = sampling.Sampling(
    *size, segment_frames, params.num_inference_steps, params.guidance_scale, params.seed
)
pipe.set_adapters(["style"], [params.lora_scale])
prompt = trigger_text + scene.text
ours = sample_by_hand(
    stills[scene.name][0], prompt, segment_frames, sampling.generator(params.seed, "by hand")
)
theirs = sampling.generate_latents(pipe, stills[scene.name][0], prompt, settings, ("by hand",))
difference = float((ours - theirs).abs().max())
print(f"largest difference between our loop and WanImageToVideoPipeline: {difference}")
assert ours.shape == (1, 16, (segment_frames - 1) // 4 + 1, params.height // 8, params.width // 8)
assert difference == 0, f"our loop and the pipeline differ by {difference}"

# %%
clip = pipeline.to_frames(pipeline.decode_video(pipe.vae, ours))  # (T, H, W, 3)
show.play(clip, fps=params.fps, title="from one neutral still, with the LoRA")

# %% [markdown]
# ### Exercise 3.1: Euler's step (easy, 5 minutes)
# `x` stands at noise level `sigma` and the model says its velocity is $v = \varepsilon - x_0$. Where is it at the lower level `next_sigma`? Then write the loop over a list of levels that starts at 1 and ends at 0.


# %% tags=["exercise"]
from itertools import pairwise


def euler(velocity, x, sigmas: list[float]):
    """Walk from sigmas[0] to sigmas[-1]; `velocity(x, sigma)` is the model."""
    # BEGIN SOLUTION
    for sigma, next_sigma in pairwise(sigmas):
        x = x + (next_sigma - sigma) * velocity(x, sigma)
    return x
    # END SOLUTION


# %% [markdown] tags=["hint"]
# On the line $x_\sigma = (1-\sigma) x_0 + \sigma \varepsilon$ a change of $\sigma$ by $d$ changes the point by $d\,(\varepsilon - x_0)$. Going down, $d$ is negative.

# %% tags=["check"]
from cinelib.exercises import check, expect_close

with check("3.1"):
    goal, noise = 3.0, 11.0
    expect_close(
        euler(lambda x, sigma: noise - goal, noise, [1.0, 0.6, 0.0]),
        goal,
        because="with the true velocity every step stays on the line: mind the sign of next_sigma - sigma",
    )
    expect_close(
        euler(lambda x, sigma: x, 1.0, [1.0, 0.5, 0.0]),
        0.25,
        because="ask for the velocity again at each level, at the point where you are",
    )


# %% tags=["wrong"]
from itertools import pairwise


def euler(velocity, x, sigmas):
    for sigma, next_sigma in pairwise(sigmas):
        x = x + (sigma - next_sigma) * velocity(x, sigma)
    return x


# %% [markdown]
# ## 3. Keyframes: the look, one still at a time
#
# Each still opens a short clip under the LoRA; the clip's first frame, now in the film's look, is the keyframe. All stills of a scene get the same noise, so that what the LoRA invents (how dark a corner is, which red the cloak has) stays alike.
#
# Arms for the comparison:
# - **LoRA**: styled keyframes, expanded with the LoRA.
# - **base**: the neutral stills as they are, expanded by the base model. The same method, without the film.
# - **dissolve** (negative control): the LoRA's keyframes, each cross-fading into the next. It looks styled and smooth, and nothing moves in it. A metric that likes it is blind.

# %%
from dataclasses import replace

import numpy as np
from PIL import Image

short = replace(settings, num_frames=params.keyframe_frames)


def styled(pipe, scene: StoryboardScene) -> list[np.ndarray]:
    """Each still of the scene in the film's look, (H, W, 3)."""
    return sequence.style_keyframes(pipe, scene, short, trigger_text)


found = sampling.each(pipe, styled, scenes, short)
keyframes = {
    "base": {name: [np.asarray(still) for still in found] for name, found in stills.items()},
    "lora": dict(zip(stills, found, strict=True)),
}
stage.log(f"{len(scenes)} scenes of {len(scenes[0].stills)} keyframes")

# %%
for arm, by_scene in keyframes.items():
    (stage.folder / "keyframes" / arm).mkdir(parents=True, exist_ok=True)
    for name, frames in by_scene.items():
        for k, frame in enumerate(frames):
            Image.fromarray(frame).save(stage.folder / "keyframes" / arm / f"{name}_{k}.png")

# %%
show.contact_sheet(
    [frame for scene in scenes for arm in keyframes for frame in keyframes[arm][scene.name]],
    [f"{arm}, {k}" for scene in scenes for arm in keyframes for k in range(len(scene.stills))],
    columns=2 * len(scenes[0].stills),
    tile=1.5,
    title="Neutral stills and their styled keyframes",
)

# %% [markdown]
# ## 4. Between two keyframes
#
# The model is told which frames are given by four *mask* channels beside the noise: one for each of the four pixel frames behind a latent frame. For first-and-last-frame generation the last frame joins the condition, its place in the mask becomes 1, and its picture tokens join the first frame's.

# %%
first, last = keyframes["lora"][scenes[0].name][:2]
ends = pipeline.to_pixels(np.stack([first, last]))  # (1, 3, 2, H, W)
given = conditioning.condition(pipe.vae, ends[:, :, 0], segment_frames, last=ends[:, :, 1])
mask = given[0, :4, :, 0, 0].int().tolist()  # (4, t)
assert given.shape[:2] == (1, 20)
for row in mask:
    print(row)

# %% [markdown]
# ### Exercise 3.2: the mask (medium, 10 minutes)
# The VAE packs frame 0 alone, then frames 1-4, 5-8 and so on. Make the mask for `num_frames` frames of which the ones in `known` are given: 4 rows, one column a latent frame. Frame 0 stands alone behind its latent frame, so it fills that column's four places.


# %% tags=["exercise"]
import numpy as np


def frame_mask(num_frames: int, known: list[int]) -> np.ndarray:
    """(4, (num_frames - 1) / 4 + 1) of 0 and 1."""
    # BEGIN SOLUTION
    flags = np.zeros(num_frames, dtype=int)
    flags[known] = 1
    flags = np.concatenate([np.repeat(flags[:1], 4), flags[1:]])  # frame 0 counts four times
    return flags.reshape(-1, 4).T
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Write one flag a frame, repeat the first flag four times in all, cut the list into fours: each four is a column.

# %% tags=["check"]
import numpy as np

from cinelib.exercises import check, expect_equal

with check("3.2"):
    expect_equal(
        frame_mask(9, [0]), np.array([[1, 0, 0]] * 4), because="frame 0 fills all four places of its column"
    )
    expect_equal(
        frame_mask(9, [0, 8]),
        np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 1]]),
        because="frame 8 is the last of the four frames 5-8, so it is the lowest place of the last column",
    )


# %% tags=["wrong"]
def frame_mask(num_frames, known):
    flags = np.zeros(num_frames + 3, dtype=int)
    flags[known] = 1
    return flags.reshape(-1, 4).T


# %% [markdown]
# Now all of them. `sequence` expands each pair of neighbours and joins the segments; the keyframe that two segments share appears once.

# %%
sequences = {"base": {}, "lora": {}, "dissolve": {}}
for arm, scale in (("base", 0.0), ("lora", params.lora_scale)):
    pipe.set_adapters(["style"], [scale])

    def expanded(pipe, scene: StoryboardScene, arm: str = arm) -> np.ndarray:
        """(2 x 16 + 1, H, W, 3) for three keyframes."""
        return sequence.sequence(pipe, scene, keyframes[arm][scene.name], settings, trigger_text)

    found = sampling.each(pipe, expanded, scenes, settings)
    sequences[arm] = dict(zip([scene.name for scene in scenes], found, strict=True))
    stage.log(f"{arm}: {len(found)} sequences, {time.perf_counter() - started:.0f} s so far")

# %%
for scene in scenes:
    sequences["dissolve"][scene.name] = sequence.dissolve(keyframes["lora"][scene.name], segment_frames)
segments = len(scenes[0].stills) - 1
assert all(len(f) == segments * (segment_frames - 1) + 1 for arm in sequences.values() for f in arm.values())

# %% [markdown]
# Segments are independent (claim 12: "sequence partitioning"). Each has a noise generator of its own, named by scene and number. So the second segment, computed alone, must equal the second half of the sequence, exactly. Then it can as well be computed on another machine.

# %%


def ending(pipe, scene: StoryboardScene) -> np.ndarray:
    """The last segment of a scene, (17, H, W, 3)."""
    pair, key = keyframes["lora"][scene.name][-2:], (scene.name, "segment", segments - 1)
    return sequence.expand(pipe, *pair, trigger_text + scene.text, settings, key)


pipe.set_adapters(["style"], [params.lora_scale])
[alone] = sampling.each(pipe, ending, scenes[:1], settings)  # on as many threads as before: else it rounds
together = sequences["lora"][scenes[0].name][-(segment_frames - 1) :]
assert np.array_equal(alone[1:], together), "a segment must not depend on its neighbours"
print("the last segment, computed alone, equals the one in the sequence")

# %%
import json

from cinelib.video import write_video

rows = []
for arm, by_scene in sequences.items():
    for scene in scenes:
        file = f"{arm}/{scene.name}.mp4"
        write_video(stage.folder / "sequences" / file, by_scene[scene.name], params.fps)
        about = {"scene": scene.name, "world": scene.world, "camera": scene.camera, "text": scene.text}
        made = {"fps": params.fps, "num_frames": len(by_scene[scene.name]), "segment_frames": segment_frames}
        rows.append({"file_name": file, "arm": arm, **about, **made, "seed": params.seed})
lines = "".join(json.dumps(row) + "\n" for row in rows)
(stage.folder / "sequences" / "metadata.jsonl").write_text(lines, "utf-8")

# %%
shown = scenes[0].name
show.play({arm: by_scene[shown] for arm, by_scene in sequences.items()}, fps=params.fps, width=260)

# %% [markdown]
# ### Exercise 3.3: how long is a film? (easy, 5 minutes)
# A storyboard has `keyframes` stills; between neighbours lie segments of `segment_frames` frames, both ends included. How many frames has the sequence, and how many does the model generate?


# %% tags=["exercise"]
def sequence_frames(keyframes: int, segment_frames: int) -> tuple[int, int]:
    """(frames of the sequence, frames generated)."""
    # BEGIN SOLUTION
    segments = keyframes - 1
    return segments * (segment_frames - 1) + 1, segments * segment_frames
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Neighbouring segments share one frame. It is generated twice and shown once.

# %% tags=["check"]
from cinelib.exercises import check, expect_equal

with check("3.3"):
    expect_equal(sequence_frames(2, 17), (17, 17), because="two keyframes make one segment")
    expect_equal(
        sequence_frames(3, 17), (33, 34), because="33 are two seconds: the middle keyframe is shown once"
    )


# %% tags=["wrong"]
def sequence_frames(keyframes, segment_frames):
    return (keyframes - 1) * segment_frames, (keyframes - 1) * segment_frames


# %% [markdown]
# ## 5. From keyframes to frames
#
# One sequence, its keyframes framed, and below it the optical flow to the next frame: blue arrows show where the pixels go, all to one scale.

# %%
import cv2


def flow_of(frames: np.ndarray) -> np.ndarray:
    """Optical flow (T-1, H, W, 2) in pixels a frame, DIS on luma enlarged to 256 lines."""
    scale = 256 / frames.shape[1]
    enlarged = [cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale) for f in frames]
    engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flows = [engine.calc(a, b, None) for a, b in pairwise(enlarged)]
    height, width = frames.shape[1:3]
    return np.stack([cv2.resize(flow, (width, height)) / scale for flow in flows])


frames = sequences["lora"][scenes[0].name]
marks = {k * (segment_frames - 1): f"keyframe {k}" for k in range(segments + 1)}
signature = show.filmstrip(
    frames,
    n=9,
    flow=flow_of(frames),
    marks=marks,
    fps=params.fps,
    title=f"Keyframes become frames: {scenes[0].text}",
)
stage.save_figure(signature, "signature")
signature

# %%
strips = [sequences[arm][scene.name] for scene in scenes[:2] for arm in sequences]
figure = show.before_after(
    strips,
    [f"{scene.world}\n{arm}" for scene in scenes[:2] for arm in sequences],
    n=7,
    title="Three arms, the same instants",
)
stage.save_figure(figure, "arms")
figure

# %% [markdown]
# ## 6. Seams, motion, and a look that holds
#
# - **arrival**: PSNR between each keyframe and the generated frame at its place. Did the model get where it was told to?
# - **seam**: the change across a keyframe, against the changes around it. 1 means that nobody could tell where the segments meet.
# - **motion**: MotionScore's mean speed and score (notebook 10 takes it apart).
# - **drift**: how far the look travels along its slow trend, over every frame, in CIELAB units.

# %%
import pandas as pd

from cinelib.metrics.motion import motion_score
from cinelib.metrics.style import look_drift


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB, at most 99."""
    error = np.square(a.astype(float) - b).mean()
    return min(99.0, 10 * np.log10(255**2 / max(error, 1e-12)))


def measure(arm: str, scene: StoryboardScene) -> dict[str, float]:
    """All numbers of one sequence."""
    frames = sequences[arm][scene.name]
    goals = keyframes["base" if arm == "base" else "lora"][scene.name]
    motion = motion_score(frames, params.fps)
    return {
        "arrival_db": float(np.mean([psnr(frames[k], goal) for k, goal in zip(marks, goals, strict=True)])),
        "seam": float(seams.seams(frames, segment_frames).mean()) if segments > 1 else np.nan,
        "motion_score": motion.score,
        "mean_speed": motion.mean_speed,
        "drift": look_drift(frames),
    }


measured = pd.DataFrame(
    [{"arm": arm, "scene": s.name, "world": s.world, **measure(arm, s)} for arm in sequences for s in scenes]
)
measured.to_csv(stage.folder / "seams.csv", index=False)
measured.groupby("arm", sort=False).mean(numeric_only=True).round(3)

# %% [markdown]
# Read the dissolve's row first. It arrives at every keyframe perfectly. It cannot drift further than its keyframes. And it hardly moves: look at mean speed and MotionScore. Smoothness alone would call it the best.
#
# Then the two rows of the model. A *seam* above 1 says that the change at a keyframe can be told from the changes around it: each segment arrives well enough, and starts again at a speed of its own. And compare *drift*: what the LoRA's row has more than
# the base's is colour that the adapter does not hold from keyframe to keyframe. These are means of a few scenes, without intervals; whether the look is held (claim 11) is for notebook 05 to say.

# %%
means = measured.groupby("arm").mean(numeric_only=True)
stage.save_metrics(
    {
        f"{name}_{arm}": {"value": float(means.loc[arm, name]), "n": len(scenes)}
        for arm in means.index
        for name in means.columns
        if np.isfinite(means.loc[arm, name])
    }
    | {"segment_frames": segment_frames, "sampler_difference": difference}
)

# %% [markdown]
# ## Questions

# %% [markdown] tags=["quiz"]
# **1.** Why does the sampler ask the model twice in every step?
#
# ---
#
# Once with the prompt and once with an empty one. The difference is what the prompt contributes, and guidance multiplies it. That doubles the time; at `guidance_scale` 1 the second question is skipped.

# %% [markdown] tags=["quiz"]
# **2.** Two segments meet at a keyframe. Why is there no jump in *position*, and why can there be one in *speed*?
#
# ---
#
# Both segments were told to show that keyframe, one at its end, the other at its start. But neither knows how fast the other one moves there. A second frame of overlap would tell it.

# %% [markdown] tags=["quiz"]
# **3.** Why do all stills of a scene share their noise when the keyframes are made?
#
# ---
#
# What is not in the still comes from the noise. With the same noise the model makes the same choices, and the keyframes fit together.

# %% [markdown] tags=["quiz"]
# **4.** With four GPUs and a sequence of five keyframes, how much sooner is it done than with one? And one of three keyframes?
#
# ---
#
# Five keyframes make four independent segments: four times as fast. Three make two segments: twice, and two GPUs are idle. Splitting *one* segment over GPUs is a different method, context parallelism: notebook 04.

# %% [markdown] tags=["quiz"]
# **5.** Why is the style LoRA told to leave styled frames alone (`unaltered_share` in notebook 02)?
#
# ---
#
# The keyframes already have the look. A LoRA that had only ever seen neutral first frames would apply the look on top of the look.

# %%
stage.close()

# %% [markdown]
# ## Limitations
# - A segment knows its two ends, nothing before or after. Speed may change at a keyframe; the seam number shows it, nothing here repairs it.
# - Keyframes are styled one by one. Shared noise keeps them alike, it does not guarantee it: compare the costume in a scene's keyframes.
# - The stills must come from one camera move. Two stills that no continuous motion connects give a morph, not a shot.
# - Arrival is measured against the keyframe *as an image*; the VAE alone loses some of it, whatever the sampler does.
#
# **Next:** [04 inference acceleration](04_inference_acceleration.ipynb): what each speed-up costs in quality.
#
# ## Links
# - [UniPC: a predictor-corrector sampler (Zhao et al. 2023)](https://arxiv.org/abs/2302.04867)
# - [Classifier-free guidance (Ho and Salimans 2022)](https://arxiv.org/abs/2207.12598)
# - [Wan in diffusers: image to video, first and last frame](https://huggingface.co/docs/diffusers/main/en/api/pipelines/wan)
# - [DIS optical flow (Kroeger et al. 2016)](https://arxiv.org/abs/1603.03590)
