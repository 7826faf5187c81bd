"""Which metrics are asked for, and the networks that they need: by local folder or hub id, checked first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from cinelib.evaluation.clips import Footage, ScoreError
from cinelib.evaluation.measures.costume import CostumeMeasure
from cinelib.evaluation.measures.features import FeatureMeasure
from cinelib.evaluation.measures.measure import Measure
from cinelib.evaluation.measures.motion import MotionMeasure
from cinelib.evaluation.measures.perceptual import PerceptualMeasure
from cinelib.evaluation.measures.similarity import ClipMeasure
from cinelib.evaluation.measures.style import StyleMeasure, small_frames
from cinelib.evaluation.score_cache import Entry, Ledger
from cinelib.evaluation.vbench import WITH_PROMPTS, WITHOUT_PROMPTS, vbench_scores
from cinelib.files import Hashes, digest
from cinelib.metrics.clip_sim import ClipSimilarity
from cinelib.metrics.extractors import I3D, Extractor, FrameFeatures
from cinelib.metrics.flow.raft import Raft
from cinelib.metrics.perceptual import LPIPS, FeatureDistance
from cinelib.metrics.style import Look, look
from cinelib.metrics.video_features import VideoFeatures
from cinelib.preparation.isolation import ChildError
from cinelib.preparation.sources import Source
from cinelib.provenance import code_of, versions_of

METRICS = ("motion", "raft", "style", "clip", "costume", "features", "perceptual", "vbench")
_NEED_REFERENCE = ("features", "perceptual")


@dataclass(frozen=True)
class Request:
    """What to score and how. `metrics` empty means all that the inputs allow."""

    path: Path
    cache: Path
    reference: Path | None = None
    prompts: Path | None = None
    metrics: tuple[str, ...] = ()
    seconds: float = 10.0
    window: float = 1.0
    clip_model: str = ""
    features: str = ""
    i3d: str = ""
    i3d_sha256: str = ""
    alexnet: str = ""
    raft: str = ""
    costume: str = ""
    wrong_costume: str = ""

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown:
            raise ScoreError(f"unknown metrics {', '.join(unknown)}; known: {', '.join(METRICS)}")
        lacking = [name for name in self.metrics if name in _NEED_REFERENCE and not self.reference]
        if lacking:
            raise ScoreError(f"{', '.join(lacking)} compare with real clips: give --reference DIR")
        if bool(self.i3d) != bool(self.i3d_sha256):
            raise ScoreError("--i3d and --i3d-sha256 go together: FVD is only computed with known weights")
        if bool(self.costume.strip()) != bool(self.wrong_costume.strip()):
            raise ScoreError("--costume and --wrong-costume go together: one phrase alone has no control")
        for name, option in (("raft", "--raft FILE"), ("costume", "--costume and --wrong-costume")):
            if name in self.metrics and not getattr(self, name):
                raise ScoreError(f"{name} needs {option}")
        if self.costume and not self.clip_model:
            raise ScoreError("--costume compares pictures with words: give --clip-model")
        if not self.window > 0 or not self.seconds >= self.window:
            raise ScoreError(f"need 0 < window <= seconds, got {self.window:g} and {self.seconds:g}")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The metrics asked for. Similarity between frames never goes without motion: a still has 1."""
        if self.metrics:
            wanted = set(self.metrics) | ({"motion"} if "clip" in self.metrics else set())
        else:
            given = {"clip": self.clip_model, "features": self.reference, "raft": self.raft}
            given |= {"costume": self.costume}
            wanted = {"motion", "style"} | {name for name, value in given.items() if value}
        return tuple(name for name in METRICS if name in wanted)


def measures_for(
    request: Request, references: Sequence[Source], decode: Callable[[Source], Footage], hashes: Hashes
) -> list[Measure]:
    """The per-clip measures. Raises ScoreError for a network that is not here, with how to get it."""
    contents = {source.file: hashes.file(source.path) for source in references}
    found: list[Measure] = []
    if "motion" in request.chosen:
        found.append(MotionMeasure())
    if "raft" in request.chosen:
        found.append(MotionMeasure(_network(Raft, request.raft), "raft"))
    if "style" in request.chosen:

        @cache
        def film() -> Look:
            # By content: what the files are called changes no bit of the sums over their frames.
            by_content = sorted(references, key=lambda source: contents[source.file])
            clips = [_reference(source, decode) for source in by_content]
            return look(np.concatenate([small_frames(clip.frames) for clip in clips]))

        identity = digest(sorted(contents.values())) if references else ""
        found.append(StyleMeasure(film if references else None, identity))
    if {"clip", "costume"} & set(request.chosen):
        network = _network(ClipSimilarity, request.clip_model)
        clip = ClipMeasure(network, _files(request.clip_model, hashes))
        found += [clip] if "clip" in request.chosen else []
        if "costume" in request.chosen:
            found.append(CostumeMeasure(clip, request.costume, request.wrong_costume))
    if "perceptual" in request.chosen:
        by_name = {source.file: source for source in references}

        def partner(file: str) -> Footage | None:
            return _reference(by_name[file], decode) if file in by_name else None

        distance = _network(LPIPS, request.alexnet) if request.alexnet else FeatureDistance()
        found.append(PerceptualMeasure(distance, partner, contents))
    return found


def features_for(request: Request, hashes: Hashes) -> FeatureMeasure | None:
    """The extractor asked for: I3D by file and hash, a video network by folder or hub id, or frames."""
    if "features" not in request.chosen:
        return None
    extractor: Extractor
    if request.i3d:
        extractor = _network(I3D, request.i3d, request.i3d_sha256)
    elif request.features:
        extractor = _network(VideoFeatures, request.features)
    else:
        extractor = FrameFeatures()
    files = "" if request.i3d else _files(request.features, hashes)
    return FeatureMeasure(extractor, request.window, files)


def _files(model: str, hashes: Hashes) -> str:
    """Digest of a network's folder; none for a hub id, whose weights are hashed by the metric."""
    return hashes.tree(Path(model)) if model and Path(model).is_dir() else ""


def _reference(source: Source, decode: Callable[[Source], Footage]) -> Footage:
    try:
        return decode(source)
    except (ChildError, ValueError) as error:
        raise ScoreError(f"reference {source.file}: {error}") from error


def _network(kind: Callable, *arguments: str) -> object:
    try:
        return kind(*arguments)
    except (OSError, ValueError) as error:
        raise ScoreError(str(error)) from error


def vbench_entries(request: Request, prompts: dict[str, str], ledger: Ledger, hashes: Hashes) -> Entry:
    """VBench's dimensions for the summary, when asked for: those with prompts too where prompts are given.

    Raises:
        ScoreError: no package, no videos for it, prompts missing, or VBench failed.
    """
    if "vbench" not in request.chosen:
        return {}
    dimensions = WITHOUT_PROMPTS + (WITH_PROMPTS if prompts else ())
    key = {
        "measure": "vbench",
        "code": code_of("cinelib.evaluation.vbench"),
        "packages": versions_of("vbench", "torch"),
        "contents": {p.name: hashes.file(p) for p in sorted(request.path.glob("*.mp4")) if p.is_file()},
        "dimensions": list(dimensions),
        "prompts": prompts,
    }
    return ledger.entry(key, lambda: _by_vbench(request.path, dimensions, prompts))


def _by_vbench(folder: Path, dimensions: tuple[str, ...], prompts: dict[str, str]) -> Entry:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = vbench_scores(folder, dimensions, prompts, device)
    except (ImportError, ValueError, RuntimeError) as error:
        raise ScoreError(str(error)) from error
    return {result.name: {"measure": "vbench", **result.as_metric()} for result, _ in found.values()}
