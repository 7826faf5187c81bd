"""What is measured on an accelerator, in order of value, and what `cinelib estimate` says of each row.

python tests/benchmarks/accelerator_rows.py --gpu H100-80GB > FORECAST

The forecast in `results/` was written before the run of 2026-11-26 and travelled with it, so that it could
not learn from the results. The estimate has learned from them since: do not write that file anew.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

LAYERS = 40
SMALL, LARGE = (480, 832), (720, 1280)
PUBLISHED = {
    "lora 480p": {
        "seconds": [9.8, 10.0],
        "forward": 2.05,
        "backward": 5.9,
        "gigabytes": 73,
        "what": "a step of rank 64 on an H200, 480p x 81 frames",
        "source": "Stable-Video-Infinity issue 49",
    },
    "720p": {
        "seconds": 1491.6 / 80,
        "what": "one of 80 passes, 40 guided steps of 720p x 81 frames on one H100, VAE included",
        "source": "Wan2.1 README",
    },
}


@dataclass(frozen=True)
class Row:
    """One measurement. The model keeps its 40 blocks in memory; `depth` of them are computed.

    Attributes:
        kind: "lora": whole steps; "lora part": the forward pass, then the last two blocks backward, which
            is when memory is fullest; "sampler": forward passes without gradient; "smoke": the workbook's
            own paths on the device.
        limit: seconds after which it is given up.
        technique: what makes a forward pass cheaper, see `sampler_14b.TECHNIQUES`.
        repeats: measurements after a warm-up on two blocks; fewer if the limit would be passed.
    """

    name: str
    kind: Literal["lora", "lora part", "sampler", "smoke"]
    limit: float
    size: tuple[int, int] = SMALL
    num_frames: int = 81
    depth: int = LAYERS
    checkpointing: bool = True
    base: str = ""
    technique: str = ""
    repeats: int = 2
    published: str = ""


def sampler(size: tuple[int, int], technique: str, limit: float, **more: Any) -> Row:
    """Four of 40 blocks tell a technique's gain in a tenth of the time."""
    name = f"sampler {size[0]}p, {technique or 'plain'}, 4 blocks"
    return Row(name, "sampler", limit, size, **{"depth": 4, "technique": technique, "repeats": 3, **more})


ROWS = (
    Row("lora 480p", "lora", 36, published="lora 480p"),
    Row("sampler 480p, plain", "sampler", 16),
    sampler(SMALL, "", 15),
    *(sampler(SMALL, f"attention {name}", 6) for name in ("flash", "cudnn", "efficient")),
    sampler(SMALL, "first-block cache", 6),
    Row("sampler 720p, plain", "sampler", 34, LARGE, repeats=1, published="720p"),
    Row("smoke", "smoke", 50),
    Row("lora 720p on fp8", "lora part", 36, LARGE, base="fp8", repeats=1),
    sampler(SMALL, "fp8 storage", 6, base="fp8"),
    Row("lora 480p x 33", "lora", 24, num_frames=33),
    Row("lora 480p without checkpointing, 4 blocks", "lora", 10, depth=4, checkpointing=False),
    sampler(LARGE, "", 12, repeats=2),
    sampler(LARGE, "attention cudnn", 12, repeats=2),
    sampler(LARGE, "first-block cache", 12, repeats=2),
    sampler(SMALL, "TaylorSeer", 6),
    sampler(SMALL, "compiled blocks", 45),
)


def plan(row: Row, gpu: str, configs: Mapping[str, Any] | None = None) -> dict[str, float]:
    """What `cinelib estimate` reckons for a row on `gpu`: it knows sizes and storage, no technique's gain."""
    from cinelib.cost import hardware, rehearsal
    from cinelib.cost.memory import Memory
    from cinelib.cost.step import Step
    from cinelib.wan import layers
    from cinelib.wan.geometry import WAN_14B, Geometry

    if row.kind == "smoke":
        return {}
    configs = configs or WAN_14B
    config = {**configs["transformer"], "num_layers": row.depth}
    geometry = Geometry({**configs, "transformer": config}, *row.size, row.num_frames)
    base = _base_bytes(row, configs["transformer"])
    if row.kind == "sampler":
        work = geometry.flops() / (row.depth if row.technique == "first-block cache" else 1)
        full = Memory(base, 0.0, 0.0, rehearsal.denoising_bytes(geometry, True))
    else:
        step = Step(geometry, 8, "attn2", half=True, checkpointing=row.checkpointing)
        adapted = layers.adapted_layers(config, "attn2").values()
        adapter = 16 * 8 * sum(inputs + outputs for inputs, outputs in adapted)
        work, full = step.operations, Memory(base, adapter, step.saved_bytes, step.passing_bytes)
    card = hardware.find(gpu)
    seconds = work / (card.share * card.peak * 1e12)
    found = {"operations": work, "seconds": seconds, "seconds_error": card.error}
    return {**found, "bytes": full.total, "bytes_error": full.error}


def _base_bytes(row: Row, config: Mapping[str, Any]) -> float:
    """Of all blocks, whatever `row.depth`: they stay in memory."""
    from cinelib.cost.memory import STORED
    from cinelib.wan import layers

    whole = layers.count("transformer", config)
    if not row.base:
        return 2.0 * whole
    linear = sum(inputs * outputs for inputs, outputs in layers.block_layers(config).values())
    cast_up = (1 if row.checkpointing else row.depth) / config["num_layers"]
    return 2 * (whole - linear) + (STORED[row.base] + 2 * cast_up) * linear


def tiny(row: Row) -> Row:
    """The same on a few tokens and four thin blocks, for a rehearsal on a CPU."""
    changes = {"size": (32, 48), "num_frames": min(row.num_frames, 9), "depth": min(row.depth, 4)}
    return Row(**{**asdict(row), **changes, "limit": 120, "repeats": 1})


def main() -> None:
    options = argparse.ArgumentParser(description="the plan's forecast of every row, as JSON")
    options.add_argument("--gpu", default="H100-80GB")
    given = options.parse_args()
    rows = [{**asdict(row), "plan": plan(row, given.gpu)} for row in ROWS]
    print(json.dumps({"gpu": given.gpu, "published": PUBLISHED, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
