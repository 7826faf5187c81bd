"""What a run found, in words: two sentences, the claims with their verdicts, a line or two a stage.

Nothing is computed here but signs: every number comes from a stage's `metrics.json`.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cinelib.files import read_json
from cinelib.runs.state import RunState
from cinelib.units import number, readable_bytes, readable_seconds

Metrics = Mapping[str, Any]
FILM, EVALUATION = "01_data_preparation", "05_evaluation"
# A comparison of stage 05: its name there, in words, and which sign is better.
_ASKED = {
    "grade": ("colour grade", -1),
    "lighting": ("lighting", -1),
    "costume": ("the costume's colour", -1),
    "drift": ("colours that hold within a clip", -1),
    "stability": ("smooth motion", 1),
    "clip_text": ("fit to the prompt", 1),
}
_SURE = 0.05  # of the p-values after Holm's correction, as stage 05 has it
# By stage: sentences, each shown where the run has all the metrics that it names.
_WORDS = {
    FILM: (
        "{spans_kept} clips were kept from {files} files, {seconds_kept} s in all; {spans_dropped} spans "
        "were left out, each for a reason.",
        "Things move at {speed_ratio} of their speed before the camera; with the frame rate mistaken it "
        "would be {speed_ratio_relabelled}.",
    ),
    "02_style_stage": (
        "{trainable_parameters} numbers were trained.",
        "The loss on held-out clips went from {held_out_loss_before} to {held_out_loss_after}; the control's "
        "to {held_out_loss_control}.",
        "Distance of the colour grade to the film, in CIELAB units: base {grade_distance_base}, LoRA "
        "{grade_distance_lora}, control {grade_distance_control}; one clip of the film to the others "
        "{grade_distance_floor}.",
    ),
    "03_motion_stage": (
        "Where two segments meet, the picture changes {seam_lora} times as much as around it (base "
        "{seam_base}); at 1 nobody could tell.",
    ),
}
_NAME = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Claim:
    """A claim of the source: its words, and what this run says to it."""

    number: int
    text: str
    verdict: str

    @property
    def mark(self) -> str:
        """`yes`, `no` or `open`."""
        if self.verdict.startswith("holds"):
            return "yes"
        return "no" if self.verdict.startswith(("does not hold", "contradicts")) else "open"


def metrics_of(folder: Path) -> Metrics:
    """What a stage measured."""
    found = read_json(folder / "metrics.json")
    return found if isinstance(found, dict) else {}


def answer(run: RunState) -> list[str]:
    """What was done and what came of it, in two sentences; empty for a run that compared no models."""
    done = {stage.name: stage for stage in run.stages if stage.manifest}
    if EVALUATION not in done:
        return []
    found = metrics_of(done[EVALUATION].folder)
    compared = {
        name: found[f"{name} LoRA minus base"] for name in _ASKED if f"{name} LoRA minus base" in found
    }
    grade = compared.get("grade", {})
    if not compared:
        return []
    clips = _value(metrics_of(done[FILM].folder), "spans_kept") if FILM in done else None
    learned = f"{number(clips)} clips of the film" if clips else "clips of the film"
    scenes = f"the same {grade['n']} stills of its world" if grade.get("n") else "the same stills"
    made = (
        f"A LoRA learned from {learned}, a control from the same clips with their looks shuffled; "
        f"then the base model, the LoRA and the control set {scenes} in motion, from the same noise."
    )
    return [made, _compared(compared)]


def _compared(compared: Metrics) -> str:
    said: dict[str, list[str]] = {"better": [], "worse": [], "open": []}
    for name, entry in compared.items():
        words, sign = _ASKED[name]
        said[_side(entry, sign)].append(words)
    parts = [f"surely {side} in {_list(said[side])}" for side in ("better", "worse") if said[side]]
    text = "Against the base model the LoRA is " + " and ".join(parts) if parts else ""
    if said["open"] and text:
        text += f"; no difference is sure in {_list(said['open'])}"
    elif said["open"]:
        text = f"No difference from the base model is sure, be it in {_list(said['open'], 'or')}"
    entry = compared.get("grade", {})
    if isinstance(entry.get("value"), int | float):
        way = "nearer to" if entry["value"] < 0 else "farther from"
        span = entry.get("interval")
        within = f", 95 % interval of the change {span[0]:.2g} to {span[1]:.2g}" if span else ""
        text += f" (colour grade: {abs(entry['value']):.2g} CIELAB units {way} the film{within})"
    return text + "."


def _side(entry: Metrics, sign: int) -> str:
    span, p = entry.get("interval"), entry.get("p_holm")
    if not span or p is None or p >= _SURE or span[0] <= 0 <= span[1]:
        return "open"
    return "better" if span[0] * sign > 0 else "worse"


def _list(words: Sequence[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def claims(root: Path, run: RunState) -> list[Claim]:
    """The claims that a stage of the run gave a verdict on: those about results first."""
    path = root / "data" / "claims.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        known = {int(row["number"]): row for row in csv.DictReader(file)}
    found: dict[int, Claim] = {}
    for stage in run.stages:
        for name, entry in (metrics_of(stage.folder) if stage.manifest else {}).items():
            match = re.fullmatch(r"claim_(\d+)", name)
            if match and int(match[1]) in known and isinstance(entry, Mapping) and entry.get("verdict"):
                row = known[int(match[1])]
                found[int(match[1])] = Claim(int(match[1]), row["text"], str(entry["verdict"]))
    return sorted(found.values(), key=lambda claim: (known[claim.number]["kind"] != "result", claim.number))


def words(stage: str, metrics: Metrics, manifest: Mapping[str, Any]) -> list[str]:
    """What a finished stage found and what it took, in sentences."""
    said = [_filled(text, metrics) for text in _WORDS.get(stage, ()) if _NAME.findall(text)]
    faster = {name[8:-1]: _value(metrics, name) for name in metrics if name.startswith("speedup[")}
    if faster:
        times = ", ".join(f"{name} {number(value)}" for name, value in faster.items())
        said.append(f"Times as fast as the plain sampler: {times}.")
    peak = readable_bytes(manifest.get("kernel", {}).get("peak_tree_rss_bytes"))
    took = f"It took {readable_seconds(manifest['seconds'])}" + (f" and {peak} of memory." if peak else ".")
    return [*filter(None, said), took]


def _filled(text: str, metrics: Metrics) -> str:
    values = {name: _value(metrics, name) for name in _NAME.findall(text)}
    if None in values.values():
        return ""
    return _NAME.sub(lambda match: number(values[match[1]]), text)


def _value(metrics: Metrics, name: str) -> Any:
    entry = metrics.get(name)
    return entry.get("value") if isinstance(entry, Mapping) else entry
