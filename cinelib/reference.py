"""The reference run: executed notebooks of one nano run, committed for people who only read.

`python -m cinelib.reference write RUN` copies a finished run's notebooks to `papermill_runs/reference/`
with an index of times, memory and machine; `check` names those whose code has changed since.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from cinelib.runs import state
from cinelib.runs.files import digest, read_json, write_json, write_text
from cinelib.runs.identity import notebook_cells
from cinelib.runs.workbook import Workbook, find_root

INDEX = "data/reference.json"  # under data/, so that what reads it counts it among its inputs
MAX_BYTES = 2_000_000


class UnfitRun(ValueError):
    """The run cannot serve as a reference."""


def folder(workbook: Workbook) -> Path:
    """Where the reference run lies."""
    return workbook.runs / "reference"


def read_index(root: Path) -> Mapping[str, Any] | None:
    """Times, memory, machine and code hashes of the reference run; None when there is none."""
    return read_json(root / INDEX)


def code_digest(notebook: Path) -> str:
    """Hash of a notebook's code. Prose may be mended without executing everything again."""
    cells = notebook_cells(notebook)
    return digest(
        [source for kind, source, tags in cells if kind == "code" and "injected-parameters" not in tags]
    )


def stale(workbook: Workbook) -> list[str]:
    """Stages of the workbook whose notebook has other code than the reference run executed, or none there."""
    index = read_index(workbook.root) or {"stages": {}}
    recorded = {stage: entry["code_sha256"] for stage, entry in index["stages"].items()}
    present = [stage for stage in workbook.stages if workbook.notebook(stage).is_file()]
    return [stage for stage in present if recorded.get(stage) != code_digest(workbook.notebook(stage))]


def write(workbook: Workbook, run: str) -> Path:
    """Copy a finished run's executed notebooks and write the index, last.

    Raises:
        UnfitRun: a stage is not done, an executed notebook is over 2 MB or has an error in it.
    """
    found = state.load(workbook, run)
    if unfinished := [stage.name for stage in found.stages if stage.manifest is None]:
        raise UnfitRun(f"run {run!r}: {', '.join(unfinished)} not done; finish it with: cinelib run")
    texts, entries = {}, {}
    for stage in found.stages:
        texts[stage.name] = _portable(stage.folder / "out.ipynb", workbook.root)
        size = len(texts[stage.name].encode())
        if size > MAX_BYTES:
            raise UnfitRun(f"{stage.name}: {size / 1e6:.1f} MB executed, at most {MAX_BYTES / 1e6:g}")
        entries[stage.name] = {
            "code_sha256": code_digest(stage.folder / "out.ipynb"),
            "seconds": stage.manifest["seconds"],
            "peak_rss_bytes": stage.manifest["kernel"]["peak_rss_bytes"],
            "finished": stage.manifest["finished"],
            "bytes": size,
        }
    target = folder(workbook)
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(target / f"{name}.ipynb", text)
    first = found.stages[0]
    rate = (read_json(first.folder / "metrics.json") or {}).get("matmul_rate", {}).get("value")
    facts = {"profile": found.profile, "machine": first.manifest["machine"], "matmul_rate": rate}
    write_json(workbook.root / INDEX, {**facts, "stages": entries})
    return target


def _portable(path: Path, root: Path) -> str:
    """An executed notebook without what belongs to one machine: paths and Papermill's records."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                raise UnfitRun(f"{path.parent.name}: a cell ended in {output.ename}")
        cell.metadata = nbformat.from_dict({"tags": list(cell.metadata.get("tags", []))})
    notebook.metadata.pop("papermill", None)
    return nbformat.writes(notebook).replace(f"{root}/", "").replace(str(root), ".") + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cinelib.reference", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write").add_argument("run", help="name of a finished run (cinelib status)")
    commands.add_parser("check")
    options = parser.parse_args(arguments)
    workbook = Workbook(find_root())
    if options.command == "check":
        for stage in (old := stale(workbook)):
            print(f"{stage}: other code than the reference run executed", file=sys.stderr)
        return 1 if old else 0
    try:
        print(write(workbook, options.run))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
