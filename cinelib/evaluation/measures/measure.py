"""The shape of a measure: one clip in, named numbers out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cinelib.evaluation.clips import Footage


@dataclass(frozen=True)
class Found:
    """Numbers by name, None for one that has no meaning for this clip, and notes on how to read them."""

    values: Mapping[str, float | None]
    notes: tuple[str, ...] = ()


class Measure(Protocol):
    """One clip in, named numbers out. `identity` changes whenever the numbers may."""

    name: str

    @property
    def values(self) -> tuple[str, ...]:
        """The names of its numbers."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """`code` and `packages` that compute the numbers, weights and settings."""
        ...

    def __call__(self, clip: Footage, prompt: str) -> Found:
        """The clip's numbers.

        Raises:
            ValueError: why the clip cannot be measured.
        """
        ...
