"""What was measured before: one JSON file a clip and metric, named by all that the numbers depend on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cinelib.files import digest, read_json, write_json

Entry = dict[str, Any]


class ScoreCache:
    """Entries under `folder`. Other content, code, packages, weights or settings have other names.

    So an entry is never out of date; it lies there until its folder is removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entry(self, key: Mapping[str, Any], make: Callable[[], Entry]) -> Entry:
        """The stored entry, or what `make` returns, stored whole; a damaged file counts as missing."""
        name = digest(key)
        path = self.folder / name[:2] / f"{name}.json"
        stored = read_json(path)
        if isinstance(stored, dict) and digest(stored.get("key")) == name:
            return stored["found"]
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"key": key, "found": found})
        return found
