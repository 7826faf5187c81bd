"""Prompts of a folder of clips: read from a file, paired by name, and none left over in silence."""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from cinelib.evaluation.clips import ScoreError


def read_prompts(path: Path) -> dict[str, str]:
    """File name to prompt from .jsonl (file_name, text), .csv (the same columns) or .json (a mapping).

    Raises:
        ScoreError: unreadable, another format, a line without name or text, a name given twice.
    """
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        elif path.suffix == ".csv":
            rows = list(csv.DictReader(text.splitlines()))
        elif path.suffix == ".json":
            rows = [{"file_name": name, "text": prompt} for name, prompt in json.loads(text).items()]
        else:
            raise ScoreError(f"prompts {path} must be .jsonl, .csv or .json with file_name and text")
        pairs = [(str(row["file_name"]), str(row["text"] or "").strip()) for row in rows]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ScoreError(f"prompts {path}: {type(error).__name__}: {error}") from None
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise ScoreError(f"prompts {path}: given twice: {', '.join(twice[:5])}")
    return {name: prompt for name, prompt in pairs if prompt}


def paired(files: Sequence[str], prompts: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The prompt of each file that has one, and the names in `prompts` that no file answers to.

    A file below the folder goes by its whole name, else by its last part if only one prompt has it.

    Raises:
        ScoreError: there are prompts, and not one of them is for a file that is here.
    """
    names = {file: _name(file, prompts) for file in files}
    used = set(names.values())
    if prompts and files and used == {""}:
        raise ScoreError(
            f"none of the {len(prompts)} prompts is for a video that is here: they name {_some(prompts)}, "
            f"the videos are {_some(files)}"
        )
    return {file: prompts[name] for file, name in names.items() if name}, sorted(set(prompts) - used)


def _name(file: str, prompts: Mapping[str, str]) -> str:
    if file in prompts:
        return file
    last = [name for name in prompts if Path(name).name == Path(file).name]
    return last[0] if len(last) == 1 else ""


def _some(names: Mapping[str, str] | Sequence[str]) -> str:
    return ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
