"""A model's VAE, text and image encoder, loaded when needed."""

import functools
import threading
from collections.abc import Sequence
from pathlib import Path

import torch

from cinelib import provenance
from cinelib.wan import layout, pipeline, threads


class Encoders:
    """VAE, text and image encoder of a model, loaded when the first missing entry needs them.

    With a warm cache nothing is loaded, and `close` frees what was: a 14B text encoder must not sit
    beside the transformer during training.

    Attributes:
        lock: held for what threads must not do at the same time.
    """

    def __init__(
        self, model: str, memory: Path | None = None, device: str | torch.device | None = None
    ) -> None:
        self.model = model
        self.device = torch.device(device or pipeline.default_device())
        self._memory = memory
        self._pipe: pipeline.FirstLastPipeline | None = None
        self.lock = threading.RLock()

    @property
    def pipe(self) -> pipeline.FirstLastPipeline:
        """The pipeline without its transformers."""
        with self.lock:
            if self._pipe is None:
                self._pipe = pipeline.load_pipeline(self.model, device=self.device, without=layout.EXPERTS)
            return self._pipe

    @functools.cached_property
    def hashes(self) -> dict[str, str]:
        """Weights hash of each encoder that the model has."""
        parts = {"vae", "text_encoder", "tokenizer", "image_encoder"} & layout.components(self.model)
        with self.lock:
            return {part: provenance.weights_hash(self.model, part, self._memory) for part in sorted(parts)}

    def latents(self, videos: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Normalised latents (1, C, t, h, w) of each video (1, 3, T, H, W).

        On a CPU small ones of one shape go through the VAE together, and one alone goes through it twice:
        torch takes three times as long for a batch of one. A video's latents do not depend on its company;
        from those of `pipeline.encode_video` alone they differ by rounding, about 1e-5.
        """
        vae, found = self.pipe.vae, {}
        if not all(self._small(video.shape[-2] * video.shape[-1]) for video in videos):
            return [pipeline.encode_video(vae, video) for video in videos]
        for shape in {video.shape for video in videos}:
            places = [place for place, video in enumerate(videos) if video.shape == shape]
            together = places if len(places) > 1 else places * 2
            rows = pipeline.encode_video(vae, torch.cat([videos[place] for place in together])).split(1)
            found |= zip(together, rows, strict=True)
        return [found[place] for place in range(len(videos))]

    def _small(self, pixels: int) -> bool:
        return threads.is_small(self.device, pixels)

    def close(self) -> None:
        """Drop the weights."""
        self._pipe = None
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()
