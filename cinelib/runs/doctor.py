"""Can this machine run the workbook? One check a line, each failure with what mends it."""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cinelib.parameters import profile_values, resolve
from cinelib.provenance import versions_of
from cinelib.runs import space
from cinelib.runs.inputs import given, hub_revision
from cinelib.runs.workbook import Workbook
from cinelib.stages import Requirements
from cinelib.units import readable_bytes

_MAKE = "run 'make run' again, or: pip install -c .ci/constraints.txt -e '.[dev]'"
_PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)")
_GIB = 2**30


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found and, when that is not enough, what mends it."""

    name: str
    ok: bool
    found: str
    fix: str = ""

    def as_dict(self) -> dict[str, str | bool]:
        """For `--json`."""
        return {"name": self.name, "ok": self.ok, "found": self.found, "fix": "" if self.ok else self.fix}


def examine(workbook: Workbook, profile: str) -> list[Check]:
    """All checks for a profile, in the order in which they make sense to mend.

    Raises:
        ParameterError: unknown profile.
    """
    for model in workbook.stages.values():
        profile_values(profile, model, workbook.profiles)
    needed = workbook.requirements.get(profile, Requirements(memory=0, disk=0))
    checks: list[Callable[[], Check]] = [
        python,
        partial(packages, workbook.root),
        torch,
        decoder,
        encoder,
        kernel,
        partial(disk, workbook.runs, needed.disk),
        partial(memory, needed.memory),
        partial(accelerator, needed.gpu_memory),
        partial(writable, workbook.runs),
        partial(checkpoint, workbook, profile),
    ]
    return [_guarded(check) for check in checks]


def _guarded(check: Callable[[], Check]) -> Check:
    """A check that raises is a failed check, and the others are still made."""
    name = getattr(check, "func", check).__name__
    try:
        return check()
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {' '.join(str(error).split())}"[:300], _MAKE)


def python() -> Check:
    """Versions that every pinned package has wheels for."""
    version = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Check("python", ok, version, "install Python 3.11 or 3.12, then: make PYTHON=python3.11 run")


def packages(root: Path) -> Check:
    """Installed versions against those that pyproject.toml asks for."""
    pins = read_pins(root / "pyproject.toml")
    here = versions_of(*pins)
    wrong = [f"{name} {here[name]} (pinned {pin})" for name, pin in pins.items() if here[name] != pin]
    return Check("packages", not wrong, ", ".join(wrong) or f"{len(pins)} as pinned", _MAKE)


def read_pins(path: Path) -> dict[str, str]:
    """`name==version` requirements of a pyproject.toml, without its extras."""
    lines = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["dependencies"]
    found = (_PIN.match(line.strip()) for line in lines)
    return {match[1].lower(): match[2] for match in found if match}


def torch() -> Check:
    """Torch and torchvision fit together: a mismatch shows only when torchvision is imported."""
    code = "import torch as t, torchvision as v; print(t.__version__, v.__version__, t.get_num_threads())"
    ok, last = _in_a_process(code)
    return Check("torch", ok, "{}, torchvision {}, {} threads".format(*last.split()) if ok else last, _MAKE)


def decoder() -> Check:
    """PyAV reads what notebook 01 is given. Like there, it is imported in a process of its own."""
    ok, last = _in_a_process("import av; print(av.__version__, av.ffmpeg_version_info)")
    return Check("decoder", ok, "PyAV {}, FFmpeg {}".format(*last.split()) if ok else last, _MAKE)


def _in_a_process(code: str) -> tuple[bool, str]:
    """Whether the code ran, and the last line that it printed."""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    lines = (answer.stderr if answer.returncode else answer.stdout).strip().splitlines()
    return answer.returncode == 0, lines[-1] if lines else f"ended with code {answer.returncode}"


def encoder() -> Check:
    """An H.264 file is written and read back."""
    import numpy as np

    from cinelib.video import read_video, write_video

    ramp = np.repeat(np.linspace(0, 255, 32, dtype=np.uint8)[None, :, None], 3, axis=-1)
    frames = np.broadcast_to(ramp, (5, 16, 32, 3)).copy()
    with tempfile.TemporaryDirectory() as folder:
        back, fps = read_video(write_video(Path(folder) / "test.mp4", frames, fps=16))
    error = float(np.abs(back.astype(int) - frames).mean())
    ok = back.shape == frames.shape and error < 8 and fps == 16
    return Check("encoder", ok, f"H.264 round trip, mean error {error:.1f} of 255", _MAKE)


def kernel() -> Check:
    """Notebooks ask for the kernel `python3`; it must be this environment's."""
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec("python3")
    command = spec.argv[0]
    ok = command in ("python", "python3") or Path(command).resolve() == Path(sys.executable).resolve()
    fix = f"{sys.executable} -m ipykernel install --sys-prefix --name python3"
    return Check("kernel", ok, f"python3 starts {command}", fix)


def disk(runs: Path, needed: float) -> Check:
    """Free space for artefacts and, for the large models, their weights: on the disk that has the runs."""
    free = space.free(runs)
    found = f"{readable_bytes(free)} free at {space.existing(runs)}, {needed:g} GiB needed"
    return Check("disk", free >= needed * _GIB, found, f"free some space, or {space.ELSEWHERE}")


def memory(needed: float) -> Check:
    """Memory of the machine, or of the container when that is less."""
    total = memory_limit()
    fix = "close other programs, choose a smaller profile, or lower width, height and num_frames"
    return Check("memory", total >= needed * _GIB, f"{readable_bytes(total)}, {needed:g} GiB needed", fix)


def memory_limit() -> int:
    """Bytes that this process and its children may use."""
    import psutil

    total = psutil.virtual_memory().total
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdigit() else total


def accelerator(needed: float) -> Check:
    """A GPU with enough memory, where the profile needs one."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    found: list[tuple[str, float]] = []
    if shutil.which(query[0]):
        answer = subprocess.run(query, capture_output=True, text=True, timeout=60)
        rows = (line.rsplit(",", 1) for line in answer.stdout.splitlines() if "," in line)
        found = [(name.strip(), float(mib) / 1024) for name, mib in rows]
    text = ", ".join(f"{name} {gib:.0f} GiB" for name, gib in found) or "none"
    if not needed:
        return Check("accelerator", True, f"{text} (not needed)")
    fix = f"this profile needs a CUDA GPU with {needed:g} GiB; without one use --profile nano"
    return Check("accelerator", any(gib >= needed for _, gib in found), f"{text}, {needed:g} GiB needed", fix)


def writable(runs: Path) -> Check:
    """Results can be written."""
    found = " ".join(space.problems(runs, "", needed=0))
    return Check("writable", not found, found or str(runs), f"make it writable, or {space.ELSEWHERE}")


def checkpoint(workbook: Workbook, profile: str) -> Check:
    """The models that the profile names are here: as folders, or in the hub's cache."""
    chosen = [resolve(model, profile, {}, workbook.profiles) for model in workbook.stages.values()]
    missing, present = [], []
    for value in sorted({value for params in chosen for name, _, value in given(params) if name == "model"}):
        here = (workbook.root / value / "model_index.json").is_file() or hub_revision(value)
        (present if here else missing).append(value)
    found = ", ".join([*present, *(f"{name} missing" for name in missing)])
    return Check("checkpoint", not missing, found, "; ".join(map(_how_to_get, missing)))


def _how_to_get(value: str) -> str:
    if value.startswith("data/"):
        return f"restore {value} from the repository: git checkout -- {value}"
    return f"hf download {value}, or pass -p model=/path/to/{value.rsplit('/', 1)[-1]}"
