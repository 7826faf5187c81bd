"""The benchmarks run, small, and say under which conditions; what they measure is not looked at here."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

FOLDER = Path(__file__).parents[1] / "benchmarks"


def run(script, *arguments):
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def script(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_the_plan_beside_the_14b_benchmark_is_for_the_base_that_is_measured():
    """16.4 billion weights are 30.5 GiB in bf16; in fp8 with one block cast up they are 16.3 GiB."""
    predict = script("lora_14b").predict
    bf16, fp8 = (predict((720, 1280), 81, True, None, *base)["bytes"] for base in ((), ("fp8",)))
    assert bf16 - fp8 == pytest.approx((30.5 - 16.3) * 2**30, rel=0.02)
    smallest = predict((480, 832), 33, True, None)["bytes"]
    assert smallest > 2 * 16_394_878_784


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU, where the whole measurement would start")
def test_the_14b_benchmark_refuses_a_cpu_and_runs_tiny(tmp_path):
    refused = run("lora_14b.py")
    assert refused.returncode == 1 and "no GPU here" in refused.stderr and "--tiny" in refused.stderr
    answer = run("lora_14b.py", "--tiny", "--steps", 1, "--json", tmp_path / "rows.json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads((tmp_path / "rows.json").read_text())
    assert len(found["rows"]) == 4 and all(row["result"] == "ran" for row in found["rows"])
    assert found["conditions"]["model"] == "tiny" and found["conditions"]["base"] == "bf16"
    answer = run("lora_14b.py", "--tiny", "--steps", 1, "--base", "fp8", "--json", tmp_path / "fp8.json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads((tmp_path / "fp8.json").read_text())["conditions"]["base"] == "fp8"


def test_the_forecast_beside_the_accelerators_rows_was_made_for_them(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    rows = script("accelerator_rows")
    plan = json.loads((FOLDER / "results" / "accelerator_plan.json").read_text())
    assert [row["name"] for row in plan["rows"]] == [row.name for row in rows.ROWS]
    step = rows.plan(rows.ROWS[0], plan["gpu"])
    assert step["bytes"] == pytest.approx(script("lora_14b").predict((480, 832), 81, True, None)["bytes"])
    half = rows.plan(dataclasses.replace(rows.ROWS[0], depth=20), plan["gpu"])
    assert half["operations"] == pytest.approx(step["operations"] / 2, rel=0.01)


def test_what_was_measured_stands_beside_the_forecast_that_was_made_before():
    """The forecast is that of the estimate as it stood then; only names are compared with today's rows."""
    plan, found = (
        json.loads((FOLDER / "results" / f"accelerator{name}.json").read_text()) for name in ("_plan", "")
    )
    assert {row["name"]: row["plan"] for row in plan["rows"]} == {r["name"]: r["plan"] for r in found["rows"]}
    assert {row["result"] for row in found["rows"]} == {"ran"}
    assert "H100" in found["conditions"]["card"] and found["conditions"]["started"].startswith("2026-11-26")


def test_the_short_table_for_notebooks_is_that_of_the_whole_record():
    found = json.loads((FOLDER / "results" / "accelerator.json").read_text())["rows"]
    short = yaml.safe_load((FOLDER.parents[1] / "data" / "accelerator.yaml").read_text("utf-8"))["rows"]
    whole = [
        {
            "seconds": round(row.get("seconds", row.get("seconds_reckoned")), 2),
            "forecast seconds": round(row["plan"]["seconds"], 2),
            "GiB": round(row["peak_bytes"]["reserved"] / 2**30, 1),
            "forecast GiB": round(row["plan"]["bytes"] / 2**30, 1),
        }
        for row in found
        if row["kind"] != "smoke"
    ]
    assert all({key: row[key] for key in whole[0]} in whole for row in short)


@pytest.mark.slow
def test_the_accelerators_list_is_rehearsed_and_whole_from_the_start(tmp_path):
    command = [str(FOLDER / "accelerator.sh"), str(tmp_path), "300", "--tiny", "--skip", "smoke", "compiled"]
    environment = os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = json.loads((tmp_path / "accelerator.json").read_text())
    results = {row["name"]: row["result"] for row in found["rows"]}
    only_there = [name for name in results if "cudnn" in name or "efficient" in name]  # kernels of a GPU
    assert {results.pop(name) for name in only_there} == {"failed: RuntimeError"}
    assert set(results.values()) == {"ran"} and found["conditions"]["model"] == "tiny"
    assert (tmp_path / "accelerator_plan.json").is_file()
    subprocess.run([*command[:2], "0.1", *command[3:]], capture_output=True, timeout=60, env=environment)
    assert not list(tmp_path.glob("*.tmp"))


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
