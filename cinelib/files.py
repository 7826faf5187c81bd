"""Files written whole or not at all, locks between processes, and the SHA-256 of files and folders."""

import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RETRY_SECONDS = 0.5


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place when the block ends well.

    So a reader sees the old file or the new one, never half of it; after an error the old one stays. The
    suffix is kept, for writers that choose their format by it. Safe between threads and processes.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}-{threading.get_ident()}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Replace `path` by `text` in one step."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def write_tensors(path: Path, tensors: "Mapping[str, torch.Tensor]", metadata: Mapping[str, str]) -> Path:
    """Replace the safetensors file `path` in one step.

    Raises:
        OSError: no space or no permission; what was there before is untouched.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as partial:
            save_file(dict(tensors), partial, dict(metadata))
    except (OSError, SafetensorError) as error:  # safetensors' own error names no file
        raise OSError(f"{path} could not be written: {error}") from error
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write strict JSON (no NaN) atomically. Raises ValueError for what JSON cannot hold."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in `path`, or None when it is missing, unreadable or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def digest(value: Any) -> str:
    """SHA-256 of `value` as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def hash_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def walk(folder: Path) -> Iterator[Path]:
    """Files under `folder` in a fixed order; hidden files and partial ones (leading dot) are left out."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if (
            not any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
            and path.is_file()
        ):
            yield path


def shown_name(path: Path) -> str:
    """A path with forward slashes, as text that can be stored also where its bytes are no UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def straying(folder: Path, path: Path) -> str:
    """Why `path`, found below `folder`, must not be read: what it links to, or what it is. Else ""."""
    try:
        real = path.resolve()
        if not real.is_relative_to(folder.resolve()):
            return "a link that leads out of the folder"
        mode = real.stat().st_mode
    except RuntimeError:  # pathlib's word for it
        return "a link in a loop"
    except (OSError, ValueError) as error:
        if getattr(error, "errno", 0) != errno.ENAMETOOLONG and path.is_symlink():
            return "a link to a file that is not there"
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if stat.S_ISDIR(mode):
        return "a link to a folder" if path.is_symlink() else ""
    return "" if stat.S_ISREG(mode) else "a pipe or device, not a file"  # to open it may wait for ever


class Hashes:
    """SHA-256 of files, remembered by path, size and modification time in one JSON file.

    A file whose size and nanosecond time stamp are unchanged is not read again, so that asking
    whether a run has work to do costs milliseconds even with gigabytes of weights.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = memory
        known = read_json(memory) if memory else None
        self._known: dict[str, list[Any]] = known if isinstance(known, dict) else {}
        self._changed = False

    def file(self, path: Path) -> str:
        """SHA-256 of the file's bytes."""
        real = path.resolve()
        # The hub cache names each large file by its SHA-256, so reading 60 GB of weights is not needed.
        if real.parent.name == "blobs" and _SHA256.fullmatch(real.name):
            return real.name
        status = real.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        entry = self._known.get(str(real))
        if isinstance(entry, list) and entry[:2] == stamp:
            return entry[2]
        value = hash_of(real)
        self._known[str(real)] = [*stamp, value]
        self._changed = True
        return value

    def tree(self, path: Path, keep: Callable[[Path], bool] = lambda path: True) -> str:
        """One hash of a file, or of the names and contents of all kept files of a folder."""
        if path.is_file():
            return self.file(path)
        return digest([[p.relative_to(path).as_posix(), self._readable(p)] for p in walk(path) if keep(p)])

    def _readable(self, path: Path) -> str:
        """A file that cannot be read is the stage's to report; here it only must not pass for another one."""
        try:
            return self.file(path)
        except OSError as error:
            return f"unreadable: {error.strerror}"

    def save(self) -> None:
        """Remember what was computed, without what no longer exists."""
        if self._changed and self._memory:
            self._changed = False
            known = {path: entry for path, entry in dict(self._known).items() if Path(path).exists()}
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._memory, json.dumps(known))


class Cancelled(RuntimeError):
    """The run was cancelled while it waited or executed."""


@contextmanager
def held(path: Path, cancel: threading.Event, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold the lock file `path`; gives its descriptor, for a child process to inherit.

    An inherited lock outlives a killed runner until its worker has stopped too. `waiting` is called
    once when another process has it.

    Raises:
        Cancelled: `cancel` was set while waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        waited = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waited:
                    waiting()
                waited = True
                if cancel.wait(_RETRY_SECONDS):
                    raise Cancelled from None
        yield file.fileno()


def is_held(path: Path) -> bool:
    """Whether some process holds the lock file `path`."""
    if not path.exists():
        return False
    with path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
