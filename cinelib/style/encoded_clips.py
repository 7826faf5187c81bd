"""Notebook 02: a dataset's clips as latents, conditions and embeddings, by way of the cache."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cinelib import provenance
from cinelib.files import hash_of
from cinelib.preparation.dataset import Clip, DatasetError, window_length
from cinelib.style import cache, grading
from cinelib.wan import conditioning, pipeline, threads
from cinelib.wan.encoders import Encoders


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

    @property
    def entries(self) -> list[str]:
        """The names of its cache entries, which say what is in them."""
        return [path.name for path in (self.latents, self.prompt, *self.conditions)]


@dataclass(frozen=True)
class Batch:
    """Tensors that the transformer is trained on."""

    names: tuple[str, ...]
    latents: torch.Tensor  # (B, 16, t, h, w)
    condition: torch.Tensor  # (B, 20, t, h, w): 4 mask channels, 16 latent channels (`conditioning`)
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


def encode_text(text: str, encoders: Encoders, store: cache.Cache) -> Path:
    """The cache entry of a prompt's embedding, without its padding."""
    weights = [encoders.hashes["text_encoder"], encoders.hashes["tokenizer"]]
    key = {"code": provenance.code_of(__name__), "text": text, "weights": weights}

    def make() -> cache.Tensors:
        embeds = pipeline.encode_text(encoders.pipe, text)[0]  # (512, D), zero after the text's end
        length = int(embeds.abs().sum(-1).gt(0).sum())
        return {"prompt_embeds": embeds[:length].float()}

    with encoders.lock:  # a tokenizer serves one thread at a time
        return store.entry("text", key, make)


def encode_clips(
    clips: Sequence[Clip], encoding: Encoding, encoders: Encoders, store: cache.Cache
) -> list[Example]:
    """One example a clip; what cannot be used is refused with its reason in `store.report`.

    Raises:
        ValueError: no clip is left.
    """
    order = _others(len(clips), encoding.seed) if encoding.scramble else range(len(clips))

    def one(index: int) -> Example | str:
        try:
            frames = _window(clips[index], encoding)
        except (DatasetError, ValueError) as error:
            return str(error)
        text = clips[order[index]].text
        text = text if text.startswith(encoding.trigger) else encoding.trigger + text
        return _encode(clips[index], index, frames, text, encoding, encoders, store)

    examples = []
    found = threads.each(one, range(len(clips)), encoders.device, encoding.height * encoding.width)
    for clip, example in zip(clips, found, strict=True):
        if isinstance(example, str):
            store.report.refused.append((clip.file_name, example))
        else:
            examples.append(example)
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
    """The middle `window_length` frames."""
    if (clip.height, clip.width) != (encoding.height, encoding.width):
        raise ValueError(f"is {clip.height}x{clip.width}, training is at {encoding.height}x{encoding.width}")
    if abs(clip.fps - encoding.fps) > 0.01 * encoding.fps:
        raise ValueError(f"has {clip.fps:g} frames a second, training is at {encoding.fps}")
    frames = clip.frames()
    count = window_length(len(frames), encoding.num_frames)
    if not count:
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
    key = {
        "code": provenance.code_of(__name__),  # with all that it imports: other code's entries are not used
        "clip": clip.sha256 or hash_of(clip.path),
        "size": list(frames.shape[:3]),
        "fps": encoding.fps,
        "vae": encoders.hashes["vae"],
    }
    target = grading.draw(encoding.seed, index, 10_000) if encoding.scramble else None
    look = {"grade": target and asdict(target)}
    grades = [grading.draw(encoding.seed, index, variant) for variant in range(encoding.variants)]
    seen = {**key, "image_encoder": encoders.hashes.get("image_encoder")}
    wanted = [("latents", {**key, **look}), ("condition", {**seen, **look, "last": True})]
    wanted += [("condition", {**seen, "last": False, "grade": asdict(grade)}) for grade in grades]

    def make(missing: list[int]) -> list[cache.Tensors]:
        shown = frames if target is None else grading.apply(frames, target)
        given = [None, shown[[0, -1]], *(grading.apply(frames[:1], grade) for grade in grades)]
        return _tensors(shown, [given[place] for place in missing], encoders)

    latents, *conditions = store.entries(wanted, make)
    prompt = encode_text(text, encoders, store)
    return Example(clip.file_name, len(frames), latents, tuple(conditions), prompt)


def _tensors(clip: np.ndarray, given: Sequence[np.ndarray | None], encoders: Encoders) -> list[cache.Tensors]:
    """For each of `given` the condition that shows its 1 or 2 frames, or for None the clip's latents."""
    pipe, videos = encoders.pipe, []
    for frames in given:
        pixels = pipeline.to_pixels(clip if frames is None else frames)  # (1, 3, T, H, W)
        if frames is not None:
            last = pixels[:, :, 1] if len(frames) == 2 else None
            pixels = conditioning.condition_video(pipe, pixels[:, :, 0], len(clip), last)
        videos.append(pixels)
    made = []
    for frames, latents in zip(given, encoders.latents(videos), strict=True):
        if frames is None:
            made.append({"latents": latents[0]})
            continue
        entry = {"condition": conditioning.condition_of(pipe, latents, len(clip), last=len(frames) == 2)[0]}
        if pipe.image_encoder is not None:
            tokens = pipeline.encode_image(pipe, [Image.fromarray(frame) for frame in frames])
            entry["image_embeds"] = tokens.flatten(0, 1).float()
        made.append(entry)
    return made


def read_prompt(path: Path) -> torch.Tensor:
    """A prompt's embedding with its padding, (512, D)."""
    embeds = cache.read(path)["prompt_embeds"]
    return torch.cat([embeds, embeds.new_zeros(pipeline.TEXT_TOKENS - len(embeds), embeds.shape[1])])


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
