# %% [markdown]
# # 00 Start here
#
# **Can this machine run the workbook, at which profile, and how long will it take? And what does the source claim?**
#
# The workbook takes one method apart and runs it. An open image-to-video model (Wan2.1 I2V) learns the look of a film from
# about 40 short clips. Keyframes in that look become sequences. Sampling is made faster. Each gain is measured.
# The method comes from a text that a machine wrote about other papers, with 18 claims. It says so itself, and it does not
# always agree with itself. You need not believe it: we try it.
#
# After this notebook you can
# - say how many latents and tokens a clip becomes, and what a clip costs in floating-point operations,
# - read off whether a published time is possible on a given card,
# - choose a profile for your machine.
#
# | profile | time | memory | what it needs |
# |---|---|---|---|
# | smoke | about 20 s | 1.5 GB | nothing |
# | nano | about 20 s | 1.5 GB | nothing |
# | a100 | about 20 s | 1.5 GB | nothing yet: this notebook only reads configs |
#
# **Inputs:** the model's configs, `data/claims.csv`. **Outputs:** `figures/signature.png`, `metrics.json`.

# %% tags=["parameters"]
profile: str = "nano"  # name of the profile whose values fill untouched parameters
seed: int = 0  # seed of every random choice in this stage
height: int = 64  # pixels, a multiple of 16
width: int = 112  # pixels, a multiple of 16
num_frames: int = 17  # frames of one generated clip, 4k+1
fps: int = 16  # frames per second that the model was trained at
model: str = "data/nano-wan"  # diffusers folder or hub id

# %%
from cinelib.claims.parameters import StartHere
from cinelib.parameters import from_notebook
from cinelib.runs.stage import open_stage

params = from_notebook(StartHere, globals())
stage = open_stage(params)
params

# %%
import platform

import psutil
import torch

import cinelib

device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {psutil.cpu_count()} cores"
print(f"cinelib {cinelib.__version__}, Python {platform.python_version()}, torch {torch.__version__}")
print(f"device: {device}; memory: {psutil.virtual_memory().total / 2**30:.0f} GiB; profile: {params.profile}")

# %% [markdown]
# ## Can this machine run it?
#
# `cinelib doctor` looks at what a run at this profile needs and says how to mend what is missing. The same checks:

# %%
from cinelib.runs.doctor import examine
from cinelib.runs.workbook import Workbook

checks = examine(Workbook(stage.root), params.profile)
for item in checks:
    print(f"[OK] {item.name}: {item.found}" if item.ok else f"[FAIL] {item.name}: {item.found}; {item.fix}")
ready = "ready" if all(item.ok for item in checks) else "not ready; mend the lines above"
print(f"\nprofile {params.profile}: {ready}")

# %% [markdown]
# ## The map
#
# Each notebook is one stage. Arrows are files: a stage reads what earlier ones wrote, beside what ships under `data/`, and nothing else.
#
# ```mermaid
# flowchart LR
#   raw[raw footage] --> p01[01 data preparation]
#   p01 -- captioned clips --> p02[02 style stage]
#   p02 -- LoRA --> p03[03 motion stage]
#   p02 --> p04[04 acceleration]
#   p03 -- sequences --> p04
#   p01 --> p05[05 evaluation]
#   p02 --> p05
#   p03 --> p05
#   p01 --> p10[10 metrics taken apart]
# ```
#
# | notebook | the question it answers |
# |---|---|
# | 01 data preparation | how does raw footage become 40 captioned clips? |
# | 02 style stage | how does a rank-8 LoRA in cross-attention learn a film's look? |
# | 03 motion stage | how do styled keyframes become a coherent sequence? |
# | 04 inference acceleration | what does each speed-up cost in quality? |
# | 05 evaluation | is it better than the base model, by how much, with what certainty? |
# | 09 classroom model | appendix: where does the small model come from, and how far can it be trusted? It needs no other stage. |
# | 10 metrics taken apart | appendix: what does each metric see, and what is it blind to? |
#
# `make run` executes all of them and ends with the path of a report. In JupyterLab, *Run All* does the same for one notebook.

# %% [markdown]
# ## The method as a picture
#
# A video model never sees your video. An autoencoder (the *VAE*) packs each 8 × 8 square of pixels, over four
# frames, into one point with 16 numbers: the *latents*. A transformer reads the latents as a sequence of *tokens* and removes noise
# from them, step by step, looking at the caption and at the first frame all the while. The decoder turns the result back into pixels.
#
# The classroom model and the 14-billion-weight model are the same classes with other numbers. Compare the two rows.

# %%
from cinelib.wan import layers
from cinelib.wan.geometry import WAN_14B, Geometry, read_configs

clip = Geometry(read_configs(params.model), params.height, params.width, params.num_frames)
film = Geometry(WAN_14B, height=720, width=1280, num_frames=81)

assert clip.latents[1] == (params.num_frames - 1) // 4 + 1  # the first frame is packed alone
assert clip.tokens * 4 == clip.latents[1] * clip.latents[2] * clip.latents[3]  # patches of 1 x 2 x 2
assert layers.count("transformer", WAN_14B["transformer"]) == 16_394_878_784  # the published count

# %% tags=["draws"]
from cinelib import show

still = sorted((stage.root / "data/storyboard").glob("*.jpg"))[0]  # a scene that no model here was trained on
figure = show.pipeline(
    {
        f"this profile ({params.profile}): {params.num_frames} frames of {params.height} × {params.width}": clip,
        "Wan2.1 I2V-14B: 81 frames of 720 × 1280": film,
    },
    first_frame=still,
    title="From one frame to a clip: every array and its shape",
)
stage.save_figure(figure, "signature")
figure

# %% [markdown]
# The height of a block is the *logarithm* of how many numbers it holds. Two things to notice: the clip is made from far fewer numbers
# than it has (the latents are the bottleneck), and at 720p the *tokens* are the largest array of all: 75,600 of them, each of 5,120 numbers. Every token
# looks at every other one in every layer. That square is what inference time is made of.

# %% [markdown]
# ### Exercise 0.1: from frames to tokens (easy, 5 minutes)
# The VAE packs the first frame alone and then every four frames into one; it divides height and width by 8. The
# transformer cuts patches of 1 × 2 × 2. How many tokens is a clip?


# %% tags=["exercise"]
def video_tokens(num_frames: int, height: int, width: int) -> int:
    """Tokens of a clip; num_frames is 4k+1, height and width are multiples of 16."""
    # BEGIN SOLUTION
    latent_frames = (num_frames - 1) // 4 + 1
    return latent_frames * (height // 8 // 2) * (width // 8 // 2)
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Count the latent frames first: 1 frame gives 1, 5 frames give 2, 9 frames give 3.

# %% tags=["check"]
from cinelib.exercises import check, expect_equal

with check("0.1"):
    expect_equal(
        video_tokens(1, 16, 16), 1, because="one frame of 16 x 16 pixels is exactly one patch", what="a still"
    )
    expect_equal(
        video_tokens(17, 64, 112),
        140,
        because="the first frame has a latent frame of its own: 17 frames give 5",
    )
    expect_equal(video_tokens(81, 720, 1280), 75_600, because="81 frames give 21 latent frames")


# %% tags=["wrong"]
def video_tokens(num_frames, height, width):
    return max(1, num_frames // 4) * (height // 16) * (width // 16)


# %% [markdown]
# ## How long does a clip take?
#
# Count operations instead of guessing. In each layer a token of width $d$ passes $6d^2 + 2df$ weights (two per weight: multiply and add) and
# compares itself with all $n$ others ($4dn$). So one pass costs
#
# $$L\,n\,\bigl(2(6d^2 + 2df) + 4d\,n\bigr),$$
#
# and a sampler with guidance makes two passes a step. Divide by what a processor does in a second: that is the shortest time possible.

# %%
import time


def matmul_rate(size: int = 1024, seconds: float = 0.5) -> float:
    """Floating-point operations per second of this machine's matrix product in float32."""
    a, b = torch.randn(2, size, size, device="cuda" if torch.cuda.is_available() else "cpu")
    (a @ b).sum().item()  # warm-up
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        (a @ b).sum().item()  # .item() waits for the device
        count += 1
    return count * 2 * size**3 / (time.perf_counter() - start)


rate = matmul_rate()
stage.save_metrics(
    {"matmul_rate": {"value": rate, "unit": "FLOP/s"}, "tokens": clip.tokens, "flops_per_pass": clip.flops()}
)
print(f"this machine multiplies matrices at {rate / 1e9:,.0f} GFLOP/s")

# %%
from cinelib.motion.parameters import MotionStage
from cinelib.parameters import resolve

steps = resolve(MotionStage, params.profile, {}).num_inference_steps
for name, shape, count in [("this profile", clip, steps), ("Wan2.1 I2V-14B, 720p, 81 frames", film, 40)]:
    operations = shape.sampling_flops(count)
    print(
        f"{name}: {count} guided steps, {operations:.3g} operations, here at least {operations / rate:,.1f} s"
    )
days = film.sampling_flops(40) / rate / 86_400
print(f"So one 5-second 720p clip would keep this machine busy for {days:,.2f} days at least.")

# %% [markdown]
# On a laptop that is weeks or months. Hence the classroom model, whose clips take about a second.
#
# ### And the whole workbook?
#
# Somebody ran it before you. `data/reference.json` holds the times of that run and how fast its machine multiplied matrices. Scaled by
# the two rates they give a first guess for yours, no more: decoding, drawing and importing do not follow matrix products. And a stage 02 that finds its latents
# and checkpoints from before takes a minute, from nothing three to four.

# %%
import pandas as pd
from IPython.display import display

from cinelib.files import read_json

index = read_json(stage.root / "data/reference.json")
if index is None:
    print("no reference run has been committed yet")
else:
    machine, stages = index["machine"], pd.DataFrame(index["stages"]).T
    seconds = stages["seconds"].astype(float)
    columns = {
        "seconds there": seconds.round().astype(int),
        "guess for here": (seconds * index["matmul_rate"] / rate).round().astype(int),
        "peak memory, GiB": (stages["peak_rss_bytes"].astype(float) / 2**30).round(1),
    }
    print(f"reference: profile {index['profile']} on {machine['processor']}, {machine['cores']} cores")
    display(pd.DataFrame(columns))

# %% [markdown]
# ## The source's 18 claims
#
# The source checked its own claims by retrieval and gave each a confidence between 0 and 1. It calls four verified. Its *highest* confidence is 0.22.
#
# Two rows point to notebooks that are still to come, 07 and 08: claims 14 and 18 are open.

# %%
from cinelib.claims.source import read_claims

claims = read_claims()
table = pd.DataFrame(
    {
        "claim": [claim.text for claim in claims],
        "its own check": ["verified" if claim.source_verified else "not verified" for claim in claims],
        "confidence": [claim.source_confidence for claim in claims],
        "notebook": [claim.notebook for claim in claims],
        "what the workbook does": [claim.here for claim in claims],
    },
    index=[claim.number for claim in claims],
)
verified = sum(claim.source_verified for claim in claims)
assert (len(claims), verified) == (18, 4)  # as the source's abstract says
display(
    table.style.format({"confidence": "{:.2f}"}).set_properties(
        **{"text-align": "left", "vertical-align": "top"}
    )
)

# %% [markdown]
# ## Where the source contradicts itself
#
# **Claim 4**: "the effective batch size is 2, calculated as 1 video multiplied by a gradient accumulation of 4". Gradients of four videos
# are averaged before one update, so the effective batch is 1 × 4 = 4. Either number could be the true one; notebook 02 makes it a parameter.
#
# **Claim 7**: "PyTorch combined with DeepSpeed (FSDP)". DeepSpeed ZeRO and PyTorch FSDP are two engines for the same idea (each card holds a
# share of the weights). A run uses one of them.
#
# **Claim 10**: "a 1.0× speedup compared to the baseline". Time of the baseline over time of the method, and the answer is 1: that row *is* the baseline.

# %% [markdown]
# ### Exercise 0.2: the effective batch (easy, 3 minutes)
# How many videos contribute to one update of the weights?


# %% tags=["exercise"]
def effective_batch(videos_per_device: int, gradient_accumulation_steps: int, devices: int = 1) -> int:
    """Videos whose gradients are averaged in one optimiser step."""
    # BEGIN SOLUTION
    return videos_per_device * gradient_accumulation_steps * devices
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Accumulation repeats the forward and backward pass before the optimiser moves; more devices do the same side by side.

# %% tags=["check"]
from cinelib.exercises import check, expect_equal

with check("0.2"):
    expect_equal(effective_batch(1, 1), 1, because="one video, one pass, one device")
    expect_equal(
        effective_batch(1, 4), 4, because="each of the 4 accumulation steps adds a video before the update"
    )
    expect_equal(effective_batch(2, 3, devices=8), 48, because="every device contributes its own videos")


# %% tags=["wrong"]
def effective_batch(videos_per_device, gradient_accumulation_steps, devices=1):
    return videos_per_device * devices * max(1, gradient_accumulation_steps // 2)


# %% [markdown]
# ### Claim 9: 187 seconds on one A100
#
# The claim does not say what was timed ("configuration time"). Suppose it is the time of one clip. Wan's authors publish 2,715.5 s for
# 81 frames at 720p in 40 guided steps on one A100-80GB. The card's peak is 312 TFLOP/s (bfloat16, dense), which sets a floor that no implementation can beat
# without doing less work.

# %% tags=["context"]
from pathlib import Path

import yaml

A100_PEAK = 312e12  # FLOP/s, bfloat16, dense: NVIDIA's data sheet
published = yaml.safe_load(Path("data/published.yaml").read_text("utf-8"))
WAN_TABLE = published["wan_seconds"]["A100-80GB"]  # GPUs -> seconds; 720p, 81 frames, 40 steps

# %%
floor = film.sampling_flops(40) / A100_PEAK
utilisation = floor / WAN_TABLE[1]
print(
    f"floor at the card's peak: {floor:,.0f} s; Wan's table: {WAN_TABLE[1]:,.1f} s ({utilisation:.0%} of the peak)"
)
print(
    f"187 s would need {film.sampling_flops(40) / 187 / 1e12:,.0f} TFLOP/s, {floor / 187:.1f} times the peak"
)
assert floor > 187, "then the claim would be possible"

# %%
import dataclasses

frames = list(range(5, 82, 4))
settings = {
    "720p, 40 steps": (720, 1280, 40),
    "480p, 40 steps": (480, 832, 40),
    "480p, 20 steps": (480, 832, 20),
}
times = {}
for name, (tall, wide, count) in settings.items():
    shapes = [dataclasses.replace(film, height=tall, width=wide, num_frames=n) for n in frames]
    times[name] = [shape.sampling_flops(count) / A100_PEAK / utilisation for shape in shapes]
    fitting = [n for n, seconds in zip(frames, times[name], strict=True) if seconds <= 187]
    print(f"{name}: 187 s is enough for {max(fitting, default=0)} frames")
chart = show.curves(
    {**{name: (frames, values) for name, values in times.items()}, "claim 9: 187 s": ([5, 81], [187, 187])},
    xlabel="frames",
    ylabel="seconds on one A100",
    title="What fits 187 s (at the utilisation of Wan's table)",
    log=True,
)
chart

# %% [markdown]
# So the number is possible for *some* setting, only not for a five-second 720p clip in the usual 40 steps. A number without its conditions is no result; every time in
# this workbook comes with size, frames, steps, device and the file that it was recorded in.

# %% [markdown]
# ### Exercise 0.3: how well do more cards help? (medium, 5 minutes)
# Claim 10 reports a speed-up of 1.0. Wan's table has the whole curve. Speed-up is the time of one card over the time of $n$ cards;
# efficiency is the speed-up divided by $n$.


# %% tags=["exercise"]
def scaling(times: dict[int, float]) -> dict[int, tuple[float, float]]:
    """Number of cards -> (speed-up over one card, efficiency)."""
    # BEGIN SOLUTION
    return {cards: (times[1] / seconds, times[1] / seconds / cards) for cards, seconds in times.items()}
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Perfect scaling has the efficiency 1. The baseline, one card, has the speed-up 1 by definition.

# %% tags=["check"]
from cinelib.exercises import check, expect_close

with check("0.3"):
    found = scaling(WAN_TABLE)
    expect_close(found[1], (1.0, 1.0), because="one card compared with itself", what="one card")
    expect_close(
        found[8][0],
        6.968,
        rtol=1e-3,
        because="speed-up is old time over new time, not the reverse",
        what="8 cards' speed-up",
    )
    expect_close(
        found[8][1],
        0.871,
        rtol=1e-3,
        because="efficiency divides the speed-up by the number of cards",
        what="8 cards' efficiency",
    )


# %% tags=["wrong"]
def scaling(times):
    return {cards: (seconds / times[1], seconds / times[1] / cards) for cards, seconds in times.items()}


# %% [markdown]
# ## Questions

# %% [markdown] tags=["quiz"]
# **1.** Why must the number of frames be 4k + 1?
#
# ---
# The VAE packs the first frame alone, then four frames at a time. So 1 + 4k frames give 1 + k latent frames with nothing left over.

# %% [markdown] tags=["quiz"]
# **2.** Twice the frames, four times the time? Or twice?
#
# ---
# In between. The weights' part of the cost grows with the number of tokens, the attention's part with its square. At 720p attention is already the larger part, so it is
# nearer to four.

# %% [markdown] tags=["quiz"]
# **3.** The source calls four of its claims verified. What does that tell you?
#
# ---
# That a retrieval step found text which resembles them, with a confidence of at most 0.22. Nobody ran anything. A claim is supported here only when a run's manifest supports it.

# %% [markdown] tags=["quiz"]
# **4.** Could a better implementation generate 81 frames at 720p in 40 steps in 187 s on one A100?
#
# ---
# Not with the same work: the card's peak alone forbids it. With less work, perhaps: fewer steps, skipped computations (caches), lower precision than bfloat16, or more cards. Each changes
# either the result or the conditions, and then both must be reported. Notebook 04 does.

# %% [markdown] tags=["quiz"]
# **5.** What do you learn from the classroom model about the 14-billion-weight one, and what not?
#
# ---
# The code path, the shapes, the order of magnitude of costs, the pitfalls: yes, they are the same classes. How good the pictures are, or how much a LoRA of some rank changes them: no. Those numbers
# belong to the model that they were measured on.

# %%
stage.close()

# %% [markdown]
# ## Limitations
# - The operations are counted from the config and leave out text and image projections, the VAE and the text encoder. At 720p that is a few per cent; at classroom size it is more.
# - The machine's rate is measured with one matrix product in float32 for half a second. Real layers reach less.
# - Times for A100s are Wan's published ones or derived from them. Nothing in this notebook was measured on an A100.
#
# **Next:** [01 data preparation](01_data_preparation.ipynb), where raw footage becomes captioned clips.
#
# ## Links
# - [Wan2.1: report, code and the table of times](https://github.com/Wan-Video/Wan2.1)
# - [The model in diffusers](https://huggingface.co/docs/diffusers/api/pipelines/wan)
# - [LoRA: Low-Rank Adaptation of Large Language Models](https://arxiv.org/abs/2106.09685)
