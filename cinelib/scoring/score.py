"""One scoring of a folder: what is known is reused, what is new is measured, and all of it is summed up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from cinelib.footage.isolation import Child, ChildError
from cinelib.footage.sources import Source
from cinelib.runs.files import Hashes
from cinelib.scoring import summary
from cinelib.scoring.clips import Footage, ScoreError, decode, find, prompt_of, read_prompts
from cinelib.scoring.ledger import Entry, Ledger
from cinelib.scoring.measures import FeatureMeasure, Measure
from cinelib.scoring.selection import Request, features_for, measures_for, vbench_entries

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Session:
    """What every clip of one scoring shares."""

    request: Request
    child: Child
    ledger: Ledger
    hashes: Hashes

    def footage(self, source: Source) -> Footage:
        """The decoded clip."""
        return decode(source, self.request.seconds, self.child)


def score(request: Request, progress: Progress = lambda done, total, name: None) -> dict[str, Any]:
    """Measure the videos at `request.path`; strict JSON out, the same bytes for the same inputs.

    Raises:
        ScoreError: no videos, unreadable prompts, unknown metrics, networks that are not here.
    """
    prompts = read_prompts(request.prompts) if request.prompts else {}
    hashes = Hashes(request.cache / "hashes.json")
    own, other = Tally(), Tally()
    with Child() as child:
        session = Session(request, child, Ledger(request.cache), hashes)
        found = find(request.path, child)
        references = find(request.reference, child) if request.reference else []
        usable = [source for source in references if not source.reason]
        if references and not usable:
            raise ScoreError(f"no video in {request.reference} decodes")
        measures, feature = measures_for(request, usable, session.footage, hashes), features_for(request)
        jobs = [(source, measures, own) for source in found]
        jobs += [(source, [], other) for source in references]
        for done, (source, chosen, tally) in enumerate(jobs):
            progress(done, len(jobs), source.file)
            tally.add(*_clip(session, source, chosen, feature, prompts))
        progress(len(jobs), len(jobs), "")
    hashes.save()
    result = summary.of(own.rows, measures, feature, own.vectors, other.vectors)
    result["summary"] |= vbench_entries(request, prompts)
    result["notes"] += _about_reference(own.rows, other.rows)
    failures = own.failures + [failure | {"reference": True} for failure in other.failures]
    return {"path": str(request.path), "clips": own.rows, "failures": failures, **result}


@dataclass
class Tally:
    """What became of a set of clips."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)

    def add(self, row: dict[str, Any], vector: np.ndarray | None) -> None:
        """One clip: a row with `reason` did not decode."""
        (self.failures if "reason" in row else self.rows).append(row)
        if vector is not None:
            self.vectors.append(vector)


def _about_reference(own: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> list[str]:
    notes = []
    for row in other:
        for reason in dict.fromkeys(row["excluded"].values()):
            notes.append(f"reference {row['file']} left out: {reason}")
    shared = {row["sha256"] for row in own} & {row["sha256"] for row in other}
    if shared:
        notes.append(f"{len(shared)} of the clips are in the reference too: distances to it are too small")
    return notes


def _clip(
    session: Session,
    source: Source,
    measures: Sequence[Measure],
    feature: FeatureMeasure | None,
    prompts: dict[str, str],
) -> tuple[dict[str, Any], np.ndarray | None]:
    """The row of one clip and its feature vector; a row with `reason` for one that does not decode."""
    if source.reason:
        return {"file": source.file, "reason": source.reason}, None
    content, seconds = session.hashes.file(source.path), session.request.seconds
    footage = cache(lambda: session.footage(source))
    prompt = prompt_of(source.file, prompts)
    row: dict[str, Any] = _facts(source, content, seconds) | {"prompt": prompt, "values": {}, "excluded": {}}
    try:
        for measure in measures:
            key = {"content": content, "measure": measure.name, "seconds": seconds, **measure.identity}
            key |= {"prompt": prompt} if measure.name == "clip" else {}
            key |= {"file": source.file} if measure.name == "perceptual" else {}
            _enter(row, measure, session.ledger.entry(key, lambda m=measure: _try(m, footage(), prompt)))
        vector = _vector(session, feature, content, footage, row) if feature else None
    except ChildError as error:
        return {"file": source.file, "reason": f"undecodable: {error}"}, None
    if row["values"].get("MotionScore") == 0:
        row["notes"].append("a still: whatever rewards stability rewards this")
    return row, vector


def _facts(source: Source, content: str, seconds: float) -> dict[str, Any]:
    notes = list(source.notes)
    if source.seconds > seconds + 0.05:
        notes.append(f"only the first {seconds:g} s of {source.seconds:.2f} s")
    fps = source.measured_fps
    return {
        "file": source.file,
        "sha256": content,
        "height": source.height,
        "width": source.width,
        "frames": len(source.times),
        "fps": round(fps, 4) if fps else None,
        "notes": notes,
    }


def _try(measure: Measure, footage: Footage, prompt: str) -> Entry:
    try:
        return {"values": measure(footage, prompt)}
    except ScoreError:  # of the reference, not of this clip
        raise
    except ValueError as error:
        return {"excluded": str(error)}


def _enter(row: dict[str, Any], measure: Measure, entry: Entry) -> None:
    """Every name of the measure ends among the values or, with a reason, among the excluded."""
    numbers = entry.get("values", {})
    for name in measure.values:
        number = numbers.get(name)
        if number is not None and np.isfinite(number):
            row["values"][name] = number
        elif number is not None:
            row["excluded"][name] = f"came out as {number}"
        else:
            missing = "no prompt" if name.endswith("clip_text") else "nothing moves"
            row["excluded"][name] = entry.get("excluded", missing)


def _vector(
    session: Session,
    feature: FeatureMeasure,
    content: str,
    footage: Callable[[], Footage],
    row: dict[str, Any],
) -> np.ndarray | None:
    def made() -> Entry:
        try:
            return {"vector": feature.vector(footage()).tolist()}
        except ValueError as error:
            return {"excluded": str(error)}

    key = {"content": content, "measure": feature.name, "seconds": session.request.seconds}
    entry = session.ledger.entry(key | dict(feature.identity), made)
    if "excluded" in entry:
        row["excluded"] |= dict.fromkeys(feature.values, entry["excluded"])
        return None
    return np.array(entry["vector"])
