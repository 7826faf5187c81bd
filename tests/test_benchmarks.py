"""The benchmarks run, small, and say under which conditions; what they measure is not looked at here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).with_name("benchmarks")


def run(script, *arguments):
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU, where the whole measurement would start")
def test_the_14b_benchmark_refuses_a_cpu_and_runs_tiny(tmp_path):
    refused = run("lora_14b.py")
    assert refused.returncode == 1 and "no GPU here" in refused.stderr and "--tiny" in refused.stderr
    answer = run("lora_14b.py", "--tiny", "--steps", 1, "--json", tmp_path / "rows.json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads((tmp_path / "rows.json").read_text())
    assert len(found["rows"]) == 4 and all(row["result"] == "ran" for row in found["rows"])
    assert found["conditions"]["model"] == "tiny"


@pytest.mark.slow
def test_the_peers_run_side_by_side(tmp_path):
    smoke = ["--model", FOLDER.parents[1] / "data" / "smoke-wan", "--size", 32, 48, 5]
    few = ["--clips", 2, "--steps", 3, "--rounds", 1, "--json", tmp_path / "found.json"]
    answer = run("lora_peers.py", *smoke, *few)
    assert answer.returncode == 0, answer.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["total_over_ours"]["ours"] == 1.0
    assert {"reencode", "plain"} < set(found["medians"])
    assert "diffsynth" in found["medians"] or found["not_run"]["diffsynth"]
    assert all(row["loss"] < found["loss_before"][name] for name, row in found["medians"].items())
    assert "2 files of 32x48" in found["conditions"]["what"]
