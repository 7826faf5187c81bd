"""VBench's dimensions for whoever has the `vbench` package and its networks: run by it, not written again."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from cinelib.metrics.result import Result

# What VBench measures on a user's own videos (its `custom_input` mode).
WITHOUT_PROMPTS = (
    "subject_consistency",
    "background_consistency",
    "motion_smoothness",
    "dynamic_degree",
    "aesthetic_quality",
    "imaging_quality",
    "temporal_flickering",
)
WITH_PROMPTS = ("overall_consistency", "temporal_style", "human_action")


def vbench_scores(
    folder: str | Path,
    dimensions: Sequence[str] = WITHOUT_PROMPTS,
    prompts: Mapping[str, str] | None = None,
    device: str = "cuda",
) -> dict[str, tuple[Result, dict[str, float]]]:
    """Each dimension's mean over the videos that lie directly in `folder`, and the value of each video.

    Args:
        prompts: file name to prompt, needed by the dimensions in `WITH_PROMPTS`.

    Raises:
        ModuleNotFoundError: no `vbench` here; the message holds the command.
        ValueError: an unknown dimension, a prompt missing, or an answer that leaves out a video.
        RuntimeError: VBench itself failed, for instance because its networks are not here.
    """
    from cinelib.statistics import mean_interval

    videos = _videos(Path(folder))
    _check(dimensions, videos, prompts)
    answers = _evaluated(Path(folder), dimensions, dict(prompts or {}), device)
    found = {}
    for dimension in dimensions:
        values = _per_video(dimension, answers.get(dimension), videos)
        numbers = np.array(list(values.values()))
        result = Result(
            f"VBench {dimension}",
            float(numbers.mean()),
            n=len(numbers),
            interval=mean_interval(numbers) if len(numbers) > 1 else None,
            extractor=f"vbench {_version()}",
            preprocessing="custom_input mode",
        )
        found[dimension] = result, values
    return found


def _evaluated(
    folder: Path, dimensions: Sequence[str], prompts: dict[str, str], device: str
) -> dict[str, Any]:
    try:
        vbench = import_module("vbench")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "VBench's dimensions need its package, best in an environment of its own: pip install vbench; "
            "it fetches its networks on first use"
        ) from error
    with tempfile.TemporaryDirectory() as scratch:
        try:
            bench = vbench.VBench(device, "", scratch)
            bench.evaluate(
                videos_path=str(folder),
                name="clips",
                prompt_list=prompts,
                dimension_list=list(dimensions),
                mode="custom_input",
            )
            return json.loads((Path(scratch) / "clips_eval_results.json").read_text("utf-8"))
        except Exception as error:  # whatever it or one of its dozen dependencies raises
            raise RuntimeError(f"vbench failed: {type(error).__name__}: {error}") from error


def _per_video(dimension: str, answer: Any, videos: Sequence[str]) -> dict[str, float]:
    """VBench answers [mean, [{"video_path": ..., "video_results": ...}, ...]]."""
    rows = answer[1] if isinstance(answer, list | tuple) and len(answer) == 2 else []
    values = {Path(row["video_path"]).name: float(row["video_results"]) for row in rows}
    lost = [name for name in videos if not np.isfinite(values.get(name, np.nan))]
    if lost:
        raise ValueError(f"vbench gave no {dimension} for {', '.join(lost[:5])}")
    return {name: values[name] for name in videos}


def _check(dimensions: Sequence[str], videos: Sequence[str], prompts: Mapping[str, str] | None) -> None:
    unknown = [name for name in dimensions if name not in WITHOUT_PROMPTS + WITH_PROMPTS]
    if unknown or not dimensions:
        known = ", ".join(WITHOUT_PROMPTS + WITH_PROMPTS)
        raise ValueError(f"unknown dimensions {', '.join(unknown) or '(none given)'}; known: {known}")
    bare = [name for name in videos if not (prompts or {}).get(name)]
    needing = [name for name in dimensions if name in WITH_PROMPTS]
    if needing and bare:
        raise ValueError(f"{', '.join(needing)} need a prompt for each video; none for {', '.join(bare[:5])}")


def _videos(folder: Path) -> list[str]:
    found = sorted(path.name for path in folder.glob("*.mp4"))
    if not found:
        raise ValueError(f"no .mp4 directly in {folder}: VBench looks into no subfolder")
    return found


def _version() -> str:
    try:
        return version("vbench")
    except PackageNotFoundError:
        return "of unknown version"
