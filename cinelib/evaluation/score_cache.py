"""What was measured before: one JSON file a clip and measure, named by all that the numbers depend on."""

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

    def find(self, key: Mapping[str, Any]) -> Entry | None:
        """The entry for `key`, or None; a damaged file counts as missing."""
        entry = read_json(self._path(key))
        if not isinstance(entry, dict) or entry.get("key") != dict(key):
            return None
        return entry["found"]

    def write(self, key: Mapping[str, Any], found: Entry) -> Entry:
        """Store `found` whole or not at all."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"key": dict(key), "found": found})
        return found

    def entry(self, key: Mapping[str, Any], make: Callable[[], Entry]) -> Entry:
        """The stored entry, or what `make` returns, stored."""
        found = self.find(key)
        return self.write(key, make()) if found is None else found

    def _path(self, key: Mapping[str, Any]) -> Path:
        name = digest(dict(key))
        return self.folder / name[:2] / f"{name}.json"
