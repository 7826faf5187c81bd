"""GPUs as data: memory, peak, links, and the share of the peak that Wan reached on them."""

from dataclasses import dataclass
from typing import Literal

from cinelib.cost.memory import Memory
from cinelib.parameters import ParameterError, suggest

Verdict = Literal["yes", "tight", "no"]


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        memory: GiB that PyTorch sees; `RESERVED` of it are the driver's and the libraries'.
        peak: dense bf16 TFLOP/s by its data sheet.
        link: GB/s that all-gathers between such GPUs reach, an assumption.
        share: of the peak, reached by Wan's transformer.
        source: of `share`: "measured" (what `tests/benchmarks/results/accelerator.json` holds), a published
            time divided into the operations of `geometry.sampling_flops`, or "assumed".
        error: how far off the time may be, as a share of it.
    """

    name: str
    memory: float
    peak: float
    link: float
    share: float
    source: str
    error: float

    @property
    def free(self) -> float:
        """GiB that a process can fill."""
        return self.memory - RESERVED

    def holds(self, *needed: Memory) -> Verdict:
        """Of the fullest of `needed`: "yes" if its high end fits, "no" if not even its low end does."""
        free = self.free * 2**30
        if max(one.total - one.error for one in needed) > free:
            return "no"
        return "yes" if max(one.total + one.error for one in needed) <= free else "tight"


RESERVED = 1.0  # GiB: a CUDA context, and what the libraries set up once
_H100 = "measured, LoRA steps and sampler passes of a random I2V-14B at 480p and 720p"  # shares 0.45 to 0.55
_WAN = "assumed, from Wan's table for I2V-14B 720P; for an H100 the table gives 0.35, and 0.5 was measured"

_GPUS = (
    Gpu("A100-40GB", 39.4, 312, 200, 0.61, _WAN, 0.3),
    Gpu("A100-80GB", 79.1, 312, 200, 0.61, _WAN, 0.3),
    Gpu("H100-80GB", 79.1, 989, 300, 0.5, _H100, 0.11),
    Gpu("H200", 139.8, 989, 300, 0.54, "LightX2V's time of the official code on one H200", 0.4),
    Gpu("B200", 178.0, 2250, 500, 0.35, "assumed", 0.6),
    Gpu("L40S", 44.4, 362, 20, 0.5, "assumed", 0.5),
    Gpu("A6000", 47.4, 155, 20, 0.5, "assumed", 0.5),
    Gpu("RTX-5090", 31.4, 209, 20, 0.5, "assumed", 0.5),
    Gpu("RTX-4090", 23.6, 165, 12, 0.5, "assumed", 0.5),
    Gpu("RTX-3090", 23.6, 71, 12, 0.5, "assumed", 0.5),
)

GPUS: dict[str, Gpu] = {gpu.name: gpu for gpu in _GPUS}


def find(name: str) -> Gpu:
    """The GPU of that name, whatever its case. Raises ParameterError naming the nearest."""
    names = {known.lower(): known for known in GPUS}
    if name.lower() in names:
        return GPUS[names[name.lower()]]
    raise ParameterError(f"unknown GPU {name!r}; {suggest(name.lower(), names, cutoff=0.4)}")
