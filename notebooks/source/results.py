"""What the reference run found, good and bad, as the table that README shows.

Stage 05 measures every arm on the same scenes and says what is sure; stage 02 knows what the film's own
grade would have made of each clip. Their numbers go to the index, and from there to README.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cinelib.files import read_json
from cinelib.runs.state import RunState

STYLE, EVALUATION = "02_style_stage", "05_evaluation"
ARMS = {"base": "base", "LoRA": "LoRA", "control": "control", "real": "the film"}  # as stored, as shown
TRAININGS = "three_trainings.csv"  # stage 05's table over further runs of stage 02
GRADED, DRESSED = "own_grade_distance_{}", "costume_distance_{}[historical]"  # stage 02's metrics, by arm


@dataclass(frozen=True)
class Line:
    """A row of the table: what it says, where it is stored, and which direction is better."""

    words: str
    place: str
    metric: str
    better: int = -1
    digits: int = 1


LINES = (
    Line("**film's own world**: colour grade, distance to the film", "home", "grade"),
    Line("the same, trigger phrase left out", "home without trigger", "grade"),
    Line("lighting: distance to the film", "home", "lighting"),
    Line("costume: distance to the film's costumes", "home, stage 02", "costume"),
    Line("costume: its colour strays from the still's by", "home", "costume"),
    Line("colours drift within a clip by", "home", "drift"),
    Line("colours flicker from frame to frame by", "home", "flicker", digits=2),
    Line("fits its prompt (more is better)", "home", "clip_text", 1, 2),
    Line("**other world**: colour grade, distance to the film", "away", "grade"),
    Line("the same, trigger phrase left out", "away without trigger", "grade"),
    Line("**both worlds**: distance to the same clip in the film's grade", "graded", "grade"),
)


def collect(run: RunState) -> dict[str, Any] | None:
    """Means by place, arm and metric, and which differences are sure; None without the stages 02 and 05."""
    folders = {stage.name: stage.folder for stage in run.stages}
    if not {STYLE, EVALUATION} <= set(folders):
        return None
    table = pd.read_csv(folders[EVALUATION] / "table.csv")
    means = table.groupby(["place", "arm"], sort=False).mean(numeric_only=True).round(3)
    wanted = [column for column in dict.fromkeys(line.metric for line in LINES) if column in means]
    places: dict[str, Any] = {}
    for (place, arm), row in means[wanted].iterrows():
        places.setdefault(place, {})[arm] = row.dropna().to_dict()
    for place in ("home", "away"):
        if "LoRA, no trigger" in places.get(place, {}):
            places[f"{place} without trigger"] = {"LoRA": places[place].pop("LoRA, no trigger")}
    style = read_json(folders[STYLE] / "metrics.json") or {}
    for place, metric, name in (("graded", "grade", GRADED), ("home, stage 02", "costume", DRESSED)):
        known = {
            arm: style[name.format(arm.lower())]["value"] for arm in ARMS if name.format(arm.lower()) in style
        }
        places[place] = {arm: {metric: round(value, 3)} for arm, value in known.items()}
    tests = pd.read_csv(folders[EVALUATION] / "differences.csv")
    sure = tests[tests["sure"].isin(["higher", "lower"]) & (tests["arm"] == "LoRA")]
    found = {other: sorted(part["metric"]) for other, part in sure.groupby("minus")}
    generated = table[table["arm"] != "real"]  # the film's own clips are scenes of their own
    scenes = {place: int(part["scene"].nunique()) for place, part in generated.groupby("place")}
    return {"scenes": scenes, "means": places, "sure": found}


def table(found: Mapping[str, Any]) -> Sequence[str]:
    """The table's lines in Markdown."""
    head = ["", *ARMS.values(), "LoRA against base", "LoRA against control"]
    lines = [_line(head), _line(["---"] * len(head))]
    for line in LINES:
        means = {arm: row.get(line.metric) for arm, row in found["means"].get(line.place, {}).items()}
        if means.get("LoRA") is not None:
            cells = ["" if means.get(arm) is None else f"{means[arm]:.{line.digits}f}" for arm in ARMS]
            lines.append(
                _line([line.words, *cells, *(_verdict(line, means, found, o) for o in ("base", "control"))])
            )
    return lines


def over_trainings(folder: Path) -> Sequence[str]:
    """A table of what several trainings have in common, from `three_trainings.csv`; empty without it."""
    if not (folder / TRAININGS).is_file():
        return []
    rows = pd.read_csv(folder / TRAININGS).to_dict("records")
    head = [
        "LoRA minus",
        "measure",
        "difference",
        "drawn anew",
        "mixed model",
        "between trainings",
        "between scenes",
    ]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in rows:
        digits = ".2f" if row["metric"] in ("clip_text", "flicker") else ".1f"
        spans = [
            f"{row[a]:{digits}} to {row[b]:{digits}}"
            for a, b in (("low", "high"), ("model low", "model high"))
        ]
        spread = [f"{row[f'spread between {what}']:{digits}}" for what in ("runs", "scenes")]
        lines.append(
            _line([row["LoRA minus"], row["metric"], f"{row['difference']:{digits}}", *spans, *spread])
        )
    return lines


def _verdict(line: Line, means: Mapping[str, float], found: Mapping[str, Any], other: str) -> str:
    if means.get(other) is None:
        return ""
    gain = (means["LoRA"] - means[other]) * line.better
    word = "better" if gain > 0 else "worse" if gain < 0 else "equal"
    if line.place != "home":  # no test is made of it
        return word
    return f"{word}, {'sure' if line.metric in found['sure'].get(other, []) else 'not sure'}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")
