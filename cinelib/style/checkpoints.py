"""Notebook 02: training checkpoints: written whole or not at all, the last few kept, a damaged one skipped.

A file's name ends in the digest of its content: torch reads flipped bits without complaint. DeepSpeed's
processes each write a share of the optimiser beside it; the file holds their digests.
"""

import hashlib
import io
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cinelib import files

_NAME = re.compile(r"(step-\d{8})-([0-9a-f]{16})\.pt")


class CheckpointError(OSError):
    """A checkpoint could not be written; those before it are whole."""


def shares_folder(folder: Path, step: int) -> Path:
    """Where DeepSpeed's processes keep their shares of the optimiser, beside the checkpoint of that step."""
    return folder / f"step-{step:08d}.deepspeed"


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

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Keep every other training out of the folder, until this process ends or leaves the block.

        Raises:
            CheckpointError: another training is in it.
        """

        def refuse() -> None:
            raise CheckpointError(
                f"another training writes checkpoints into {self.folder}; "
                "wait until it has ended, or stop it and continue from there"
            )

        with files.held(self.folder / ".lock", threading.Event(), refuse):
            yield

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        """Write a checkpoint, then drop the oldest ones. DeepSpeed's shares of that step must be there.

        Raises:
            CheckpointError: no space or no permission; what was there before is untouched.
        """
        written = sorted(shares_folder(self.folder, step).glob("*"))
        shares = {path.name: files.hash_of(path) for path in written}
        buffer = io.BytesIO()  # writing straight into a full disk, torch reports a broken archive instead
        torch.save({"fingerprint": self.fingerprint, "shares": shares, **state}, buffer)
        path = self.folder / f"step-{step:08d}-{_digest(buffer.getbuffer())}.pt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with files.replacing(path) as partial:
                partial.write_bytes(buffer.getbuffer())
        except OSError as error:
            raise CheckpointError(error.errno, self.failure(path, error.strerror)) from error
        self._prune(path)
        return path

    def _prune(self, newest: Path) -> None:
        steps = sorted({_step(file) for file in self._files()})[-self._keep :]
        for file in self._files():
            if _step(file) not in steps or (_step(file) == _step(newest) and file != newest):
                file.unlink(missing_ok=True)
        for shares in self.folder.glob("step-*.deepspeed"):
            if shares.stem not in steps:
                shutil.rmtree(shares, ignore_errors=True)

    def failure(self, path: Path, reason: str) -> str:
        """What to say of a file that could not be written: which, why, and what is left."""
        last = [file.name for file in self._files()][-1:]
        kept = f"{last[0]} is whole, and the same command continues from it" if last else "there is no other"
        return f"checkpoint {path} could not be written ({reason}); {kept}"

    def newest(self) -> dict[str, Any] | None:
        """The newest checkpoint that can be read whole, or None.

        Raises:
            ValueError: it belongs to a training with other settings or data.
        """
        for left in self.folder.glob(".step-*.partial.pt"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)
        for path in reversed(self._files()):
            content = path.read_bytes()
            if _digest(content) != _NAME.fullmatch(path.name)[2]:
                self._log(f"skipped the damaged checkpoint {path.name}: its content is not what was written")
                continue
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            shares = shares_folder(self.folder, int(_step(path).removeprefix("step-")))
            if damaged := _damaged(shares, state.pop("shares", {})):
                self._log(f"skipped the checkpoint {path.name}: {damaged} is not what was written")
                continue
            self._compare(path, state.pop("fingerprint"))
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

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("step-*.pt") if _NAME.fullmatch(path.name))


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _damaged(folder: Path, digests: Mapping[str, str]) -> Path | None:
    """The first of the files in `folder` that is missing or differs from its digest."""
    paths = {folder / name: value for name, value in digests.items()}
    return next((p for p, value in paths.items() if not p.is_file() or files.hash_of(p) != value), None)


def _step(path: Path) -> str:
    return _NAME.fullmatch(path.name)[1]
