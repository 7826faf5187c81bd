"""Kill runner, worker or kernel at any moment: nothing half-valid, no orphan, the rerun completes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import toy_film
from toy_film.parameters import Cut

from cinelib import files
from cinelib.runs import manifest

PATIENCE = 120.0


def until(condition, what, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    pytest.fail(f"after {seconds} s still not so: {what}")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A toy workbook whose first stages are done; each test gives stage 02 values of its own."""
    workbook = toy_film.make(tmp_path_factory.mktemp("toy") / "film")
    subprocess.run(command("01"), cwd=workbook.root, check=True, capture_output=True)
    return workbook


def command(*options):
    return [sys.executable, "-m", "toy_film", "run", *options]


class Run:
    """A runner in its own process, seen at the moment when stage 02 is in the middle of a cell."""

    def __init__(self, workbook, *options):
        self.workbook, self.options = workbook, options
        self.known = set((workbook.runs / "stages").glob("02_grade-*"))
        self.process = subprocess.Popen(
            command(*options),
            cwd=workbook.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a background job of a shell inherits an ignored Ctrl-C; a terminal's user does not
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.folder = until(self._busy, "stage 02 works")
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def _busy(self):
        assert self.process.poll() is None, self.process.communicate()
        for folder in set((self.workbook.runs / "stages").glob("02_grade-*")) - self.known:
            if "grading" in (folder / "log.txt").read_text() if (folder / "log.txt").exists() else False:
                return folder
        return None

    def named(self, text):
        return next(child for child in self.children if text in " ".join(child.cmdline()))

    def all_gone(self):
        until(lambda: not psutil.wait_procs(self.children, timeout=0)[1], "worker and kernel are gone", 30)

    def rerun(self):
        options = [option.replace("seconds=60", "seconds=0.5") for option in self.options]
        return subprocess.run(command(*options), cwd=self.workbook.root, capture_output=True, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stop_signal_ends_kernels_and_leaves_no_half_valid_stage(prepared, number):
    run = Run(prepared, "02", "-p", "02.seconds=60", "-p", f"02.seed={int(number)}")
    run.process.send_signal(number)
    _, errors = run.process.communicate(timeout=60)
    assert run.process.returncode == 130
    assert "stopped" in errors
    assert "Traceback" not in errors
    run.all_gone()
    assert manifest.problem(run.folder) == "did not finish"
    assert not files.is_held(prepared.lock(run.folder))


def test_kill_9_of_the_runner_takes_the_kernel_along_and_the_same_command_completes(prepared):
    run = Run(prepared, "02", "-p", "02.seconds=60", "-p", "02.seed=101", "--name", "killed")
    run.process.kill()
    run.process.wait()
    run.all_gone()
    assert manifest.problem(run.folder) == "did not finish"
    until(lambda: not files.is_held(prepared.lock(run.folder)), "the lock is free", 10)
    again = run.rerun()
    assert again.returncode == 0, again.stderr
    assert "01_cut: reused" in again.stdout


@pytest.mark.slow
def test_the_very_same_command_after_kill_9_reuses_the_folder(prepared):
    """The id is the same, so the new execution meets what the killed one left."""
    run = Run(prepared, "02", "-p", "02.seconds=3", "-p", "02.seed=102")
    run.process.kill()
    run.all_gone()
    (run.folder / "half.bin").write_bytes(b"left by the killed one")
    (run.folder / "checkpoints").mkdir()
    (run.folder / "checkpoints" / "step-10").write_text("to resume from")
    again = run.rerun()
    assert again.returncode == 0, again.stderr
    content = manifest.read(run.folder)
    assert content is not None
    assert "half.bin" not in content["artefacts"]
    assert "checkpoints/step-10" in content["artefacts"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "message"),
    [("ipykernel_launcher", "the kernel died"), ("cinelib.runs.worker", "killed by signal 9")],
)
def test_kill_9_of_kernel_or_worker_fails_the_stage_clearly(prepared, victim, message):
    run = Run(prepared, "02", "-p", "02.seconds=60", "-p", f"02.seed={len(victim)}", "--name", victim)
    run.named(victim).kill()
    _, errors = run.process.communicate(timeout=60)
    assert run.process.returncode == 1
    assert f"error: 02_grade: {message}" in errors or message in errors
    kept = next(line.split("kept:")[1].strip() for line in errors.splitlines() if "log.txt" in line)
    assert Path(kept).is_file()
    run.all_gone()
    assert not run.folder.exists()
    again = run.rerun()
    assert again.returncode == 0, again.stderr
    assert "01_cut: reused" in again.stdout


@pytest.mark.slow
def test_on_a_disk_that_is_really_full_the_reason_is_told(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("may not mount a small disk")
    try:
        workbook = toy_film.make(tmp_path / "film")
        write = "(stage.folder / 'big.bin').write_bytes(b'x' * 8_000_000)"
        toy_film.write_notebook(workbook, Cut, [write])
        call = {"cwd": workbook.root, "capture_output": True, "text": True}
        done = subprocess.run(command("01", "--runs", str(disk / "runs")), **call)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        first = done.stderr.splitlines()[0]
        assert "No space left on device" in first and f"free at {disk / 'runs'}" in first
        told = subprocess.run(
            [sys.executable, "-m", "toy_film", "status", "--runs", str(disk / "runs")], **call
        )
        assert "as on a full disk" in " ".join(told.stdout.split())
    finally:
        subprocess.run(["umount", disk], check=True)
