"""README's picture: a frame of the film, and new stills set in motion before and after the look was learned.

Everything comes from a finished run: the film's clips from stage 01, the others from stage 05. Nothing is
picked by eye: one scene of each world, the first of the storyboard, and the frame at a third of each clip.
"""

from pathlib import Path

import numpy as np
import yaml
from matplotlib.figure import Figure

from cinelib import show
from cinelib.preparation.storyboard import open_still, read_storyboard
from cinelib.runs.state import RunState
from cinelib.video import read_video

FILM, CLIPS = "01_data_preparation", "05_evaluation"
ARMS = ("base", "lora")  # folders of clips in stage 05
COLUMNS = ("the film", "a new still", "animated, before", "animated, after")
HEADING = 0.34  # inches for the names of the columns
WIDTHS = (1.0, 0.12, 1.0, 1.0, 1.0)  # a gap between what is learned from and what comes of it


def frame(video: Path) -> np.ndarray:
    """The frame (H, W, 3) at a third of a clip: early, before a small model's blur has grown."""
    frames, _ = read_video(video)
    return frames[len(frames) // 3]


def draw(run: RunState, root: Path) -> Figure | None:
    """The picture of a run with the stages 01 and 05; None for a run without them."""
    folders = {stage.name: stage.folder for stage in run.stages}
    if not {FILM, CLIPS} <= set(folders):
        return None
    values = yaml.safe_load((folders[CLIPS] / "params.yaml").read_text("utf-8"))
    film = sorted((folders[FILM] / "dataset" / "clips").glob("*.mp4"))
    clips = folders[CLIPS] / "clips"
    first = {}  # world -> its first scene that both arms have a clip of
    for scene in read_storyboard(root / values["storyboard"]):
        if all((clips / arm / f"{scene.name}.mp4").is_file() for arm in ARMS):
            first.setdefault(scene.world, scene)
    rows = []
    for number, scene in enumerate(first.values()):
        still = open_still(scene.stills[0], values["height"], values["width"])
        made = [frame(clips / arm / f"{scene.name}.mp4") for arm in ARMS]
        rows.append([frame(film[number * len(film) // len(first)]), np.asarray(still), *made])
    return grid(rows)


@show.styled()
def grid(rows: list[list[np.ndarray]]) -> Figure:
    """A row a scene, a column a step, named in plain words."""
    height, width = rows[0][0].shape[:2]
    tall = len(rows) * 9.2 / sum(WIDTHS) * height / width
    figure = Figure(figsize=(9.2, tall + HEADING), dpi=150)
    axes = figure.subplots(
        len(rows),
        len(WIDTHS),
        squeeze=False,
        gridspec_kw={
            "width_ratios": WIDTHS,
            "wspace": 0.03,
            "hspace": 0.03,
            "left": 0,
            "right": 1,
            "bottom": 0,
            "top": tall / (tall + HEADING),
        },
    )
    for ax in axes.flat:
        ax.axis("off")
    for row, frames in zip(axes[:, [0, 2, 3, 4]], rows, strict=True):
        for ax, picture in zip(row, frames, strict=True):
            ax.imshow(picture, interpolation="lanczos", aspect="auto")
    for ax, title in zip(axes[0, [0, 2, 3, 4]], COLUMNS, strict=True):
        ax.set_title(title, fontsize=13, pad=6)
    return figure
