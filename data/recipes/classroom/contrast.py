"""Stage 3, pictures and words: a CLIP whose image tower becomes the checkpoint's image encoder."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from classroom.language import Spoken, random_phrases, shortened
from classroom.loop import Log, Plan, Training, share

if TYPE_CHECKING:
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer


def pixel_values(frames: np.ndarray, processor: "CLIPImageProcessor") -> Tensor:
    """uint8 frames (B, H, W, 3) to the tower's input (B, 3, s, s), as the processor makes it but batched."""
    size = (processor.size["height"], processor.size["width"])
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (processor.image_mean, processor.image_std)
    )
    return (pixels - mean) / std


def texts(tokenizer: "CLIPTokenizer", captions: Sequence[str]) -> dict[str, Tensor]:
    """Ids and mask, as CLIP's processor makes them."""
    batch = tokenizer(list(captions), padding=True, truncation=True, max_length=77, return_tensors="pt")
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}


def train(
    model: "CLIPModel",
    tokenizer: "CLIPTokenizer",
    processor: "CLIPImageProcessor",
    frames: np.ndarray,
    spoken: Sequence[Spoken],
    folder: Path,
    plan: Plan | None = None,
    batch: int = 64,
    log: Log = print,
    vary: Callable[[np.ndarray, torch.Generator], np.ndarray] | None = None,
) -> Iterator[Training]:
    """Match a random frame of each clip with its caption among a step's `batch`; yields after each save.

    frames: uint8 (N, T, H, W, 3), each picked one (H, W, 3) changed by `vary` if given. Captions lose phrases
    at random; two rows with one text are both right.
    """
    training = Training(model, plan or Plan(steps=600, learning_rate=1e-3, ema=0.99), folder / "clip.pt")

    def loss(step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randperm(len(spoken), generator=generator)[: share(batch)].tolist()
        times = torch.randint(frames.shape[1], (len(rows),), generator=generator).tolist()
        captions = [shortened(spoken[row], random_phrases(generator)).text for row in rows]
        pictures = [frames[row, time] for row, time in zip(rows, times, strict=True)]
        pictures = np.stack([vary(picture, generator) for picture in pictures] if vary else pictures)
        inputs = {"pixel_values": pixel_values(pictures, processor), **texts(tokenizer, captions)}
        output = model(**{name: value.to(model.device) for name, value in inputs.items()})
        same = torch.tensor([[left == right for left in captions] for right in captions]).float()
        target = (same / same.sum(1, keepdim=True)).to(model.device)
        logits = output.logits_per_image.float()
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    for _ in training.run(loss, lambda line: log(f"clip: {line}")):
        yield training


@torch.no_grad()
def retrieval(
    model: "CLIPModel",
    tokenizer: "CLIPTokenizer",
    processor: "CLIPImageProcessor",
    frames: np.ndarray,
    captions: Sequence[str],
) -> float:
    """Share of frames (N, H, W, 3) whose own caption scores highest among all N."""
    output = model(pixel_values=pixel_values(frames, processor), **texts(tokenizer, captions))
    return float((output.logits_per_image.argmax(1) == torch.arange(len(captions))).float().mean())
