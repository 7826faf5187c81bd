"""After all stages: nano-clip learns to read a picture through any grade.

Trained on neutral pictures alone it finds 9 % of the captions of graded ones, and then calls the grade itself
a mistake. What judges a film's look must not. Its image tower leaves nano-wan's, which stays as it was.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from classroom import card, checkpoint, contrast, language, scenes
from classroom.loop import Log, Plan

PLAN = Plan(steps=600, learning_rate=5e-4, ema=0.98, warmup=30, floor=0.0)
FRAMES = 3  # of each scene, spread over a second
GRADED = 0.67  # share of pictures that are graded
HELD_OUT = 128


def regraded(picture: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """A picture (H, W, 3) in a random grade, or as it is."""
    from backlot.look import apply_look, sample_grade

    seed = int(torch.randint(2**31, (), generator=generator))
    rng = np.random.default_rng(seed)
    return apply_look(picture, sample_grade(rng), seed) if rng.random() < GRADED else picture


def pictures(seeds: range) -> scenes.Clips:
    """A few frames of each scene, spread over a second."""
    return scenes.render_clips(seeds, scenes.Shape(FRAMES, 64, 112), fps=float(FRAMES))


def found(parts: tuple, seeds: range) -> dict[str, float]:
    """Share of held-out frames whose own caption scores highest, by grade."""
    from backlot.look import FILM_LOOK, apply_look, sample_grade

    clips, rng = pictures(seeds), np.random.default_rng(9)
    neutral = clips.frames[:, 0]
    shown = {"neutral": neutral, "the film's grade": np.stack([apply_look(f, FILM_LOOK) for f in neutral])}
    shown["random grades"] = np.stack([apply_look(frame, sample_grade(rng)) for frame in neutral])
    return {grade: contrast.retrieval(*parts, given, clips.captions) for grade, given in shown.items()}


def go_on(model: Path, folder: Path, count: int, log: Log) -> Iterator[Path]:
    """Train the image-text model of folder `model` further on graded pictures, resumable in `folder`.

    Yields `model` when it has been replaced. Film look and held-out scenes stay unseen.
    """
    from transformers import CLIPModel, CLIPProcessor

    clip, processor = CLIPModel.from_pretrained(model), CLIPProcessor.from_pretrained(model)
    parts = (clip, processor.tokenizer, processor.image_processor)
    seeds = scenes.evaluation_seeds(HELD_OUT, 600_000)
    before = found(parts, seeds)
    clips = pictures(scenes.training_seeds(count))
    spoken = [
        language.Spoken(caption, {name: values[name] for name in language.ATTRIBUTES})
        for caption, values in zip(clips.captions, clips.attributes, strict=True)
    ]
    clip.train()
    for training in contrast.train(*parts, clips.frames, spoken, folder, PLAN, 64, log, regraded):
        done = training
    clip.load_state_dict(done.averaged(), strict=False)
    after = found((clip.eval(), *parts[1:]), seeds)
    text = (model / checkpoint.CARD).read_text("utf-8")
    text = card.insert_judged(text, count, PLAN.steps, HELD_OUT, before, after)
    yield checkpoint.save_clip(*parts, model, text)
