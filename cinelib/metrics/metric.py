"""The face of every metric: one clip in, named numbers out, and all that these depend on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import cv2
import numpy as np

from cinelib.provenance import DECODERS, code_of, versions_of

Range = tuple[float, float]
SHARE, COSINE, DISTANCE, ANY = (0.0, 1.0), (-1.0, 1.0), (0.0, np.inf), (-np.inf, np.inf)

_NAMED = ("name", "network")


@dataclass(frozen=True)
class Clip:
    """Decoded frames (T, H, W, 3) uint8 RGB, the true time of each in seconds (T,), and a prompt or ""."""

    file: str
    frames: np.ndarray
    times: np.ndarray
    prompt: str = ""

    def window(self, seconds: float) -> np.ndarray:
        """The first `seconds` of the clip. Raises ValueError when it is shorter than that."""
        step = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        lasts = float(self.times[-1]) + step
        if lasts < seconds - 1e-3:
            raise ValueError(f"lasts {lasts:.2f} s, the window is {seconds:g} s")
        return self.frames[self.times <= seconds + 1e-6]


@dataclass(frozen=True)
class Found:
    """By name a number, or why this clip has none; how to read them; the vector of a metric of sets."""

    values: Mapping[str, float | str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    vector: np.ndarray | None = None


class Network(Protocol):
    """What a network says of itself. A published metric's name is only for the network that it means."""

    name: str
    weights_sha256: str
    preprocessing: str
    packages: tuple[str, ...]  # that run it


class Metric:
    """What a metric says of itself; subclasses are frozen dataclasses of its network and settings."""

    name: str  # under which it is asked for
    network: Network | None  # whose numbers they are, if one's
    reads: tuple[str, ...] = ()  # of "prompt" and "file", what counts beside the pictures
    of_sets: bool = False  # whether clips give vectors, and its numbers are `between` two sets of them

    @property
    def values(self) -> Mapping[str, Range]:
        """The names of its numbers, and between what each must lie."""
        raise NotImplementedError

    def of(self, clip: Clip) -> Found:
        """The clip's numbers. Raises ValueError: why it cannot be measured."""
        raise NotImplementedError

    def identity(self, *also: str) -> dict[str, Any]:
        """Changes whenever the numbers may: code, of modules in `also` too, packages, weights and settings.

        Settings are the fields that JSON can hold; what a function fetches needs its digest beside it.
        """
        net, modules = getattr(self, "network", None), {type(self).__module__, *also}
        packages, facts = ("numpy", "opencv-python-headless", *DECODERS), {}
        if net is not None:
            modules.add(type(net).__module__)
            packages += net.packages
            facts = {"network": net.name, "weights": net.weights_sha256, "preprocessing": net.preprocessing}
        code = {"code": code_of(*sorted(modules)), "packages": versions_of(*packages)}
        own = {part.name: getattr(self, part.name) for part in fields(self) if part.name not in _NAMED}
        settings = {name: value for name, value in own.items() if not callable(value) and value is not None}
        return {**code, "opencv": cv2.__version__, **facts, **settings}
