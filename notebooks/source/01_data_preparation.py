# %% [markdown]
# # 01 Data preparation
#
# **How does raw footage become 40 captioned clips?**
#
# A folder of footage is a mess. Several takes lie in one file, after black leader and a slate (the board with the take's number). There are letterbox bars, and a file that stopped in the middle. The camera took 24 frames a second where the model wants 16.
#
# This notebook makes short clips of it, of one size and one rate, each with a caption. For everything that it leaves out it gives a reason.
#
# After this notebook you can
# - say what a model learns when frame rates are mistaken, and measure it,
# - read a report of what was kept and dropped, and change the rules,
# - bring your own footage: `cinelib run 01_data_preparation -p footage=YOUR_FOLDER`.
#
# | profile | time | memory | clips |
# |---|---|---|---|
# | smoke | about 20 s | 1 GB | 4 of 32 × 48 |
# | nano | about 40 s | 1 GB | 40 of 64 × 112 |
# | a100 | minutes; decoding decides | 2 GB | 40 of 720 × 1280, 81 frames each |
#
# **Inputs:** a folder of video files, with or without captions. **Outputs:** `dataset/` (clips and `metadata.jsonl`), `decisions.csv`, `figures/signature.png`.

# %% tags=["parameters"]
profile: str = "nano"  # name of the profile whose values fill untouched parameters
seed: int = 0  # seed of every random choice in this stage
height: int = 64  # pixels, a multiple of 16
width: int = 112  # pixels, a multiple of 16
num_frames: int = 17  # frames of one generated clip, 4k+1
fps: int = 16  # frames per second that the model was trained at
footage: str = "data/dailies"  # folder of video files
min_seconds: float = 2.0  # shorter takes are dropped
max_seconds: float = 5.0  # longer takes are split
max_clips: int = 40  # clips kept, spread over the takes
min_activity: float = 0.01  # takes where less of the picture changes within half a second are static
trigger: str = "emberfall film"  # phrase that opens every caption, empty for none
captioner: str = ""  # folder or hub id of a local vision-language model, empty for none

# %%
from cinelib.parameters import from_notebook
from cinelib.preparation.parameters import DataPreparation
from cinelib.runs.stage import open_stage

params = from_notebook(DataPreparation, globals())
stage = open_stage(params)
params

# %%
import os
import platform
import time

import av
import scenedetect

import cinelib

started = time.perf_counter()
print(f"cinelib {cinelib.__version__}, Python {platform.python_version()}, PyAV {av.__version__}")
print(f"PySceneDetect {scenedetect.__version__}; profile: {params.profile}")
print(f"device: CPU, {os.cpu_count()} cores")

# %% [markdown]
# ## 1. What is in the folder?
#
# Every file gets a row, also one that is broken or no video at all.
#
# PyAV reads the files with FFmpeg, frame by frame, so that a film may be as long as it likes. Pictures arrive as an ordinary display shows them: HDR is tone-mapped, interlaced fields are woven into frames, and the *remarks* say so.
#
# Decoders are C libraries. A damaged file can crash or hang them, and the notebook's kernel with them. So all decoding happens in a *child process*. If it dies, the file gets the cause of death as its reason and a new child carries on.

# %%
import pandas as pd
from IPython.display import display

from cinelib import show
from cinelib.preparation.isolation import Child
from cinelib.preparation.sources import survey

child = Child()
sources = survey(params.footage, child)
columns = ["file", "codec", "size", "frames", "declared fps", "measured fps", "seconds", "audio", "remarks"]
found = pd.DataFrame([source.row() for source in sources])[columns]
display(show.table(found).format(precision=2, na_rep="").hide())

# %% [markdown]
# *declared fps* is what the file's header says. *measured fps* is what the timestamps of its frames say. They can differ: a phone changes its rate while it records, an editor copies a wrong
# header, and some files declare 60 because the screen had 60.

# %% [markdown]
# ## 2. Time is what the timestamps say
#
# Wan2.1 was trained on 16 frames a second. Nothing in a clip tells it otherwise: the model sees frames, not seconds. Give it 24 frames of one second and call them 16 a second, and everybody in your film walks at two thirds of their speed. It will learn that.
#
# So we ask for the picture at the instants $t_k = k/16$ s and take the frame whose *own timestamp* is nearest.
#
# Here is a test with a known answer. A scene of the backlot (a film set made of code) is filmed twice: at 24 frames a second, which is what arrives in the folder, and at 16, which is what we want.

# %%
import numpy as np
from backlot import render, sample_scene

from cinelib.preparation.sources import sample_indices

scene = sample_scene(2_999_999, world="historical", camera="pans right")
arrived = render(scene, num_frames=49, height=64, width=112, fps=24).frames  # (T, H, W, C) = (49, 64, 112, 3)
truth = render(scene, num_frames=33, height=64, width=112, fps=16).frames  # the same two seconds
timestamps = np.arange(49) / 24

# %%
by_timestamps = arrived[sample_indices(timestamps, start=0.0, num_frames=33, fps=16)]
relabelled = arrived[:33]  # every frame kept, then played at 16 fps: the common mistake
assert arrived.shape == (49, 64, 112, 3) and by_timestamps.shape == truth.shape == (33, 64, 112, 3)
# Invariant: asking for the instants that were filmed returns every frame, once and in order.
assert (sample_indices(timestamps, 0.0, 49, fps=24) == np.arange(49)).all()

# %% [markdown]
# A *time slice* shows motion in one picture. Take one row of pixels from every frame and stack these rows from top to bottom. A still object draws a vertical line, a moving one a slanted line. The slant is its speed.


# %%
def time_slice(frames: np.ndarray, row: int = 36) -> np.ndarray:
    """One row of pixels over time: (T, H, W, C) -> (T, W, C), each moment four pixels tall."""
    return frames[:, row].repeat(4, axis=0)


still = truth[16].copy()
still[36] = (0, 230, 140)  # the row that the slices show
slices = {
    "one frame; green: the row": still,
    "filmed at 16 fps (truth)": time_slice(truth),
    "by timestamps": time_slice(by_timestamps),
    "24 relabelled as 16": time_slice(relabelled),
}

# %% tags=["draws"]
figure = show.contact_sheet(
    list(slices.values()),
    list(slices),
    tile=2.3,
    title="The same two seconds, time running down",
    upscale="nearest",
)
stage.save_figure(figure, "time_slices")
figure

# %% [markdown]
# The first two agree. In the third the lines are steeper: everything moves too slowly, and the last third of the action is missing.
#
# Now as a number. *Optical flow* says for each pixel how far it moves from one frame to the next. *Motion speed* is its mean length, in pixels a second.

# %%
from itertools import pairwise

import cv2


def motion_speed(frames: np.ndarray, rate: float, width: int = 112) -> float:
    """Mean optical flow of a clip (T, H, W, C) in pixels per second, seen at `width` pixels across."""
    size = (width, round(frames.shape[1] * width / frames.shape[2]))
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    grey = [cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), 1.0) for frame in small]
    flow = [cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.1, 0) for a, b in pairwise(grey)]
    return float(np.hypot(*np.moveaxis(flow, -1, 0)).mean() * rate)


# %%
reference = motion_speed(truth, 16)
speed_by_timestamps = motion_speed(by_timestamps, 16) / reference
speed_relabelled = motion_speed(relabelled, 16) / reference
print(f"by timestamps: {speed_by_timestamps:.2f} of the true speed; relabelled: {speed_relabelled:.2f}")
assert abs(speed_by_timestamps - 1) < 0.1 < abs(speed_relabelled - 1)

# %% [markdown]
# ### Exercise 1.1: the nearest frame (medium, 10 minutes)
# Write the rule yourself. `timestamps` are the seconds at which the source's frames appear, not evenly spaced in general. For each instant `start + k / fps` return the index of the frame whose timestamp is nearest.


# %% tags=["exercise"]
import numpy as np


def nearest_frames(timestamps: np.ndarray, start: float, num_frames: int, fps: float) -> np.ndarray:
    """Indices (num_frames,) of the source frames to show."""
    # BEGIN SOLUTION
    wanted = start + np.arange(num_frames) / fps  # (num_frames,)
    distance = np.abs(timestamps[None, :] - wanted[:, None])  # (num_frames, N)
    return distance.argmin(axis=1)
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Make a column of wanted instants and a row of timestamps; their differences are a table. In each row you want the position of the smallest absolute value.

# %% tags=["check"]
import numpy as np

from cinelib.exercises import check, expect_equal

with check("1.1"):
    expect_equal(
        nearest_frames(np.arange(50) / 25, 0.0, 5, 16),
        np.array([0, 2, 3, 5, 6]),
        because="at 25 fps the instants lie at 0, 1.56, 3.13, 4.69 and 6.25 frames: round, do not cut off",
    )
    phone = np.array([0.0, 0.03, 0.07, 0.19, 0.21, 0.26, 0.33])  # a variable frame rate
    expect_equal(
        nearest_frames(phone, 0.0, 5, 16),
        np.array([0, 2, 2, 3, 5]),
        because="use the timestamps themselves: the mean rate says nothing about when a frame was shown",
        what="the frames of a variable-rate file",
    )


# %% tags=["wrong"]
import numpy as np


def nearest_frames(timestamps, start, num_frames, fps):
    rate = (len(timestamps) - 1) / (timestamps[-1] - timestamps[0])
    return np.floor((start + np.arange(num_frames) / fps) * rate + 1e-9).astype(int)


# %% [markdown]
# ## 3. Takes
#
# PySceneDetect looks for two kinds of borders. At a *cut* a frame differs from the one before much more than its neighbours differ from theirs, so a fast pan is no cut. At a *fade* the picture falls below a level of darkness. What lies between two borders is a take.
#
# Other borders take their time. In a *dissolve*, a *wipe* or a *dip to white* every part of the picture goes straight from one shot to the other, while a camera shows on its way what is in neither. Such a transition belongs to no take and is cut off. A flash comes and goes with the same shot before and after: it is no border.
#
# For each take we measure how bright it is, how much of the picture changes within half a second (its *activity*), and whether black bars frame it.

# %%
from cinelib.preparation.takes import find_takes

takes = []
for index, source in enumerate(sources):
    if not source.reason:
        sources[index], found = find_takes(source, child)
        takes.extend(found)
        stage.log(f"{source.file}: {len(found)} takes {sources[index].reason}")
measured = [
    {"file": take.source.file, "take": take.number, "start": take.start, "end": take.end}
    | {"brightness (0-255)": take.luma, "activity": take.activity, "notes": "; ".join(take.notes)}
    for take in takes
]
show.table(pd.DataFrame(measured).head(12)).format(precision=2).hide()

# %% [markdown]
# ## 4. Rules
#
# A take is dropped when it is
# - **black**: not even its brightest part exceeds 24 of 255,
# - **static**: less than `min_activity` of the picture changes within half a second. A slate is caught by this rule, and so is a photograph. A slate in a moving hand would pass, and you would find it on the contact sheet below,
# - **too short** for `min_seconds` or for the model's `num_frames`,
# - **damaged**: the decoder met a broken frame, patched it from its neighbours and said nothing,
# - **a duplicate**: another file shows the same pictures from beginning to end, such as a camera's small proxy,
# - **too few pictures**: most frames of the clip would repeat the one before,
# - **over the quota**: more than `max_clips` are good. Then clips are drawn take by take, so that one long take cannot fill the dataset.
#
# Bars and the ends of fades are cut off, and the take stays. A take longer than `max_seconds` is split into equal spans.
#
# Clips have $4k+1$ frames because the VAE packs the first frame alone and then four at a time. $N$ frames span $(N-1)/16$ seconds: 33 are two seconds, 81 are five.

# %%
from cinelib.preparation.selection import Rules, decide

seconds = (params.min_seconds, params.max_seconds)
rules = Rules(*seconds, params.fps, params.num_frames, params.min_activity, params.max_clips)
decisions = decide(sources, takes, rules, seed=params.seed)
shortest, longest = ((frames - 1) / rules.fps for frames in (rules.shortest, rules.longest))
print(f"a clip has {rules.shortest} to {rules.longest} frames, {shortest:g} to {longest:g} s")

# %%
from cinelib.preparation.captions import Captions
from cinelib.preparation.report import why_dropped, write_report
from cinelib.preparation.selection import Decision
from cinelib.preparation.sources import FootageError

captions = Captions.open(params.footage)  # rows that name no file, or one outside the folder, are refused
decisions += [Decision(file, "ignored", reason) for file, reason in captions.problems]
write_report(stage.folder / "decisions.csv", decisions)
print(captions.summary(sources))
if not any(decision.decision == "kept" for decision in decisions):
    raise FootageError(f"no clip is left. {why_dropped(decisions)}")
assert {decision.file for decision in decisions} >= {source.file for source in sources}  # nobody is forgotten
assert all(decision.reason for decision in decisions if decision.decision != "kept")
pd.Series([f"{d.decision} {d.reason.split(':')[0]}" for d in decisions]).value_counts().to_frame("spans")

# %% [markdown]
# The whole folder as a timeline, one row a file. Green spans become clips. The small gaps are what $4k+1$ leaves over; the larger ones are fades.


# %% tags=["draws"]
def draw_timeline(spans: list) -> "show.Figure":
    """One row a file; what was kept is green, what was dropped says why."""
    files = list(dict.fromkeys(d.file for d in spans))
    size, title = (8.5, 0.42 * len(files) + 0.8), "Where the clips come from (green: kept)"
    figure, (ax,) = show.new_figure(size=size, title=title)
    for d in spans:
        row, length, kept = files.index(d.file), d.end - d.start, d.decision == "kept"
        look = {"color": show.COLORS["keep" if kept else "drop"], "alpha": 0.9 if kept else 0.55}
        ax.barh(row, length, left=d.start, height=0.62, edgecolor="white", linewidth=1.2, **look)
        if not kept and length > 1.0:
            word = d.reason.split(":")[0]
            ax.text(d.start + length / 2, row, word, ha="center", va="center", fontsize=6.5)
    ax.set_yticks(range(len(files)), files, fontsize=8, parse_math=False)
    ax.set(ylim=(len(files) - 0.4, -0.6), xlabel="seconds")
    ax.grid(False, axis="y")
    return figure


# %%
timeline = draw_timeline([decision for decision in decisions if decision.take])
stage.save_figure(timeline, "timeline")
timeline

# %% [markdown]
# ### Exercise 1.2: how many frames? (easy, 5 minutes)
# A span of some seconds is sampled at `fps`, at its first instant and then every `1 / fps` seconds, never past its end. How many frames does the clip get if the number has to be $4k+1$?


# %% tags=["exercise"]
def clip_frames(seconds: float, fps: float) -> int:
    """The largest 4k+1 that fits into `seconds` at `fps`."""
    # BEGIN SOLUTION
    instants = int(seconds * fps + 1e-9) + 1  # the first one is at 0
    return (instants - 1) // 4 * 4 + 1
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Count instants before you round: in one second at 16 fps there are 17 of them, at 0, 1/16, ..., 16/16. Then round *down* to 4k+1.

# %% tags=["check"]
from cinelib.exercises import check, expect_equal

with check("1.2"):
    expect_equal(clip_frames(0.0, 16), 1, because="one instant is a picture, and 1 is 4 x 0 + 1")
    expect_equal(clip_frames(1.0, 16), 17, because="17 instants: a fence has a post more than gaps")
    expect_equal(clip_frames(5.0, 16), 81, because="Wan's five seconds at 16 fps are 81 frames")
    expect_equal(clip_frames(3.3, 16), 53, because="52.8 gaps hold 53 instants, and 53 is 4 x 13 + 1")
    expect_equal(clip_frames(2.2, 16), 33, because="36 instants: down to 33, there is no picture for 37")


# %% tags=["wrong"]
def clip_frames(seconds, fps):
    return round(seconds * fps / 4) * 4 + 1


# %% [markdown]
# ## 5. Shape
#
# The model wants one size, and both sides must be multiples of 16: the VAE (the network that packs pixels into fewer numbers) divides by 8, the transformer's patches by another 2.
#
# The picture must not be squeezed for that, or every face becomes narrow and every pan slow. We take the largest centred part of the right shape (*cover and crop*) and shrink it with an antialiasing filter.

# %%
from PIL import Image, ImageDraw

from cinelib.preparation.clips import cut, poster
from cinelib.preparation.sources import cover_box

kept = [decision for decision in decisions if decision.decision == "kept"]
example = max(kept, key=lambda decision: decision.take.box[1])  # with bars, if any file has them
source = example.take.source
box = cover_box(example.take.box, params.height, params.width, source.pixel_aspect)
clip = cut(example, child, params.height, params.width, params.fps)  # (T, H, W, C)
assert clip.shape == (example.num_frames, params.height, params.width, 3) and len(clip) % 4 == 1

# %%
whole = Image.fromarray(poster(example, child, width=source.width))
picture = whole.copy()
ImageDraw.Draw(picture).rectangle(box, outline=(0, 190, 120), width=max(3, source.width // 160))
squeezed = whole.crop(example.take.box).resize((params.width, params.height))
views = [np.asarray(picture), clip[len(clip) // 2], np.asarray(squeezed)]
titles = ["source, bars and all; green: what we take", "cover and crop", "the mistake: squeezed"]
show.contact_sheet(views, titles, tile=2.7)

# %% [markdown]
# ### Exercise 1.3: cover and crop (medium, 10 minutes)
# Find the largest centred box with the shape of the model's picture inside a source picture. (Square pixels, no bars.)


# %% tags=["exercise"]
def crop_box(source_width: float, source_height: float, width: int, height: int) -> tuple[float, ...]:
    """(left, top, right, bottom) in source pixels, as wide to high as `width` to `height`."""
    # BEGIN SOLUTION
    scale = min(source_width / width, source_height / height)
    wide, high = width * scale, height * scale
    left, top = (source_width - wide) / 2, (source_height - high) / 2
    return left, top, left + wide, top + high
    # END SOLUTION


# %% [markdown] tags=["hint"]
# Imagine the model's picture as a window that you enlarge until it touches two sides of the source. By what factor can you enlarge it?

# %% tags=["check"]
from cinelib.exercises import check, expect, expect_close

with check("1.3"):
    expect_close(crop_box(640, 360, 112, 64), (5, 0, 635, 360), because="16:9 is a little wider than 112:64")
    left, top, right, bottom = crop_box(360, 640, 112, 64)
    reason = "the window must touch the *nearer* pair of sides: take the smaller factor"
    expect(right <= 360 and bottom <= 640, "the box of an upright picture leaves the picture", reason)
    expect_close((left, right), (0, 360), because="an upright picture keeps its whole width")
    shape = (right - left) / (bottom - top)
    expect_close(shape, 112 / 64, because="the shape must not change: that squeezes")


# %% tags=["wrong"]
def crop_box(source_width, source_height, width, height):
    scale = max(source_width / width, source_height / height)
    wide, high = width * scale, height * scale
    left, top = (source_width - wide) / 2, (source_height - high) / 2
    return left, top, left + wide, top + high


# %% [markdown]
# ## 6. Captions, and the dataset
#
# A caption tells the model what it need *not* explain by the look. Captions come from the footage's folder:
#
# - rows of `metadata.jsonl` or `metadata.csv`, with `start` and `end` in seconds where a file has several takes; a row holds the text, or fields (costume, lighting, color_grading, camera, action) that are made into a sentence,
# - or a text file beside the video.
#
# Where there is none, a local vision-language model can write one (`captioner`).
#
# Each caption opens with the *trigger*, a phrase that stands for the look and that you will type later to call it. The dataset is built beside its final place and moved there when it is complete.

# %%
from cinelib.preparation.caption_edits import CaptionEdits
from cinelib.preparation.clips import write_dataset
from cinelib.preparation.report import remarks

edits = CaptionEdits.open(params.caption_edits)  # what you edited below in an earlier visit wins
print(f"captions edited by hand: {len(edits)}")
describe = None
if params.captioner:
    from cinelib.preparation.captioner import VisionCaptioner

    describe = VisionCaptioner(params.captioner)
dataset, decisions = write_dataset(
    stage.folder / "dataset", decisions, captions, child, log=stage.log, captioner=describe, edits=edits,
    height=params.height, width=params.width, fps=params.fps, trigger=params.trigger,
)  # fmt: skip
write_report(stage.folder / "decisions.csv", decisions)
if dataset is None:
    raise FootageError(f"no clip could be cut. {why_dropped(decisions)}")

# %%
for clip in dataset:
    assert (clip.height, clip.width, clip.fps) == (params.height, params.width, params.fps)
    assert clip.num_frames % 4 == 1 and clip.num_frames >= params.num_frames
    assert abs((clip.end - clip.start) - clip.num_frames / clip.fps) < 1 / clip.fps  # right to one frame
assert clip.frames().shape == (clip.num_frames, params.height, params.width, 3)  # (T, H, W, C)

# %%
report = pd.DataFrame([decision.row() for decision in decisions])
remarkable = (report["decision"] != "kept") | (report["note"] != "")
for line in remarks(decisions):  # HDR, interlaced, repeats, upscaled, no caption ...
    stage.log(line)
print(f"{(~remarkable).sum()} spans were kept without a remark; all {len(report)} are in decisions.csv")
display(show.table(report[remarkable]).hide().set_properties(**{"text-align": "left"}))

# %% [markdown]
# ## 7. Look at it
#
# No table replaces looking. One tile per span, in the order of the files; what is crossed out was dropped, and why stands above it.

# %%
from pathlib import Path


def heading(d: Decision) -> str:
    """What stands above a tile: file, take, and why."""
    number = f"#{d.take.number} " if d.take else ""
    why = f"kept, {d.end - d.start:.1f} s" if d.decision == "kept" else d.reason.split(":")[0]
    return f"{Path(d.file).stem[:20]}\n{number}{why}"


shown = [d for d in decisions if d.decision != "ignored"][:96]
figure = show.contact_sheet(
    [poster(d, child, width=160) for d in shown],
    [heading(d) for d in shown],
    keep=[d.decision == "kept" for d in shown],
    columns=8,
    tile=1.3,
    title=f"{len(dataset)} clips kept of {len(shown)} spans of footage",
)
stage.save_figure(figure, "signature")
figure

# %% [markdown]
# And as the model will see them:

# %%
few = dataset[:: max(1, len(dataset) // 4)][:4]
show.play({clip.text.removeprefix(f"{params.trigger}, "): clip.path for clip in few}, width=240)

# %% [markdown]
# A wrong caption teaches a wrong word. Mend captions here. *Save* writes them into this dataset, and into a file of yours from which every later run takes them: the next stage trains on what you wrote.

# %%
from cinelib.preparation.caption_editor import CaptionEditor

editor = CaptionEditor(
    stage.folder / "dataset", edits=params.caption_edits, trigger=params.trigger, saved=stage.amend
)
editor

# %% [markdown]
# ## 8. Did the motion survive?
#
# The test of section 2, on the real clips.
#
# - **source**: every frame of the source, at the rate of its timestamps; the truth to compare with,
# - **ours**: the dataset's clips,
# - **relabelled**: as many source frames, called 16 a second; the negative control.
#
# A ratio of 1 means that things move as fast as they did in front of the camera.

# %%
from cinelib.preparation.clips import frames_of

size = (params.height, params.width)


def source_frames(d: Decision) -> tuple[np.ndarray, float]:
    """Every frame of the source within a clip, cropped as the clip is, and their rate."""
    source, seconds = d.take.source, (d.num_frames - 1) / params.fps
    box = cover_box(d.take.box, *size, source.pixel_aspect)
    inside = source.times[(source.times >= d.start) & (source.times < d.start + seconds)]
    return frames_of(source, child, inside, box, *size), 1 / np.diff(inside).mean()


# %%
cuts = list(zip([d for d in decisions if d.clip], dataset, strict=True))
rows = []
for d, clip in cuts[:: max(1, len(dataset) // 6)]:
    frames, rate = source_frames(d)
    ours, relabelled = motion_speed(clip.frames(), params.fps), motion_speed(frames, params.fps)
    rows.append((clip.file_name, motion_speed(frames, rate), ours, relabelled))
speeds = pd.DataFrame(rows, columns=["clip", "source px/s", "ours", "relabelled"]).set_index("clip")
ratios = speeds[["ours", "relabelled"]].div(speeds["source px/s"], axis=0)
median = ratios.median()
display(show.table(speeds).format(precision=1))
print(f"speed, median of {len(rows)} clips: ours {median['ours']:.2f} of the source, ", end="")
print(f"relabelled {median['relabelled']:.2f}")

# %%
reasons = [d.reason.split(":")[0] for d in decisions if d.decision == "dropped"]
stage.save_metrics(
    {
        "files": len(sources),
        "spans_kept": len(dataset),
        "spans_dropped": len(reasons),
        **{f"dropped_{reason.replace(' ', '_')}": reasons.count(reason) for reason in sorted(set(reasons))},
        "seconds_kept": {"value": sum(clip.end - clip.start for clip in dataset), "unit": "s"},
        "captions_missing": sum("trigger phrase stands alone" in d.note for d in decisions),
        "speed_ratio": {"value": median["ours"], "n": len(rows)},
        "speed_ratio_relabelled": {"value": median["relabelled"], "n": len(rows)},
        "preparation_seconds": {"value": time.perf_counter() - started, "unit": "s"},
    }
)

# %% [markdown]
# ## Questions

# %% [markdown] tags=["quiz"]
# **1.** A file declares 60 fps, its timestamps say 24. You resample by the header. How fast do people walk in your dataset?
#
# ---
# For the instant $t$ you take frame $60t$, which was shown at $60t/24 = 2.5t$. Everything moves 2.5 times too fast, and the footage ends early.

# %% [markdown] tags=["quiz"]
# **2.** Why is the nearest frame taken, and not a blend of the two neighbours?
#
# ---
# A blend shows everything that moves twice, half transparent. No camera recorded such a picture, and the model would learn to make it. The price of the nearest frame is a small judder: a timing error of up to
# half a source frame.

# %% [markdown] tags=["quiz"]
# **3.** Why decode in a child process when `try` and `except` exist?
#
# ---
# `except` catches exceptions of Python. A segmentation fault or an endless loop in a C library raises none: it takes the process with it. Only another process can outlive that.

# %% [markdown] tags=["quiz"]
# **4.** A take shows an actor who stands still in front of a burning candle. Is it static?
#
# ---
# Perhaps. The rule removes a common change of brightness first, so a flicker that lights the whole picture evenly does not count as motion; a flame that lights one side does. Look at the *activity* column, and at
# the contact sheet, and move `min_activity`.

# %% [markdown] tags=["quiz"]
# **5.** The quota draws take by take instead of taking the first 40 spans. Why?
#
# ---
# Spans of one take show the same set, costume and light. Forty of them teach one take. Drawing round the takes gives the widest variety that 40 clips can have.

# %%
child.close()

# %%
stage.close()

# %% [markdown]
# ## Limitations
# - A long dissolve between two moving shots can pass as a camera move, and the other way round. Burned-in text is not told from the scene. HDR is tone-mapped by one fixed curve.
# - The static rule knows no meaning. It catches slates and photographs; it would also drop a portrait in which nobody moves.
# - Two shots of the same set in the same light can pass as one take. Look at the timeline.
# - The optical flow that measures speed is itself an estimate; ratios within some per cent of 1 are equal.
#
# **Next:** [02 style stage](02_style_stage.ipynb), where a small adapter learns the look of these clips.
#
# ## Links
# - [Video folders on the Hugging Face Hub](https://huggingface.co/docs/datasets/video_dataset)
# - [PySceneDetect](https://www.scenedetect.com/docs/latest/)
# - [PyAV](https://pyav.org), and [how high dynamic range is shown on an ordinary display](https://www.itu.int/pub/R-REP-BT.2408)
