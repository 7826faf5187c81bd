"""CLIP similarity of frames to the prompt, and of frames to their neighbours.

`clip_temporal` of a still is 1: it rewards what does not move, and is never shown without motion beside it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cinelib.metrics.clip import as_clip
from cinelib.metrics.extractors import file_sha256

PUBLISHED = "openai/clip-vit-base-patch32"


class ClipSimilarity:
    """Any `CLIPModel` folder or hub id. Named CLIP-SIM only for the published network.

    Args:
        model: folder (its name goes into brackets: CLIP-SIM[nano] for data/nano-clip) or hub id.
        frames: frames looked at, evenly over the clip; None for all.

    Raises:
        FileNotFoundError: no such model; the message holds the command that fetches the published one.
    """

    def __init__(self, model: str = PUBLISHED, frames: int | None = 8, device: str = "cpu") -> None:
        from transformers import CLIPModel, CLIPProcessor

        try:
            self.model = CLIPModel.from_pretrained(model).eval().to(device)
            self.processor = CLIPProcessor.from_pretrained(model)
        except OSError as error:
            raise FileNotFoundError(
                f"no CLIP model at {model!r}; fetch the published one with: hf download {PUBLISHED}"
            ) from error
        label = Path(model).name.removesuffix("-clip")
        self.name = "CLIP-SIM" if model == PUBLISHED else f"CLIP-SIM[{label}]"
        self.frames, self.device = frames, device
        self.weights_sha256 = weights_sha256(model)
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
        with torch.inference_mode():
            inputs = self.processor(images=list(clip), return_tensors="pt").to(self.device)
            vectors = self.model.get_image_features(**inputs)
        return _unit(vectors)

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

    def clip_text(self, clip: np.ndarray, prompt: str) -> float:
        """Mean over frames of cos(frame, prompt), in [-1, 1]."""
        return float((self.embed_frames(clip) @ self.embed_texts([prompt])[0]).mean())

    def clip_temporal(self, clip: np.ndarray) -> float:
        """Mean cosine of consecutive frames; 1 for a still."""
        vectors = self.embed_frames(as_clip(clip, minimum=2))
        return float((vectors[1:] * vectors[:-1]).sum(-1).mean())

    def phrase_margin(self, clip: np.ndarray, phrase: str, wrong: str) -> float:
        """cos(frame, phrase) - cos(frame, wrong phrase), mean over frames: the wrong one is the control."""
        right, control = self.embed_texts([phrase, wrong])
        return float((self.embed_frames(clip) @ (right - control)).mean())


def _unit(vectors: Any) -> np.ndarray:
    vectors = getattr(vectors, "pooler_output", vectors)
    array = vectors.double().cpu().numpy()
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def weights_sha256(model: str) -> str:
    """SHA-256 of the weights file of a folder or of a hub id that was fetched before, else "unknown"."""
    folder = Path(model)
    if not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        found = [try_to_load_from_cache(model, name) for name in ("model.safetensors", "pytorch_model.bin")]
        files = [Path(path) for path in found if isinstance(path, str)]
    else:
        files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.bin"))
    return file_sha256(files[0]) if files else "unknown"
