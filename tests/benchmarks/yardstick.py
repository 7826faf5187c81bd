"""What each arm of `lora_peers` learned, by one measure."""

from collections.abc import Callable, Sequence

import peer_diffsynth
import torch
from peer_plain import encode

from cinelib.preparation.dataset import Clip
from cinelib.style import flow_matching
from cinelib.style.encoded_clips import Encoding
from cinelib.wan import pipeline


class Yardstick:
    """Mean loss of some clips at the fixed noise levels of the held-out gauge, with fixed noise."""

    def __init__(self, model: str, clips: Sequence[Clip], encoding: Encoding) -> None:
        pipe = pipeline.load_pipeline(model, dtype=torch.float32)
        self._fresh = pipe.transformer
        self._batches = [encode(pipe, clip, encoding) for clip in clips]

    @torch.no_grad()
    def __call__(self, transformer: Callable) -> float:
        losses = []
        for number, batch in enumerate(self._batches):
            noise = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(number))
            for sigma in flow_matching.VALIDATION_SIGMAS:
                level = torch.tensor([sigma])
                losses.append(flow_matching.flow_matching_loss(transformer, batch, level, noise))
        return torch.cat(losses).mean().item()

    def before(self) -> dict[str, float]:
        """The loss of each arm without a LoRA."""
        found = dict.fromkeys(("ours", "reencode", "plain"), self(self._fresh))
        if peer_diffsynth.absent() is None:
            theirs = peer_diffsynth.called_as_ours(peer_diffsynth.build(self._fresh))
            found["diffsynth"] = self(theirs)
        return found
