# %% [markdown]
# # 04 Inference acceleration
#
# **What does each speed-up cost in quality?**
#
# Sampling is slow because the transformer runs twice in every step. There are three honest ways out: run it less often (fewer steps, step caches), run it on
# more devices at once (context parallelism), or run independent pieces side by side (the segments of notebook 03). This notebook measures each, on the same clips, against the same
# yardstick, and asks each shortcut the rude question: would simply taking fewer steps have done as well?
#
# After this notebook you can
# - write a sampler and a step cache's decision by hand, and see which blocks a cache really skipped,
# - measure a speed-up so that another person gets the same number,
# - split one clip over processes and prove that nothing changed,
# - check a published time against a table and a cost model.
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
parallel_steps: int = 4  # sampler steps of the runs with several processes
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
# The last line is part of every number below. A time without its device, threads, versions and load is a rumour.
#
# ## 1. Where the time goes
#
# We sample what the film needs: the LoRA of notebook 02, storyboard scenes, prompts that open with the film's trigger phrase. Text, image and first frame are encoded once, before any clock starts.

# %%
from textwrap import fill, shorten

import torch
from IPython.display import display

from cinelib import show
from cinelib.preparation.storyboard import open_still, read_storyboard
from cinelib.wan import conditioning, pipeline
from cinelib.wan.sampling import generator

lora = stage.upstream("02_style_stage") / "lora"
pipe = pipeline.load_pipeline(params.model, flow_shift=params.flow_shift)
pipe.load_lora_weights(lora)
scenes = read_storyboard(params.storyboard)
scenes = scenes[:: max(1, len(scenes) // params.max_scenes)][: params.max_scenes]  # both worlds
trigger = f"{params.trigger}, " if params.trigger else ""
stills = [open_still(scene.stills[0], params.height, params.width) for scene in scenes]
display(show.contact_sheet(stills, [fill(scene.text, 48) for scene in scenes], tile=2.4))

# %%
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """All that the sampler needs for one clip: noise and conditions, on the model's device."""

    noise: torch.Tensor  # (1, 16, t, h, w)
    condition: torch.Tensor  # (1, 20, t, h, w): mask and first frame
    text: torch.Tensor  # (1, 512, D)
    no_text: torch.Tensor  # (1, 512, D): the empty prompt
    image: torch.Tensor  # (1, N, D)


def prepare(scene, still) -> Problem:
    dtype, device = pipe.transformer.dtype, pipe.transformer.device
    pixels = pipeline.to_pixels(np.asarray(still)[None])[:, :, 0].to(device)  # (1, 3, H, W)
    condition = conditioning.condition(pipe.vae, pixels, params.num_frames)
    shape = (1, 16, *condition.shape[2:])
    noise = torch.randn(shape, generator=generator(params.seed, scene.name)).to(device)
    text = pipeline.encode_text(pipe, [trigger + scene.text, ""])
    image = pipeline.encode_image(pipe, [still])
    return Problem(noise, condition.to(dtype), text[:1].to(dtype), text[1:].to(dtype), image.to(dtype))


# %%
import numpy as np

problems = [prepare(scene, still) for scene, still in zip(scenes, stills, strict=True)]
problems[0].noise.shape, problems[0].condition.shape, problems[0].image.shape

# %% [markdown]
# The whole sampler fits in a cell. Each step asks the transformer twice, with the caption (*cond*) and without (*uncond*), and walks along the guided
# velocity. Remember the two calls: everything that follows is about making fewer of them, or making them cheaper.


# %%
@torch.no_grad()
def sampler(problem: Problem, steps: int) -> torch.Tensor:
    """Latents (1, 16, t, h, w) after `steps` guided steps."""
    transformer, scheduler = pipe.transformer, pipe.scheduler
    scheduler.set_timesteps(steps, device=problem.noise.device)
    latents = problem.noise
    for t in scheduler.timesteps:
        model_input = torch.cat([latents.to(problem.condition), problem.condition], dim=1)  # (1, 36, t, h, w)
        velocity = {}
        for branch, text in (("cond", problem.text), ("uncond", problem.no_text)):
            with transformer.cache_context(branch):  # a cache remembers the two branches apart
                velocity[branch] = transformer(
                    model_input, t.expand(1), text, problem.image, return_dict=False
                )[0]
        guided = velocity["uncond"] + params.guidance_scale * (velocity["cond"] - velocity["uncond"])
        latents = scheduler.step(guided, t, latents, return_dict=False)[0]
    pipe.maybe_free_model_hooks()  # ends the clip: caches forget it
    return latents


# %% [markdown]
# Is it *the* sampler? The pipeline of diffusers must give the same latents, bit by bit.

# %%
reference = pipe(
    image=stills[0],
    prompt=trigger + scenes[0].text,
    negative_prompt="",
    height=params.height,
    width=params.width,
    num_frames=params.num_frames,
    num_inference_steps=2,
    guidance_scale=params.guidance_scale,
    generator=generator(params.seed, scenes[0].name),
    output_type="latent",
).frames
ours = sampler(problems[0], 2)
difference = float((ours - reference).abs().max())
print(f"largest difference to WanImageToVideoPipeline after 2 steps: {difference}")
assert difference == 0, "this cell times another sampler than the one you use"

# %% [markdown]
# ## 2. How much does a step change?
#
# A step cache bets that neighbouring steps compute nearly the same thing. Look before betting: let a hook record what the *first* transformer block adds to its input in every step, and how much that differs
# from the step before, relative to its size.


# %%
from itertools import pairwise


def first_block_changes(problem: Problem, steps: int) -> np.ndarray:
    """Relative change of the first block's contribution between consecutive steps, caption branch: (steps - 1,)."""
    residuals = []

    def record(module, args, output):
        residuals.append((output - args[0]).float())

    handle = pipe.transformer.blocks[0].register_forward_hook(record)
    try:
        sampler(problem, steps)
    finally:
        handle.remove()
    cond = residuals[::2]  # calls alternate: cond, uncond, cond, ...
    return np.array([float((b - a).abs().mean() / a.abs().mean()) for a, b in pairwise(cond)])


# %%
changes = {
    scene.name: first_block_changes(problem, params.num_inference_steps)
    for scene, problem in zip(scenes, problems, strict=True)
}
steps_axis = list(range(2, params.num_inference_steps + 1))
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
# Where a curve lies below a threshold, a cache with that threshold keeps the old result of all other blocks. The *first-block cache* does just this: run block 1, compare, and either run the rest or add what the rest added last time.
#
# ### Exercise 4.1: when may a cache skip? (medium, 10 minutes)
# The comparison is with the last step that was really *computed*, not with the step before. Otherwise many small changes add up unseen. Given the first block's contribution in every step, say which
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
# diffusers ships step caches behind `enable_cache`. Two things go wrong with them in practice. A cache whose patterns match no module of the model does nothing, silently, and gets reported
# as "1.0x, no loss of quality". And a cache that acts is credited with savings nobody counted. `step_cache` refuses the first and counts every block evaluation for the second.

# %%
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig

from cinelib.acceleration.step_cache import WAN_TAYLORSEER_MODULES, NoEffect, step_cache

try:
    with step_cache(pipe.transformer, TaylorSeerCacheConfig()):
        raise AssertionError("diffusers' defaults now match Wan: drop WAN_TAYLORSEER_MODULES")
except NoEffect as refusal:
    print("refused:", refusal)

# %% [markdown]
# Before the race, the invariant: a first-block cache with threshold 0 never skips, so it must equal the plain sampler exactly. If this fails, the hooks themselves change the result, and no number below means anything.

# %%
with step_cache(pipe.transformer, FirstBlockCacheConfig(threshold=0.0)) as ledger:
    cached = sampler(problems[0], 2)
largest = float((cached - ours).abs().max())
print(f"threshold 0: {ledger.skipped} of {ledger.blocks * len(ledger.calls)} evaluations skipped,", end=" ")
print(f"largest difference {largest}")
assert largest == 0 and ledger.skipped == 0

# %% [markdown]
# The competitors. *Fewer steps* is the naive one, and the one to beat. *First-block cache* skips when little changes. *TaylorSeer* predicts attention and feed-forward outputs by a first-order Taylor expansion in
# the steps between, on a fixed schedule.

# %%
full = params.num_inference_steps
taylorseer = TaylorSeerCacheConfig(
    cache_interval=params.taylorseer_interval,
    disable_cache_before_step=min(3, full - 1),
    max_order=1,
    taylor_factors_dtype=torch.float32,
    cache_identifiers=WAN_TAYLORSEER_MODULES,
)
settings = {f"plain, {full} steps": (full, None)}
settings |= {f"{count} steps": (count, None) for count in sorted(params.fewer_steps, reverse=True)}
settings |= {f"first-block {t:g}": (full, FirstBlockCacheConfig(threshold=t)) for t in params.thresholds}
settings |= {f"TaylorSeer /{params.taylorseer_interval}": (full, taylorseer)}
baseline = next(iter(settings))
list(settings)

# %% [markdown]
# ## 4. Measuring time so that it means something
#
# Three rules. *Warm up*: the first run of anything pays for memory and kernels. *Interleave*: machines drift, so every setting runs once in every round, in a rotating order, and a speed-up is the ratio within a round. *State
# the conditions*. Here a round is one scene, and the clock covers the sampler's loop alone.


# %%
from cinelib.acceleration.timing import interleaved

ledgers = {name: [] for name in settings}


def timed(name: str):
    steps, cache = settings[name]

    def run(number: int) -> torch.Tensor:
        with step_cache(pipe.transformer, cache) as ledger:
            latents = sampler(problems[number], steps)
        ledgers[name].append(ledger.per_call() / ledger.blocks)  # share of blocks that ran, a call each
        return latents

    return run


sampler(problems[0], 2)  # warm-up
timings, latents = interleaved({name: timed(name) for name in settings}, rounds=len(problems), warmup=0)
assert all(share.min() == 1 for share in ledgers[baseline]), "the baseline skipped something"
for name, timing in timings.items():
    ratio, low, high = timing.speedup(timings[baseline])
    stage.log(f"{name:16s} {timing.median:7.2f} s a clip, {ratio:.2f}x (rounds {low:.2f} to {high:.2f})")
print(conditions())

# %% [markdown]
# And what did the caches skip? One row a setting, one column a step; dark means that all blocks ran.

# %%
rows = {name: np.mean([run[::2] for run in runs], axis=0) for name, runs in ledgers.items()}
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
# How good is a shortcut? Comparing it with the plain sampler at 12 steps would be unfair: those 12 steps are an approximation too, and would score perfectly by definition. So the judge is a sampler with *twice* the steps, at the
# same noise, and the plain sampler has to face it as well. Two questions: how far does the picture drift (perceptual distance, frame by frame), and does the *motion* survive?

# %%
from cinelib.metrics.motion import motion_retention, motion_score
from cinelib.metrics.perceptual import LPIPS, FeatureDistance


def decode(value: torch.Tensor) -> np.ndarray:
    return pipeline.to_frames(pipeline.decode_video(pipe.vae, value))  # (T, H, W, 3) uint8


judge = [decode(sampler(problem, 2 * full)) for problem in problems]
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
table = []
for name, found in clips.items():
    motions = [motion_score(clip, params.fps) for clip in found]
    ratio, low, high = timings[name].speedup(timings[baseline])
    table.append(
        {
            "setting": name,
            "seconds": timings[name].median,
            "speed-up": ratio,
            "lowest": low,
            "highest": high,
            "blocks skipped": 1 - float(np.mean(np.concatenate(ledgers[name]))),
            distance.name: float(drift[name].mean()),
            "motion kept": motion_retention(np.array([m.mean_speed for m in motions]), judge_speed),
            "MotionScore": float(np.mean([m.score for m in motions])),
        }
    )
frontier = pd.DataFrame(table)
frontier.to_csv(stage.folder / "frontier.csv", index=False)
frontier.style.format(precision=3).hide()

# %% [markdown]
# *motion kept* is the mean ratio of speed to the judge's clip: 1 is all of it. A shortcut may leave each frame pretty and freeze the film. That is why no perceptual number stands alone here.

# %%
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
best_cache = min(
    (name for name, (_, cache) in settings.items() if cache is not None),
    key=lambda name: timings[name].median,
)
display(
    show.before_after(
        [judge[0], clips[baseline][0], clips[best_cache][0]],
        [f"{2 * full} steps", baseline, best_cache],
        title=shorten(f"Same noise, three samplers: {scenes[0].text}", 88, placeholder=" …"),
    )
)

# %% [markdown]
# Does any cache beat simply taking fewer steps? Ask the numbers: for each cache, the fewer-steps setting that is at least as fast, and whether its drift is larger.

# %%
naive = frontier[[cache is None for _, cache in settings.values()]]
for row in frontier[[cache is not None for _, cache in settings.values()]].to_dict("records"):
    rivals = naive[naive["speed-up"] >= row["speed-up"]]
    if rivals.empty:
        print(f"{row['setting']}: faster than every step count tried")
        continue
    rival = rivals.loc[rivals[distance.name].idxmin()]
    worth = row[distance.name] < rival[distance.name]
    verdict = "worth it" if worth else "not worth it: take fewer steps"
    print(f"{row['setting']} ({row[distance.name]:.4f}) against {rival['setting']}", end=" ")
    print(f"({rival[distance.name]:.4f}): {verdict}")

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

# %%
from cinelib.acceleration.parallel import Job, Segment, launch

keyframes = sorted((stage.upstream("03_motion_stage") / "keyframes" / "lora").glob("*.png"))
pairs = [(a, b) for a, b in pairwise(keyframes) if a.stem.rsplit("_", 1)[0] == b.stem.rsplit("_", 1)[0]]
texts = {scene.name: scene.text for scene in read_storyboard(params.storyboard)}
segments = tuple(
    Segment(str(a), trigger + texts[a.stem.rsplit("_", 1)[0]], params.seed + k, last_image=str(b))
    for k, (a, b) in enumerate(pairs[: params.processes])
)
job = Job(
    params.model,
    segments,
    params.height,
    params.width,
    params.num_frames,
    params.parallel_steps,
    params.guidance_scale,
    params.flow_shift,
    lora=str(lora),
    rounds=3,
)
print(f"{len(segments)} segments between keyframes: {[a.stem for a, _ in pairs[: params.processes]]}")

# %%
outcomes = launch(job, params.processes)
alone, fair = outcomes["single"], outcomes["threads"]
parallel = []
for mode, outcome in outcomes.items():
    gap = max(float((a - b).abs().max()) for a, b in zip(outcome.latents, alone.latents, strict=True))
    against = np.divide(fair.seconds, outcome.seconds)  # round by round
    parallel.append(
        {"mode": mode, "seconds": np.median(outcome.seconds), "against threads": np.median(against)}
    )
    parallel[-1] |= {"lowest": against.min(), "highest": against.max(), "largest difference": gap}
parallel = pd.DataFrame(parallel).set_index("mode")
exact = float(parallel.loc[["segments", "context"], "largest difference"].max())
assert exact < 1e-3, "processes disagree with one process"
print(
    f"{params.processes} processes, {len(segments)} segments, {job.num_inference_steps} steps, {job.rounds} rounds"
)
parallel.style.format(precision=4)

# %% [markdown]
# - `single` is one process on *one* thread, `threads` one process on as many threads as there are processes: the fair rival on a laptop, which has no second GPU. `segments` and `context` run one thread in each process.
# - What the run *proves* is the last column: the splits change nothing, and even threads differ only in the order of additions.
# - What it *costs* is in the middle. On the same cores context parallelism can only lose, since it adds communication. Segments lose nothing and may gain a little, because two small problems keep two cores busier than one small problem cut in two. What either gains on real cards is in
#   the next table.

# %% [markdown]
# ## 7. What is published for the 14B model
#
# **Not measured here:** the table that Wan's authors publish for I2V-14B, 81 frames of 720 × 1280, 40 steps, with context parallelism over GPUs (and weights sharded by FSDP). It is the context-parallel curve that the source's claims 9 and 10 stand beside.

# %%
from cinelib.acceleration.timing import WAN_PUBLISHED_PEAK_GB, WAN_PUBLISHED_SECONDS

published = pd.DataFrame(
    [
        {
            "card": card,
            "GPUs": count,
            "seconds": seconds,
            "speed-up": WAN_PUBLISHED_SECONDS[card, 1] / seconds,
            "efficiency": WAN_PUBLISHED_SECONDS[card, 1] / seconds / count,
            "peak GB a GPU": WAN_PUBLISHED_PEAK_GB[count],
        }
        for (card, count), seconds in WAN_PUBLISHED_SECONDS.items()
    ]
)
published.style.format(precision=2).hide().set_caption("published by Wan's authors, not measured here")

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
# **Claim 9:** "187 seconds on a single A100-80GB", with no frames, size or steps given. Notebook 00 shows that 81 frames at 720p in 40 steps cannot be it. Which setting *could* be? Fix the speed that Wan's own table implies
# (operations per second achieved on one A100) and ask the cost model for settings that land within 10 % of 187 s.

# %%
from cinelib.wan.geometry import WAN_14B, Geometry

film = Geometry(WAN_14B, 720, 1280, 81)
achieved = film.sampling_flops(40) / WAN_PUBLISHED_SECONDS["A100-80GB", 1]
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
# So 187 s is the time of a shorter or smaller clip (or of a handful of steps), and says nothing about "720p sequences" until somebody states which. **Claim 10** ("a 1.0x speed-up over the baseline") is the baseline's own row: a ratio of a thing
# to itself. Both leave a useful habit: never print a speed-up without the two settings and their quality.
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
# **Claim 12** ("lightweight parallelisation and sequence partitioning accelerate inference") has two halves. That the partition is *valid* is measured above: equal latents. That it *accelerates* is a matter of having the devices; here the
# verdict is computed from the seconds, for what they are worth on this machine.

# %%
gain, lowest, highest = parallel.loc["segments", ["against threads", "lowest", "highest"]]
trusted = max(others, busy_share()) < 0.25
claim_12 = (
    "holds here"
    if exact == 0 and lowest > 1.1 and trusted
    else "implemented, not measured here (needs several devices and a quiet machine)"
)
claim_09 = "contradicts itself" if at_full < 4 else "implemented, not measured here (needs an A100)"
itself = timings[baseline].speedup(timings[baseline])[0]
claim_10 = "contradicts itself" if itself == 1 else "does not hold here"
stage.save_metrics(
    {
        "claim_09": {"value": at_full, "unit": "steps of 81 frames at 720p in 187 s", "verdict": claim_09},
        "claim_10": {"value": itself, "unit": "x, the baseline against itself", "verdict": claim_10},
        "claim_12": {
            "value": gain,
            "interval": [lowest, highest],
            "n": job.rounds,
            "unit": "x, segments against threads",
            "verdict": claim_12,
        },
        "context_parallel_max_difference": exact,
        "others_busy": {"value": others, "unit": "share of cores", "conditions": conditions()},
    }
)
for row in table:
    ratio, low, high = timings[row["setting"]].speedup(timings[baseline])
    entry = {
        "value": ratio,
        "interval": [low, high],
        "n": len(scenes),
        "unit": "x",
        "drift": row[distance.name],
    }
    stage.save_metrics({f"speedup[{row['setting']}]": entry})
print(f"claim 12: {claim_12}; largest difference between one and {params.processes} processes: {exact}")

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
# - A handful of scenes and one seed each: enough to time, not enough to rank settings that lie close together. The interval of a speed-up is its range over rounds.
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
