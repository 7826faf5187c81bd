"""The adapter to `vbench`, with a stub at the package's boundary, and with the package where there is one."""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from cinelib.evaluation import vbench as vbench_adapter
from cinelib.evaluation.vbench import (
    CAMERA_MOVES,
    I2V,
    KNOWN,
    WITH_CAMERA,
    WITH_PROMPTS,
    WITH_STILLS,
    WITHOUT_PROMPTS,
    missing,
    vbench_scores,
)
from cinelib.video import write_video


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no video")
    return tmp_path


def stub(monkeypatch, answer):
    """A `vbench` that writes `answer(dimension, links)` where the real one writes its results.

    Returns its calls: class, names of the videos, prompts or list of clips, dimensions, mode.
    """
    calls = []

    class VBench:
        def __init__(self, device, full_info_dir, output_path):
            self.listed, self.output_path = full_info_dir, output_path

        def evaluate(self, videos_path, name, prompt_list=(), dimension_list=None, mode="vbench_standard"):
            links = sorted(Path(videos_path).iterdir())
            assert all(link.exists() for link in links)
            told = json.loads(Path(self.listed).read_text()) if self.listed else prompt_list
            calls.append((type(self).__name__, [link.name for link in links], told, dimension_list, mode))
            results = {dimension: answer(dimension, links) for dimension in dimension_list}
            Path(self.output_path, f"{name}_eval_results.json").write_text(json.dumps(results))

    class VBenchI2V(VBench):
        pass

    for package, kind in {"vbench": VBench, "vbench2_beta_i2v": VBenchI2V}.items():
        module = ModuleType(package)
        setattr(module, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, package, module)
        for dimension in KNOWN:
            monkeypatch.setitem(sys.modules, f"{package}.{dimension}", ModuleType(dimension))
    return calls


def scored(dimension, links):
    """0.7, 0.8, 0.9 for the videos by name, in another order: VBench lists a folder as it comes."""
    rows = [
        {"video_path": str(links[k]), "video_results": value} for k, value in ((2, 0.9), (0, 0.7), (1, 0.8))
    ]
    return [0.8, {"pan_left": 0.8}, rows] if dimension == "camera_motion" else [0.8, rows]


def test_results_are_per_video_with_interval_and_provenance(folder, monkeypatch):
    calls = stub(monkeypatch, scored)
    found = vbench_scores(folder, ["motion_smoothness"], device="cpu")
    result, values = found["motion_smoothness"]
    assert list(values.items()) == [("a.mp4", 0.7), ("b.mp4", 0.8), ("c.mp4", 0.9)]
    assert result.name == "VBench motion_smoothness" and result.n == 3
    assert result.implementation == "vbench"
    assert result.value == pytest.approx(0.8) and result.interval is None, "3 values carry none"
    names = ["a-0.mp4", "b-1.mp4", "c-2.mp4"]  # and not notes.txt
    assert calls == [("VBench", names, {}, ["motion_smoothness"], "custom_input")]


def test_prompts_are_handed_over_and_demanded(folder, monkeypatch):
    calls = stub(monkeypatch, scored)
    prompts = {f"{name}.mp4": "a knight" for name in "abc"}
    vbench_scores(folder, ["overall_consistency"], prompts, device="cpu")
    assert calls[0][2] == {f"a knight-{k}.mp4": "a knight" for k in range(3)}
    with pytest.raises(ValueError, match=r"need a prompt for each video; none for b\.mp4"):
        vbench_scores(folder, ["overall_consistency"], {"a.mp4": "x", "c.mp4": "y"}, device="cpu")


def test_a_video_without_an_answer_is_named(folder, monkeypatch):
    stub(monkeypatch, lambda dimension, links: [0.7, scored(dimension, links)[1][:2]])
    with pytest.raises(ValueError, match=r"no dynamic_degree for b\.mp4"):
        vbench_scores(folder, ["dynamic_degree"], device="cpu")
    stub(monkeypatch, lambda dimension, links: None)
    with pytest.raises(ValueError, match=r"for a\.mp4, b\.mp4, c\.mp4"):
        vbench_scores(folder, ["dynamic_degree"], device="cpu")


def test_what_vbench_raises_is_told(folder, monkeypatch):
    def fails(dimension, links):
        raise FileNotFoundError("amt-s.pth")

    stub(monkeypatch, fails)
    with pytest.raises(RuntimeError, match=r"vbench failed: FileNotFoundError: amt-s\.pth"):
        vbench_scores(folder, ["motion_smoothness"], device="cpu")


@pytest.fixture
def stills(tmp_path):
    found = {f"{name}.mp4": tmp_path / f"{name}.png" for name in "abc"}
    for path in found.values():
        Image.new("RGB", (8, 8)).save(path)
    return found


def test_both_sets_come_under_their_own_names(folder, monkeypatch, stills):
    calls = stub(monkeypatch, scored)
    prompts = {f"{name}.mp4": f"a knight, {move}" for name, move in zip("abc", CAMERA_MOVES, strict=False)}
    found = vbench_scores(folder, I2V + WITH_PROMPTS, prompts, "cpu", stills)
    assert list(found) == [*I2V, *WITH_PROMPTS]
    for dimension, (result, values) in found.items():
        assert result.name == f"VBench {dimension}"
        assert values == {"a.mp4": 0.7, "b.mp4": 0.8, "c.mp4": 0.9}
    (_, _, _, plain, mode), (kind, names, clips, ours, _) = calls
    assert plain == [*WITHOUT_PROMPTS, *WITH_PROMPTS] and mode == "custom_input"
    assert kind == "VBenchI2V" and ours == [*WITH_STILLS, *WITH_CAMERA]
    assert [clip["image_name"] for clip in clips] == [str(path.resolve()) for path in stills.values()]
    assert [Path(clip["video_list"][0]).name for clip in clips] == names
    assert names[0] == "a knight, camera pans left-0.mp4"  # VBench-I2V reads the move from the name


def test_a_long_prompt_with_signs_becomes_a_name(folder, monkeypatch):
    calls = stub(monkeypatch, scored)
    prompts = {f"{name}.mp4": "a half-lit street/" + "é" * 300 for name in "abc"}
    vbench_scores(folder, ["temporal_style"], prompts, device="cpu")
    assert calls[0][1][0].startswith("a half lit street é") and calls[0][1][0].endswith("-0.mp4")


def test_stills_and_camera_moves_are_demanded(folder, monkeypatch, stills):
    stub(monkeypatch, scored)
    with pytest.raises(ValueError, match=r"i2v_subject need the still .* none for a\.mp4, b\.mp4, c\.mp4"):
        vbench_scores(folder, ["i2v_subject"], device="cpu")
    stills["b.mp4"].unlink()
    with pytest.raises(ValueError, match=r"no such still: .*b\.png"):
        vbench_scores(folder, ["i2v_background"], device="cpu", stills=stills)
    prompts = {f"{name}.mp4": "a knight, camera static" for name in "ac"} | {"b.mp4": "a knight"}
    with pytest.raises(ValueError, match=r"one of camera pans left, .* none for b\.mp4"):
        vbench_scores(folder, WITH_CAMERA, prompts, device="cpu")


def test_without_the_package_the_command_is_given(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "vbench", None)
    with pytest.raises(ModuleNotFoundError, match=r"vbench \(for subject_.*\): pip install vbench"):
        vbench_scores(folder, WITHOUT_PROMPTS, device="cpu")


def test_what_a_dimension_lacks_is_named_before_anything_runs(folder, monkeypatch, stills):
    calls = stub(monkeypatch, scored)
    assert missing(KNOWN) == ""
    there = vbench_adapter.import_module
    lacking = {"i2v_background": "dreamsim", "camera_motion": "vbench2_beta_i2v.third_party"}

    def partly(module):
        if wanted := lacking.get(module.rpartition(".")[2]):
            raise ModuleNotFoundError(f"No module named {wanted!r}", name=wanted)
        return there(module)

    monkeypatch.setattr(vbench_adapter, "import_module", partly)
    assert missing(I2V) == (
        "dreamsim (for i2v_background): pip install dreamsim; vbench2_beta_i2v.third_party "
        "(for camera_motion): not on PyPI, copy that folder from github.com/Vchitect/VBench"
    )
    with pytest.raises(ModuleNotFoundError, match="dreamsim"):
        vbench_scores(folder, WITH_STILLS, device="cpu", stills=stills)
    assert missing(WITHOUT_PROMPTS) == "" and not calls


def test_a_package_of_the_wrong_version_is_told(monkeypatch):
    stub(monkeypatch, scored)

    def unfit(module):
        raise AttributeError("module 'numpy' has no attribute 'float'")

    monkeypatch.setattr(vbench_adapter, "import_module", unfit)
    assert "has no attribute 'float' (for i2v_subject): install the versions" in missing(["i2v_subject"])


@pytest.mark.parametrize("dimensions", [["beauty"], []])
def test_unknown_dimensions_are_refused(folder, dimensions):
    with pytest.raises(ValueError, match=r"unknown dimensions .*; known: subject_consistency"):
        vbench_scores(folder, dimensions)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no \.mp4 directly in"):
        vbench_scores(tmp_path)


@pytest.fixture
def real():
    """The package itself: `pip install --no-deps vbench` is enough here."""
    return pytest.importorskip("vbench"), pytest.importorskip("vbench2_beta_i2v")


def test_names_are_those_of_the_package(real, tmp_path):
    vbench, i2v = real
    bench = vbench.VBench("cpu", "", str(tmp_path))
    allowed = []
    for dimension in bench.build_full_dimension_list():
        try:
            bench.check_dimension_requires_extra_info([dimension])
        except AssertionError:  # on its own suite only
            continue
        allowed.append(dimension)
    assert set(allowed) == {*WITHOUT_PROMPTS, *WITH_PROMPTS}
    assert set(i2v.VBenchI2V("cpu", "", str(tmp_path)).build_full_dimension_list()) == set(I2V)
    source = Path(i2v.__file__).with_name("camera_motion.py").read_text()
    assert all(f'"{move}"' in source for move in CAMERA_MOVES)
    assert source.count('"camera ') == len(CAMERA_MOVES)


def test_the_package_itself_scores_clips(real, tmp_path, monkeypatch):
    """A still clip is free of flicker and keeps its first frame; noise does neither."""

    class Pooled(torch.nn.Module):  # in place of DINO, which is not here
        def forward(self, pictures):
            return torch.nn.functional.adaptive_avg_pool2d(pictures, 8).flatten(1)

    monkeypatch.setattr(torch.hub, "load", lambda **settings: Pooled())
    rng = np.random.default_rng(0)
    still = np.repeat(rng.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8), 6, axis=0)
    noise = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    for name, small in (("still", still), ("noise", noise)):
        frames = small.repeat(32, axis=1).repeat(32, axis=2)
        write_video(tmp_path / f"{name}.mp4", frames, 8)
        Image.fromarray(frames[0]).save(tmp_path / f"{name}.png")
    stills = {f"{name}.mp4": tmp_path / f"{name}.png" for name in ("still", "noise")}
    found = vbench_scores(tmp_path, ["i2v_subject", "temporal_flickering"], device="cpu", stills=stills)
    for _, values in found.values():
        assert values["still.mp4"] > 0.98 > 0.9 > values["noise.mp4"]
