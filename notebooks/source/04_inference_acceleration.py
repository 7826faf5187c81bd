# %% [markdown]
# # 04 Inference acceleration
#
# **What does each speed-up cost in quality?**
#
# Sampling is slow: the transformer runs twice in every step. There are three ways out. Run it less often (fewer steps, step caches). Run it on
# more devices (context parallelism). Or run independent pieces side by side (the segments of notebook 03).
# We try each on the same clips and let the same judge look at them. And we ask each shortcut: would fewer steps have done as well?
#
# After this notebook you can
# - write a step cache's decision yourself, and see which blocks a cache really skipped,
# - measure a speed-up so that another person gets the same number,
# - split one clip over processes and show that nothing changed,
# - check a published time against a table and a count of operations.
#
# | profile | time | memory | what runs |
# |---|---|---|---|
# | smoke | about 50 s | 4 GB | 2 clips of 32 × 48, 4 steps |
# | nano | about 2 min on 2 cores | 4 GB with all its processes | 3 clips of 64 × 112, 12 steps, 8 settings, 2 processes |
# | a100 | hours on one A100 | 77 GB of GPU memory | 3 clips of 720 × 1280 × 81, 40 steps; `processes` GPUs |
#
# **Inputs:** the LoRA of notebook 02, the keyframes of notebook 03, `data/storyboard`. **Outputs:** `frontier.csv`, `clips/*.mp4`, `figures/signature.png`, `metrics.json`.

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
max_scenes: int = 3  # scenes that every setting is measured on, one round each
num_inference_steps: int = 12  # sampler steps of the plain sampler
guidance_scale: float = 3.0  # classifier-free guidance
flow_shift: float = 3.0  # shift of the flow-matching schedule
fewer_steps: list[int] = [8, 6, 4]  # the naive speed-up, fewer sampler steps
thresholds: list[float] = [0.05, 0.1, 0.2]  # of the first-block cache
taylorseer_interval: int = 2  # TaylorSeer computes one step in so many
processes: int = 2  # processes of context and segment parallelism
parallel_steps: int = 2  # sampler steps of the runs with several processes
parallel_rounds: int = 8  # rounds of the runs with several processes, 7 at least for a verdict
alexnet: str = ""  # path of AlexNet weights for LPIPS, empty for the stand-in

# %%
from cinelib.acceleration.parameters import InferenceAcceleration
from cinelib.parameters import from_notebook
from cinelib.runs.stage import open_stage

params = from_notebook(InferenceAcceleration, globals())
stage = open_stage(params)
params

# %%
import platform

import cinelib
from cinelib.acceleration.timing import busy_share, conditions

print(f"cinelib {cinelib.__version__}, Python {platform.python_version()}; profile: {params.profile}")
print(f"device: {conditions()}")
others = busy_share()
print(
    f"other programs use {others:.0%} of the cores"
    + (": do not trust the times below" if others > 0.25 else "")
)

# %% [markdown]
# The last line belongs to every number below. A time without its device, threads, versions and load says nothing.
#
# ## 1. Where the time goes
#
# We sample what the film needs: the LoRA of notebook 02, scenes of the storyboard, prompts that open with the film's words.

# %%
from textwrap import fill, shorten

import numpy as np
import torch
from IPython.display import display

from cinelib import show
from cinelib.preparation.storyboard import open_still, read_storyboard
from cinelib.wan import pipeline, sampling

lora = stage.upstream("02_style_stage") / "lora"
pipe = pipeline.load_pipeline(params.model, flow_shift=params.flow_shift)
pipe.load_lora_weights(lora)

# %%
scenes = read_storyboard(params.storyboard)
scenes = scenes[:: max(1, len(scenes) // params.max_scenes)][: params.max_scenes]  # both worlds
trigger = f"{params.trigger}, " if params.trigger else ""
stills = [open_still(scene.stills[0], params.height, params.width) for scene in scenes]
display(show.contact_sheet(stills, [fill(scene.text, 48) for scene in scenes], tile=2.4))

# %% [markdown]
# Notebook 03 wrote the sampler's loop by hand. `sampling.denoise` is that loop without the encoders: text, image and first frame are encoded here, before any clock starts. In each
# step it asks the transformer twice, with the caption (*cond*) and without (*uncond*). Remember the two calls: all that follows makes fewer of them, or cheaper ones.

# %%
size = (params.height, params.width, params.num_frames)
full = params.num_inference_steps
plain = sampling.Sampling(*size, full, params.guidance_scale, params.seed)
starts = [
    sampling.prepare(pipe, still, trigger + scene.text, plain, (scene.name,))
    for scene, still in zip(scenes, stills, strict=True)
]
starts[0].noise.shape, starts[0].condition.shape, starts[0].image.shape


# %%
def sampler(start: sampling.Start, steps: int) -> torch.Tensor:
    """Latents (1, 16, t, h, w) after `steps` guided steps."""
    return sampling.denoise(pipe, start, steps, params.guidance_scale)


# %% [markdown]
# Is it *the* sampler? The pipeline of diffusers must give the same latents, bit by bit.

# %%
from dataclasses import replace

two = replace(plain, num_inference_steps=2)
reference = sampling.generate_latents(pipe, stills[0], trigger + scenes[0].text, two, (scenes[0].name,))
ours = sampler(starts[0], 2)
difference = float((ours - reference).abs().max())
print(f"largest difference to WanImageToVideoPipeline after 2 steps: {difference}")
assert difference == 0, "this cell times another sampler than the one you use"

# %% [markdown]
# ## 2. How much does a step change?
#
# A step cache bets that neighbouring steps compute nearly the same. Look before you bet. A hook records what the *first* transformer block adds to its input in every step. How much does
# that differ from the step before, relative to its size?


# %%
from itertools import pairwise


def first_block_changes(start: sampling.Start, steps: int) -> np.ndarray:
    """How much the first block's part changes from step to step, with the caption: (steps - 1,)."""
    residuals = []

    def record(module, args, output):
        residuals.append((output - args[0]).float())

    handle = pipe.transformer.blocks[0].register_forward_hook(record)
    try:
        sampler(start, steps)
    finally:
        handle.remove()
    cond = residuals[::2]  # calls alternate: cond, uncond, cond, ...
    return np.array([float((b - a).abs().mean() / a.abs().mean()) for a, b in pairwise(cond)])


# %%
changes = {scene.name: first_block_changes(start, full) for scene, start in zip(scenes, starts, strict=True)}
steps_axis = list(range(2, full + 1))
limits = {f"threshold {t:g}": (steps_axis, [t] * len(steps_axis)) for t in params.thresholds}
figure = show.curves(
    {**{name: (steps_axis, values) for name, values in changes.items()}, **limits},
    xlabel="sampler step (compared with the one before)",
    ylabel="change of the first block",
    title="How much a step differs from the one before",
)
stage.save_figure(figure, "first_block")
figure

# %% [markdown]
# Where a curve lies below a threshold, a cache with that threshold keeps the old result of all other blocks. The *first-block cache* does just this: run block 1 and compare. Then either run the rest, or add what the rest added last time.
#
# ### Exercise 4.1: when may a cache skip? (medium, 10 minutes)
# It compares with the last step that was really *computed*, not with the step before. Otherwise many small changes add up unseen. Given the first block's contribution in every step, say which
# steps are computed.


# %% tags=["exercise"]
import numpy as np


def computed_steps(residuals: list[np.ndarray], threshold: float) -> list[bool]:
    """True for each step that runs all blocks; relative change is mean|r - last| / mean|last|."""
    # BEGIN SOLUTION
    computed, last = [], None
    for residual in residuals:
        run = last is None or np.abs(residual - last).mean() / np.abs(last).mean() > threshold
        computed.append(bool(run))
        if run:
            last = residual
    return computed
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Keep a variable for the residual of the last computed step, and change it only when a step is computed. The first step has nothing to compare with.

# %% tags=["check"]
import numpy as np

from cinelib.exercises import check, expect_equal

with check("4.1"):
    ramp = [np.full(4, value) for value in (1.0, 1.06, 1.12, 1.18, 1.24)]
    expect_equal(
        computed_steps(ramp, 0.1),
        [True, False, True, False, True],
        because="every step is 6 % from its neighbour; compare with the last computed one, so 12 % adds up",
        what="a slow ramp",
    )
    expect_equal(
        computed_steps([np.ones(4)] * 3, 0.0), [True, False, False], what="equal residuals at threshold 0"
    )
    expect_equal(computed_steps([np.ones(2), -np.ones(2)], 1.5), [True, True], what="a sign change")


# %% tags=["wrong"]
import numpy as np


def computed_steps(residuals, threshold):
    computed, before = [True], residuals[0]
    for now in residuals[1:]:
        computed.append(bool(np.abs(now - before).mean() / np.abs(before).mean() > threshold))
        before = now
    return computed


# %% [markdown]
# ## 3. Caches that are proved to act
#
# diffusers has step caches behind `enable_cache`. Two things go wrong with them. A cache whose patterns match no module does nothing, without a word, and is reported
# as "1.0x, no loss of quality". And a cache that acts is credited with savings that nobody counted. So ours refuse to do nothing, and count every block that runs.
#
# Each technique has a file of its own in `cinelib/acceleration/`: its settings, how it is applied, and what its count must prove.

# %%
from diffusers import TaylorSeerCacheConfig

from cinelib.acceleration.step_cache import NoEffect, step_cache

try:
    with step_cache(pipe.transformer, TaylorSeerCacheConfig()):
        raise AssertionError("diffusers' defaults now match Wan: drop the patterns in taylorseer.py")
except NoEffect as refusal:
    print("refused:", refusal)

# %% [markdown]
# Before the race, one check. A first-block cache with threshold 0 never skips, so it must equal the plain sampler exactly. If not, the hooks themselves change the result, and no number below means anything.

# %%
from cinelib.acceleration.first_block_cache import FirstBlockCache

never = FirstBlockCache(steps=2, threshold=0.0)
with never.apply(pipe.transformer) as counter:
    cached = sampler(starts[0], never.steps)
never.prove(counter)
largest = float((cached - ours).abs().max())
total = counter.blocks * len(counter.calls)
print(f"threshold 0: {counter.skipped} of {total} evaluations skipped, largest difference {largest}")
assert largest == 0 and counter.skipped == 0

# %% [markdown]
# The competitors. *Fewer steps* is the simple one, and the one to beat. The *first-block cache* skips when little changes. *TaylorSeer* predicts attention and feed-forward outputs in
# the steps between, by a first-order Taylor expansion and on a fixed schedule.

# %%
from cinelib.acceleration.fewer_steps import FewerSteps
from cinelib.acceleration.taylorseer import TaylorSeer

baseline = f"plain, {full} steps"
techniques = [
    *(FewerSteps(steps) for steps in sorted(params.fewer_steps, reverse=True)),
    *(FirstBlockCache(full, threshold) for threshold in params.thresholds),
    TaylorSeer(full, params.taylorseer_interval, warmup=min(3, full - 1)),
]
settings = {baseline: FewerSteps(full)} | {technique.name: technique for technique in techniques}
list(settings)

# %% [markdown]
# ## 4. Measuring time so that it means something
#
# Three rules. *Warm up*: the first run pays for memory and kernels. *Interleave*: machines drift, so every setting runs once in every round, in an order that rotates, and a speed-up is the ratio within a round. *Say
# the conditions*. Here a round is one scene, and the clock sees the sampler's loop alone.


# %%
from cinelib.acceleration.timing import interleaved

shares = {name: [] for name in settings}  # of blocks that ran, one array a clip


def timed(name: str):
    technique = settings[name]

    def run(number: int) -> torch.Tensor:
        with technique.apply(pipe.transformer) as counter:
            latents = sampler(starts[number], technique.steps)
        technique.prove(counter)
        shares[name].append(counter.per_call() / counter.blocks)
        return latents

    return run


# %%
sampler(starts[0], 2)  # warm-up
timings, latents = interleaved({name: timed(name) for name in settings}, rounds=len(starts), warmup=0)
for name, timing in timings.items():
    ratio, low, high = timing.speedup(timings[baseline])
    stage.log(f"{name:16s} {timing.median:7.2f} s a clip, {ratio:.2f}x (rounds {low:.2f} to {high:.2f})")
print(conditions())

# %% [markdown]
# And what did the caches skip? One row a setting, one column a step; dark means that all blocks ran.

# %%
rows = {name: np.mean([run[::2] for run in runs], axis=0) for name, runs in shares.items()}
figure, (axis,) = show.new_figure(size=(7, 0.32 * len(rows) + 1.2), title="Share of blocks that ran, by step")
grid = np.full((len(rows), full), np.nan)
for row, share in enumerate(rows.values()):
    grid[row, : len(share)] = share
image = axis.imshow(grid, cmap="Blues", vmin=0, vmax=1, aspect="auto")
axis.set_yticks(range(len(rows)), list(rows))
axis.set_xticks(range(full), range(1, full + 1))
axis.set_xlabel("sampler step")
axis.grid(False)
figure.colorbar(image, ax=axis, label="share")
stage.save_figure(figure, "skipped_blocks")
figure

# %% [markdown]
# ## 5. Quality, against the same judge
#
# How good is a shortcut? It would be unfair to compare it with the plain sampler at 12 steps. Those 12 steps are an approximation too, and would be perfect by definition. So the judge is a sampler with *twice* the steps, from the
# same noise, and the plain sampler faces it as well. Two questions: how far does the picture drift (perceptual distance, frame by frame)? And does the *motion* survive?

# %%
from cinelib.metrics.motion import motion_retention, motion_score
from cinelib.metrics.perceptual import LPIPS, FeatureDistance


def decode(value: torch.Tensor) -> np.ndarray:
    return pipeline.to_frames(pipeline.decode_video(pipe.vae, value))  # (T, H, W, 3) uint8


judge = [decode(sampler(start, 2 * full)) for start in starts]
clips = {name: [decode(value) for value in values] for name, values in latents.items()}
distance = LPIPS(params.alexnet) if params.alexnet else FeatureDistance()
drift = {
    name: np.array([distance(a, b).mean() for a, b in zip(found, judge, strict=True)])
    for name, found in clips.items()
}
print(f"{distance.name}: {distance.preprocessing}; weights {distance.weights_sha256[:12]}")

# %%
import pandas as pd

judge_speed = np.array([motion_score(clip, params.fps).mean_speed for clip in judge])


def measure(name: str) -> dict[str, object]:
    """One row of the table."""
    motions = [motion_score(clip, params.fps) for clip in clips[name]]
    ratio, low, high = timings[name].speedup(timings[baseline])
    speeds = np.array([motion.mean_speed for motion in motions])
    return {
        "setting": name,
        "seconds": timings[name].median,
        **{"speed-up": ratio, "lowest": low, "highest": high},
        "blocks skipped": 1 - float(np.mean(np.concatenate(shares[name]))),
        distance.name: float(drift[name].mean()),
        "motion kept": motion_retention(speeds, judge_speed),
        "MotionScore": float(np.mean([motion.score for motion in motions])),
    }


# %%
table = [measure(name) for name in settings]
frontier = pd.DataFrame(table)
frontier.to_csv(stage.folder / "frontier.csv", index=False)
frontier.style.format(precision=3).hide()

# %% [markdown]
# *motion kept* is the mean ratio of speed to the judge's clip: 1 is all of it. A shortcut may leave each frame pretty and freeze the film. That is why no perceptual number stands alone here.

# %% tags=["draws"]
figure = show.frontier(
    [(row["setting"], 1 / row["speed-up"], row[distance.name]) for row in table],
    xlabel="time, the plain sampler is 1 (median over scenes)",
    ylabel=f"{distance.name} to {2 * full} steps",
    baseline=baseline,
    title=f"Speed against quality, {len(scenes)} scenes, {params.height} × {params.width} × {params.num_frames}",
)
stage.save_figure(figure, "signature")
figure

# %% [markdown]
# Read it like a customer. The dashed line joins what nobody beats on both axes; a cross is a setting that something else beats outright. A cache earns its place only where it lies below the *fewer steps* points
# at the same time. Move the slider to see what the numbers look like.

# %%
from cinelib.video import write_video

for name, found in clips.items():
    slug = name.replace(" ", "_").replace(",", "").replace("/", "")
    write_video(stage.folder / "clips" / f"{slug}.mp4", found[0], params.fps)
order = sorted(clips, key=lambda name: drift[name].mean())
show.compare_slider([clips[name][0] for name in order], order, description="setting", fps=params.fps)

# %%
caches = [name for name, technique in settings.items() if not isinstance(technique, FewerSteps)]
best_cache = min(caches, key=lambda name: timings[name].median)
show.before_after(
    [judge[0], clips[baseline][0], clips[best_cache][0]],
    [f"{2 * full} steps", baseline, best_cache],
    title=shorten(f"Same noise, three samplers: {scenes[0].text}", 88, placeholder=" …"),
)

# %% [markdown]
# Does any cache beat simply taking fewer steps? For each cache, take the fewer-steps setting that is at least as fast, and count the scenes in which the cache drifts less. This is a look and no verdict: three scenes carry neither an interval nor a test.

# %%
is_cache = frontier["setting"].isin(caches)
naive = frontier[~is_cache]
for row in frontier[is_cache].to_dict("records"):
    rivals = naive[naive["speed-up"] >= row["speed-up"]]
    if rivals.empty:
        print(f"{row['setting']}: faster than every step count tried")
        continue
    rival = rivals.loc[rivals[distance.name].idxmin(), "setting"]
    less = int((drift[row["setting"]] < drift[rival]).sum())
    print(
        f"{row['setting']} ({row[distance.name]:.4f}) against {rival} ({drift[rival].mean():.4f}):", end=" "
    )
    print(f"drifts less in {less} of {len(scenes)} scenes")

# %% [markdown]
# ## 6. Several processes
#
# Two ways to use more than one device.
#
# - **Context parallelism** (Ulysses): every process holds all weights and a share of one clip's *tokens*. Only attention needs other tokens, so before it the processes trade: each gets all tokens of some *heads*, computes, and trades back. Token count and
#   head count must divide.
# - **Segments**: notebook 03 cuts a sequence at its keyframes. With both ends given, a segment needs nothing from its neighbours, so each process takes its own. This is the "sequence partitioning" of claim 12: no communication at all.
#
# `launch` starts real processes through `torchrun`, exactly as on a node with GPUs (NCCL there, gloo here). Each clip must come out *equal*, not similar.
# Every process needs an accelerator of its own. With too few of them this comparison is left out, and says so.

# %%
from cinelib.acceleration.parallel import SamplingJob, Segment, lacking_devices, launch

keyframes = sorted((stage.upstream("03_motion_stage") / "keyframes" / "lora").glob("*.png"))
scene_of = {path: path.stem.rsplit("_", 1)[0] for path in keyframes}  # scene_0.png, scene_1.png, ...
pairs = [(a, b) for a, b in pairwise(keyframes) if scene_of[a] == scene_of[b]][: params.processes]
texts = {scene.name: scene.text for scene in read_storyboard(params.storyboard)}
segments = tuple(
    Segment(str(a), trigger + texts[scene_of[a]], number, last_image=str(b))
    for number, (a, b) in enumerate(pairs)
)
few = replace(plain, num_inference_steps=params.parallel_steps)
rounds = params.parallel_rounds
job = SamplingJob(params.model, segments, few, params.flow_shift, lora=str(lora), rounds=rounds)
print(f"{len(segments)} segments between keyframes: {[a.stem for a, _ in pairs]}")

# %%
left_out = lacking_devices(params.processes)
outcomes = {} if left_out else launch(job, params.processes)
if left_out:
    stage.log(f"left out, the comparison of processes: {left_out}")


def gain(mode: str) -> np.ndarray:
    """How many times faster than all cores as threads, round by round; the modes of a round were neighbours."""
    return np.divide(outcomes["threads"].seconds, outcomes[mode].seconds)


def difference(mode: str) -> float:
    """Largest difference of a mode's latents to one process's."""
    pairs = zip(outcomes[mode].latents, outcomes["single"].latents, strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def compare(mode: str) -> dict[str, object]:
    """One line of the table."""
    found = {"seconds": np.median(outcomes[mode].seconds), "largest difference": difference(mode)}
    if mode == "single":  # once, for its latents
        return found
    ratios = gain(mode)
    return {**found, "against threads": np.median(ratios), "lowest": ratios.min(), "highest": ratios.max()}


# %%
parallel = pd.DataFrame({mode: compare(mode) for mode in outcomes}).T
exact = max(map(difference, ("segments", "context"))) if outcomes else None
assert left_out or exact < 1e-3, "processes disagree with one process"
print(
    f"{params.processes} processes, {len(segments)} segments, {params.parallel_steps} steps, {rounds} rounds"
)
parallel.rename_axis("mode").style.format(precision=4, na_rep="")

# %% [markdown]
# - `single` is one process on *one* thread, `threads` one process on as many threads as there are processes: the fair rival on a laptop, which has no second GPU. `segments` and `context` run one thread in each process.
# - `again` is the control: `threads`, timed a second time in each round. Nothing differs, so its ratio must lie about 1. As far as it strays, this machine cannot tell.
# - What the run *proves* is `largest difference`: the splits change nothing, and even threads differ only in the order of additions.
# - What it *costs* is in the middle. On the same cores context parallelism can only lose, since it adds communication. Segments lose nothing and may gain a little, because two small problems keep two cores busier than one small problem cut in two. What either gains on real cards is in
#   the next table.

# %% [markdown]
# ## 7. What is published for the 14B model
#
# **Published, not measured here:** the table that Wan's authors publish for I2V-14B, 81 frames of 720 × 1280, 40 steps, with context parallelism over GPUs (and weights sharded by FSDP). The source's claims 9 and 10 stand beside this curve.

# %%
from pathlib import Path

import yaml

published = yaml.safe_load(Path("data/published.yaml").read_text("utf-8"))
wan_seconds, peak = published["wan_seconds"], published["wan_peak_gb"]
scaling = pd.DataFrame(
    [
        {
            "card": card,
            "GPUs": count,
            "seconds": seconds,
            "speed-up": times[1] / seconds,
            "peak GB a GPU": peak[count],
        }
        for card, times in wan_seconds.items()
        for count, seconds in times.items()
    ]
)
scaling.insert(4, "efficiency", scaling["speed-up"] / scaling["GPUs"])
scaling.style.format(precision=2).hide().set_caption("published by Wan's authors, not measured here")

# %% [markdown]
# **Measured on one H100:** the same code as here, on a 14B model with *random weights*. Time and memory do not depend on the weights. A pass is one call of the transformer; a guided step makes two.

# %%
own = yaml.safe_load(Path("data/accelerator.yaml").read_text("utf-8"))
measured = pd.DataFrame(own["rows"]).set_index("row")
measured["forecast / measured"] = measured["forecast seconds"] / measured["seconds"]
measured.style.format(precision=2).set_caption(f"measured {own['measured']}")

# %% [markdown]
# ### Exercise 4.2: what part of the work does not scale? (medium, 10 minutes)
# Amdahl: if a share $s$ of the time cannot be split, $n$ devices take $t_n = t_1 (s + (1 - s)/n)$. Solve for $s$ from two measured times. How much of Wan's sampling is serial?


# %% tags=["exercise"]
def serial_share(one: float, many: float, devices: int) -> float:
    """Share s of the time that does not split, from the times on 1 and on `devices` devices."""
    # BEGIN SOLUTION
    return (many / one - 1 / devices) / (1 - 1 / devices)
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Divide by $t_1$, write $t_n / t_1 = s (1 - 1/n) + 1/n$ and solve for $s$.

# %% tags=["check"]
from cinelib.exercises import check, expect_close

with check("4.2"):
    expect_close(
        serial_share(100.0, 50.0, 2), 0.0, because="twice the devices, half the time: nothing serial"
    )
    expect_close(serial_share(100.0, 100.0, 8), 1.0, because="no gain at all: everything is serial")
    expect_close(
        serial_share(2715.5, 389.7, 8),
        0.0212,
        rtol=0.01,
        because="check that n divides both terms",
        what="Wan on 8 A100",
    )


# %% tags=["wrong"]
def serial_share(one, many, devices):
    return many / one - 1 / devices


# %% [markdown]
# ## 8. Claims 9, 10 and 12
#
# **Claim 9:** "187 seconds on a single A100-80GB", with no frames, size or steps given. Notebook 00 shows that 81 frames at 720p in 40 steps cannot be it. Which setting *could* be? Take the speed that Wan's own table implies
# (operations a second on one A100) and ask how many steps of each setting fit into 187 s.

# %%
from cinelib.wan.geometry import WAN_14B, Geometry

film = Geometry(WAN_14B, 720, 1280, 81)
achieved = film.sampling_flops(40) / wan_seconds["A100-80GB"][1]
print(f"one A100 in Wan's table: {achieved / 1e12:.0f} TFLOP/s of a peak of 312")
fits = []
for height_, width_ in ((720, 1280), (480, 832)):
    for frames in (17, 33, 49, 65, 81):
        geometry = Geometry(WAN_14B, height_, width_, frames)
        steps = 187 * achieved / geometry.sampling_flops(1)
        fits.append({"size": f"{height_} × {width_}", "frames": frames, "steps that fit 187 s": steps})
fits = pd.DataFrame(fits)
plausible = fits[fits["steps that fit 187 s"].between(18, 55)]
fits.style.format(precision=1).hide()

# %%
for row in plausible.to_dict("records"):
    print(f"fits: {row['frames']} frames of {row['size']} in {row['steps that fit 187 s']:.0f} steps")
at_full = float(fits[(fits["size"] == "720 × 1280") & (fits["frames"] == 81)]["steps that fit 187 s"].iloc[0])
print(f"81 frames of 720 × 1280 would leave {at_full:.1f} steps")

# %% [markdown]
# On an H100 a pass was measured: 3.26 s at 480p, 12.13 s at 720p (81 frames). There 187 s is enough for 28 guided steps at 480p, or for 7 at 720p, decoding left out.
# So 187 s is the time of a shorter or smaller clip, or of a handful of steps. Until somebody says which, it tells nothing about "720p sequences". **Claim 10** ("a 1.0x speed-up over the baseline") is the baseline's own row: a thing
# compared with itself. Both teach a habit: never print a speed-up without the two settings and their quality. And for both there is no measurement here, so there is no verdict: arithmetic on a published table is a remark.
#
# ### Exercise 4.3: how many steps fit? (easy, 10 minutes)
# Time is proportional to steps, and nearly to (tokens × (a + b tokens)). With everything but the steps fixed, scale a known time to a budget.


# %% tags=["exercise"]
def steps_that_fit(budget: float, known_seconds: float, known_steps: int) -> int:
    """Whole sampler steps that fit `budget` seconds, given one measured time."""
    # BEGIN SOLUTION
    return int(budget // (known_seconds / known_steps))
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Seconds a step first. A step that does not finish does not count.

# %% tags=["check"]
from cinelib.exercises import check, expect_equal

with check("4.3"):
    expect_equal(steps_that_fit(10.0, 4.0, 4), 10, because="4 s for 4 steps is 1 s a step")
    expect_equal(
        steps_that_fit(187.0, 2715.5, 40),
        2,
        because="187 s is 2.75 steps, and a part of a step gives no clip",
    )


# %% tags=["wrong"]
def steps_that_fit(budget, known_seconds, known_steps):
    return round(budget / (known_seconds / known_steps))


# %% [markdown]
# **Claim 12** ("lightweight parallelisation and sequence partitioning accelerate inference") names two techniques: context parallelism and segments. The rule stands before the numbers:
#
# - Each must be *surely* more than 1.1 times as fast as the same cores as threads: by the interval and by the exact p-value, corrected for both. It is refuted when it is surely slower than they are. In between, nothing is said.
# - Each must give the latents of one process. That is counted, not sampled.
# - The control must lie within 1.1 of itself, or this machine cannot give the answer. A machine that is busy with something else cannot either, nor can fewer than 7 rounds.
#
# "Here" means: on these devices. On shared cores both techniques compete with threads for the same silicon; with a card for each process the same cells ask again.

# %%
from cinelib.statistics import Answer, Part, all_of, ask, fact

MARGIN = float(np.log(1.1))


def questions(gains: dict[str, np.ndarray]) -> dict[str, Part]:
    """What claim 12 says of each technique, from its gains round by round."""
    control = Part(np.log(gains["again"]), low=-MARGIN, high=MARGIN, digits=2)
    return {
        mode: Part(np.log(gains[mode]), low=MARGIN, slack=MARGIN, gates=(control,), digits=2)
        for mode in ("segments", "context")
    }


def claim(answers: dict[str, Answer], equal: bool, quiet: bool) -> Answer:
    """Claim 12 from its parts; a machine with other work answers nothing."""
    known = all_of(fact(equal), *answers.values())
    return known if quiet or not equal else Answer.UNKNOWN


# %%
from cinelib.claims.source import read_claims
from cinelib.statistics import not_measured, verdict

quiet = max(others, busy_share()) < 0.25
needs_card = not_measured("Wan2.1 I2V-14B on an A100-80GB")
conflicts = {row.number: row.conflict for row in read_claims()}
claim_12 = {"value": None, "reason": left_out, "verdict": not_measured("a device for each process")}
if outcomes:
    findings = ask(questions({mode: gain(mode) for mode in outcomes if mode != "single"}))
    answers = {mode: finding.answer for mode, finding in findings.items()}
    claim_12 = {
        "value": float(np.median(gain("segments"))),
        "n": rounds,
        "unit": "x, segments against threads",
    }
    claim_12["verdict"] = verdict(claim(answers, exact == 0, quiet))
    claim_12 |= {f"answer, {mode}": str(answer) for mode, answer in answers.items()}
print(f"claim 12: {claim_12['verdict']}; largest difference between processes: {exact}; quiet: {quiet}")
claim_12

# %%
stage.save_metrics(
    {
        "claim_09": {"value": at_full, "unit": "steps of 81 frames at 720p in 187 s, by Wan's table"}
        | {"remark": conflicts[9], "verdict": needs_card},
        "claim_10": {"value": None, "reason": conflicts[10], "verdict": needs_card},
        "claim_12": claim_12,
        "context_parallel_max_difference": {"value": exact, "reason": left_out},
        "others_busy": {"value": others, "unit": "share of cores", "conditions": conditions()},
    }
)
for mode, finding in findings.items() if outcomes else ():
    stage.save_metrics({f"log gain[{mode}]": finding.as_metric()})
for row in table:
    ratio = {"value": row["speed-up"], "interval": [row["lowest"], row["highest"]], "unit": "x"}
    entry = {**ratio, "n": len(scenes), "drift": row[distance.name]}
    stage.save_metrics({f"speedup[{row['setting']}]": entry})

# %% [markdown]
# ## Questions
#
# Answer before you unfold.

# %% [markdown] tags=["quiz"]
# **1.** A step cache reports "1.0x faster, no loss of quality". What do you check first?
#
# ---
#
# Whether it hooked anything. A cache whose patterns match no module is a perfect imitation of the plain sampler. Count evaluations, or at least hooks.

# %% [markdown] tags=["quiz"]
# **2.** Why does the first-block cache compare with the last *computed* step and not with the step before?
#
# ---
#
# Small changes in one direction add up. Compared with the neighbour each looks harmless, and the cache would drift away for ever without noticing.

# %% [markdown] tags=["quiz"]
# **3.** Why is the judge a sampler with twice the steps instead of the plain one?
#
# ---
#
# The plain sampler would be perfect by definition, and a shortcut that happens to land nearer to the true solution would be punished. All settings, the plain one included, should face the same better approximation.

# %% [markdown] tags=["quiz"]
# **4.** Ulysses splits tokens, yet attention needs all of them. What is traded, and what must divide?
#
# ---
#
# Before attention the processes trade so that each holds all tokens of some heads; after it they trade back. Heads and tokens must be divisible by the number of processes.

# %% [markdown] tags=["quiz"]
# **5.** When are the segments of a long film *not* independent?
#
# ---
#
# When a segment starts from the last frame that the one before *generated* (chaining). Here both ends are keyframes that exist before any segment is sampled.

# %%
stage.close()

# %% [markdown]
# ## Limitations
#
# - A handful of scenes and one seed each: enough to time, not enough to rank settings that lie close together. Three rounds of a speed-up show its range, no interval, and no verdict rests on them.
# - Without `alexnet` the distance is a stand-in on ImageNet features (its name says so), not LPIPS; at 64 × 112 it sees broad changes best.
# - Cache savings depend on model, steps and shift. A threshold that suits the classroom model says nothing about the 14B one: rerun this notebook there.
# - CPU processes share one machine's cores and memory bandwidth. Only the equality of results carries over to GPUs; speed does not.
# - Not covered: quantised weights, faster attention kernels, distilled few-step models, compiled graphs.
#
# **Next:** [05 Evaluation](05_evaluation.ipynb): is the film's model better than the base model, by how much, with what certainty?
#
# ## Links
#
# - [First Block Cache in ParaAttention](https://github.com/chengzeyi/ParaAttention)
# - [TaylorSeer](https://arxiv.org/abs/2503.06923)
# - [TeaCache](https://arxiv.org/abs/2411.19108)
# - [DeepSpeed Ulysses](https://arxiv.org/abs/2309.14509)
# - [Wan2.1, with the table of times](https://github.com/Wan-Video/Wan2.1)
