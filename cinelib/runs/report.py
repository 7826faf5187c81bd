"""A run as one HTML file that opens without a server or a network: the answer first, then a section a stage.

Nothing in it is computed here: every number comes from a stage's `metrics.json` or manifest.
"""

import json
import re
from pathlib import Path
from typing import Any

from cinelib.files import read_json, walk, write_text
from cinelib.runs import findings, state
from cinelib.runs.exhibits import (
    MAX_CLIP_BYTES,
    Budget,
    clip_grids,
    end_of,
    figures,
    metric_rows,
    side_by_side,
    spoken,
    table,
)
from cinelib.runs.state import RunState, StageState
from cinelib.runs.workbook import Workbook
from cinelib.units import number, readable_bytes, readable_seconds

FILE = "report.html"


def write(workbook: Workbook, name: str, max_clip_bytes: int = MAX_CLIP_BYTES) -> Path:
    """Write the run's `report.html` and return its path.

    Raises:
        ParameterError: no such run.
    """
    run = state.load(workbook, name)
    path = workbook.run_folder(name) / FILE
    text = render(workbook, run, Budget(max_clip_bytes))
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path


def render(workbook: Workbook, run: RunState, budget: Budget) -> str:
    """The report's HTML. All text is escaped by the template."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"number": number, "size": readable_bytes, "duration": readable_seconds, "spoken": spoken}
    environment.filters.update(filters)
    scenes = side_by_side(workbook.root, run, budget)  # first: the answer's clips are the last to be left out
    done = [stage.manifest for stage in run.stages if stage.manifest]
    return environment.get_template("report.html.j2").render(
        run=run,
        answer=findings.answer(run),
        scenes=scenes,
        claims=findings.claims(workbook.root, run),
        sections=[section(workbook, stage, budget) for stage in run.stages],
        done=len(done),
        seconds=sum(content["seconds"] for content in done),
        finished=max((content["finished"] for content in done), default=""),
        machine=done[0]["machine"] if done else {},
        versions=done[0]["versions"] if done else {},
        refused=budget.refused,
    )


def section(workbook: Workbook, stage: StageState, budget: Budget) -> dict[str, Any]:
    """What the report shows of one stage: of its folder when it is done, else of its last failure."""
    folder = stage.folder if stage.manifest else stage.failure
    title, question, lead = _opening(workbook.notebook(stage.name))
    content: dict[str, Any] = {
        "stage": stage, "title": title or stage.name, "question": question, "lead": lead, "folder": folder,
        "words": [], "figures": [], "metrics": [], "tables": [], "clips": [], "log": "", "files": 0,
        "bytes": 0, "parameters": {}, "more": "", "columns": [],
    }  # fmt: skip
    if folder is None or not folder.is_dir():
        return content
    content["log"] = end_of(folder / "log.txt")
    if stage.manifest is None:
        return content
    files, metrics = list(walk(folder)), findings.metrics_of(folder)
    columns = ("interval", "n", "unit", "note")
    rows = metric_rows(metrics)
    return content | {
        "words": findings.words(stage.name, metrics, stage.manifest),
        "figures": list(figures(folder)),
        "metrics": rows,
        "columns": [key for key in columns if any(row[key] for row in rows)],
        "tables": [table(folder, path) for path in files if path.suffix == ".csv"],
        "clips": clip_grids(folder, [path for path in files if path.suffix == ".mp4"], budget),
        "parameters": stage.manifest["parameters"],
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "more": json.dumps(stage.manifest, indent=2, ensure_ascii=False),
    }


def _opening(notebook: Path) -> tuple[str, str, str]:
    """Title, question (in bold) and first paragraph of a notebook."""
    cells = (read_json(notebook) or {}).get("cells", [])
    text = "".join(cells[0]["source"]) if cells and cells[0]["cell_type"] == "markdown" else ""
    title, _, rest = text.partition("\n")
    paragraphs = [part.strip() for part in rest.split("\n\n") if part.strip()]
    asked = paragraphs and re.fullmatch(r"\*\*(.+?)\*\*", paragraphs[0], re.DOTALL)
    question = _plain(asked[1]) if asked else ""
    lead = next((part for part in paragraphs[bool(asked) :] if part[0] not in "-|#<"), "")
    return title.lstrip("# ").strip(), question, _plain(lead)


def _plain(markdown: str) -> str:
    linked = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", markdown)
    return " ".join(linked.replace("**", "").replace("`", "").replace("*", "").split())
