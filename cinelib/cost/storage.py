"""Bytes on disk: the cache of latents and embeddings, the adapter's files, its checkpoints."""

from dataclasses import dataclass

from cinelib.wan.geometry import Geometry

HEADER = 400  # of one entry: the tensors' names and shapes, and what it was made from
CODE = 64  # of one made from pixels: which code made it


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
    geometry: Geometry,
    clips: int,
    variants: int,
    caption_tokens: int,
    adapter: int,
    scrambled: bool = True,
    last_frame: bool = True,
    experts: int = 1,
    checkpoints: int = 2,
    moving_average: bool = False,
    best: int = 0,
) -> Storage:
    """What `clips` clips of full length leave behind.

    Args:
        variants: re-graded first frames of each clip; one condition more shows the ends as filmed.
        caption_tokens: of one caption; padding is not stored.
        adapter: parameters of one.
        scrambled: whether the negative control's clips are encoded too: latents and one condition each.
        last_frame: whether the condition as filmed shows both ends.
        checkpoints: kept of each training: weights and two moments, and the moving average if there is one.
        best: gauges that may stop the film's training; a checkpoint holds the best weights by each.
    """
    channels, frames, height, width = geometry.latents
    config = geometry.configs["transformer"]
    in_place = config["in_channels"] == channels
    volume = frames * height * width
    condition = 4 * (channels * height * width if in_place else (config["in_channels"] - channels) * volume)
    image = 4 * geometry.image_tokens * (config.get("image_dim") or 0)
    filmed = condition + (2 if last_frame else 1) * image + HEADER + CODE
    sets = 2 if scrambled else 1
    state = 4 * adapter * (4 if moving_average else 3)
    return Storage(
        latents=sets * clips * (4 * channels * volume + HEADER + CODE),
        conditions=clips * (sets * filmed + variants * (condition + image + HEADER + CODE)),
        text=(clips + 1) * (4 * caption_tokens * config["text_dim"] + HEADER),
        adapters=experts * 3 * 4 * adapter,
        checkpoints=experts * checkpoints * (2 * state + best * 4 * adapter),
    )
