"""One stage executed: locked, in its own folder, by a worker process, with the manifest written last."""

import json
import os
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cinelib import files
from cinelib.files import Hashes, read_json, write_json, write_text
from cinelib.parameters import StageParameters
from cinelib.runs import duration, inputs, manifest, space
from cinelib.runs.identity import Identity, changes, identify
from cinelib.runs.process import WorkerFailed, work
from cinelib.runs.progress import Noted, ProgressBoard
from cinelib.runs.stage import FOLDER_VARIABLE, UPSTREAM_VARIABLE
from cinelib.runs.workbook import RUNS_VARIABLE, Workbook

_WAITING = "another run executes this stage; waiting for it"


class StageFailed(RuntimeError):
    """A notebook raised, its kernel died, or it never reached its last cell. `folder` keeps what there is."""

    def __init__(self, label: str, reason: str, folder: Path) -> None:
        super().__init__(f"{label}: {reason}")
        self.folder = folder


@dataclass(frozen=True)
class StageJob:
    """A stage to be executed: everything that is known before its kernel starts.

    Attributes:
        upstream: folder of each stage that it needs, by the notebook's name.
        variant: `02.rank=4`: what tells it from the run's other executions of its notebook.
    """

    workbook: Workbook
    params: StageParameters
    identity: Identity
    upstream: Mapping[str, Path]
    variant: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """Name of the notebook. A run may execute it more than once, so what is one of a kind is `id`."""
        return self.params.stage

    @property
    def id(self) -> str:
        """The identity's hash."""
        return self.identity.id

    @property
    def needs(self) -> Mapping[str, str]:
        """Id of each stage that it needs, by the notebook's name."""
        return self.identity.parts["upstream"]

    @property
    def label(self) -> str:
        """The notebook's name and what tells this execution from the run's others."""
        return " ".join((self.stage, *self.variant))

    @property
    def folder(self) -> Path:
        """Where it is or will be."""
        return self.workbook.stage_folder(self.stage, self.id)

    @property
    def lock(self) -> Path:
        """Held by whoever executes it."""
        return self.workbook.lock(self.folder)

    def moved(self, hashes: Hashes) -> str | None:
        """What changed among notebook, modules and inputs since this job was planned."""
        now = identify(self.workbook, self.params, self.needs, hashes)
        return "; ".join(changes(now.parts, self.identity.parts)) or None

    def problem(self, hashes: Hashes | None = None) -> str | None:
        """Why the stage must be executed; None when its folder can be reused."""
        if found := manifest.problem(self.folder, hashes):
            return found
        content = read_json(self.folder / manifest.FILE)
        if content["id"] != self.id:
            return "manifest is of another stage"
        for stage, folder in self.upstream.items():
            used = content.get("upstream", {}).get(stage, {}).get("artefacts_sha256")
            if (read_json(folder / manifest.FILE) or {}).get("artefacts_sha256") != used:
                return f"{stage} was executed again and gave other files"
        return None


def ensure(
    job: StageJob, hashes: Hashes, board: ProgressBoard, threads: int, cancel: threading.Event
) -> bool:
    """Make the stage valid. Returns False when it already was: nothing is executed then.

    Two runners that want the same stage do not collide: the second waits and then finds it done.

    Raises:
        StageFailed: the notebook and its log are kept in the folder that the error names.
        files.Cancelled: `cancel` was set; the folder is left without a manifest, that is, as not done.
    """
    with files.held(job.lock, cancel, lambda: board.line(job.label, _WAITING)) as descriptor:
        if not job.problem(hashes):
            return False
        if moved := job.moved(hashes):
            raise StageFailed(
                job.label, f"{moved} since the run was planned; the same command goes on", job.folder
            )
        _make_room(job.folder)
        values = job.params.model_dump(mode="json")
        write_text(job.folder / "params.yaml", yaml.safe_dump(values, sort_keys=False))
        order = {
            "notebook": str(job.workbook.notebook(job.stage)),
            "folder": str(job.folder),
            "root": str(job.workbook.root),
            "parameters": values,
        }
        started = time.time()
        seconds = duration.expected(job.workbook, job.stage, job.params.profile)
        board = Noted(board, job.folder, seconds)
        board.start(job.label)
        try:
            took = work(order, _environment(job, threads), descriptor, job.label, board, cancel)
        except WorkerFailed as error:
            raise _kept(job, str(error)) from None
        kernel = read_json(job.folder / manifest.KERNEL_FILE)
        if kernel is None:
            raise _kept(job, "the notebook ended before stage.close() in its last cell")
        if moved := job.moved(hashes):
            board.line(job.label, f"{moved} while it was executed; the manifest says so")
        _finish(job, hashes, started, {**kernel, **took}, moved)
        return True


def _make_room(folder: Path) -> None:
    """Empty the folder of a stage that did not finish, but for the checkpoints that it may resume from."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / manifest.FILE).unlink(missing_ok=True)  # first: from here on it is not done
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if path.name != "checkpoints":
                shutil.rmtree(path)
        else:
            path.unlink()


def _environment(job: StageJob, threads: int) -> dict[str, str]:
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return {
        **count,
        **os.environ,  # a thread count that the user chose wins
        FOLDER_VARIABLE: str(job.folder),
        UPSTREAM_VARIABLE: json.dumps({stage: str(folder) for stage, folder in job.upstream.items()}),
        "CINELIB_ROOT": str(job.workbook.root),
        RUNS_VARIABLE: str(job.workbook.runs),
        "TQDM_DISABLE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not one of the user's
    }


def _finish(
    job: StageJob, hashes: Hashes, started: float, kernel: Mapping[str, Any], moved: str | None
) -> None:
    upstream = {
        stage: {
            "id": folder.name,
            "artefacts_sha256": (read_json(folder / manifest.FILE) or {})["artefacts_sha256"],
        }
        for stage, folder in job.upstream.items()
    }
    manifest.write(
        job.folder,
        stage=job.stage,
        stage_id=job.id,
        parameters=job.params.model_dump(mode="json"),
        identity=dict(job.identity.parts),
        inputs=inputs.provenance(job.workbook.root, job.params, job.identity.parts["inputs"], hashes),
        upstream=upstream,
        own_files={name: job.identity.parts["inputs"].get(name) for name in job.params.own_files()},
        seconds=round(time.time() - started, 2),
        kernel=dict(kernel),
        changed_while_executed=moved,
    )
    hashes.save()


def _kept(job: StageJob, reason: str) -> StageFailed:
    """Move the failed execution to where nothing will remove it, and say where that is.

    On a full disk it stays where it is, or is moved without a word of why: the error says it all the same.
    """
    reason = space.explained(reason, job.workbook.runs)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    failed = job.workbook.runs / "failed"
    with suppress(OSError):
        failed.mkdir(parents=True, exist_ok=True)
    target = failed / f"{job.folder.name}-{stamp}"
    count = 1
    while target.exists():
        count += 1
        target = failed / f"{job.folder.name}-{stamp}-{count}"
    try:
        job.folder.rename(target)
    except OSError:
        return StageFailed(job.label, reason, job.folder)
    with suppress(OSError):
        write_json(target / "failure.json", {"stage": job.stage, "id": job.id, "reason": reason})
    return StageFailed(job.label, reason, target)
