"""Training checkpoints: written whole or not at all, the last few kept, a damaged one skipped."""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

_NAME = re.compile(r"step-(\d{8})\.pt")


class Checkpoints:
    """Checkpoints of one training in one folder.

    Args:
        fingerprint: all that a continued training must have in common with the one that is continued.
        keep: how many of the newest are kept.
    """

    def __init__(
        self, folder: Path, fingerprint: Mapping[str, Any], log: Callable[[str], None] = print, keep: int = 2
    ) -> None:
        self.folder, self.fingerprint, self._log, self._keep = folder, dict(fingerprint), log, keep

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        """Write a checkpoint, then drop the oldest ones.

        Raises:
            OSError: no space or no permission; what was there before is untouched.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:08d}.pt"
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                torch.save({"fingerprint": self.fingerprint, **state}, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        for old in self._files()[: -self._keep]:
            old.unlink(missing_ok=True)
        return path

    def newest(self) -> dict[str, Any] | None:
        """The newest checkpoint that can be read whole, or None.

        Raises:
            ValueError: it belongs to a training with other settings or data.
        """
        for path in reversed(self._files()):
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
                found = state.pop("fingerprint")
            except Exception as error:  # torch.load raises many kinds for a file cut short
                self._log(f"skipped the damaged checkpoint {path.name}: {type(error).__name__}")
                continue
            self._compare(path, found)
            return state
        return None

    def _compare(self, path: Path, found: Mapping[str, Any]) -> None:
        names = sorted(set(found) | set(self.fingerprint))
        pairs = [(name, found.get(name), self.fingerprint.get(name)) for name in names]
        differ = [f"{name} {a} there, {b} here" for name, a, b in pairs if a != b]
        if differ:
            raise ValueError(
                f"{path} was made by another training ({'; '.join(differ)}); "
                "give this one another folder or remove that one"
            )

    def clear(self) -> None:
        """Remove the folder, after the final weights are safe elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("step-*.pt") if _NAME.fullmatch(path.name))
