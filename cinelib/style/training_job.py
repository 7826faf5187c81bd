"""Notebook 02: one training, written down: all that it needs, by name, so that other processes can do it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from cinelib import provenance
from cinelib.files import digest
from cinelib.function_source import rebuilt, standalone
from cinelib.style.adapter_card import AdapterCard
from cinelib.style.encoded_clips import Example
from cinelib.style.flow_matching import Loss, flow_matching_loss
from cinelib.style.parameters import Recipe, Strategy
from cinelib.style.samples import SampleClips

COSMETIC = {"log_every", "checkpoint_every", "checkpoints_kept"}  # may differ between run and continuation


def _written(loss: Callable) -> dict[str, str]:
    return {"name": loss.__name__, "source": standalone(loss)}


def _read(value: Any) -> Callable:
    return value if callable(value) else rebuilt(value["source"], value["name"])


@dataclass(frozen=True)
class TrainingJob:
    """All that a process needs: names of weights and cache entries, no tensors.

    Attributes:
        folder: of checkpoints and sample clips; the job continues from the newest good checkpoint.
        adapter: its name in the transformer, such as "style" or "control".
        component: the transformer that is trained, of a model with two.
        dtype: of the base model, e.g. "bfloat16"; "" for what suits the device.
        loss: as `flow_matching_loss`; other processes are handed its source.
        board: folder for TensorBoard's files, None for none.
    """

    model: str
    card: AdapterCard
    recipe: Recipe
    examples: tuple[Example, ...]
    validation: tuple[Example, ...]
    null_prompt: Path
    folder: Path = Path()
    adapter: str = "style"
    component: str = "transformer"
    dtype: str = ""
    base_precision: str = ""
    loss: Annotated[Loss, PlainSerializer(_written), PlainValidator(_read)] = flow_matching_loss
    processes: int = 1
    strategy: Strategy = "single"
    samples: SampleClips | None = None
    board: Path | None = None

    def placed(self, cache: Path) -> Self:
        """The same with a folder in `cache`, named by all that decides the outcome, code and loss included.

        Raises:
            ValueError: the loss uses what cannot be written down.
        """
        modules = [f"{__package__}.training", *([f"{__package__}.launch"] if self.processes > 1 else [])]
        decides = {
            "card": asdict(self.card),
            "recipe": self.recipe.model_dump(mode="json", exclude=COSMETIC),
            "examples": [example.entries for example in self.examples],
            "validation": [example.entries for example in self.validation],
            "samples": self.samples and asdict(self.samples),
            **{name: getattr(self, name) for name in ("adapter", "component", "dtype", "base_precision")},
            **{name: getattr(self, name) for name in ("processes", "strategy")},
            "code": provenance.code_of_function(self.loss, *modules),
        }
        return replace(self, folder=cache / "training" / f"{self.adapter}-{digest(decides)[:16]}")


JSON = TypeAdapter(TrainingJob)
