"""VBench's and VBench-I2V's dimensions for whoever has the `vbench` package: run by it, not written again.

`vbench` pins old versions of numpy and transformers, so it wants an environment of its own. Its networks are
fetched by it, on first use and without a check of their hash.
"""

import json
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cinelib.files import straying
from cinelib.metrics.result import Result
from cinelib.provenance import versions_of

# What VBench measures on a user's own videos (its `custom_input` mode), and VBench-I2V as well.
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
# What VBench-I2V adds: against the still that a clip starts from, against the camera move in its prompt.
WITH_STILLS = ("i2v_subject", "i2v_background")
WITH_CAMERA = ("camera_motion",)
_I2V_ONLY = WITH_STILLS + WITH_CAMERA
I2V = _I2V_ONLY + WITHOUT_PROMPTS
KNOWN = WITHOUT_PROMPTS + WITH_PROMPTS + _I2V_ONLY
CAMERA_MOVES = (
    "camera pans left",
    "camera pans right",
    "camera tilts up",
    "camera tilts down",
    "camera zooms in",
    "camera zooms out",
    "camera static",
)

_INSTALL = {
    "vbench": "pip install vbench, best in an environment of its own",
    "vbench2_beta_i2v": "pip install --upgrade vbench",
    "vbench2_beta_i2v.third_party": "not on PyPI, copy that folder from github.com/Vchitect/VBench",
    "clip": "pip install openai-clip",
}


def missing(dimensions: Sequence[str] = WITHOUT_PROMPTS) -> str:
    """What has to be installed before `dimensions` can run, and how; empty when nothing has.

    Networks that VBench fetches on first use are not looked for.
    """
    lacking: dict[tuple[str, str], list[str]] = {}
    for dimension in dimensions:
        try:
            import_module("vbench")  # both sets come with it
            import_module(f"{_package(dimension)}.{dimension}")
        except ModuleNotFoundError as error:
            name = str(error.name)
            cure = _INSTALL.get(name, f"pip install {name.split('.')[0]}")
            lacking.setdefault((name, cure), []).append(dimension)
        except Exception as error:  # what an installed package of the wrong version raises
            broken = f"{type(error).__name__}: {error}"
            lacking.setdefault((broken, "install the versions that vbench asks for"), []).append(dimension)
    return "; ".join(f"{name} (for {', '.join(users)}): {cure}" for (name, cure), users in lacking.items())


def vbench_scores(
    folder: str | Path,
    dimensions: Sequence[str] = WITHOUT_PROMPTS,
    prompts: Mapping[str, str] | None = None,
    device: str = "cuda",
    stills: Mapping[str, str | Path] | None = None,
) -> dict[str, tuple[Result, dict[str, float]]]:
    """Each dimension's mean over the videos that lie directly in `folder`, and the value of each video.

    Args:
        dimensions: any of `KNOWN`, VBench's own names; `I2V` is VBench-I2V's whole set.
        prompts: file name to prompt, needed by the dimensions in `WITH_PROMPTS` and `WITH_CAMERA`.
            `human_action` compares what follows "person is" with the names of Kinetics-400's actions.
        stills: file name to the image that the clip was made from, needed by those in `WITH_STILLS`.

    Raises:
        ModuleNotFoundError: a package is missing; the message names each and how to get it.
        ValueError: an unknown dimension, a prompt, camera move or still missing, or an answer that leaves
            out a video.
        RuntimeError: VBench itself failed, for instance because its networks are not here.
    """
    from cinelib.statistics import mean_interval

    videos = _videos(Path(folder))
    told = {name: prompt for name, prompt in (prompts or {}).items() if prompt.strip()}
    images = {name: Path(still) for name, still in (stills or {}).items()}
    _check(dimensions, videos, told, images)
    if lacking := missing(dimensions):
        raise ModuleNotFoundError(f"VBench is not all here: {lacking}")
    answers = _evaluated(Path(folder), videos, dimensions, told, images, device)
    found = {}
    for dimension in dimensions:
        values = answers[dimension]
        numbers = np.array(list(values.values()))
        result = Result(
            f"VBench {dimension}",
            float(numbers.mean()),
            n=len(numbers),
            interval=mean_interval(numbers) if len(numbers) > 1 else None,
            extractor=f"vbench {versions_of('vbench')['vbench']}",
            implementation="vbench",
            preprocessing="VBench-I2V, own clips" if dimension in _I2V_ONLY else "custom_input mode",
        )
        found[dimension] = result, values
    return found


def _evaluated(
    folder: Path,
    videos: Sequence[str],
    dimensions: Sequence[str],
    prompts: Mapping[str, str],
    stills: Mapping[str, Path],
    device: str,
) -> dict[str, dict[str, float]]:
    """The value of each video by dimension."""
    plain = [name for name in dimensions if name not in _I2V_ONLY]
    ours = [name for name in dimensions if name in _I2V_ONLY]
    answers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        links = _linked(folder, videos, prompts, Path(scratch, "videos"))
        try:
            if plain:
                answers |= _custom(Path(scratch), links, plain, prompts, device)
            if ours:
                answers |= _i2v(Path(scratch), links, ours, stills, device)
        except Exception as error:  # whatever it or one of its dozen dependencies raises
            raise RuntimeError(f"vbench failed: {type(error).__name__}: {error}") from error
    return {name: _per_video(name, answers.get(name), links) for name in dimensions}


def _custom(
    scratch: Path, links: Mapping[str, str], dimensions: list[str], prompts: Mapping[str, str], device: str
) -> dict[str, Any]:
    told = {link: prompts[name] for name, link in links.items() if name in prompts}
    bench = import_module("vbench").VBench(device, "", str(scratch))
    bench.evaluate(
        videos_path=str(scratch / "videos"),
        name="clips",
        prompt_list=told if len(told) == len(links) else {},  # it takes one for each or none
        dimension_list=dimensions,
        mode="custom_input",
    )
    return json.loads((scratch / "clips_eval_results.json").read_text("utf-8"))


def _i2v(
    scratch: Path, links: Mapping[str, str], dimensions: list[str], stills: Mapping[str, Path], device: str
) -> dict[str, Any]:
    clips = [
        {
            "prompt_en": link,
            "dimension": dimensions,
            "video_list": [str(scratch / "videos" / link)],
            "image_name": str(stills[name].resolve()) if name in stills else "",
        }
        for name, link in links.items()
    ]
    listed = scratch / "i2v_full_info.json"
    listed.write_text(json.dumps(clips), "utf-8")
    bench = import_module("vbench2_beta_i2v").VBenchI2V(device, str(listed), str(scratch))
    # VBench-I2V has no mode for own clips: its list is that of its own suite, unless it finds one made.
    bench.build_full_info_json = lambda *arguments, **named: str(listed)
    bench.evaluate(videos_path=str(scratch / "videos"), name="i2v", dimension_list=dimensions)
    return json.loads((scratch / "i2v_eval_results.json").read_text("utf-8"))


def _linked(folder: Path, videos: Sequence[str], prompts: Mapping[str, str], into: Path) -> dict[str, str]:
    """Links to the videos, named after their prompts as VBench's own are: some dimensions read the name."""
    into.mkdir()
    links = {name: f"{_words(prompts.get(name, name[:-4]))}-{k}.mp4" for k, name in enumerate(videos)}
    for name, link in links.items():
        (into / link).symlink_to((folder / name).resolve())
    return links


def _words(prompt: str) -> str:
    """The prompt as a file's name: VBench cuts names at a hyphen or underscore, file systems at 255 bytes."""
    return re.sub(r"[-_/\s]+", " ", prompt).encode()[:200].decode(errors="ignore")


def _per_video(dimension: str, answer: Any, links: Mapping[str, str]) -> dict[str, float]:
    """VBench answers [mean, ..., [{"video_path": ..., "video_results": ...}, ...]]."""
    rows = answer[-1] if isinstance(answer, list | tuple) and len(answer) > 1 else []
    values = {Path(row["video_path"]).name: float(row["video_results"]) for row in rows}
    lost = [name for name, link in links.items() if not math.isfinite(values.get(link, math.nan))]
    if lost:
        raise ValueError(f"vbench gave no {dimension} for {', '.join(lost[:5])}")
    return {name: values[link] for name, link in links.items()}


def _check(
    dimensions: Sequence[str], videos: Sequence[str], prompts: Mapping[str, str], stills: Mapping[str, Path]
) -> None:
    unknown = [name for name in dimensions if name not in KNOWN]
    if unknown or not dimensions:
        known = ", ".join(KNOWN)
        raise ValueError(f"unknown dimensions {', '.join(unknown) or '(none given)'}; known: {known}")
    moves = {name for name in videos if any(move in _words(prompts.get(name, "")) for move in CAMERA_MOVES)}
    for kind, has, needed in (
        (WITH_PROMPTS, prompts, "a prompt for each video"),
        (WITH_CAMERA, moves, f"a prompt with one of {', '.join(CAMERA_MOVES)} for each video"),
        (WITH_STILLS, stills, "the still that each video was made from"),
    ):
        needing = [name for name in dimensions if name in kind]
        bare = [name for name in videos if name not in has]
        if needing and bare:
            raise ValueError(f"{', '.join(needing)} need {needed}; none for {', '.join(bare[:5])}")
    gone = [str(stills[name]) for name in videos if name in stills and not stills[name].is_file()]
    if gone:
        raise ValueError(f"no such still: {', '.join(gone[:5])}")


def _package(dimension: str) -> str:
    return "vbench2_beta_i2v" if dimension in _I2V_ONLY else "vbench"


def _videos(folder: Path) -> list[str]:
    found = sorted(path.name for path in folder.glob("*.mp4") if not straying(folder, path))
    if not found:
        raise ValueError(f"no .mp4 directly in {folder}: VBench looks into no subfolder")
    return found
