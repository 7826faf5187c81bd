"""Bytes on disk: the cache of latents and embeddings, the adapter's files, its checkpoints."""

from dataclasses import dataclass

from cinelib.style.parameters import StyleStage
from cinelib.wan.geometry import Geometry

HEADER = 400  # of one entry: the tensors' names and shapes, and what it was made from
LOOK = 145  # of one in another grade: that grade and the film's
CODE = 64  # of one made from pixels: which code made it
CAPTION_TOKENS = 96  # of a caption; an assumption, padding is not stored


@dataclass(frozen=True)
class Storage:
    """Bytes by kind; every number is an fp32.

    Attributes:
        adapters: of each expert: the film's twice (diffusers' layout and Wan's own) and the control's.
        checkpoints: of the film's and the control's training of each expert, which stay for a continuation.
    """

    latents: int
    conditions: int
    text: int
    adapters: int
    checkpoints: int

    @property
    def cache(self) -> int:
        """Of the folder of cached latents, conditions and prompts."""
        return self.latents + self.conditions + self.text


def of_training(
    params: StyleStage, geometry: Geometry, clips: int, adapter: int, caption_tokens: int = CAPTION_TOKENS
) -> Storage:
    """What `clips` clips of full length leave behind, with `adapter` parameters trained.

    The negative control's clips are encoded too: latents and one condition each. Each re-grading has a
    condition, and the clip's latents where samples keep a look; one more condition shows the ends as filmed.
    Captions are kept with the trigger and without.
    """
    config, layout = geometry.configs["transformer"], geometry.layout
    channels, frames, height, width = geometry.latents
    in_place = layout.first_frame_in_place
    volume = frames * height * width
    condition = 4 * (channels * height * width if in_place else (config["in_channels"] - channels) * volume)
    image = 4 * geometry.image_tokens * (config.get("image_dim") or 0)
    entry = condition + HEADER + CODE
    filmed = 2 * (entry + (1 if in_place else 2) * image)  # of the film and of the control
    variants = params.conditioning_variants * (entry + image + LOOK)
    kept = params.conditioning_variants if params.preservation_share else 0
    captions = clips * (2 if params.trigger else 1) + 1
    state = 4 * adapter * (4 if params.ema_decay > 0 else 3)  # weights, two moments, perhaps an average
    best = {"loss": 1, "perceptual": 1, "either": 2}[params.early_stopping] if params.patience else 0
    return Storage(
        latents=clips * ((2 + kept) * (4 * channels * volume + HEADER + CODE) + (1 + kept) * LOOK),
        conditions=clips * (filmed + LOOK + variants),
        text=captions * (4 * caption_tokens * config["text_dim"] + HEADER),
        adapters=len(layout.experts) * 3 * 4 * adapter,
        checkpoints=len(layout.experts) * params.checkpoints_kept * (2 * state + best * 4 * adapter),
    )
