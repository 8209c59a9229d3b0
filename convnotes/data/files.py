"""What both halves of `convnotes.data` share: optional packages asked for by name, and one image file read to bytes."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor


def need(module: str) -> ModuleType:
    """Import a module of the extra [data], or say how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        package = module.split(".")[0]
        raise ImportError(f'{package} is not installed: pip install "convnotes[data]"') from problem


def is_count(value: object) -> TypeGuard[int]:
    """A positive int, and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def read_picture(file: Path, mode: str) -> Tensor:
    """An image file as uint8 [C, H, W]; `mode` is Pillow's, "RGB" (C = 3) or "L" (C = 1)."""
    image = need("PIL.Image")
    try:
        with image.open(file) as picture:
            pixels = torch.from_numpy(np.array(picture.convert(mode)))
    except (OSError, SyntaxError, ValueError) as problem:  # what Pillow raises for a cut or a foreign file
        raise ValueError(f"{file} cannot be read as an image: {problem}") from problem
    return pixels[None] if mode == "L" else pixels.permute(2, 0, 1).contiguous()
