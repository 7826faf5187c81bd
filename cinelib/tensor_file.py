"""Safetensors files, written whole or not at all."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file


def write(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> Path:
    """Replace `path` in one step: a reader sees the old file or the new one, never half of it.

    Raises:
        OSError: no space or no permission; what was there before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        save_file(dict(tensors), partial, dict(metadata))
        partial.replace(path)
    except (OSError, SafetensorError) as error:  # safetensors' own error names no file
        raise OSError(f"{path} could not be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path
