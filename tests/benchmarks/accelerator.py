"""Runs the rows of `accelerator_rows` on a GPU, one after the other, and writes each as soon as it is known.

python tests/benchmarks/accelerator.py --out FOLDER --seconds 150        on a GPU
python tests/benchmarks/accelerator.py --out FOLDER --tiny               the rehearsal, on a CPU

FOLDER/accelerator.json holds every row from the start, the plan's forecast in it and "not reached" as its
result; a kill at any time leaves what was measured. One random I2V-14B serves all rows.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import accelerator_rows
from accelerator_rows import Row

HERE = Path(__file__).resolve().parent
PLAN = HERE / "results" / "accelerator_plan.json"


class Record:
    """The result file, whole at every moment."""

    def __init__(self, folder: Path, rows: list[Row], tiny: bool) -> None:
        self.path = folder / "accelerator.json"
        folder.mkdir(parents=True, exist_ok=True)
        plan = json.loads(PLAN.read_text("utf-8"))
        plans = {} if tiny else {row["name"]: row["plan"] for row in plan["rows"]}
        self.conditions: dict[str, Any] = {
            "model": "tiny" if tiny else "Wan2.1 I2V-14B, random weights, inputs noise",
            "precision": "bf16; LoRA steps: autocast, fp32 adapter of rank 8 in attn2, AdamW, 1 clip",
            "plan_for": plan["gpu"],
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.rows = {
            row.name: {
                **asdict(row),
                "published": accelerator_rows.PUBLISHED.get(row.published),
                "plan": plans.get(row.name),
                "result": "not reached",
            }
            for row in rows
        }
        self.write()

    def write(self) -> None:
        found = {"conditions": self.conditions, "rows": list(self.rows.values())}
        partial = self.path.with_suffix(".tmp")
        partial.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
        partial.replace(self.path)

    def add(self, row: Row, found: dict[str, Any]) -> None:
        self.rows[row.name] |= found
        self.write()
        plan, peak = self.rows[row.name]["plan"] or {}, found.get("peak_bytes") or {}
        took = found.get("seconds", found.get("seconds_reckoned"))
        print(f"{row.name:44s} {str(found['result'])[:60]:12s} s {took} (plan {plan.get('seconds')})", end="")
        print(f"  GiB {peak.get('reserved', 0) / 2**30:.1f} (plan {plan.get('bytes', 0) / 2**30:.1f})")


class Smoke:
    """The workbook's paths on the device: its process loads its modules at once and waits for its turn."""

    def __init__(self, folder: Path, tiny: bool) -> None:
        self.lines, self.go = folder / "smoke.jsonl", folder / "smoke.go"
        for path in (self.lines, self.go):
            path.unlink(missing_ok=True)
        command = [sys.executable, str(HERE / "accelerator_smoke.py"), str(self.lines), str(self.go)]
        environment = os.environ | ({"CINELIB_REHEARSAL": "1"} if tiny else {})
        self.log = (folder / "smoke.log").open("w", encoding="utf-8")
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=subprocess.STDOUT)

    def run(self, seconds: float) -> dict[str, Any]:
        self.go.touch()
        started = time.perf_counter()
        try:
            code: int | str = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = f"more than {seconds:.0f} s"
        took = time.perf_counter() - started
        self.close()
        lines = self.lines.read_text("utf-8").splitlines() if self.lines.is_file() else []
        tests = [json.loads(line) for line in lines]
        bad = [test for test in tests if test["result"] != "passed"]
        result = (
            "ran" if code == 0 and tests and not bad else f"{len(bad)} of {len(tests)} did not pass: {code}"
        )
        return {"result": result, "seconds": took, "tests": tests}

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.go.unlink(missing_ok=True)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True, help="folder of the results")
    options.add_argument("--seconds", type=float, default=150, help="no row starts after these")
    options.add_argument("--tiny", action="store_true", help="four thin blocks and few tokens, on a CPU")
    options.add_argument("--skip", default=[], nargs="*", help="rows whose name contains one of these")
    given = options.parse_args()
    begun = time.perf_counter()
    rows = [row for row in accelerator_rows.ROWS if not any(word in row.name for word in given.skip)]
    rows = [accelerator_rows.tiny(row) for row in rows] if given.tiny else rows
    record = Record(given.out, rows, given.tiny)
    smoke = Smoke(given.out, given.tiny) if any(row.kind == "smoke" for row in rows) else None
    try:
        bench = make_bench(given.tiny, record, begun)
        for row in rows:
            started = time.perf_counter()
            if given.seconds - (started - begun) < 2:
                break
            if row.kind == "smoke" and smoke:
                found = smoke.run(row.limit)
            elif bench:
                found = bench.measure(row)
            else:
                continue
            now = time.perf_counter()
            record.add(row, {**found, "row_took": round(now - started, 1), "at": round(now - begun, 1)})
    finally:
        if smoke:
            smoke.close()


def make_bench(tiny: bool, record: Record, begun: float) -> Any:
    """The transformer, or None and the reason in the record: the smoke row does not need it."""
    from accelerator_bench import Bench  # imports torch: the smoke row's process loads beside it

    try:
        bench = Bench(tiny)
        record.conditions |= bench.conditions() | {"ready_after": round(time.perf_counter() - begun, 1)}
    except Exception as error:
        record.conditions["failed"] = f"{type(error).__name__}: {error}"[:600]
        bench = None
    record.write()
    return bench


if __name__ == "__main__":
    main()
