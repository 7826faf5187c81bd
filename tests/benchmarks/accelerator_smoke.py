"""The tests of tests/style/test_accelerator.py, one line of JSON each as soon as it is known.

python tests/benchmarks/accelerator_smoke.py LINES [GO]

Imports come first; where GO is given, tests start when that file exists, and never if its maker is gone.
"""

import json
import os
import sys
import time
from pathlib import Path

import accelerate  # noqa: F401
import diffusers  # noqa: F401
import peft  # noqa: F401
import pytest
from diffusers import WanImageToVideoPipeline  # noqa: F401

TESTS = Path(__file__).resolve().parents[1] / "style" / "test_accelerator.py"


class Lines:
    """Writes what becomes of each test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        row = {"test": report.nodeid.split("::")[-1], "result": report.outcome}
        row["seconds"] = round(report.duration, 2)
        if not report.passed:
            row["why"] = str(report.longreprtext)[-600:]
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


def main() -> int:
    parent = os.getppid()
    while len(sys.argv) > 2 and not Path(sys.argv[2]).exists():
        if os.getppid() != parent:
            return 1
        time.sleep(0.05)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    options = ["-p", "no:cacheprovider", "-rs", str(TESTS)]
    return int(pytest.main(options, plugins=[Lines(Path(sys.argv[1]))]))


if __name__ == "__main__":
    sys.exit(main())
