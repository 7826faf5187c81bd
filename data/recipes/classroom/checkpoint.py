"""A classroom checkpoint on disk: the diffusers layout of Wan2.1 I2V, safetensors only, with checksums."""

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from classroom import architecture, text

if TYPE_CHECKING:
    from diffusers import WanImageToVideoPipeline
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer, ResNetModel

SUMS = "SHA256SUMS"
CARD = "README.md"


def build(size: architecture.Size, captions: Iterable[str], seed: int = 0) -> "WanImageToVideoPipeline":
    """A pipeline with seeded random weights at `size`; its tokenizer is learned from `captions`."""
    from diffusers import WanImageToVideoPipeline

    torch.manual_seed(seed)
    return WanImageToVideoPipeline(
        tokenizer=text.tokenizer(captions, size.vocabulary),
        text_encoder=architecture.text_encoder(size).eval(),
        vae=architecture.vae(size).eval(),
        scheduler=architecture.scheduler(),
        image_processor=architecture.image_processor(size),
        image_encoder=architecture.image_encoder(size).eval(),
        transformer=architecture.transformer(size).eval(),
    )


def save(pipe: "WanImageToVideoPipeline", folder: Path, card: str) -> Path:
    """Write `pipe` in half precision with its card and checksums; replaces `folder` in one step.

    Raises:
        ValueError: if a weight is not finite in half precision (it would be lost in silence).
    """
    parts = {name: part for name, part in pipe.components.items() if part is not None}
    halves = {
        name: _half(name, part) if isinstance(part, torch.nn.Module) else part for name, part in parts.items()
    }

    def write(draft: Path) -> None:
        type(pipe)(**halves).save_pretrained(draft, safe_serialization=True)
        _settle_configs(draft)

    return _replace(folder, write, card)


def save_clip(
    model: "CLIPModel", tokenizer: "CLIPTokenizer", processor: "CLIPImageProcessor", folder: Path, card: str
) -> Path:
    """Write an image-text model that `CLIPModel` and `CLIPProcessor` load; replaces `folder` in one step."""
    from transformers import CLIPProcessor

    def write(draft: Path) -> None:
        _half("clip", model).save_pretrained(draft, safe_serialization=True)
        CLIPProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(draft)
        _edit(draft / "config.json", lambda values: values | {"dtype": "float32"})

    return _replace(folder, write, card)


def save_viewer(model: "ResNetModel", folder: Path, card: str) -> Path:
    """Write a video feature net that `ResNetModel` loads; replaces `folder` in one step."""

    def write(draft: Path) -> None:
        _half("viewer", model).save_pretrained(draft, safe_serialization=True)
        _edit(draft / "config.json", lambda values: values | {"dtype": "float32"})

    return _replace(folder, write, card)


def _replace(folder: Path, write: Callable[[Path], None], card: str) -> Path:
    draft, old = folder.with_name(f".{folder.name}.partial"), folder.with_name(f".{folder.name}.old")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    write(draft)
    (draft / CARD).write_text(card, encoding="utf-8")
    write_sums(draft)
    for path in draft.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    if folder.exists():
        folder.replace(old)
    draft.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def _half(name: str, module: torch.nn.Module) -> torch.nn.Module:
    half = copy.deepcopy(module).half()
    bad = [key for key, value in half.state_dict().items() if not value.isfinite().all()]
    if bad:
        raise ValueError(f"{name}: {bad[0]} is not finite in half precision")
    return half


def _settle_configs(folder: Path) -> None:
    # transformers computes in the dtype that config.json names, and half precision is slow on CPUs;
    # it also writes a class name for the tokenizer that its versions before 5 do not have
    for name in ("text_encoder", "image_encoder"):
        _edit(folder / name / "config.json", lambda values: values | {"dtype": "float32"})
    _edit(
        folder / "model_index.json",
        lambda values: values | {"tokenizer": ["transformers", "PreTrainedTokenizerFast"]},
    )
    _edit(
        folder / "tokenizer" / "tokenizer_config.json",
        lambda values: values | {"tokenizer_class": "PreTrainedTokenizerFast"},
    )


def _edit(path: Path, change: Callable[[dict], dict]) -> None:
    values = change(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def checksums(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file except the list itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS in `sha256sum --check` format."""
    lines = [f"{digest}  {name}\n" for name, digest in checksums(folder).items()]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
