"""A run as one HTML file that opens without a server: pictures, clips, metrics, parameters, manifests.

Nothing in it is computed here: every number comes from a stage's `metrics.json` or manifest.
"""

import base64
import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from cinelib.files import read_json, walk, write_text
from cinelib.runs import state
from cinelib.runs.state import RunState, StageState
from cinelib.runs.workbook import Workbook
from cinelib.units import number, readable_bytes, readable_seconds

FILE = "report.html"

MAX_CLIP_BYTES = 24 * 2**20  # of all clips together, before base64 adds a third
_ROWS_OF_CLIPS = 6
_CLIPS_WITHOUT_PAIRS = 12
_ROWS_OF_A_TABLE = 60
_LINES_OF_A_LOG = 40


@dataclass
class Budget:
    """Bytes of clips that may still be embedded, and which were left out for want of them."""

    left: int = MAX_CLIP_BYTES
    refused: list[str] = field(default_factory=list)

    def embed(self, path: Path) -> str:
        """A clip as a data URI, or "" when the budget is spent."""
        size = path.stat().st_size
        if size > self.left:
            self.refused.append(path.name)
            return ""
        self.left -= size
        return data_uri(path, "video/mp4") + "#t=0.001"  # shows the first frame before anyone presses play


def write(workbook: Workbook, name: str, max_clip_bytes: int = MAX_CLIP_BYTES) -> Path:
    """Write `papermill_runs/<name>/report.html` and return its path.

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
    environment.filters["number"] = number
    environment.filters["size"] = readable_bytes
    environment.filters["duration"] = readable_seconds
    sections = [section(workbook, stage, budget) for stage in run.stages]
    return environment.get_template("report.html.j2").render(
        run=run,
        root=workbook.root,
        sections=sections,
        done=sum(stage.state == "done" for stage in run.stages),
        seconds=sum(stage.manifest["seconds"] for stage in run.stages if stage.manifest),
        finished=max((stage.manifest["finished"] for stage in run.stages if stage.manifest), default=""),
        machine=next((stage.manifest["machine"] for stage in run.stages if stage.manifest), {}),
        versions=next((stage.manifest["versions"] for stage in run.stages if stage.manifest), {}),
        refused=budget.refused,
    )


def section(workbook: Workbook, stage: StageState, budget: Budget) -> dict[str, Any]:
    """What the report shows of one stage: of its folder when it is done, else of its last failure."""
    folder = stage.folder if stage.manifest else stage.failure
    title, lead = _opening(workbook.notebook(stage.name))
    content: dict[str, Any] = {"stage": stage, "title": title or stage.name, "lead": lead, "folder": folder}
    content.update(
        figures=[], metrics=[], tables=[], clips=[], log="", files=0, bytes=0, parameters={}, more=""
    )
    if folder is None or not folder.is_dir():
        return content
    content["log"] = _tail(folder / "log.txt")
    if stage.manifest is None:
        return content
    files = list(walk(folder))
    content["figures"] = [(path.stem, data_uri(path, "image/png")) for path in _figures(folder)]
    content["metrics"] = metric_rows(read_json(folder / "metrics.json") or {})
    columns = ("interval", "n", "unit", "note")
    content["columns"] = [key for key in columns if any(row[key] for row in content["metrics"])]
    content["tables"] = [_table(folder, path) for path in files if path.suffix == ".csv"]
    content["clips"] = clip_grids(folder, [path for path in files if path.suffix == ".mp4"], budget)
    content["parameters"] = stage.manifest["parameters"]
    content["files"], content["bytes"] = len(files), sum(path.stat().st_size for path in files)
    content["more"] = json.dumps(stage.manifest, indent=2, ensure_ascii=False)
    return content


def metric_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a metric: name, value, and as text its interval, n, unit and all else saved with it."""
    rows = []
    for name, metric in metrics.items():
        entry = dict(metric) if isinstance(metric, Mapping) else {"value": metric}
        row = {"name": name, "value": entry.pop("value", None)}
        interval = entry.pop("interval", None)
        row["interval"] = f"[{number(interval[0])}, {number(interval[1])}]" if interval else ""
        row["n"], row["unit"] = number(entry.pop("n", None)), entry.pop("unit", "")
        row["note"] = "; ".join(f"{key}: {_brief(value)}" for key, value in entry.items())
        rows.append(row)
    return rows


def clip_grids(folder: Path, clips: Iterable[Path], budget: Budget) -> list[dict[str, Any]]:
    """Clips of one name under sibling folders side by side (arms as columns); other folders as galleries."""
    by_group: dict[Path, dict[str, dict[str, Path]]] = {}
    for path in clips:
        by_group.setdefault(path.parent.parent, {}).setdefault(path.parent.name, {})[path.stem] = path
    grids = []
    for group, arms in by_group.items():
        shared = set.intersection(*(set(named) for named in arms.values()))
        if len(arms) > 1 and shared:
            label = group.relative_to(folder).as_posix()
            rows = {name: [arms[arm][name] for arm in arms] for name in sorted(shared)}
            grids.append(
                _grid(label, list(arms), dict(islice(rows.items(), _ROWS_OF_CLIPS)), len(rows), budget)
            )
        else:
            for arm, named in arms.items():
                label = (group / arm).relative_to(folder).as_posix() if (group / arm) != folder else "clips"
                paths = list(named.values())
                step = -(-len(paths) // _CLIPS_WITHOUT_PAIRS)
                rows = {path.stem: [path] for path in paths[::step]}
                grids.append(_grid(label, [], rows, len(paths), budget))
    return grids


def _grid(
    label: str, arms: list[str], rows: Mapping[str, list[Path]], total: int, budget: Budget
) -> dict[str, Any]:
    cells = {name: [budget.embed(path) for path in paths] for name, paths in rows.items()}
    shown = {name: uris for name, uris in cells.items() if any(uris)}
    return {"label": label, "arms": arms, "rows": shown, "total": total}


def _figures(folder: Path) -> list[Path]:
    """The signature figure first."""
    return sorted((folder / "figures").glob("*.png"), key=lambda path: (path.stem != "signature", path.name))


def _table(folder: Path, path: Path) -> dict[str, Any]:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.reader(file))
    body = rows[1:]
    return {
        "name": path.relative_to(folder).as_posix(),
        "head": rows[0] if rows else [],
        "body": [[number(_as_number(cell)) for cell in row] for row in body[:_ROWS_OF_A_TABLE]],
        "left_out": max(0, len(body) - _ROWS_OF_A_TABLE),
    }


def _opening(notebook: Path) -> tuple[str, str]:
    """Title and first paragraph of a notebook."""
    cells = (read_json(notebook) or {}).get("cells", [])
    text = "".join(cells[0]["source"]) if cells and cells[0]["cell_type"] == "markdown" else ""
    title, _, rest = text.partition("\n")
    paragraphs = (part for part in rest.split("\n\n") if part.strip())
    return title.lstrip("# ").strip(), _plain(next(paragraphs, ""))


def _plain(markdown: str) -> str:
    return " ".join(markdown.replace("**", "").replace("`", "").replace("*", "").split())


def _tail(path: Path) -> str:
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    head = [f"... {len(lines) - _LINES_OF_A_LOG} lines before"] if len(lines) > _LINES_OF_A_LOG else []
    return "\n".join([*head, *lines[-_LINES_OF_A_LOG:]])


def data_uri(path: Path, kind: str) -> str:
    """A file's bytes as a `data:` URI."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _as_number(text: str) -> Any:
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text


def _brief(value: Any) -> str:
    text = number(value) if isinstance(value, int | float) else str(value)
    return text if len(text) <= 120 else text[:119] + "…"
