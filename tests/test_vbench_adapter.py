"""The adapter to `vbench`, with a stub at the package's boundary."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cinelib.metrics.vbench_adapter import WITHOUT_PROMPTS, vbench_scores


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no video")
    return tmp_path


def stub(monkeypatch, answer):
    """A `vbench` that writes `answer(dimension, folder)` where the real one writes its results."""
    calls = []

    class VBench:
        def __init__(self, device, full_info_dir, output_path):
            self.output_path = output_path

        def evaluate(self, videos_path, name, prompt_list, dimension_list, mode):
            calls.append((prompt_list, dimension_list, mode))
            results = {dimension: answer(dimension, videos_path) for dimension in dimension_list}
            Path(self.output_path, f"{name}_eval_results.json").write_text(json.dumps(results))

    monkeypatch.setitem(sys.modules, "vbench", SimpleNamespace(VBench=VBench))
    return calls


def scored(dimension, folder):
    rows = [
        {"video_path": f"{folder}/{name}.mp4", "video_results": value}
        for name, value in (("c", 0.9), ("a", 0.7), ("b", 0.8))
    ]
    return [0.8, rows]


def test_results_are_per_video_with_interval_and_provenance(folder, monkeypatch):
    calls = stub(monkeypatch, scored)
    found = vbench_scores(folder, ["motion_smoothness"], device="cpu")
    result, values = found["motion_smoothness"]
    assert list(values.items()) == [("a.mp4", 0.7), ("b.mp4", 0.8), ("c.mp4", 0.9)]
    assert result.name == "VBench motion_smoothness" and result.n == 3
    assert result.value == pytest.approx(0.8) and result.interval[0] < 0.8 < result.interval[1]
    assert calls == [({}, ["motion_smoothness"], "custom_input")]


def test_prompts_are_handed_over_and_demanded(folder, monkeypatch):
    calls = stub(monkeypatch, scored)
    prompts = {f"{name}.mp4": "a knight" for name in "abc"}
    vbench_scores(folder, ["overall_consistency"], prompts, device="cpu")
    assert calls[0][0] == prompts
    with pytest.raises(ValueError, match=r"need a prompt for each video; none for b\.mp4"):
        vbench_scores(folder, ["overall_consistency"], {"a.mp4": "x", "c.mp4": "y"}, device="cpu")


def test_a_video_without_an_answer_is_named(folder, monkeypatch):
    stub(monkeypatch, lambda dimension, where: [0.7, scored(dimension, where)[1][:2]])
    with pytest.raises(ValueError, match=r"no dynamic_degree for b\.mp4"):
        vbench_scores(folder, ["dynamic_degree"], device="cpu")
    stub(monkeypatch, lambda dimension, where: None)
    with pytest.raises(ValueError, match=r"for a\.mp4, b\.mp4, c\.mp4"):
        vbench_scores(folder, ["dynamic_degree"], device="cpu")


def test_what_vbench_raises_is_told(folder, monkeypatch):
    def missing(dimension, where):
        raise FileNotFoundError("amt-s.pth")

    stub(monkeypatch, missing)
    with pytest.raises(RuntimeError, match=r"vbench failed: FileNotFoundError: amt-s\.pth"):
        vbench_scores(folder, ["motion_smoothness"], device="cpu")


def test_without_the_package_the_command_is_given(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "vbench", None)
    with pytest.raises(ModuleNotFoundError, match="pip install vbench"):
        vbench_scores(folder, WITHOUT_PROMPTS, device="cpu")


@pytest.mark.parametrize("dimensions", [["beauty"], []])
def test_unknown_dimensions_are_refused(folder, dimensions):
    with pytest.raises(ValueError, match=r"unknown dimensions .*; known: subject_consistency"):
        vbench_scores(folder, dimensions)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no \.mp4 directly in"):
        vbench_scores(tmp_path)
