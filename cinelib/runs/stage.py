"""What a notebook sees of its stage: a folder, its upstream folders, metrics, figures and a log.

The runner sets three environment variables and the notebook behaves as a stage of a run; without
them the notebook is open in JupyterLab and writes to `lab/<stage>/` in the folder of runs.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cinelib.files import read_json, replacing, write_json, write_text
from cinelib.parameters import StageParameters
from cinelib.runs import manifest
from cinelib.runs import upstream as upstreams
from cinelib.runs.upstream import UpstreamError
from cinelib.runs.workbook import find_root, runs_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER_VARIABLE = "CINELIB_STAGE_FOLDER"
UPSTREAM_VARIABLE = "CINELIB_UPSTREAM"

_opened: dict[tuple[str, str | None], "Stage"] = {}


class Stage:
    """One execution of one notebook. Made by `open_stage`.

    Attributes:
        folder: existing folder for this stage's artefacts.
        unattended: True when nobody is watching: no widgets to wait for, no progress bars.
    """

    def __init__(
        self, params: StageParameters, root: Path, folder: Path, upstream: Mapping[str, str] | None
    ) -> None:
        self.params = params
        self.root = root
        self.folder = folder
        self.unattended = upstream is not None
        self._upstream = upstream
        self._started = time.time()
        self._own_files = upstreams.own_files(root, params)
        self._named: set[str] = set()

    def __repr__(self) -> str:
        return f"Stage({self.params.stage}, profile={self.params.profile}, folder={self.folder})"

    def upstream(self, stage: str) -> Path:
        """Folder of an earlier stage: this run's, or in JupyterLab the newest one of the same profile.

        Says once which one it is.

        Raises:
            UpstreamError: there is none; it was changed, or captions were edited, since it finished; or
                `stage` is not among this stage's `needs`.
        """
        if stage not in self.params.needs:
            raise UpstreamError(
                f"{self.params.stage} does not declare {stage!r} in `needs`: {self.params.needs}"
            )
        if self._upstream is not None:
            found = Path(self._upstream[stage])
        else:
            found = upstreams.newest(self.root, runs_folder(self.root), stage, self.params.profile)
        if stage not in self._named:
            self._named.add(stage)
            self.log(f"{stage} is taken from {self._readable(found)}")
        return found

    def log(self, text: str) -> None:
        """Print one line at once, so that a log or a progress display shows it while the cell still runs."""
        print(" ".join(str(text).split()), flush=True)

    def save_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Merge numbers into `metrics.json`.

        A metric is a number, or a mapping with `value` and optionally `interval` ([low, high]), `n`,
        `unit` and free keys. An undefined one has `value: None` and a `reason`.

        Raises:
            ValueError: a value that is not a finite number, or an interval out of order.
        """
        known = read_json(self.folder / "metrics.json") or {}
        known.update({name: _metric(name, value) for name, value in metrics.items()})
        write_json(self.folder / "metrics.json", known)

    def save_figure(self, figure: "Figure", name: str, **options: Any) -> Path:
        """Save `figure` as `figures/<name>.png`, atomically; the notebook's main one is named "signature"."""
        if not name or Path(name).name != name:
            raise ValueError(f"a figure's name is one plain file name, got {name!r}")
        path = self.folder / "figures" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as partial:
            figure.savefig(partial, **{"dpi": 150, "bbox_inches": "tight", **options})
        return path

    def close(self) -> None:
        """End of the notebook: record device and peak memory; in JupyterLab also write the manifest."""
        write_json(self.folder / manifest.KERNEL_FILE, manifest.kernel_facts(self._started))
        if self._upstream is None:
            self._write_manifest()
            _opened.pop((self.params.stage, None), None)
        size = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        self.log(
            f"{self.params.stage} finished in {time.time() - self._started:.0f} s: "
            f"{size / 1e6:.1f} MB in {self._readable(self.folder)}"
        )

    def amend(self) -> None:
        """In JupyterLab a person changed the stage's files, say a caption: what is there now counts."""
        self._own_files = upstreams.own_files(self.root, self.params)
        if self._upstream is None and (self.folder / manifest.FILE).is_file():
            self._write_manifest()

    def _write_manifest(self) -> None:
        manifest.write(
            self.folder,
            stage=self.params.stage,
            stage_id="lab",
            parameters=self.params.model_dump(mode="json"),
            kernel=read_json(self.folder / manifest.KERNEL_FILE),
            own_files=self._own_files,
        )

    def _readable(self, folder: Path) -> Path:
        return folder.relative_to(self.root) if folder.is_relative_to(self.root) else folder


def open_stage(params: StageParameters) -> Stage:
    """The stage that this notebook is; makes the repository's root the working directory.

    Running the cell twice returns the same stage. In JupyterLab the folder of an earlier, finished
    visit is kept beside the new one as `<stage>.previous`.
    """
    given = os.environ.get(FOLDER_VARIABLE)
    key = (params.stage, given)
    if key in _opened:
        _opened[key].params = params
        return _opened[key]
    root = find_root()
    os.chdir(root)
    if given:
        stage = Stage(params, root, Path(given), json.loads(os.environ.get(UPSTREAM_VARIABLE, "{}")))
    else:
        folder = runs_folder(root) / "lab" / params.stage
        _make_room(folder)
        write_text(folder / "params.yaml", yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False))
        stage = Stage(params, root, folder, upstream=None)
    _opened[key] = stage
    return stage


def _make_room(folder: Path) -> None:
    """An empty `folder`; artefacts of two visits never mix."""
    previous = folder.with_name(f"{folder.name}.previous")
    if (folder / manifest.FILE).exists():
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    elif folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _metric(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return _number(name, value)
    if "value" not in value:
        raise ValueError(f"metric {name!r}: a mapping needs the key 'value', got {sorted(value)}")
    if value["value"] is not None:
        _number(name, value["value"])
    elif not value.get("reason"):
        raise ValueError(f"metric {name!r}: an undefined value needs a 'reason'")
    low_high = value.get("interval")
    if low_high is not None and not (len(low_high) == 2 and float(low_high[0]) <= float(low_high[1])):
        raise ValueError(f"metric {name!r}: interval must be [low, high], got {low_high!r}")
    return {key: _plain(f"{name}.{key}", part) for key, part in value.items()}


def _number(name: str, value: Any) -> int | float:
    plain = _plain(name, value)
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise ValueError(f"metric {name!r} must be a number or a mapping with 'value', got {value!r}")
    return plain


def _plain(name: str, value: Any) -> Any:
    """numpy and torch scalars and arrays as JSON values; NaN and infinity are refused."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(name, part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{name}.{key}", part) for key, part in value.items()}
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"metric {name!r} is {value}; give value None and a reason if it is undefined")
        return value
    raise ValueError(
        f"metric {name!r} must be a number or a mapping with 'value', got {type(value).__name__}"
    )
