"""What is asked for: the metrics that `cinelib score` knows, what each needs, and how it is made of that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cinelib.evaluation.clips import ScoreError
from cinelib.files import Hashes, digest
from cinelib.metrics.clip_sim import ClipMetric, ClipSimilarity
from cinelib.metrics.costume import CostumeMetric
from cinelib.metrics.extractors import I3D, FrameFeatures
from cinelib.metrics.flow.raft import Raft
from cinelib.metrics.frechet import DistanceMetric
from cinelib.metrics.metric import Clip, Metric
from cinelib.metrics.motion import MotionMetric
from cinelib.metrics.perceptual import LPIPS, FeatureDistance, PerceptualMetric
from cinelib.metrics.style import Look, StyleMetric, look, small_frames
from cinelib.metrics.video_features import VideoFeatures
from cinelib.preparation.isolation import ChildError
from cinelib.preparation.sources import Source

_ASKED = {"raft": "--raft FILE", "reference": "real clips to compare with: give --reference DIR"}


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
        for name in self.metrics:
            if lacking := [need for need in METRICS[name].needs if not getattr(self, need)]:
                asked = [_ASKED.get(need, f"--{need.replace('_', '-')}") for need in lacking]
                raise ScoreError(f"{name} needs {' and '.join(asked)}")
        if bool(self.i3d) != bool(self.i3d_sha256):
            raise ScoreError("--i3d and --i3d-sha256 go together: FVD is only computed with known weights")
        if bool(self.costume.strip()) != bool(self.wrong_costume.strip()):
            raise ScoreError("--costume and --wrong-costume go together: one phrase alone has no control")
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
            usual = ((name, known.needs) for name, known in METRICS.items() if known.usual)
            wanted = {name for name, needs in usual if all(getattr(self, need) for need in needs)}
        return tuple(name for name in METRICS if name in wanted)


@dataclass(frozen=True)
class Inputs:
    """What metrics are made of: the request, and the reference's clips."""

    request: Request
    references: Sequence[Source]
    decode: Callable[[Source], Clip]
    hashes: Hashes

    @cached_property
    def contents(self) -> dict[str, str]:
        """Reference file to its SHA-256."""
        return {source.file: self.hashes.file(source.path) for source in self.references}

    def reference(self, source: Source) -> Clip:
        """The decoded clip of the reference. Raises ScoreError where there is none."""
        try:
            return self.decode(source)
        except (ChildError, ValueError) as error:
            raise ScoreError(f"reference {source.file}: {error}") from error

    @cached_property
    def words(self) -> tuple[ClipSimilarity, str]:
        """The CLIP network, and the digest of its folder."""
        return _network(ClipSimilarity, self.request.clip_model), self.files(self.request.clip_model)

    def files(self, model: str) -> str:
        """Digest of a network's folder; none for a hub id, whose weights are hashed by the metric."""
        return self.hashes.tree(Path(model)) if model and Path(model).is_dir() else ""


def _network(kind: Callable[..., Any], *arguments: str) -> Any:
    try:
        return kind(*arguments)
    except (OSError, ValueError) as error:
        raise ScoreError(str(error)) from error


def _style(given: Inputs) -> Metric:
    @cache
    def film() -> Look:
        # By content: what the files are called changes no bit of the sums over their frames.
        by_content = sorted(given.references, key=lambda source: given.contents[source.file])
        clips = [given.reference(source) for source in by_content]
        return look(np.concatenate([small_frames(clip.frames) for clip in clips]))

    return StyleMetric(film, digest(sorted(given.contents.values()))) if given.references else StyleMetric()


def _clip(given: Inputs) -> Metric:
    return ClipMetric(*given.words)


def _costume(given: Inputs) -> Metric:
    network, files = given.words
    return CostumeMetric(network, (given.request.costume, given.request.wrong_costume), files)


def _perceptual(given: Inputs) -> Metric:
    alexnet, sources = given.request.alexnet, {source.file: source for source in given.references}

    def partner(file: str) -> Clip | None:
        return given.reference(sources[file]) if file in sources else None

    return PerceptualMetric(
        _network(LPIPS, alexnet) if alexnet else FeatureDistance(), partner, given.contents
    )


def _features(given: Inputs) -> Metric:
    """I3D by file and hash, a video network by folder or hub id, or frames."""
    asked = given.request
    if asked.i3d:
        return DistanceMetric(_network(I3D, asked.i3d, asked.i3d_sha256), asked.window)
    network = _network(VideoFeatures, asked.features) if asked.features else FrameFeatures()
    return DistanceMetric(network, asked.window, given.files(asked.features))


@dataclass(frozen=True)
class Known:
    """How a metric is made, the fields of `Request` that it needs, whether it runs without being named."""

    make: Callable[[Inputs], Metric] | None
    needs: tuple[str, ...] = ()
    usual: bool = True


METRICS = {
    "motion": Known(lambda given: MotionMetric()),
    "raft": Known(lambda given: MotionMetric(_network(Raft, given.request.raft), "raft"), ("raft",)),
    "style": Known(_style),
    "clip": Known(_clip, ("clip_model",)),
    "costume": Known(_costume, ("costume", "wrong_costume")),
    "perceptual": Known(_perceptual, ("reference",), usual=False),
    "features": Known(_features, ("reference",)),
    "vbench": Known(None, usual=False),  # of the whole folder, by `vbench`
}


def metrics_for(given: Inputs) -> list[Metric]:
    """The metrics of clips that were asked for. Raises ScoreError for a network that is not here."""
    makers = [METRICS[name].make for name in given.request.chosen]
    return [make(given) for make in makers if make]
