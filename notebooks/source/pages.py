"""Tables that pages show of the reference run: the notebooks in README, times by profile, what was found.

A table stands between `<!-- name -->` and `<!-- end of name -->`; what is around it is written by hand.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import results

from cinelib.files import write_text
from cinelib.runs.workbook import Workbook
from cinelib.units import readable_bytes, readable_seconds

README, TIMES = "README.md", "papermill_runs/README.md"
PROFILES = ("smoke", "nano")  # columns of the table of times, where something was recorded
NOT_YET = "not recorded yet"


def publish(workbook: Workbook, index: Mapping[str, Any]) -> None:
    """Bring the tables of all pages up to date."""
    for name, text in current(workbook, index).items():
        write_text(workbook.root / name, text)


def current(workbook: Workbook, index: Mapping[str, Any]) -> dict[str, str]:
    """Pages that exist, by name, as they should read."""
    pages = {name: workbook.root / name for name in (README, TIMES)}
    texts = {name: path.read_text("utf-8") for name, path in pages.items() if path.is_file()}
    found = index.get("results")
    for name, text in texts.items():
        text = _filled(text, "notebooks", _notebooks(workbook, text, index))
        text = _filled(text, "times", _times(workbook, index))
        text = _filled(text, "trainings", results.over_trainings(workbook.reference))
        texts[name] = _filled(text, "results", results.table(found)) if found else text
    return texts


def _filled(page: str, name: str, lines: Sequence[str]) -> str:
    """The page with other lines between the two marks of that name; unchanged where it has none."""
    marks = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
    return re.sub(
        marks, lambda m: m[1] + "".join(f"{line}\n" for line in lines) + m[2], page, flags=re.DOTALL
    )


def _notebooks(workbook: Workbook, page: str, index: Mapping[str, Any]) -> list[str]:
    """A row a notebook. Its question is the page's own, or for a new row the notebook's."""
    asked = dict(re.findall(r"^\| \[.*?\]\(notebooks/(\w+)\.ipynb\) \| (.*?) \|", page, re.MULTILINE))
    lines = ["| notebook | the question it answers | time | memory |", "|---|---|---|---|"]
    for stage in _present(workbook):
        title, question = _opening(workbook.notebook(stage))
        cells = [f"[{title}](notebooks/{stage}.ipynb)", asked.get(stage, question)]
        lines.append(f"| {' | '.join([*cells, *_cost(index['stages'].get(stage))])} |")
    return lines


def _times(workbook: Workbook, index: Mapping[str, Any]) -> list[str]:
    """A row a notebook, a column a profile."""
    costs = {**index["times"], index["profile"]: index["stages"]}
    shown = [profile for profile in PROFILES if profile in costs]
    lines = [
        f"| stage | {' | '.join(f'`{profile}`' for profile in shown)} |",
        "|---" * (1 + len(shown)) + "|",
    ]
    for stage in _present(workbook):
        cells = [", ".join(filter(None, _cost(costs[profile].get(stage)))) for profile in shown]
        lines.append(f"| `{stage}` | {' | '.join(cells)} |")
    return lines


def _present(workbook: Workbook) -> list[str]:
    return [stage for stage in workbook.stages if workbook.notebook(stage).is_file()]


def _opening(notebook: Path) -> tuple[str, str]:
    """A notebook's title and question, from its first cell: `# 04 Title` and a line in bold."""
    first = nbformat.read(notebook, as_version=4).cells[0].source
    title = re.match(r"# (.*)", first)[1]
    question = re.search(r"^\*\*(.*?)\*\*$", first, re.MULTILINE)
    return re.sub(r"(?<=\d )[A-Z](?=[a-z])", lambda m: m[0].lower(), title), _lower(
        question[1] if question else ""
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _cost(entry: Mapping[str, Any] | None) -> tuple[str, str]:
    if entry is None:
        return NOT_YET, ""
    return readable_seconds(entry["seconds"]), readable_bytes(entry["peak_rss_bytes"])
