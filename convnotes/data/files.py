"""What the parts of `convnotes.data` share: where data lie on the disk, and one image file read to numbers."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convnotes.checks import optional

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")  # Pillow's names for 16 bits of grey


def place(root: str | os.PathLike[str] | None) -> Path:
    """`root`, else `$CONVNOTES_DATA`, else the user's cache folder; `~` is the home folder."""
    return Path(root or os.environ.get("CONVNOTES_DATA") or optional("pooch").os_cache("convnotes")).expanduser()


def read_picture(file: Path, mode: str) -> Tensor:
    """An image file as float32 [C, H, W] in [0, 1], upright; `mode` is Pillow's, "RGB" (C = 3) or "L" (C = 1).

    Grey of 16 bits keeps them all. Raises `ValueError` with the name of the file for what cannot be read.
    """
    image, upright = optional("PIL.Image"), optional("PIL.ImageOps").exif_transpose
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", image.DecompressionBombWarning)  # it does not name the file
            opened = image.open(file)
        with opened as picture:
            if image.MAX_IMAGE_PIXELS and picture.width * picture.height > image.MAX_IMAGE_PIXELS:
                size = f"{picture.width}×{picture.height}"
                warnings.warn(f"{file} has {size} pixels", image.DecompressionBombWarning, stacklevel=3)
            deep = picture.mode in _DEEP or (picture.mode == "I" and picture.format in ("PNG", "PPM"))
            if not deep and picture.mode in ("I", "F"):
                raise ValueError(f"its grey values ({picture.mode}, 32 bits) have no known range")
            pixels = _numbers(upright(picture), mode, deep)
    except image.DecompressionBombWarning:  # where warnings are errors
        raise
    except image.DecompressionBombError as problem:
        raise ValueError(
            f"{file} has too many pixels to be opened safely ({problem}): make it smaller, or raise "
            f"PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        ) from problem
    except Exception as problem:  # for a cut or a foreign file Pillow raises nearly anything
        raise ValueError(f"{file} cannot be read as an image: {problem}") from problem
    return pixels


def _numbers(picture: Any, mode: str, deep: bool) -> Tensor:
    if deep:
        grey = torch.from_numpy(np.array(picture).astype(np.float32))[None] / 65535
        return grey if mode == "L" else grey.repeat(3, 1, 1)
    pixels = torch.from_numpy(np.array(picture.convert(mode)))
    return (pixels[None] if mode == "L" else pixels.permute(2, 0, 1)).contiguous().float() / 255
