"""The manifest: the last file a stage gets, and the only proof that it finished.

It names parameters, inputs, versions, device, timings, peak memory, upstream stages and every
artefact with its size and hash. A folder without a valid one is a stage that did not finish.
"""

import os
import platform
import resource
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import requires
from pathlib import Path
from typing import Any

from cinelib.files import Hashes, digest, hash_of, read_json, walk, write_json
from cinelib.provenance import versions_of

FILE = "manifest.json"
KERNEL_FILE = ".kernel.json"
SCHEMA = 1
SMALL = 2**20  # bytes: to read such files takes a moment

# What Papermill and the runner write; what a later stage reads is everything else.
RECORDS = ("params.yaml", "out.ipynb", "log.txt", "metrics.json", FILE)
_REQUIRED = {"schema", "stage", "id", "parameters", "artefacts", "artefacts_sha256", "finished"}


def write(
    folder: Path, stage: str, stage_id: str, parameters: Mapping[str, Any], **facts: Any
) -> dict[str, Any]:
    """Write `folder`'s manifest, atomically; call it last."""
    artefacts = inventory(folder, Hashes())
    content = {
        "schema": SCHEMA,
        "stage": stage,
        "id": stage_id,
        "parameters": dict(parameters),
        **facts,
        "versions": versions(),
        "machine": machine(),
        "artefacts": artefacts,
        "artefacts_sha256": products_digest(artefacts),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / FILE, content)
    return content


def inventory(folder: Path, hashes: Hashes) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each file of a stage but its manifest."""
    files = ((path.relative_to(folder).as_posix(), path) for path in walk(folder))
    return {
        name: {"bytes": path.stat().st_size, "sha256": hashes.file(path)}
        for name, path in files
        if name != FILE
    }


def products_digest(artefacts: Mapping[str, Mapping[str, Any]]) -> str:
    """One hash of what later stages may read: artefacts without records and figures."""
    return digest(
        {
            name: entry["sha256"]
            for name, entry in artefacts.items()
            if name not in RECORDS and not name.startswith("figures/")
        }
    )


def read(folder: Path) -> dict[str, Any] | None:
    """The manifest of `folder` when it is whole and so are its artefacts, as far as `problem` looks."""
    return None if problem(folder) else read_json(folder / FILE)


def problem(folder: Path, hashes: Hashes | None = None) -> str | None:
    """Why `folder` is not a finished stage, in a few words; None when it is.

    Sizes and the contents of small files are always compared, with `hashes` those of large ones too.
    """
    if not (folder / FILE).is_file():
        return "never ran" if not folder.exists() else "did not finish"
    content = read_json(folder / FILE)
    if not isinstance(content, dict) or not content.keys() >= _REQUIRED or content["schema"] != SCHEMA:
        return "manifest is damaged"
    if (
        not isinstance(content["artefacts"], dict)
        or products_digest(content["artefacts"]) != content["artefacts_sha256"]
    ):
        return "manifest is damaged"
    for name, entry in content["artefacts"].items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != entry["bytes"] or _content(path, entry, hashes) != entry["sha256"]:
            return f"{name} was changed"
    return None


def _content(path: Path, entry: Mapping[str, Any], hashes: Hashes | None) -> str:
    """The file's hash: read for a small one, as a time stamp can be put back; else as far as it is known."""
    if entry["bytes"] < SMALL:
        return hash_of(path)
    return hashes.file(path) if hashes else entry["sha256"]


def newest(runs: Path, stage: str, profile: str) -> Path | None:
    """The folder of the stage that a run finished last at `profile`."""
    found = []
    for folder in (runs / "stages").glob(f"{stage}-*"):
        content = read(folder)
        if content and content["stage"] == stage and content["parameters"].get("profile") == profile:
            found.append((content["finished"], folder))
    return max(found)[1] if found else None


@cache
def versions() -> dict[str, str]:
    """Versions of Python, cinelib and the packages that it depends on."""
    needed = [line.split("==")[0] for line in requires("cinelib") or [] if "extra ==" not in line]
    return {"python": platform.python_version(), **versions_of("cinelib", *needed)}


def machine() -> dict[str, Any]:
    """Processor and memory, no host name."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"system": platform.system(), "processor": model, "cores": os.cpu_count(), "memory_bytes": pages}


def kernel_facts(started: float) -> dict[str, Any]:
    """What only the notebook's own process knows: peak memory and the accelerator it used."""
    unit = 1 if sys.platform == "darwin" else 1024
    facts: dict[str, Any] = {
        "seconds": round(time.time() - started, 2),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "device": "cpu",
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        facts["device"] = torch.cuda.get_device_name()
        facts["peak_cuda_bytes"] = max(
            torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count())
        )
    return facts
