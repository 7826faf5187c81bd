"""CLIP similarity of frames to the prompt, and of frames to their neighbours.

`clip_temporal` of a still is 1: it rewards what does not move, and is never shown without motion beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cinelib.files import hash_of
from cinelib.metrics.metric import COSINE, Clip, Found, Metric, Range
from cinelib.metrics.result import as_clip

PUBLISHED = "openai/clip-vit-base-patch32"
PUBLISHED_SHA256 = "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f"  # pytorch_model.bin


class ClipSimilarity:
    """Any `CLIPModel` folder or hub id. Named CLIP-SIM only for the published network, and on all frames.

    A folder counts as published by its weights' SHA-256, whatever it is called.

    Args:
        model: folder (its name goes into brackets: CLIP-SIM[nano] for data/nano-clip) or hub id.
        frames: frames looked at, evenly over the clip, for speed; None for all. `clip_temporal` is only of
            consecutive frames with all of them; fewer are in the name: CLIP-SIM[nano, 8 frames].
        batch_size: frames that go through the network at a time; changes a cosine by less than 1e-5.

    Raises:
        FileNotFoundError: no such model; the message holds the command that fetches the published one.
        ValueError: frames below 2, or batch_size below 1.
    """

    packages = ("tokenizers", "torch", "transformers")

    def __init__(
        self, model: str = PUBLISHED, frames: int | None = None, device: str = "cpu", batch_size: int = 32
    ) -> None:
        from transformers import CLIPModel, CLIPProcessor

        if (frames is not None and frames < 2) or batch_size < 1:
            raise ValueError(f"need frames >= 2 or None and batch_size >= 1, got {frames} and {batch_size}")
        try:
            self.model = CLIPModel.from_pretrained(model).eval().to(device)
            self.processor = CLIPProcessor.from_pretrained(model)
        except OSError as error:
            raise FileNotFoundError(
                f"no CLIP model at {model!r}; fetch the published one with: hf download {PUBLISHED}"
            ) from error
        self.frames, self.device, self.batch_size = frames, device, batch_size
        self.weights_sha256 = weights_sha256(model)
        marks = [_label(model, self.weights_sha256), f"{frames} frames" if frames else ""]
        marks = [mark for mark in marks if mark]
        self.name = f"CLIP-SIM[{', '.join(marks)}]" if marks else "CLIP-SIM"
        self.preprocessing = "the model's own processor; " + (
            f"{frames} frames a clip" if frames else "all frames"
        )

    def embed_frames(self, clip: np.ndarray) -> np.ndarray:
        """Unit vectors (n, D) of the clip's frames."""
        import torch

        clip = as_clip(clip)
        if self.frames is not None:
            at = np.linspace(0, len(clip) - 1, self.frames).round().astype(int)
            clip = clip[np.unique(at)]
        found = []
        with torch.inference_mode():
            for start in range(0, len(clip), self.batch_size):
                images = list(clip[start : start + self.batch_size])
                inputs = self.processor(images=images, return_tensors="pt").to(self.device)
                found.append(_unit(self.model.get_image_features(**inputs)))
        return np.concatenate(found)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, D) of texts, cut at the model's longest sequence.

        Raises:
            ValueError: no text, or an empty one.
        """
        import torch

        texts = list(texts)
        if not texts or not all(text.strip() for text in texts):
            raise ValueError("texts must be a non-empty list of non-empty prompts")
        limit = self.model.config.text_config.max_position_embeddings
        with torch.inference_mode():
            inputs = self.processor(
                text=texts, return_tensors="pt", padding=True, truncation=True, max_length=limit
            ).to(self.device)
            vectors = self.model.get_text_features(**inputs)
        return _unit(vectors)

    def clip_temporal(self, clip: np.ndarray) -> float:
        """Mean cosine of consecutive frames; 1 for a still."""
        return _temporal(self.embed_frames(as_clip(clip, minimum=2)))

    def text_and_temporal(self, clip: np.ndarray, prompt: str) -> tuple[float, float]:
        """Mean over frames of cos(frame, prompt), in [-1, 1], and `clip_temporal`."""
        vectors = self.embed_frames(as_clip(clip, minimum=2))
        return float((vectors @ self.embed_texts([prompt])[0]).mean()), _temporal(vectors)

    def margins(self, clip: np.ndarray, right: str, wrong: Sequence[str]) -> np.ndarray:
        """Of each frame (T,): cosine to what should be seen minus the mean cosine to what should not.

        The control is in the number: what all the texts have in common cancels.

        Raises:
            ValueError: a text is empty, or no wrong one.
        """
        if not len(wrong):
            raise ValueError("wrong must hold at least one text to compare with")
        first, *others = self.embed_texts([right, *wrong])
        return self.embed_frames(clip) @ (first - np.mean(others, axis=0))


@dataclass(frozen=True)
class ClipMetric(Metric):
    """Similarity of frames to the prompt and to each other, under the network's own name."""

    network: ClipSimilarity
    files: str = ""  # digest of the network's folder: its processor's settings count too
    name: str = "clip"
    reads = ("prompt",)

    @property
    def values(self) -> Mapping[str, Range]:
        """Both similarities."""
        return {f"{self.network.name} {which}": COSINE for which in ("clip_temporal", "clip_text")}

    def of(self, clip: Clip) -> Found:
        """Similarity to the prompt only where there is one."""
        if clip.prompt:
            text, temporal = self.network.text_and_temporal(clip.frames, clip.prompt)
        else:
            text, temporal = "no prompt", self.network.clip_temporal(clip.frames)
        return Found(dict(zip(self.values, (temporal, text), strict=True)))


def _label(model: str, sha256: str) -> str:
    """What names the network in brackets; empty for the published one."""
    local = Path(model).is_dir()
    if sha256 == PUBLISHED_SHA256 or (model == PUBLISHED and not local):
        return ""
    label = Path(model).name.removesuffix("-clip")
    # Another network under the published one's name would pass for it.
    return sha256[:8] if label == Path(PUBLISHED).name else label


def _temporal(vectors: np.ndarray) -> float:
    return float((vectors[1:] * vectors[:-1]).sum(-1).mean())


def _unit(vectors: Any) -> np.ndarray:
    vectors = getattr(vectors, "pooler_output", vectors)
    array = vectors.double().cpu().numpy()
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def weights_sha256(model: str) -> str:
    """SHA-256 of the weights file of a folder or of a hub id that was fetched before, else "unknown"."""
    folder, names = Path(model), ("model.safetensors", "pytorch_model.bin")  # in the order of loading
    if not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        found = [try_to_load_from_cache(model, name) for name in names]
        files = [Path(path) for path in found if isinstance(path, str)]
    else:
        shards = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.bin"))
        files = [folder / name for name in names if (folder / name).is_file()] or shards
    return hash_of(files[0]) if files else "unknown"
