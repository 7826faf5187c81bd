"""The reference run: executed notebooks of one nano run, committed for people who only read.

`python notebooks/source/reference.py write RUN` copies a finished run's notebooks to `papermill_runs/reference/`,
draws README's picture there, and writes times, memory, machine and findings to an index; `times RUN` adds the
times of another profile's run. Both bring the tables of the pages up to date, as `pages` does alone, after
a notebook was added. `check` names the notebooks whose code has changed since.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cover
import nbformat
import pages
import results

from cinelib.files import Hashes, digest, read_json, write_json, write_text
from cinelib.runs import manifest, state
from cinelib.runs import notebook as notebooks
from cinelib.runs.workbook import Workbook, find_root

INDEX = "data/reference.json"  # under data/, so that what reads it counts it among its inputs
MAX_BYTES = 2_000_000
COVER = "cover.jpg"  # README's picture


class UnfitRun(ValueError):
    """The run cannot serve as a reference."""


def folder(workbook: Workbook) -> Path:
    """Where the reference run lies."""
    return workbook.reference


def read_index(root: Path) -> Mapping[str, Any] | None:
    """Times, memory, machine and code hashes of the reference run; None when there is none."""
    return read_json(root / INDEX)


def code_digest(notebook: Path) -> str:
    """Hash of a notebook's code. Prose may be mended without executing everything again."""
    cells = notebooks.read(notebook)
    return digest([c.source for c in cells if c.kind == "code" and "injected-parameters" not in c.tags])


def stale(workbook: Workbook) -> list[str]:
    """Stages of the workbook whose notebook has other code than the reference run executed, or none there."""
    index = read_index(workbook.root) or {"stages": {}}
    recorded = {stage: entry["code_sha256"] for stage, entry in index["stages"].items()}
    present = [stage for stage in workbook.stages if workbook.notebook(stage).is_file()]
    return [stage for stage in present if recorded.get(stage) != code_digest(workbook.notebook(stage))]


def write(workbook: Workbook, run: str) -> Path:
    """Copy a finished run's executed notebooks and figures, draw README's picture, then write the index.

    Raises:
        UnfitRun: a stage is not done or not the only one of its notebook, an executed notebook is over 2 MB or has an error in it.
    """
    found = _finished(workbook, run)
    texts, entries = {}, {}
    for stage in found.stages:
        texts[stage.name] = _portable(stage.folder / "out.ipynb", workbook.root)
        size = len(texts[stage.name].encode())
        if size > MAX_BYTES:
            raise UnfitRun(f"{stage.name}: {size / 1e6:.1f} MB executed, at most {MAX_BYTES / 1e6:g}")
        entries[stage.name] = {"code_sha256": code_digest(stage.folder / "out.ipynb"), **_cost(stage)}
    target = folder(workbook)
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(target / f"{name}.ipynb", text)
        _picture(found, name, target / f"{name}.jpg")
    if figure := cover.draw(found, workbook.root):
        figure.savefig(target / COVER, pil_kwargs={"quality": 90})
    first = found.stages[0]
    rate = (read_json(first.folder / "metrics.json") or {}).get("matmul_rate", {}).get("value")
    facts = {"profile": found.profile, "machine": first.manifest["machine"], "matmul_rate": rate}
    facts["results"] = results.collect(found)
    others = {
        p: t for p, t in (read_index(workbook.root) or {}).get("times", {}).items() if p != found.profile
    }
    _publish(workbook, {**facts, "stages": entries, "times": others})
    return target


def add_times(workbook: Workbook, run: str) -> Path:
    """Add what a finished run of another profile cost to the index.

    Raises:
        UnfitRun: a stage is not done, or there is no reference run to add to.
    """
    found, index = _finished(workbook, run), read_index(workbook.root)
    if index is None or index["profile"] == found.profile:
        raise UnfitRun(f"write a reference run first, of another profile than {found.profile!r}")
    costs = {stage.name: _cost(stage) for stage in found.stages}
    return _publish(workbook, {**index, "times": {**index["times"], found.profile: costs}})


def bring_up_to_date(workbook: Workbook) -> Path:
    """Write the pages' tables again from the index, say after a notebook was added.

    Raises:
        UnfitRun: there is no reference run yet.
    """
    if (index := read_index(workbook.root)) is None:
        raise UnfitRun("there is no reference run yet")
    return _publish(workbook, index)


def _picture(run: state.RunState, stage: str, target: Path) -> None:
    from PIL import Image

    (folder,) = [entry.folder for entry in run.stages if entry.name == stage]
    source = folder / "figures" / "signature.png"
    if source.is_file():
        picture = Image.open(source).convert("RGB")
        picture.thumbnail((1200, 2400))
        picture.save(target, quality=88)


def _publish(workbook: Workbook, index: Mapping[str, Any]) -> Path:
    pages.publish(workbook, index)
    return write_json(workbook.root / INDEX, index)


def _finished(workbook: Workbook, run: str) -> state.RunState:
    found = state.load(workbook, run)
    hashes = Hashes()  # large files are read too: what is recorded for all must be what the run wrote
    reasons = {stage.name: manifest.problem(stage.folder, hashes) for stage in found.stages}
    if unfinished := [f"{name} not done ({reason})" for name, reason in reasons.items() if reason]:
        raise UnfitRun(f"run {run!r}: {', '.join(unfinished)}; finish it with: cinelib run")
    names = [stage.name for stage in found.stages]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UnfitRun(f"run {run!r} executed {', '.join(twice)} more than once; a reference has one of each")
    return found


def _cost(stage: state.StageState) -> dict[str, Any]:
    assert stage.manifest is not None
    facts = {name: stage.manifest[name] for name in ("seconds", "finished")}
    kernel = stage.manifest["kernel"]
    # With the processes that a notebook starts: a reader wants to know what the machine must hold.
    return {**facts, "peak_rss_bytes": max(kernel["peak_rss_bytes"], kernel["peak_tree_rss_bytes"])}


def _portable(path: Path, root: Path) -> str:
    """An executed notebook without what belongs to one machine: paths and Papermill's records."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                raise UnfitRun(f"{path.parent.name}: a cell ended in {output.ename}")
        tags = list(cell.metadata.get("tags", []))
        folded = cell.metadata.get("jupyter", {}).get("source_hidden") or "injected-parameters" in tags
        folding = {"jupyter": {"source_hidden": True}} if folded else {}  # what the parameters cell has shown
        cell.metadata = nbformat.from_dict({"tags": tags, **folding})
    notebook.metadata.pop("papermill", None)
    return nbformat.writes(notebook).replace(f"{root}/", "").replace(str(root), ".") + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python notebooks/source/reference.py", description=__doc__.splitlines()[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write").add_argument("run", help="name of a finished run (cinelib status)")
    commands.add_parser("times").add_argument("run", help="name of a finished run of another profile")
    commands.add_parser("pages")
    commands.add_parser("check")
    options = parser.parse_args(arguments)
    workbook = Workbook(find_root())
    if options.command == "check":
        for stage in (old := stale(workbook)):
            print(f"{stage}: other code than the reference run executed", file=sys.stderr)
        return 1 if old else 0
    try:
        if options.command == "pages":
            print(bring_up_to_date(workbook))
            return 0
        print({"write": write, "times": add_times}[options.command](workbook, options.run))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
