"""One scoring of a folder: what is known is reused, what is new is measured, and all of it is summed up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from cinelib.evaluation import notes, summary
from cinelib.evaluation.clips import ScoreError, decode
from cinelib.evaluation.folder import Folder, find
from cinelib.evaluation.prompts import paired, read_prompts
from cinelib.evaluation.score_cache import Entry, ScoreCache
from cinelib.evaluation.selection import Inputs, Request, metrics_for
from cinelib.evaluation.vbench import WITH_PROMPTS, WITHOUT_PROMPTS, vbench_scores
from cinelib.files import Hashes, straying
from cinelib.metrics.metric import Clip, Metric
from cinelib.preparation.isolation import Child, ChildError
from cinelib.preparation.sources import Source
from cinelib.provenance import code_of, versions_of

Progress = Callable[[int, int, str], None]
Identified = tuple[Metric, Mapping[str, Any]]  # a metric and its identity
DECODER = "cinelib.evaluation.clips"  # every metric sees its pixels


@dataclass(frozen=True)
class Session:
    """What every clip of one scoring shares."""

    request: Request
    child: Child
    known: ScoreCache
    hashes: Hashes

    def clip(self, source: Source, prompt: str = "") -> Clip:
        """The decoded clip."""
        return decode(source, self.request.seconds, self.child, prompt)


def score(request: Request, progress: Progress = lambda done, total, name: None) -> dict[str, Any]:
    """Measure the videos at `request.path`; strict JSON out, the same bytes for the same inputs.

    Raises:
        ScoreError: no videos, unreadable prompts, unknown metrics, networks that are not here.
    """
    prompts = read_prompts(request.prompts) if request.prompts else {}
    hashes, known = Hashes(request.cache / "hashes.json"), ScoreCache(request.cache)
    with Child() as child:
        session = Session(request, child, known, hashes)
        own = Tally(find(request.path, child))
        other = Tally(find(request.reference, child) if request.reference else Folder([], {}))
        of_clip, unused = paired([source.file for source in own.folder.sources], prompts)
        references = other.folder.sources
        usable = [source for source in references if not source.reason]
        if references and not usable:
            raise ScoreError(f"no video in {request.reference} decodes")
        metrics = metrics_for(Inputs(request, usable, session.clip, hashes))
        identified = [(metric, metric.identity(DECODER)) for metric in metrics]
        # The package that may not be here comes before hours of measuring.
        vbench = _vbench(session, prompts)
        jobs = [(source, identified, own) for source in own.folder.sources]
        of_sets = [pair for pair in identified if pair[0].of_sets]
        jobs += [(source, of_sets, other) for source in references]
        for done, (source, chosen, tally) in enumerate(jobs):
            progress(done, len(jobs), source.file)
            tally.add(*_measured(session, source, chosen, of_clip.get(source.file, "")))
        progress(len(jobs), len(jobs), "")
    hashes.save()
    result = summary.of(own.rows, identified, own.vectors, other.vectors)
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


def _measured(
    session: Session, source: Source, identified: Sequence[Identified], prompt: str
) -> tuple[dict[str, Any], np.ndarray | None]:
    """The row of one clip and its feature vector; a row with `reason` for one that does not decode."""
    if source.reason:
        return {"file": source.file, "reason": source.reason}, None
    content, seconds = session.hashes.file(source.path), session.request.seconds
    clip, vector = cache(lambda: session.clip(source, prompt)), None
    row: dict[str, Any] = _facts(source, content, seconds) | {"prompt": prompt, "values": {}, "excluded": {}}
    try:
        for metric, identity in identified:
            key = {"content": content, "measure": metric.name, "seconds": seconds, **identity}
            key |= {name: row[name] for name in metric.reads}
            entry = session.known.entry(key, lambda metric=metric: _entry(metric, clip))
            _enter(row, metric, entry)
            vector = np.array(entry["vector"]) if "vector" in entry else vector
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


def _entry(metric: Metric, clip: Callable[[], Clip]) -> Entry:
    """What the cache keeps of one clip and metric."""
    try:
        found = metric.of(clip())
    except ScoreError:  # of the reference, not of this clip
        raise
    except ValueError as error:
        return {"excluded": str(error)}
    if found.vector is not None:
        return {"vector": found.vector.tolist()}
    values = {
        name: number if isinstance(number, str) or np.isfinite(number) else f"came out as {number}"
        for name, number in found.values.items()
    }
    return {"values": values, "notes": list(found.notes)}


def _enter(row: dict[str, Any], metric: Metric, entry: Entry) -> None:
    """Every name of the metric ends among the values or, with a reason, among the excluded."""
    if "vector" in entry:
        return
    row["notes"] += entry.get("notes", [])
    for name in metric.values:
        number = entry.get("values", {}).get(name, entry.get("excluded", "not measured"))
        row["excluded" if isinstance(number, str) else "values"][name] = number


def _vbench(session: Session, prompts: dict[str, str]) -> Entry:
    """VBench's dimensions for the summary, when asked for: those with prompts too where prompts are given.

    Raises:
        ScoreError: no package, no videos for it, prompts missing, or VBench failed.
    """
    folder = session.request.path
    if "vbench" not in session.request.chosen:
        return {}
    videos = [path for path in sorted(folder.glob("*.mp4")) if not straying(folder, path)]
    dimensions = WITHOUT_PROMPTS + (WITH_PROMPTS if prompts else ())
    key = {
        "measure": "vbench",
        "code": code_of("cinelib.evaluation.vbench"),
        "packages": versions_of("vbench", "torch"),
        "contents": {path.name: session.hashes.file(path) for path in videos},
        "dimensions": list(dimensions),
        "prompts": prompts,
    }

    def made() -> Entry:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            found = vbench_scores(folder, dimensions, prompts, device)
        except (ImportError, ValueError, RuntimeError) as error:
            raise ScoreError(str(error)) from error
        return {result.name: {"measure": "vbench", **result.as_metric()} for result, _ in found.values()}

    return session.known.entry(key, made)
