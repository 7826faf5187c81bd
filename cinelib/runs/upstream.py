"""Which execution of an earlier stage a notebook in JupyterLab reads: the newest, or none in silence."""

from pathlib import Path

from cinelib.files import hash_of, read_json
from cinelib.parameters import StageParameters
from cinelib.runs import manifest


class UpstreamError(LookupError):
    """A stage's input was never made, not at this profile, or is no longer what somebody made of it."""


def own_files(root: Path, params: StageParameters) -> dict[str, str | None]:
    """Hash of each file that a person may have made for the stage; None where there is none."""
    return {name: _hash(root / name) for name in params.own_files()}


def newest(root: Path, runs: Path, stage: str, profile: str) -> Path:
    """The folder of the stage that finished last at `profile`, in a run or in JupyterLab.

    Raises:
        UpstreamError: there is none, or none since captions were edited, or it was changed after its end. To
            take an older one instead would drop somebody's work.
    """
    again = f"cinelib run {stage} --profile {profile}"
    found = _finished(runs, stage, profile)
    if not found:
        raise UpstreamError(f"no finished {stage} at profile {profile!r}; make it with: {again}")
    current = [(when, folder) for when, folder, read in found if _unchanged(root, read)]
    if not current:
        edited = ", ".join(found[-1][2])
        raise UpstreamError(f"{edited} was edited since {stage} read it; make {stage} anew with: {again}")
    _, folder = current[-1]
    if problem := manifest.problem(folder):
        raise UpstreamError(
            f"{folder} is the newest {stage}, but {problem} after its end. To take it as it is, run the last "
            f"cell of its notebook again; to do without it, remove the folder, then: {again}"
        )
    return folder


def _finished(runs: Path, stage: str, profile: str) -> list[tuple[str, Path, dict[str, str | None]]]:
    """When, where, and the person's own files that it read; the newest last."""
    lab = [runs / "lab" / stage, runs / "lab" / f"{stage}.previous"]
    found = []
    for folder in [*(runs / "stages").glob(f"{stage}-*"), *lab]:
        content = read_json(folder / manifest.FILE)
        if not isinstance(content, dict) or content.get("stage") != stage or "finished" not in content:
            continue
        if content.get("parameters", {}).get("profile") == profile:
            found.append((content["finished"], folder, content.get("own_files", {})))
    return sorted(found, key=lambda entry: entry[:2])


def _unchanged(root: Path, read: dict[str, str | None]) -> bool:
    return all(known == _hash(root / name) for name, known in read.items())


def _hash(path: Path) -> str | None:
    return hash_of(path) if path.is_file() else None
