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

    Attributes:
        conditions: the first shows the first and last frame as filmed, the others a re-graded first frame.
        regraded: for each of the others, the latents of the whole clip in that grade.
        plain_prompt: the caption without the trigger.
    """

    name: str
    num_frames: int
    latents: Path
    conditions: tuple[Path, ...]
    regraded: tuple[Path, ...]
    prompt: Path
    plain_prompt: Path

    @property
    def entries(self) -> list[str]:
        """The names of its cache entries, which say what is in them."""
        paths = self.latents, self.prompt, self.plain_prompt, *self.conditions, *self.regraded
        return [path.name for path in paths]


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
        film: the grade of the film as a whole (`grading.measure`), from which clips are re-graded.
        variants: re-graded conditions of each clip.
        keep_looks: each re-graded clip's latents too, for samples that keep the first frame's look.
        shuffle_looks: the negative control: each clip is to be reached in a random grade of its own.
    """

    height: int
    width: int
    num_frames: int
    fps: int
    film: grading.Grade
    variants: int = 2
    trigger: str = ""
    keep_looks: bool = True
    shuffle_looks: bool = False
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

    def one(index: int) -> Example | str:
        try:
            frames = _window(clips[index], encoding)
        except (DatasetError, ValueError) as error:
            return str(error)
        return _encode(clips[index], index, frames, encoding, encoders, store)

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
    target = grading.draw(encoding.seed, index, 10_000) if encoding.shuffle_looks else None
    grades = [grading.draw(encoding.seed, index, variant) for variant in range(encoding.variants)]
    seen = {**key, "image_encoder": encoders.hashes.get("image_encoder")}

    def look(grade: grading.Grade | None) -> dict[str, object]:
        return {"grade": grade and [asdict(encoding.film), asdict(grade)]}

    wanted = [("latents", {**key, **look(target)}), ("condition", {**seen, **look(target), "last": True})]
    for grade in grades:
        wanted.append(("condition", {**seen, **look(grade), "last": False}))
        if encoding.keep_looks:
            wanted.append(("latents", {**key, **look(grade)}))

    def make(missing: list[int]) -> list[cache.Tensors]:
        film = encoding.film
        shown = frames if target is None else grading.apply(frames, film, target)
        inputs: list[tuple[np.ndarray, int]] = [(shown, 0), (shown[[0, -1]], 2)]  # frames, how many are given
        for grade in grades:
            regraded = grading.apply(frames, film, grade)
            inputs.append((regraded[:1], 1))
            if encoding.keep_looks:
                inputs.append((regraded, 0))
        return _tensors([inputs[place] for place in missing], len(frames), encoders)

    latents, ends, *others = store.entries(wanted, make)
    plain = clip.text.removeprefix(encoding.trigger)
    return Example(
        clip.file_name,
        len(frames),
        latents,
        conditions=(ends, *(others[::2] if encoding.keep_looks else others)),
        regraded=tuple(others[1::2] if encoding.keep_looks else ()),
        prompt=encode_text(encoding.trigger + plain, encoders, store),
        plain_prompt=encode_text(plain, encoders, store),
    )


def _tensors(
    inputs: Sequence[tuple[np.ndarray, int]], num_frames: int, encoders: Encoders
) -> list[cache.Tensors]:
    """For each of `inputs` the latents of its frames, or the condition that gives 1 or 2 of them."""
    pipe, videos = encoders.pipe, []
    for frames, given in inputs:
        pixels = pipeline.to_pixels(frames)  # (1, 3, T, H, W)
        if given:
            last = pixels[:, :, 1] if given == 2 else None
            pixels = conditioning.condition_video(pipe, pixels[:, :, 0], num_frames, last)
        videos.append(pixels)
    made = []
    for (frames, given), latents in zip(inputs, encoders.latents(videos), strict=True):
        if not given:
            made.append({"latents": latents[0]})
            continue
        entry = {"condition": conditioning.condition_of(pipe, latents, num_frames, last=given == 2)[0]}
        if pipe.image_encoder is not None:
            tokens = pipeline.encode_image(pipe, [Image.fromarray(frame) for frame in frames])
            entry["image_embeds"] = tokens.flatten(0, 1).float()
        made.append(entry)
    return made


def read_prompt(path: Path) -> torch.Tensor:
    """A prompt's embedding with its padding, (512, D)."""
    embeds = cache.read(path)["prompt_embeds"]
    return torch.cat([embeds, embeds.new_zeros(pipeline.TEXT_TOKENS - len(embeds), embeds.shape[1])])


def read_batch(
    examples: Sequence[Example],
    condition: int,
    prompts: Sequence[Path] | None = None,
    keep_look: bool = False,
) -> Batch:
    """Examples stacked, with their condition number `condition` (0 shows the last frame too).

    Args:
        keep_look: the clip to be reached has the look of the first frame that is shown, not the film's.

    Raises:
        ValueError: clips of different lengths in one batch.
    """
    if len({example.num_frames for example in examples}) > 1:
        lengths = ", ".join(f"{example.name}: {example.num_frames}" for example in examples)
        raise ValueError(f"clips of one batch must be equally long (or use batches of 1): {lengths}")
    prompts = prompts or [example.prompt for example in examples]
    targets = [example.regraded[condition - 1] if keep_look else example.latents for example in examples]
    given = [cache.read(example.conditions[condition]) for example in examples]
    image_embeds = [entry["image_embeds"] for entry in given if "image_embeds" in entry]
    return Batch(
        names=tuple(example.name for example in examples),
        latents=torch.stack([cache.read(target)["latents"] for target in targets]),
        condition=torch.stack([entry["condition"] for entry in given]),
        prompt_embeds=torch.stack([read_prompt(prompt) for prompt in prompts]),
        image_embeds=torch.stack(image_embeds) if image_embeds else None,
    )
