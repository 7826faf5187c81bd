"""Each check of `cinelib doctor` passes on a good machine and fails, with a fix, on a bad one."""

import subprocess
from collections import namedtuple

import pytest
import toy_film

from cinelib.runs import doctor
from cinelib.runs.workbook import Workbook, find_root


@pytest.fixture
def workbook(tmp_path):
    return toy_film.make(tmp_path / "film")


@pytest.fixture
def quick(monkeypatch):
    """Without the checks that import torch in another process; one test makes them."""
    for name in ("torch", "decoder", "encoder"):
        monkeypatch.setattr(doctor, name, lambda name=name: doctor.Check(name, True, "not looked at"))


@pytest.mark.slow
def test_here_everything_that_nano_needs_of_the_software_is_found():
    checks = {check.name: check for check in doctor.examine(Workbook(find_root()), "nano")}
    for name in ("python", "packages", "torch", "decoder", "encoder", "kernel", "writable"):
        assert checks[name].ok, checks[name]


def test_the_a100_profile_asks_for_a_gpu(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    check = doctor.accelerator(72)
    assert not check.ok
    assert "--profile nano" in check.fix
    assert doctor.accelerator(0).ok


def test_a_gpu_is_measured(monkeypatch):
    answer = subprocess.CompletedProcess([], 0, stdout="NVIDIA A100-SXM4-80GB, 81920\nNVIDIA T4, 15360\n")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: answer)
    assert doctor.accelerator(72).ok
    assert not doctor.accelerator(100).ok
    assert "A100-SXM4-80GB 80 GiB" in doctor.accelerator(72).found


def test_wrong_and_missing_packages_are_named(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["numpy==0.1", "no-such-thing==3"]\n')
    check = doctor.packages(tmp_path)
    assert not check.ok
    assert "numpy" in check.found
    assert "(pinned 0.1)" in check.found
    assert "no-such-thing not installed" in check.found


def test_a_full_disk_and_little_memory(monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")(10, 9, 2**30)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert not doctor.disk(tmp_path, 2).ok
    assert doctor.disk(tmp_path, 1).ok
    monkeypatch.setattr(doctor, "memory_limit", lambda: 4 * 2**30)
    assert not doctor.memory(5).ok
    assert doctor.memory(3).ok


def test_a_missing_checkpoint_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    check = doctor.checkpoint(Workbook(find_root()), "a100")
    assert not check.ok
    assert "hf download Wan-AI/Wan2.1-I2V-14B-720P-Diffusers" in check.fix
    reference = tmp_path / "models--Wan-AI--Wan2.1-I2V-14B-720P-Diffusers" / "refs"
    reference.mkdir(parents=True)
    (reference / "main").write_text("b184e23a8a16b20f108f727c902e769e873ffc73\n")
    assert doctor.checkpoint(Workbook(find_root()), "a100").ok


def test_a_check_that_raises_is_a_failed_check(monkeypatch, workbook, quick):
    monkeypatch.setattr(doctor, "read_pins", lambda path: 1 / 0)
    checks = {check.name: check for check in doctor.examine(workbook, "nano")}
    assert not checks["packages"].ok
    assert "ZeroDivisionError" in checks["packages"].found
    assert checks["python"].ok


def test_another_python_is_refused(monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", (3, 10, 1, "final", 0))
    assert not doctor.python().ok


def test_every_failed_check_says_what_mends_it(workbook, quick):
    failed = [check for check in doctor.examine(workbook, "huge") if not check.ok]
    assert {"packages", "disk", "memory"} <= {check.name for check in failed}
    assert all(check.fix for check in failed)


def test_a_folder_that_cannot_be_written(workbook, quick):
    (workbook.root / "papermill_runs").write_text("a file where a folder should be")
    check = {check.name: check for check in doctor.examine(workbook, "nano")}["writable"]
    assert not check.ok
