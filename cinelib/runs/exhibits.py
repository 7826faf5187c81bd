"""What a stage's folder holds, as a page shows it: clips side by side, figures, tables, numbers, its log."""

import base64
import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from cinelib.runs import findings
from cinelib.runs.state import RunState
from cinelib.units import number

MAX_CLIP_BYTES = 24 * 2**20  # of all clips together, before base64 adds a third
_ROWS_OF_CLIPS = 6
_CLIPS_WITHOUT_PAIRS = 12
_ROWS_OF_A_TABLE = 60
_LINES_OF_A_LOG = 40
_SCENES_OF_THE_ANSWER = 2
# Folders of clips in stage 05, and whose they are.
ARMS = {"base": "base model", "lora": "with the LoRA", "control": "with the control"}


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


@dataclass(frozen=True)
class Clip:
    """An embedded clip, under the name of what made it, and what is seen in it."""

    name: str
    seen: str
    uri: str


def side_by_side(root: Path, run: RunState, budget: Budget) -> list[list[Clip]]:
    """A row a scene: a clip of the film, and one still set in motion by each model. None is picked by eye.

    Empty for a run that compared no models.
    """
    folders = {stage.name: stage.folder for stage in run.stages if stage.manifest}
    if findings.EVALUATION not in folders:
        return []
    stage = next(stage for stage in run.stages if stage.name == findings.EVALUATION)
    clips = folders[findings.EVALUATION] / "clips"
    made = [{path.stem: path for path in (clips / arm).glob("*.mp4")} for arm in ARMS]
    scenes = _spread(sorted(set.intersection(*map(set, made))), _SCENES_OF_THE_ANSWER)
    said = _texts(root / str(stage.manifest["parameters"].get("storyboard", "")), "scene")
    dataset = folders[findings.FILM] / "dataset" if findings.FILM in folders else None
    film = _spread(sorted((dataset / "clips").glob("*.mp4")), len(scenes)) if dataset else []
    captions = _texts(dataset, "file_name") if dataset else {}
    rows = []
    for index, scene in enumerate(scenes):
        row = []
        if index < len(film):
            seen = captions.get(f"clips/{film[index].name}") or spoken(film[index].stem)
            row.append(Clip("the film", seen, budget.embed(film[index])))
        seen = said.get(scene) or spoken(scene)
        row += [Clip(ARMS[arm], seen, budget.embed(of[scene])) for arm, of in zip(ARMS, made, strict=True)]
        rows.append([clip for clip in row if clip.uri])
    return [row for row in rows if row]


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """`count` of the items, evenly, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / max(1, count - 1))] for index in range(count)]


def _texts(folder: Path, key: str) -> dict[str, str]:
    """What `metadata.jsonl` says is seen, by scene or file."""
    path = folder / "metadata.jsonl"
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    for line in path.read_text("utf-8").splitlines():
        try:
            row = json.loads(line)
            found.setdefault(str(row[key]), str(row["text"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def spoken(name: str) -> str:
    """A file's name as words: `08_alien_desert` is "alien desert"."""
    return " ".join(name.replace("-", " ").replace("_", " ").split()).lstrip("0123456789 ") or name


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


def figures(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and data URI of each figure, the signature figure first."""
    found = (folder / "figures").glob("*.png")
    for path in sorted(found, key=lambda path: (path.stem != "signature", path.name)):
        yield path.stem, data_uri(path, "image/png")


def table(folder: Path, path: Path) -> dict[str, Any]:
    """A CSV file's head and first rows."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.reader(file))
    body = rows[1:]
    return {
        "name": path.relative_to(folder).as_posix(),
        "head": rows[0] if rows else [],
        "body": [[number(_as_number(cell)) for cell in row] for row in body[:_ROWS_OF_A_TABLE]],
        "left_out": max(0, len(body) - _ROWS_OF_A_TABLE),
    }


def end_of(log: Path) -> str:
    """The last lines of a log."""
    if not log.is_file():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
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
