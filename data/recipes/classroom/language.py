"""Stage 2, words: a UMT5 encoder that learns what a caption says by naming its attributes.

Captions cost nothing to draw, so every step reads new ones. Phrases are left out at random, and the
classifier must then say "absent": the encoder cannot lean on the order of a complete caption.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classroom.loop import Log, Plan, Training, share

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

ATTRIBUTES = ("world", "set", "light", "subject", "action", "colour", "pattern", "camera")
SUBJECT_PHRASE = (
    "subject",
    "action",
    "colour",
    "pattern",
    "set",
)  # the caption's second phrase says all of them
PHRASES = (("world",), SUBJECT_PHRASE, ("light",), ("camera",))


@dataclass(frozen=True)
class Spoken:
    """A caption, possibly shortened, and the attributes that it still mentions."""

    text: str
    attributes: dict[str, str]


def drawn_captions(seeds: Sequence[int]) -> list[Spoken]:
    """Captions of training scenes, without rendering them."""
    from backlot import sample_scene

    scenes = [sample_scene(int(seed)) for seed in seeds]
    return [Spoken(scene.caption, {name: scene.attributes[name] for name in ATTRIBUTES}) for scene in scenes]


def shortened(spoken: Spoken, keep: Sequence[bool]) -> Spoken:
    """Only the phrases marked in `keep` (world, subject, light, camera); at least one must stay."""
    phrases = spoken.text.split(", ")
    if len(phrases) != len(PHRASES) or not any(keep):
        return spoken
    kept = [phrase for phrase, stays in zip(phrases, keep, strict=True) if stays]
    names = {name for group, stays in zip(PHRASES, keep, strict=True) if stays for name in group}
    return Spoken(", ".join(kept), {name: spoken.attributes[name] for name in names})


def random_phrases(generator: torch.Generator) -> list[bool]:
    """Half the time all phrases, else each with probability 0.6 and one for certain."""
    draw = torch.rand(len(PHRASES) + 1, generator=generator)
    if draw[-1] < 0.5:
        return [True] * len(PHRASES)
    keep = (draw[:-1] < 0.6).tolist()
    keep[int(draw[:-1].argmin())] = True
    return keep


class AttributeReader(nn.Module):
    """The encoder with one classifier per attribute on the mean of its hidden states."""

    def __init__(self, encoder: "UMT5EncoderModel", values: dict[str, list[str]]) -> None:
        super().__init__()
        self.encoder = encoder
        self.values = values
        width = encoder.config.d_model
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(known) + 1) for name, known in values.items()})

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Logits (B, values + 1) per attribute; the last class is "absent"."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return {name: head(mean) for name, head in self.heads.items()}

    def labels(self, batch: Sequence[Spoken]) -> dict[str, Tensor]:
        """Index of each attribute's value, or of "absent"."""
        return {
            name: torch.tensor(
                [
                    known.index(item.attributes[name]) if name in item.attributes else len(known)
                    for item in batch
                ]
            )
            for name, known in self.values.items()
        }


def reader(encoder: "UMT5EncoderModel", pool: Sequence[Spoken]) -> AttributeReader:
    """A reader that knows every value in `pool`."""
    values = {name: sorted({item.attributes[name] for item in pool}) for name in ATTRIBUTES}
    return AttributeReader(encoder, values)


def tokens(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Ids and mask padded to the longest text; the pipeline pads to 512, which changes no real token."""
    batch = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(device)
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}


def train(
    model: AttributeReader,
    tokenizer: "PreTrainedTokenizerBase",
    pool: Sequence[Spoken],
    folder: Path,
    plan: Plan | None = None,
    batch: int = 64,
    log: Log = print,
) -> Iterator[Training]:
    """Train reader and encoder in place; yields after each save."""
    training = Training(model, plan or Plan(steps=500, learning_rate=2e-3), folder / "language.pt")

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(pool), (share(batch),), generator=generator).tolist()
        spoken = [shortened(pool[row], random_phrases(generator)) for row in rows]
        logits = model(**tokens(tokenizer, [item.text for item in spoken], model.encoder.device))
        labels = {name: label.to(model.encoder.device) for name, label in model.labels(spoken).items()}
        return torch.stack([F.cross_entropy(logits[name].float(), labels[name]) for name in logits]).mean()

    for _ in training.run(loss, lambda line: log(f"language: {line}")):
        yield training


@torch.no_grad()
def accuracy(
    model: AttributeReader, tokenizer: "PreTrainedTokenizerBase", held_out: Sequence[Spoken]
) -> float:
    """Share of attributes read correctly from complete captions."""
    logits = model(**tokens(tokenizer, [item.text for item in held_out]))
    labels = model.labels(held_out)
    right = [(logits[name].argmax(-1) == labels[name]).float().mean() for name in logits]
    return float(torch.stack(right).mean())
