"""Training examples: a dataset's clips as latents, conditions and embeddings, by way of the cache."""

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cinelib import cache, grading, wan, wan_layout
from cinelib.dataset import Clip, DatasetError, digest


@dataclass(frozen=True)
class Example:
    """Cache entries of one window of a clip.

    `conditions[0]` shows the first and last frame as filmed; the others show a re-graded first frame.
    """

    name: str
    num_frames: int
    latents: Path
    conditions: tuple[Path, ...]
    prompt: Path


@dataclass(frozen=True)
class Batch:
    """Tensors that the transformer is trained on."""

    names: tuple[str, ...]
    latents: torch.Tensor  # (B, 16, t, h, w)
    condition: torch.Tensor  # (B, 20, t, h, w): 4 mask channels, 16 latent channels (see wan.condition_of)
    prompt_embeds: torch.Tensor  # (B, 512, D)
    image_embeds: torch.Tensor | None = None  # (B, N, D), 2N with the last frame; None without CLIP

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        tensors = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, torch.Tensor)}
        return Batch(self.names, **tensors)


@dataclass(frozen=True)
class Encoding:
    """How clips become examples; every field is part of the cache's keys.

    Attributes:
        variants: re-graded conditions of each clip.
        scramble: the negative control: each clip gets a random grade of its own and another clip's caption.
    """

    height: int
    width: int
    num_frames: int
    fps: int
    variants: int = 2
    trigger: str = ""
    scramble: bool = False
    seed: int = 0


class Encoders:
    """VAE, text and image encoder of a model, loaded when the first missing entry needs them.

    With a warm cache nothing is loaded, and `close` frees what was: a 14B text encoder must not sit
    beside the transformer during training.
    """

    def __init__(
        self, model: str, memory: Path | None = None, device: str | torch.device | None = None
    ) -> None:
        self.model = model
        self.device = device
        self._memory = memory
        self._pipe: wan.FirstLastPipeline | None = None

    @property
    def pipe(self) -> wan.FirstLastPipeline:
        """The pipeline without its transformers."""
        if self._pipe is None:
            without = ("transformer", "transformer_2")
            self._pipe = wan.load_pipeline(self.model, device=self.device, without=without)
        return self._pipe

    @functools.cached_property
    def hashes(self) -> dict[str, str]:
        """Weights hash of each encoder that the model has."""
        parts = {"vae", "text_encoder", "tokenizer", "image_encoder"} & wan_layout.components(self.model)
        return {part: cache.weights_hash(self.model, part, self._memory) for part in sorted(parts)}

    def close(self) -> None:
        """Drop the weights."""
        self._pipe = None
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()


def encode_text(text: str, encoders: Encoders, store: cache.Cache) -> Path:
    """The cache entry of a prompt's embedding, without its padding."""
    key = {"text": text, "weights": [encoders.hashes["text_encoder"], encoders.hashes["tokenizer"]]}

    def make() -> cache.Tensors:
        embeds = wan.encode_text(encoders.pipe, text)[0]  # (512, D), zero after the text's end
        length = int(embeds.abs().sum(-1).gt(0).sum())
        return {"prompt_embeds": embeds[:length].float()}

    return store.entry("text", key, make)


def encode_clips(
    clips: Sequence[Clip], encoding: Encoding, encoders: Encoders, store: cache.Cache
) -> list[Example]:
    """One example a clip; what cannot be used is refused with its reason in `store.report`.

    Raises:
        ValueError: no clip is left.
    """
    order = _others(len(clips), encoding.seed) if encoding.scramble else range(len(clips))
    examples = []
    for index, clip in enumerate(clips):
        try:
            frames = _window(clip, encoding)
        except (DatasetError, ValueError) as error:
            store.report.refused.append((clip.file_name, str(error)))
            continue
        text = clips[order[index]].text
        text = text if text.startswith(encoding.trigger) else encoding.trigger + text
        examples.append(_encode(clip, index, frames, text, encoding, encoders, store))
    if not examples:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in store.report.refused)
        raise ValueError(f"no clip can be trained on: {reasons}")
    return examples


def _others(count: int, seed: int) -> list[int]:
    """A permutation without fixed points: every caption belongs to another clip."""
    cycle = np.random.default_rng([seed, 77]).permutation(count)
    order = [0] * count
    for here, there in zip(cycle, np.roll(cycle, 1), strict=True):
        order[here] = int(there)
    return order


def _window(clip: Clip, encoding: Encoding) -> np.ndarray:
    """The middle `num_frames` frames, or as many as a shorter clip has (4k+1)."""
    if (clip.height, clip.width) != (encoding.height, encoding.width):
        raise ValueError(f"is {clip.height}x{clip.width}, training is at {encoding.height}x{encoding.width}")
    if abs(clip.fps - encoding.fps) > 0.01 * encoding.fps:
        raise ValueError(f"has {clip.fps:g} frames a second, training is at {encoding.fps}")
    frames = clip.frames()
    count = min(encoding.num_frames, (len(frames) - 1) // 4 * 4 + 1)
    if count < min(5, encoding.num_frames):
        raise ValueError(f"has {len(frames)} frames, too few to show motion")
    start = (len(frames) - count) // 2
    return frames[start : start + count]


def _encode(
    clip: Clip,
    index: int,
    frames: np.ndarray,
    text: str,
    encoding: Encoding,
    encoders: Encoders,
    store: cache.Cache,
) -> Example:
    vae, image = encoders.hashes["vae"], encoders.hashes.get("image_encoder")
    key = {
        "clip": clip.sha256 or digest(clip.path),
        "size": list(frames.shape[:3]),
        "fps": encoding.fps,
        "vae": vae,
    }
    target = grading.draw(encoding.seed, index, 10_000) if encoding.scramble else None
    shown = frames if target is None else grading.apply(frames, target)

    def latents() -> cache.Tensors:
        return {"latents": wan.encode_video(encoders.pipe.vae, wan.to_pixels(shown))[0]}

    def conditioned(ends: np.ndarray) -> cache.Tensors:
        pixels = wan.to_pixels(ends)  # (1, 3, 1 or 2, H, W)
        last = pixels[:, :, 1] if len(ends) == 2 else None
        entry = {"condition": wan.condition_of(encoders.pipe, pixels[:, :, 0], len(frames), last)[0]}
        if encoders.pipe.image_encoder is not None:
            tokens = wan.encode_image(encoders.pipe, [Image.fromarray(frame) for frame in ends])
            entry["image_embeds"] = tokens.flatten(0, 1).float()
        return entry

    ends = shown[[0, -1]]
    given = {**key, "image_encoder": image, "last": True, "grade": target and asdict(target)}
    conditions = [store.entry("condition", given, functools.partial(conditioned, ends))]
    for variant in range(encoding.variants):
        grade = grading.draw(encoding.seed, index, variant)
        given = {**key, "image_encoder": image, "last": False, "grade": asdict(grade)}
        first = functools.partial(lambda grade: conditioned(grading.apply(frames[:1], grade)), grade)
        conditions.append(store.entry("condition", given, first))
    return Example(
        name=clip.file_name,
        num_frames=len(frames),
        latents=store.entry("latents", {**key, "grade": target and asdict(target)}, latents),
        conditions=tuple(conditions),
        prompt=encode_text(text, encoders, store),
    )


def read_prompt(path: Path) -> torch.Tensor:
    """A prompt's embedding with its padding, (512, D)."""
    embeds = cache.read(path)["prompt_embeds"]
    return torch.cat([embeds, embeds.new_zeros(wan.TEXT_TOKENS - len(embeds), embeds.shape[1])])


def read_batch(examples: Sequence[Example], condition: int, prompts: Sequence[Path] | None = None) -> Batch:
    """Examples stacked, with their condition number `condition` (0 shows the last frame too).

    Raises:
        ValueError: clips of different lengths in one batch.
    """
    if len({example.num_frames for example in examples}) > 1:
        lengths = ", ".join(f"{example.name}: {example.num_frames}" for example in examples)
        raise ValueError(f"clips of one batch must be equally long (or use batches of 1): {lengths}")
    prompts = prompts or [example.prompt for example in examples]
    given = [cache.read(example.conditions[condition]) for example in examples]
    image_embeds = [entry["image_embeds"] for entry in given if "image_embeds" in entry]
    return Batch(
        names=tuple(example.name for example in examples),
        latents=torch.stack([cache.read(example.latents)["latents"] for example in examples]),
        condition=torch.stack([entry["condition"] for entry in given]),
        prompt_embeds=torch.stack([read_prompt(prompt) for prompt in prompts]),
        image_embeds=torch.stack(image_embeds) if image_embeds else None,
    )
