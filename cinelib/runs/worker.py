"""The process that executes one notebook with Papermill: `python -m cinelib.runs.worker`.

It reads one JSON line on standard input (notebook, folder, parameters, root) and reports progress as
JSON lines on standard output. Its input stays open while its runner lives: end of file means that the
runner is gone, whatever killed it, and the worker then kills the kernel with all that the kernel
started. So no kernel outlives a run.
"""

import json
import os
import re
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import psutil

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Reporter:
    """One JSON object a line, to the runner."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, **message: Any) -> None:
        """Send one message; a runner that is gone is dealt with elsewhere."""
        with self._lock, suppress(OSError):
            self._stream.write(json.dumps(message) + "\n")
            self._stream.flush()


class Log:
    """Papermill's output file: everything into `log.txt`, the last line to the runner too."""

    def __init__(self, path: Path, report: Reporter) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._report = report

    def write(self, text: str) -> None:
        """Append `text`."""
        self._file.write(text)
        lines = [line.strip() for line in _ANSI.sub("", text).splitlines() if line.strip()]
        if lines:
            self._report(line=lines[-1][:200])

    def flush(self) -> None:
        """Hand the text to the operating system."""
        self._file.flush()


def kill_descendants() -> None:
    """Kill the kernel and what it started, until nothing is left that another thread was just starting."""
    quiet = 0
    for _ in range(20):
        children = psutil.Process().children(recursive=True)
        for child in children:
            with suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(children, timeout=2)
        quiet = 0 if children else quiet + 1
        if quiet == 2:
            return
        time.sleep(0.05)


def _die_with_the_runner() -> None:
    sys.stdin.read()
    kill_descendants()
    os._exit(130)


def _engine(report: Reporter) -> type:
    from papermill.engines import NBClientEngine

    class ReportingEngine(NBClientEngine):
        """Papermill's engine, saying which cell it is at."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            start, total = nb_man.cell_start, len(nb_man.nb.cells)

            def cell_start(cell: Any, cell_index: int | None = None, **rest: Any) -> Any:
                report(cell=cell_index, of=total)
                return start(cell, cell_index=cell_index, **rest)

            nb_man.cell_start = cell_start
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    return ReportingEngine


def execute(job: dict[str, Any], report: Reporter) -> None:
    """Execute the job's notebook into `folder/out.ipynb`. Raises what Papermill raises."""
    # An optional checker of web addresses in JSON schemas; importing it takes a second for each stage.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import papermill
    from papermill.engines import papermill_engines

    folder = Path(job["folder"])
    log = Log(folder / "log.txt", report)
    papermill_engines.register("cinelib", _engine(report))
    papermill.execute_notebook(
        # Papermill passes paths through str.format
        job["notebook"].replace("{", "{{").replace("}", "}}"),
        str(folder / "out.ipynb").replace("{", "{{").replace("}", "}}"),
        parameters=job["parameters"],
        engine_name="cinelib",
        kernel_name="python3",
        progress_bar=False,
        stdout_file=log,
        stderr_file=log,
        cwd=job["root"],
    )


def _explain(error: BaseException) -> str:
    name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error))
    if type(error).__name__ == "DeadKernelError" or str(error).startswith("Kernel died"):
        return "the kernel died (killed, or out of memory)"
    count = getattr(error, "exec_count", None)
    where = f" in cell [{count}]" if count is not None else ""
    return f"{name}{where}: {' '.join(_ANSI.sub('', str(value)).split())}"


def main() -> int:
    """Execute the job on standard input. Returns 0, or 1 after reporting why not."""
    job = json.loads(sys.stdin.readline())
    report = Reporter(os.fdopen(os.dup(1), "w"))
    # What Jupyter's own machinery and the kernel's C code print belongs in the log, not in the progress.
    target = os.open(Path(job["folder"]) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(target, 1)
    os.dup2(target, 2)
    threading.Thread(target=_die_with_the_runner, daemon=True).start()
    try:
        execute(job, report)
    except Exception as error:
        report(error=_explain(error))  # first: on a full disk there is no log to write to
        with suppress(OSError):
            print(_ANSI.sub("", str(error)), file=sys.stderr, flush=True)
        return 1
    finally:
        kill_descendants()  # what a notebook left running in the background
    return 0


if __name__ == "__main__":
    sys.exit(main())
