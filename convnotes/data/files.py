"""What both halves of `convnotes.data` share: one image file read to bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convnotes.checks import optional


def read_picture(file: Path, mode: str) -> Tensor:
    """An image file as uint8 [C, H, W]; `mode` is Pillow's, "RGB" (C = 3) or "L" (C = 1)."""
    image = optional("PIL.Image")
    try:
        with image.open(file) as picture:
            pixels = torch.from_numpy(np.array(picture.convert(mode)))
    except (OSError, SyntaxError, ValueError) as problem:  # what Pillow raises for a cut or a foreign file
        raise ValueError(f"{file} cannot be read as an image: {problem}") from problem
    return pixels[None] if mode == "L" else pixels.permute(2, 0, 1).contiguous()
