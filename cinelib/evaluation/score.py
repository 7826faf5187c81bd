"""One scoring of a folder: what is known is reused, what is new is measured, and all of it is summed up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from cinelib.evaluation import notes, summary
from cinelib.evaluation.clips import Footage, ScoreError, decode
from cinelib.evaluation.folder import Folder, find
from cinelib.evaluation.measures.features import FeatureMeasure
from cinelib.evaluation.measures.measure import Measure
from cinelib.evaluation.prompts import paired, read_prompts
from cinelib.evaluation.score_cache import Entry, Ledger
from cinelib.evaluation.selection import Request, features_for, measures_for, vbench_entries
from cinelib.files import Hashes
from cinelib.preparation.isolation import Child, ChildError
from cinelib.preparation.sources import Source
from cinelib.provenance import versions_of

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
    hashes, ledger = Hashes(request.cache / "hashes.json"), Ledger(request.cache)
    with Child() as child:
        session = Session(request, child, ledger, hashes)
        own = Tally(find(request.path, child))
        other = Tally(find(request.reference, child) if request.reference else Folder([], {}))
        of_clip, unused = paired([source.file for source in own.folder.sources], prompts)
        references = other.folder.sources
        usable = [source for source in references if not source.reason]
        if references and not usable:
            raise ScoreError(f"no video in {request.reference} decodes")
        measures = measures_for(request, usable, session.footage, hashes)
        feature = features_for(request, hashes)
        # The package that may not be here comes before hours of measuring.
        vbench = vbench_entries(request, prompts, ledger, hashes)
        jobs = [(source, measures, own) for source in own.folder.sources]
        jobs += [(source, [], other) for source in references]
        for done, (source, chosen, tally) in enumerate(jobs):
            progress(done, len(jobs), source.file)
            tally.add(*_clip(session, source, chosen, feature, of_clip.get(source.file, "")))
        progress(len(jobs), len(jobs), "")
    hashes.save()
    result = summary.of(own.rows, measures, feature, own.vectors, other.vectors)
    result["summary"] |= vbench
    result["versions"] |= versions_of("vbench") if vbench else {}
    remarks = notes.about_prompts(unused, "clip" in request.chosen and not prompts)
    return {"path": str(request.path), **_account(own, other, remarks), **result}


@dataclass
class Tally:
    """What became of a set of clips."""

    folder: Folder
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)

    def add(self, row: dict[str, Any], vector: np.ndarray | None) -> None:
        """One clip: a row with `reason` did not decode."""
        (self.failures if "reason" in row else self.rows).append(row)
        if vector is not None:
            self.vectors.append(vector)


def _account(own: Tally, other: Tally, remarks: list[str]) -> dict[str, Any]:
    """Every file that was found: measured, failed or left out, and what to mind."""
    return {
        "clips": own.rows,
        "failures": own.failures + [failure | {"reference": True} for failure in other.failures],
        "left_out": own.folder.left_out,
        "notes": [
            *notes.about_clips(own.rows),
            *notes.about_left_out(own.folder.left_out),
            *remarks,
            *notes.about_reference(own.rows, other.rows),
            *notes.about_left_out(other.folder.left_out, "of the reference "),
        ],
    }


def _clip(
    session: Session,
    source: Source,
    measures: Sequence[Measure],
    feature: FeatureMeasure | None,
    prompt: str,
) -> tuple[dict[str, Any], np.ndarray | None]:
    """The row of one clip and its feature vector; a row with `reason` for one that does not decode."""
    if source.reason:
        return {"file": source.file, "reason": source.reason}, None
    content, seconds = session.hashes.file(source.path), session.request.seconds
    footage = cache(lambda: session.footage(source))
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
        found = measure(footage, prompt)
        return {"values": dict(found.values), "notes": list(found.notes)}
    except ScoreError:  # of the reference, not of this clip
        raise
    except ValueError as error:
        return {"excluded": str(error)}


def _enter(row: dict[str, Any], measure: Measure, entry: Entry) -> None:
    """Every name of the measure ends among the values or, with a reason, among the excluded."""
    numbers = entry.get("values", {})
    row["notes"] += entry.get("notes", [])
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
