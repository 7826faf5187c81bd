# %% [markdown]
# # 09 Appendix: the classroom model
#
# **Where does `data/nano-wan` come from, and how far can it be trusted?**
#
# The course runs on a small image-to-video model with exactly Wan2.1's classes. It was trained here, from nothing, twice. The first one blurred from the middle of a clip on. This notebook says why, what was changed, and what nine minutes of one H100 made of it. Then it asks what the model can do on scenes it never saw, and what it cannot.
#
# After this notebook you can
# - name the parts of a latent video model, and say what each one is trained on,
# - tell what an autoencoder loses from what a denoiser gets wrong,
# - read a held-out loss by noise level and by frame,
# - run the recipe yourself, stop it at any moment, and go on.
#
# | profile | time | memory | trains |
# |---|---|---|---|
# | smoke | about 30 s | 1.5 GB | the smoke recipe: 3 steps of each stage |
# | nano | about 40 s on 2 cores | 2 GB | the smoke recipe; everything else looks at the shipped weights |
# | a100 | as nano | 2 GB | as nano: the appendix has one size |
#
# With `recipe = "nano"` it trains a model of the shipped size on two cores, in hours. The shipped weights came from a faster road, section 7.
#
# **Inputs:** `data/nano-wan`, `data/nano-clip`, `data/nano-viewer`. **Outputs:** `figures/signature.png`, `metrics.json`, `training/` (the recipe's checkpoints).

# %% tags=["parameters"]
profile: str = "nano"  # name of the profile whose values fill untouched parameters
seed: int = 0  # seed of every random choice in this stage
checkpoint: str = "data/nano-wan"  # diffusers folder or hub id
viewer: str = "data/nano-viewer"  # video feature net to compare clips with, empty to leave it out
recipe: str = "smoke"  # smoke trains for seconds, nano trains the shipped size, for hours
device: str = "cpu"  # where the recipe trains, cpu or cuda
scenes: int = 6  # held-out scenes to look at
num_inference_steps: int = 12  # sampler steps
guidance_scale: float = 3.0  # classifier-free guidance

# %%
from cinelib.parameters import from_notebook
from cinelib.runs.stage import open_stage
from cinelib.wan.parameters import ClassroomModel

params = from_notebook(ClassroomModel, globals())
stage = open_stage(params)
params

# %%
import platform

import diffusers
import torch

import cinelib

print(f"cinelib {cinelib.__version__}, Python {platform.python_version()}, torch {torch.__version__}")
print(f"diffusers {diffusers.__version__}; device: {params.device}; profile: {params.profile}")

# %% [markdown]
# ## 1. The parts
#
# A latent video model is four networks in a row. The first three turn a caption, a first frame and a video into numbers; those of a video are called *latents*. The fourth learns to turn noise into latents.
#
# The classes and the wiring are those of Wan2.1 I2V-14B. Only the widths are smaller.

# %%
import pandas as pd
from classroom.architecture import parameters

from cinelib.wan.pipeline import load_pipeline

pipe = load_pipeline(params.checkpoint)
roles = {
    "text_encoder": "caption -> one vector a token",
    "image_encoder": "first frame -> 17 image tokens",
    "vae": "17 frames of 64x112 <-> 5 x 8 x 14 latents of 16 channels",
    "transformer": "noisy latents + first frame + tokens -> velocity",
}
parts = pd.DataFrame(
    {
        "class": [type(getattr(pipe, name)).__name__ for name in roles],
        "millions of weights": [round(parameters(getattr(pipe, name)) / 1e6, 2) for name in roles],
        "what it does": list(roles.values()),
    },
    index=list(roles),
)
parts.style.format(precision=2)

# %% [markdown]
# ## 2. The data: scenes, never the film
#
# The training clips come from the *backlot*, a film set made of code: two worlds, nine camera moves, neutral looks.
#
# The first model saw 6,144 clips, each about 75 times, and knew many of them by heart. Now processes keep rendering while the card trains. 20,272 clips were ready in nine minutes, and the transformer saw 11,040 of them. Each has a mirror image, whose caption swaps left and right. One picture was drawn about 40 times.
#
# The film's look, which notebook 02 teaches, must be new to the model. The scenes that measure it must be new as well. Each scene grows from a seed, and three ranges of seeds keep them apart. The next cell checks that.

# %%
from backlot import DAILIES_SEEDS, EVALUATION_SEEDS
from classroom import scenes as film_set
from classroom.settings import SETTINGS

from cinelib import show

settings = SETTINGS["nano"]
training_seeds = film_set.training_seeds(settings.clips)
assert not set(training_seeds) & {*EVALUATION_SEEDS, *DAILIES_SEEDS}
shape = settings.shape
examples = film_set.render_clips(training_seeds[: params.scenes], shape)
print("\n".join(examples.captions[:3]))
show.contact_sheet(list(examples.frames), columns=6, title=f"the first {params.scenes} training clips")

# %%
held_out = film_set.render_clips(film_set.evaluation_seeds(params.scenes, 630_000), shape)
assert set(film_set.evaluation_seeds(params.scenes, 630_000)) <= set(EVALUATION_SEEDS)
assert held_out.frames.shape == (params.scenes, 17, 64, 112, 3)  # (N, T, H, W, C)

# %% [markdown]
# ## 3. Words and pictures
#
# Two small encoders are trained first and then frozen.
#
# - The **text encoder** learns by naming what a caption says: world, set, light, subject, action, colour, camera.
# - The **image-text model** learns which of 64 captions belongs to a frame. Its image half becomes the image encoder.
#
# The second judges clips in notebook 05 as well, and there it must read a picture in any grade. At first it could not: in the film's grade it found 9 % of the captions, and took the grade for a mistake. So it went on alone, with pictures in random grades (`python -m classroom judge`). Can it do that on scenes it never saw, in a grade it never saw?

# %%
from backlot import FILM_LOOK, apply_look
from classroom.contrast import retrieval
from transformers import CLIPModel, CLIPProcessor

clip, processor = (cls.from_pretrained("data/nano-clip") for cls in (CLIPModel, CLIPProcessor))
first_frames = held_out.frames[:, 0]
parts = clip, processor.tokenizer, processor.image_processor
found = retrieval(*parts, first_frames, held_out.captions)
print(f"own caption found for {found:.0%} of {params.scenes} frames; chance is {1 / params.scenes:.0%}")
filmed = retrieval(*parts, apply_look(first_frames, FILM_LOOK), held_out.captions)
print(f"in the film's grade: {filmed:.0%}")

# %% [markdown]
# ## 4. The autoencoder: what cannot be encoded cannot be generated
#
# The autoencoder packs pixels into latents and unpacks them again. Two choices made its first training affordable on a CPU. The card went on from there.
#
# - It saw **single frames first**, and clips later. One frame instead of 17, and kernels of 3x3 instead of 3x3x3, make a step cost a fiftieth.
# - Its encoder **started from principal components**. Strided convolutions are set so that, before the first step, the latents already are the best linear summary of 8x8 blocks.
#
# Training runs a whole clip at once. The library walks it four frames at a time with a cache. Both must agree:

# %%
from classroom import autoencoder
from classroom.encoding import to_pixels

pixels = to_pixels(held_out.frames[:2])  # (B, C, T, H, W), -1..1
with torch.no_grad():
    whole = autoencoder.encode(pipe.vae, pixels)  # (B, 16, 5, 8, 14)
    walked = pipe.vae.encode(pixels).latent_dist.mode()
assert whole.shape == (2, 16, 5, 8, 14)
print(f"largest difference: {float((whole - walked).abs().max()):.1e}")
assert torch.allclose(whole, walked, atol=1e-3)

# %% [markdown]
# How good is that? Compare with the best that any weighted sums can do, which are principal components. They get two budgets:
#
# - sixteen numbers for an 8x8 block of *each frame*, more than three times what the autoencoder has. That is unfair to the autoencoder; fewer numbers are what the transformer needs, since it has to learn every one,
# - sixteen for a block of *four frames*, the autoencoder's own budget. The distance to it is what a nonlinear network adds.
#
# The measure is PSNR in decibels: higher is better, and 6 dB more halve the (root mean square) error. All three are taken over the frames after the first, which has latents of its own.

# %%
import numpy as np


def blocks(frames: np.ndarray, length: int) -> np.ndarray:
    """Blocks of length x 8 x 8 pixels of clips (N, T, H, W, 3), one a row, in -1..1."""
    count, total, height, width, _ = frames.shape
    cut = frames.reshape(count, total // length, length, height // 8, 8, width // 8, 8, 3)
    return cut.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, length * 192) / 127.5 - 1


def linear_psnr(length: int) -> float:
    """PSNR of unseen blocks from the sixteen components that fit the training clips best."""
    seen, unseen = (blocks(clips[:, 1:], length) for clips in (examples.frames, held_out.frames[:2]))
    mean = seen.mean(0)
    basis = np.linalg.eigh(np.cov((seen - mean).T))[1][:, -16:]  # (length * 192, 16)
    rebuilt = ((unseen - mean) @ basis @ basis.T + mean).clip(-1, 1)
    return float(10 * np.log10(4 / np.mean((rebuilt - unseen) ** 2)))


# %%
with torch.no_grad():
    decoded = autoencoder.decode(pipe.vae, autoencoder.encode(pipe.vae, pixels))
later = (decoded.clamp(-1, 1) - pixels)[:, :, 1:]  # what is wrong with the frames after the first
quality = {
    "linear, a frame": linear_psnr(1),
    "linear, four frames": linear_psnr(4),
    "autoencoder": float(10 * torch.log10(4 / later.square().mean())),
}
print({name: f"{value:.1f} dB" for name, value in quality.items()})

# %%
bytes_out = ((decoded.clamp(-1, 1) + 1) * 127.5).round().byte()  # (B, C, T, H, W)
rebuilt = bytes_out.permute(0, 2, 3, 4, 1).numpy()  # (B, T, H, W, C)
pairs = [frame for k in range(2) for frame in (held_out.frames[k, 8], rebuilt[k, 8])]
show.contact_sheet(pairs, ["real", "encoded and decoded"] * 2, columns=4, tile=2.6, upscale="nearest")

# %% [markdown]
# ### What was wrong with it: latents like noise
#
# The first model's round trip was good, and yet its clips blurred. The transformer was at fault, but the latents were why. In six of the sixteen channels, neighbouring places had nothing to do with each other. A small transformer cannot predict that: near the clip its error was that of a guess.
#
# So a good round trip is not enough. The pair must be judged by what it *generates*. The autoencoder was trained further, with three more wishes:
#
# - **Noise on the latents**, a quarter of their spread on average. What must survive noise also survives a transformer's errors.
# - **Half the size.** Latents shrunk to half must decode to the picture shrunk to half (EQ-VAE). Neighbouring latents must then mean neighbouring things.
# - **Differences between frames** count in the loss.
#
# Afterwards all channels are divided by *one* spread. Before, each had its own, and a channel that carried little was blown up to full size.

# %%
import json
from pathlib import Path

import numpy as np

history = json.loads((Path(params.checkpoint) / "training.json").read_text(encoding="utf-8"))
looks = history["autoencoder"]
rows = {
    f"{look['steps']} steps": {
        "PSNR, dB": np.mean(look["psnr"]),
        "frame differences, grey levels": look["temporal_difference_error"],
        "channels like noise": sum(abs(r) < 0.2 for r in look["correlation_of_neighbours"]),
    }
    for look in looks
}
pd.DataFrame(rows).style.format(precision=2)

# %% [markdown]
# The round trip lost a little and frames flicker less. The channels like noise are *not fewer*, there are even more of them: the start from principal components made them, and two minutes did not mend them. Starting elsewhere, or dropping channels, was not tried.
#
# An earlier trial on two cores had compared the pair as a whole: the same minutes of transformer, old latents against calmed ones. The round trip was 1.7 dB worse, the generated pixels were 0.15 to 0.4 dB better. That is why we went this way.

# %%
phases = {f"{look['steps']} steps": look["psnr"] for look in looks}
show.curves(phases, xlabel="frame of the clip", ylabel="PSNR, dB", title="Reconstruction, held-out clips")

# %% [markdown]
# ### Exercise 9.1: decibels (easy, 5 minutes)
# PSNR is $10 \log_{10}(p^2 / e)$, where $e$ is the mean squared error and $p$ the range of the values. Pixels here lie in -1..1. Write it.

# %% tags=["exercise"]
import numpy as np


def peak_signal_to_noise(image: np.ndarray, other: np.ndarray) -> float:
    """PSNR in dB of two arrays with values in -1..1."""
    # BEGIN SOLUTION
    error = np.mean((image - other) ** 2)
    return float(10 * np.log10(2**2 / error))
    # END SOLUTION


# %% [markdown] tags=["hint"]
# From -1 to 1 the range is 2, not 1.

# %% tags=["check"]
import numpy as np

from cinelib.exercises import check, expect_close

with check("9.1"):
    one = np.zeros((4, 4))
    expect_close(
        peak_signal_to_noise(one, one + 0.2),
        20.0,
        because="an error of a tenth of the range is 20 dB",
        atol=1e-6,
    )


# %% tags=["wrong"]
import numpy as np


def peak_signal_to_noise(image, other):
    return float(10 * np.log10(1 / np.mean((image - other) ** 2)))


# %% [markdown]
# ## 5. The transformer
#
# It is trained by flow matching, as in notebook 02, but every weight learns. Noise $\epsilon$ and latents $x$ are mixed to $(1-\sigma) x + \sigma \epsilon$, and the network predicts the velocity $\epsilon - x$.
#
# - In a third of the steps the **last frame** is given as well.
# - In a tenth the **caption is dropped**. That makes classifier-free guidance possible, which asks for the clip with and without its caption and exaggerates the difference.
# - **The mirror image** is drawn half as often as its original.
# - A quarter of the captions open with a **made-up phrase** ("kolva film, ..."). A LoRA's trigger is such a phrase, and alone it must change nothing.
# - Pans, which are learned last, are drawn twice as often.
#
# Wan pads each caption to 512 tokens. Most of them are the same padding, so $n$ of them weigh as much in a softmax as one whose score is raised by $\log n$. Training keeps 49 tokens instead of 512. This must change nothing:

# %%
import torch.nn.functional as F
from classroom.attention import short_text
from classroom.encoding import condition, image_tokens, text_tokens

noise = torch.randn(1, 16, 5, 8, 14, generator=torch.Generator().manual_seed(params.seed))
given = {
    "hidden_states": torch.cat([noise, condition(pipe.vae, pixels[:1], last=False, bf16=False)], dim=1),
    "timestep": torch.tensor([700.0]),
    "encoder_hidden_states_image": image_tokens(pipe, held_out.frames[:1, 0]),
    "return_dict": False,
}
text = text_tokens(pipe, held_out.captions[:1])  # (1, 48, D)
with torch.no_grad():
    long = pipe.transformer(**given, encoder_hidden_states=F.pad(text, (0, 0, 0, 512 - text.shape[1])))[0]
    with short_text(pipe.transformer):
        short = pipe.transformer(**given, encoder_hidden_states=F.pad(text, (0, 0, 0, 1)))[0]
assert long.shape == noise.shape  # (B, 16, 5, 8, 14)
print(f"512 tokens against {text.shape[1] + 1}: largest difference {float((long - short).abs().max()):.1e}")
assert torch.allclose(long, short, atol=1e-4)

# %% [markdown]
# ### Exercise 9.2: one token for many (medium, 10 minutes)
# A softmax over the scores `[s, p, p, ..., p]` with `count` equal paddings gives the first entry some weight. Give the same weight from two scores only.

# %% tags=["exercise"]
import numpy as np


def weight_of_first(s: float, p: float, count: int) -> float:
    """Weight of `s` among itself and `count` paddings of score `p`, from a softmax of two numbers."""
    # BEGIN SOLUTION
    scores = np.array([s, p + np.log(count)])
    scores = np.exp(scores - scores.max())
    return float(scores[0] / scores.sum())
    # END SOLUTION


# %% [markdown] tags=["hint"]
# $n e^p = e^{p + ?}$

# %% tags=["check"]
import numpy as np

from cinelib.exercises import check, expect_close

with check("9.2"):
    scores = np.exp(np.array([2.0] + [0.5] * 464))
    expect_close(
        weight_of_first(2.0, 0.5, 464),
        float(scores[0] / scores.sum()),
        because="464 paddings of score p weigh as one of score p + log 464",
        atol=1e-9,
    )


# %% tags=["wrong"]
import numpy as np


def weight_of_first(s, p, count):
    return float(np.exp(s) / (np.exp(s) + np.exp(p)))


# %% [markdown]
# ### What changed beside the latents
#
# - **A wider network:** 6 layers of width 256 instead of 8 of width 192, 7.9 million weights instead of 5.0.
# - **Muon** for the matrices, AdamW for the rest. Muon makes each update orthogonal, so that no direction is forgotten.
# - **Time by the clock.** The learning rate falls to zero when the seconds are over, however fast the machine is.
# - **Batches of 256** instead of 16.
#
# All of this came at once, in one run. Which part helped how much was not measured.
#
# ### The held-out loss, by noise level and by frame
#
# Here is the velocity's error on 96 clips that were never trained on, with noise that never changes. Latent frame 0 is given, so 1 to 4 count. An error of 1 is about that of a guess. It was looked at once a minute.

# %% tags=["draws"]
tests = history["held_out"]
steps = [test["steps"] for test in tests]
levels = list(tests[0]["held_out"]["average"])


def errors(test: dict, level: str) -> list[float]:
    """Velocity error of latent frames 1 to 4."""
    return test["held_out"][test["best"]][level]["velocity_error"][1:]


figure, axes = show.new_figure(1, 3, size=(12, 3.2), title="Held-out velocity error of the shipped weights")
for ax, level in zip(axes, levels, strict=True):
    curves = np.array([errors(test, level) for test in tests])  # (looks, latent frames)
    for number, curve in enumerate(curves.T, start=1):
        ax.plot(steps, curve, "o-", label=f"latent frame {number}")
    ax.set(title=f"noise level {level}", xlabel="step", xticks=steps)
axes[0].legend(fontsize=8)
stage.save_figure(figure, "signature")
figure

# %% [markdown]
# Later frames are harder, at every level. Near the clip (0.2) even the last of them is no longer a pure guess, but not far from one: texture is what the model lacks.
#
# What would another ten minutes give? The same rule of thumb as for any such curve: each *doubling* of the time buys about as much as the one before.

# %%
spent = np.array([test["seconds"] for test in tests]) - looks[-1]["seconds"]  # of the transformer
mean_error = np.array([np.mean([errors(test, level) for level in levels]) for test in tests])
slope = (mean_error[-1] - mean_error[1]) / np.log2(spent[-1] / spent[1])
later = mean_error[-1] + slope * np.log2(1 + 600 / spent[-1])
print(f"mean error {mean_error[-1]:.3f} after {spent[-1]:.0f} s; {slope:+.3f} a doubling")
print(f"ten minutes more: about {later:.3f}")

# %% [markdown]
# That is a guess. The curve flattens because the learning rate falls to zero at the end, not because all is learned. But the error does not go to zero: what a caption leaves open nobody can predict.
#
# The card could have done much more in its nine minutes. Most of the time it waited:

# %%
weights = parameters(pipe.transformer)
tokens, batch = 5 * 4 * 7, 256  # 5 latent frames of 8 x 14 in patches of 2 x 2
step_seconds = spent[-1] / steps[-1]
arithmetic = 6 * weights * tokens * batch  # two operations a weight, backward twice forward
print(f"{1000 * step_seconds:.0f} ms a step, of which the trainer counted 75 ms")
print(f"{arithmetic / step_seconds / 989e12:.1%} of an H100's 989 TFLOP/s in bfloat16")

# %% [markdown]
# A small network is hundreds of small kernels, and Python starts each of them. Fourteen render processes shared the sixteen cores with it. What was tried against that:
#
# - **Compiling the blocks** brought a trial step from 132 to 107 ms and cost 49 of the 533 seconds. That paid, but little.
# - **Letting cuDNN choose its convolutions by trial** lost: 57 ms became 60.
# - **Averages of the weights** lost too. Once the learning rate has fallen to zero, the plain weights are as good or better:

# %%
last = tests[-1]["held_out"]
averages = {
    name: {level: np.mean(table[level]["velocity_error"][1:]) for level in levels}
    for name, table in last.items()
}
pd.DataFrame(averages).style.format(precision=4)

# %% [markdown]
# Not tried, for want of time: one graph for the whole step (CUDA graphs), a loss on decoded pixels, alignment with a frozen network (REPA), clips played backwards, 9 frames before 17.
#
# The training losses of all stages follow. `clip` is the image-text model, `language` the text encoder, `viewer` the network of section 6: these three are kept from the first training. The autoencoder's steps are counted from the start of the card's run.

# %% tags=["draws"]
learned = {name: row for name, row in history["stages"].items() if row["losses"]}
figure, axes = show.new_figure(
    1, len(learned), size=(13, 2.4), title="Training losses of the shipped weights"
)
for ax, (name, row) in zip(axes, learned.items(), strict=True):
    ax.plot(*zip(*row["losses"], strict=True), lw=0.9)
    ax.set_title(f"{name}: {row['steps']} steps", fontsize=8)
    ax.set_yscale("log")
figure

# %% [markdown]
# Now the same noise and the same two scenes, at several moments of the transformer's training, above the real clips. Colours and the set come first, since the first frame gives them away. Then the picture learns to move as one. Limbs are the hardest: look whether the arm that rises in the real clip rises in any row above it.

# %%
from io import BytesIO

from IPython.display import Image
from PIL import Image as Picture

progress, jpeg = Path(params.checkpoint) / "progress.png", BytesIO()  # a saved notebook stays small
if progress.exists():
    Picture.open(progress).convert("RGB").save(jpeg, "JPEG", quality=88)
Image(jpeg.getvalue(), format="jpeg") if progress.exists() else print("no milestones were kept")

# %% [markdown]
# ## 6. Does it do what the caption says?
#
# New scenes, fixed seeds. The model competes with two cheap tricks that start from the same first frame: repeat it, or zoom into it. A third arm is a negative control: the same model, the same first frames, but *another scene's caption*.
#
# How far is each clip from the real one? We ask two networks that see differently:
#
# - `nano` is `data/nano-viewer`, the last stage of this recipe. It sees sixteen frames at once. It learned to name camera move, action, subject, set and light of clips that were softened at random, so it looks at what happens and forgives blur.
# - `effnet-lite0-frames` learned ImageNet's photographs. It sees eight frames one by one, and their changes. It minds every softened edge.
#
# The columns of the table:
#
# - `value`: mean distance to the real clip, lower is better. 0 is the clip itself; two unrelated real clips are about 1.4 apart.
# - `nearer`: share of scenes in which the model's clip is nearer than the trick's.
# - `gain_interval`: 95 % interval of how much farther away the trick is. Above 0 the model is better, below 0 the trick is.
# - `frechet`: distance of the sets as a whole.

# %%
from classroom.sampling import generate

sampler = {
    "num_inference_steps": params.num_inference_steps,
    "guidance_scale": params.guidance_scale,
    "seed": params.seed,
}
first, captions = held_out.frames[:, 0], held_out.captions
made = generate(pipe, first, captions, 17, **sampler)  # (N, T, H, W, C)
others = generate(pipe, first, captions[1:] + captions[:1], 17, **sampler)

# %%
from classroom.likeness import likeness, repeated, zoomed

from cinelib.metrics.extractors import FrameFeatures
from cinelib.metrics.video_features import VideoFeatures

tricks = {
    "first_frame_repeated": [repeated(frame, 17) for frame in first],
    "first_frame_zoomed": [zoomed(frame, 17) for frame in first],
    "other_captions": others,
}
networks = [*([VideoFeatures(params.viewer)] if params.viewer else []), FrameFeatures()]
tables = {network.name: likeness(network, held_out.frames, made, tricks) for network in networks}
pd.concat({name: pd.DataFrame(table).T for name, table in tables.items()})

# %%
from classroom.sheet import samples_sheet

samples_sheet(made, held_out.frames, captions)

# %% [markdown]
# The two disagree, and both are right. For the network that watches, a clip in which nothing moves, or the wrong thing, is far from the real one. For the one that looks at pictures, a sharp still is nearer than a soft moving picture (question 4). There the row to look at is `other_captions`: same model, same blur, wrong words. Neither number may go out without its name.
#
# A handful of scenes proves little, though. The card's table was measured on 65 clips, thirteen for each camera move, by `python -m classroom evaluate`:

# %%
measured = json.loads((Path(params.checkpoint) / "metrics.json").read_text(encoding="utf-8"))
pd.DataFrame(measured).T[["value", "unit", "n"]]

# %% [markdown]
# Where in time does a clip fall behind? On the left, each frame is compared with the real frame of the same moment, by the features of single pictures. On the right, pixel by pixel, on the scenes in which only the camera moves and the subject stays in its place. `round_trip` is the autoencoder alone: no transformer can be better.

# %% tags=["draws"]
arms = ["generated", "round_trip", "first_frame_repeated", "first_frame_zoomed"]
kinds = {"frame_distance": "spreads of the real frames", "psnr_over_time": "PSNR, dB"}
figure, axes = show.new_figure(1, 2, size=(12, 3.4), title="Generated and real clips, frame by frame")
for ax, (kind, unit) in zip(axes, kinds.items(), strict=True):
    found = {arm: measured.get(f"{kind}_{arm}") for arm in arms}
    found["first model"] = history["before"].get(f"{kind}_generated")
    for name, row in found.items():
        if row:  # an older table may lack it
            begin = row.get("from_frame", 0)
            ax.plot(range(begin, begin + len(row["per_frame"])), row["per_frame"], label=name)
    ax.set(xlabel="frame", ylabel=unit)
axes[1].set_ylim(15, 30)  # a still starts as the frame itself, at no error at all
axes[1].legend(fontsize=8)
figure

# %% [markdown]
# By ImageNet features the autoencoder *alone* is farther from the real frames than the first frame repeated, at every moment. No transformer can win there. So the picture is softened mostly by the autoencoder, and only the last part by the transformer: a sharper autoencoder comes first. Pixel by pixel it is the other way round: the round trip stays level, and what falls is the transformer's work. From frame 2 on it beats the still.
#
# What was it meant to reach? The bars were set before the training. `before` is the first model.

# %%
from classroom import bars

reached = pd.DataFrame(bars.table(history["before"], measured)).T
reached.style.format(precision=3, na_rep="not measured")

# %%
missed = reached.index[~reached["reached"].astype(bool)]
print(f"{len(reached) - len(missed)} of {len(reached)} bars reached; missed: {'; '.join(missed) or 'none'}")

# %%
print(captions[0])
show.play({"generated": made[0], "real": held_out.frames[0], "another caption": others[0]}, smooth=False)

# %% [markdown]
# ### Exercise 9.3: is that surely better than chance? (medium, 10 minutes)
# `camera_control` above is the share of clips that make the camera move asked for. There are five moves, so guessing is right in 20 %. What is the probability that guessing gets at least `hits` of `n` clips right? Use `math.comb`, then try it on the table's share of 65 clips.

# %% tags=["exercise"]
import math


def by_chance(hits: int, n: int, chance: float = 0.2) -> float:
    """Probability of at least `hits` successes in `n` independent guesses."""
    # BEGIN SOLUTION
    return sum(math.comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in range(hits, n + 1))
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Sum the binomial probabilities of `hits`, `hits` + 1, ..., `n`.

# %% tags=["check"]
from cinelib.exercises import check, expect_close

with check("9.3"):
    expect_close(by_chance(0, 5), 1.0, because="no hits or more is certain", atol=1e-12)
    expect_close(by_chance(5, 5), 0.2**5, because="all five right: chance to the fifth", atol=1e-12)
    expect_close(by_chance(4, 5), 5 * 0.2**4 * 0.8 + 0.2**5, because="four or five right", atol=1e-12)


# %% tags=["wrong"]
import math


def by_chance(hits, n, chance=0.2):
    return math.comb(n, hits) * chance**hits * (1 - chance) ** (n - hits)


# %% [markdown]
# ## 7. Train it yourself
#
# The recipe is a row of stages. Each one that learns writes checkpoints and goes on from the last one. It draws the randomness of step $k$ from the seed and $k$ alone. So it can be killed at any moment.
#
# There are two roads to a model of this size:
#
# - **With a card:** `python -m classroom.shot --out build/shot` trains autoencoder and transformer in nine minutes, as shown above, and `python -m classroom.adopt --returned build/shot` makes the checkpoint. This is what ships.
# - **With two cores:** with `recipe = "nano"` the next cell trains every part from nothing, with the plainer losses of the first model, for hours. Leave it overnight, or run `torchrun --nproc-per-node 2 -m classroom train --threads 1` in a terminal. The same networks come out, not the same weights.

# %%
from classroom.recipe import STAGES, Recipe

training = Recipe(SETTINGS[params.recipe], stage.folder / "training", params.device, log=stage.log)
for name in STAGES:
    training.run(name)
print(", ".join(sorted(path.name for path in (stage.folder / "training").glob("*.pt"))))

# %% [markdown]
# Running it again does nothing, because nothing is left to do, and a second reader of the same folder gets the same weights:

# %%
again = Recipe(SETTINGS[params.recipe], stage.folder / "training", log=stage.log).restore()
for name, weight in again.transformer.state_dict().items():
    assert torch.equal(weight, training.pipe.transformer.state_dict()[name].cpu()), name
print("the same weights, bit for bit")

# %%
names = {"psnr": "autoencoder", "psnr_linear": "linear, a frame"}
names["psnr_linear_same_budget"] = "linear, four frames"
found = {
    f"classroom/{name}": {"value": quality[of_what], "n": len(pixels), "unit": "dB"}
    for name, of_what in names.items()
}
camera = measured["camera_control"]
found["classroom/camera_control"] = {"value": camera["value"], "n": camera["n"], "unit": "share"}
stage.save_metrics(found)

# %% [markdown]
# ## Questions

# %% [markdown] tags=["quiz"]
# **1.** The autoencoder is best on the first frame of a clip and worse on all others. Where do the decibels go?
#
# ---
#
# Frame 0 has 8 x 14 x 16 latents to itself. Every later group of *four* frames shares as many. What moves has to be described with a quarter of the numbers.

# %% [markdown] tags=["quiz"]
# **2.** Why is the first frame given to the transformer twice, as latents and as image tokens?
#
# ---
#
# The latents say what stands where, pixel for pixel, at the first moment. The tokens say what is to be seen at all, and cross-attention carries that to every place and time.

# %% [markdown] tags=["quiz"]
# **3.** Why would it be a mistake to train this model on the dailies as well?
#
# ---
#
# Notebook 02 wants to know whether a LoRA teaches the film's look. A base model that already knows it would make every LoRA look good.

# %% [markdown] tags=["quiz"]
# **4.** The first frame repeated is a bad clip. Why does it still score well in many picture metrics?
#
# ---
#
# Each of its frames is perfect, and no frame differs from the next: sharpness, colour and consistency are all at their best. Only a metric that looks for motion sees that nothing happens.

# %% [markdown] tags=["quiz"]
# **5.** A model trained for longer has a lower training loss but obeys captions no better. Name two possible causes.
#
# ---
#
# It memorises its clips (the held-out scenes tell), or the loss is spent on fine texture, which most of the latents describe, rather than on motion.

# %%
stage.close()

# %% [markdown]
# ## Limitations
#
# - The model knows one procedural film set, at one size and length. Nothing it does says how well Wan2.1 does it.
# - Of the two networks that compare clips one knows photographs of objects, the other nothing but this film set. The second was trained on the same kind of scenes as the model itself, with the camera move among its questions: it is a strict judge of motion and a lenient one of sharpness.
# - What the card measures is what this checkpoint does, good or bad; section 6 repeats a small part of it.
#
# **Next:** back to [00 Start here](00_start_here.ipynb)
#
# ## Links
# - [Wan: open and advanced large-scale video generative models](https://arxiv.org/abs/2503.20314)
# - [Flow matching for generative modelling](https://arxiv.org/abs/2210.02747)
# - [Deep residual learning](https://arxiv.org/abs/1512.03385)
# - [Classifier-free guidance](https://arxiv.org/abs/2207.12598)
# - [EQ-VAE: equivariance of latents](https://arxiv.org/abs/2502.09509)
# - [Muon](https://kellerjordan.github.io/posts/muon/)
