"""One random I2V-14B for all rows, brought into the state that each needs, and a time limit for each."""

import contextlib
import gc
import platform
import signal
from collections.abc import Iterator
from typing import Any

import diffusers
import lora_rows
import peft
import sampler_14b
import torch
from accelerator_rows import Row
from lora_14b import TINY, build

from cinelib.style import lora
from cinelib.wan import low_precision, pipeline
from cinelib.wan.geometry import WAN_14B, Geometry


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in the block once they have passed, as soon as Python code runs again."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Bench:
    """The transformer, in the state that a row needs: with an adapter or without, bf16 or fp8."""

    def __init__(self, tiny: bool) -> None:
        changes = {**TINY, "num_layers": 4} if tiny else {}
        self.config = {**WAN_14B["transformer"], **changes}
        self.configs = {**WAN_14B, "transformer": self.config}
        self.device = torch.device("cpu") if tiny else pipeline.default_device()
        self.base = ""
        self.transformer = build(self.config, self.device)

    def prepare(self, row: Row) -> None:
        adapted = bool(getattr(self.transformer, "peft_config", {}))
        if self.base and not row.base:  # what was rounded stays so: a new one
            self.transformer, adapted, self.base = None, False, ""
            self.empty()
            self.transformer = build(self.config, self.device)
        if adapted and (row.kind == "sampler" or row.base != self.base):
            self.transformer.unload_lora()
            adapted = False
        if row.base != self.base:
            low_precision.store(self.transformer, row.base)
            self.base = row.base
        if row.kind != "sampler" and not adapted:
            lora.add(self.transformer, lora.AdapterCard(8, 16.0, "attn2"))

    def measure(self, row: Row) -> dict[str, Any]:
        self.empty()
        geometry = Geometry(self.configs, *row.size, row.num_frames)
        kind = sampler_14b if row.kind == "sampler" else lora_rows
        try:
            with at_most(row.limit):
                self.prepare(row)
                return {"result": "ran", **kind.measure(row, self.transformer, geometry)}
        except torch.OutOfMemoryError as error:
            return {"result": "out of memory", "why": str(error)[:300]}
        except Exception as error:  # a miss is a row too
            return {"result": f"failed: {type(error).__name__}", "why": str(error)[:600]}

    def empty(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def conditions(self) -> dict[str, Any]:
        cuda = self.device.type == "cuda"
        versions = {
            "Python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
        }
        versions |= {"diffusers": diffusers.__version__, "peft": peft.__version__}
        found: dict[str, Any] = {"card": platform.machine(), "versions": versions}
        if cuda:
            free, total = torch.cuda.mem_get_info()
            weights = torch.cuda.memory_allocated()
            found |= {"card": torch.cuda.get_device_name(), "memory_bytes": total, "weights_bytes": weights}
            found |= {"not_ours_bytes": total - free - torch.cuda.memory_reserved()}
        return found
