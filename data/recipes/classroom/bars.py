"""What the classroom model was meant to reach, and whether the measured table reaches it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Metrics = Mapping[str, Mapping[str, Any]]
PICTURES = "effnet-lite0-frames"
STILLS = ("first_frame_repeated", "first_frame_zoomed")


@dataclass(frozen=True)
class Bar:
    """A number of a metrics table and where it should lie."""

    what: str
    read: Callable[[Metrics], float]
    low: float = float("-inf")
    high: float = float("inf")

    @property
    def wanted(self) -> str:
        """The bar in words."""
        if self.low == float("-inf"):
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high == float("inf") else f"{self.low:g} to {self.high:g}"

    def row(self, before: Metrics, now: Metrics) -> dict[str, Any]:
        """One line of the table; a number that `before` lacks is None."""
        try:
            earlier = self.read(before)
        except KeyError:
            earlier = None
        value = self.read(now)
        reached = self.low <= value <= self.high
        return {"bar": self.wanted, "before": earlier, "now": round(value, 3), "reached": reached}


def _value(name: str) -> Callable[[Metrics], float]:
    return lambda metrics: metrics[name]["value"]


def _gain(trick: str) -> Callable[[Metrics], float]:
    def read(metrics: Metrics) -> float:
        trick_row, own = (metrics[f"distance_{name}[{PICTURES}]"] for name in (trick, "generated"))
        return round(trick_row["value"] - own["value"], 3)

    return read


def frames_nearer(metrics: Metrics) -> float:
    """Share of the moments at which generated frames are nearer to the real ones than both stills."""
    own, *stills = (metrics[f"frame_distance_{name}"]["per_frame"] for name in ("generated", *STILLS))
    nearer = [value < min(others) for value, *others in zip(own, *stills, strict=True)]
    return round(sum(nearer) / len(nearer), 3)


BARS = (
    Bar("clips nearer to real than the first frame repeated, by (ImageNet)", _gain(STILLS[0]), low=0),
    Bar("clips nearer to real than the first frame zoomed, by (ImageNet)", _gain(STILLS[1]), low=0),
    Bar("share of frames from 4 on nearer than both (ImageNet)", frames_nearer, low=1),
    Bar(
        "Frechet distance (ImageNet)",
        lambda metrics: metrics[f"distance_generated[{PICTURES}]"]["frechet"],
        high=0.4,
    ),
    Bar("autoencoder, frame differences, grey levels", _value("vae_temporal_difference_error"), high=5),
    Bar("camera control", _value("camera_control"), low=0.95),
    Bar("last frame given, dB", _value("last_frame_psnr_given"), low=26),
    Bar("speed, generated / real", _value("speed_ratio"), low=0.9, high=1.1),
)  # fmt: skip


def table(before: Metrics, now: Metrics) -> dict[str, dict[str, Any]]:
    """Every bar with what the model before and this one measured."""
    return {bar.what: bar.row(before, now) for bar in BARS}
