"""Real images out of installed packages: photographs, textures and handwritten digits, no network needed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from convnotes import checks
from convnotes.checks import optional
from convnotes.data.files import read_picture
from convnotes.geometry import is_whole, pair

PHOTOGRAPHS = {
    "astronaut": "skimage/data/astronaut.png",
    "chelsea": "skimage/data/chelsea.png",
    "china": "sklearn/datasets/images/china.jpg",
    "coffee": "skimage/data/coffee.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "hubble_deep_field": "skimage/data/hubble_deep_field.jpg",
    "ihc": "skimage/data/ihc.png",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
}
TEXTURES = ("brick", "grass", "gravel")


def photograph(name: str, size: int | tuple[int, int] | None = None) -> Tensor:
    """The colour photograph `name` [3, H, W]; `PHOTOGRAPHS` lists the names.

    Nothing is downloaded: the file comes out of the installed wheel.

    Args:
        name: one of `PHOTOGRAPHS`.
        size: shrinks or enlarges it without aliasing. An int is the length in pixels of the shorter side, the aspect
            kept; a pair is (height, width). None keeps the size of the file.

    Raises:
        ValueError, TypeError: for an unknown name and a size that is none.
        ModuleNotFoundError, FileNotFoundError: where the wheel is missing, or does not contain the file.

    Example:
        >>> from convnotes.data import photograph
        >>> photograph("astronaut", size=64).shape
        torch.Size([3, 64, 64])
    """
    checks.one_of("photograph", name, PHOTOGRAPHS)
    picture = read_picture(_bundled(PHOTOGRAPHS[name]), "RGB")
    if size is None:
        return picture
    sides = pair(size, "size", 1)
    if is_whole(size):
        height, width = picture.shape[1:]
        scale = size / min(height, width)
        sides = max(1, round(height * scale)), max(1, round(width * scale))
    resize = torch.nn.functional.interpolate
    return resize(picture[None], sides, mode="bilinear", antialias=True)[0].clamp_(0, 1)


def texture(name: str) -> Tensor:
    """The grey texture `name` [1, 512, 512], a photograph in the wheel of scikit-image.

    Args:
        name: "brick", "grass" or "gravel".

    Raises:
        ValueError: for another name.
        ModuleNotFoundError, FileNotFoundError: where the wheel is missing, or does not contain the file.

    Example:
        >>> from convnotes.data import texture
        >>> texture("brick").shape
        torch.Size([1, 512, 512])
    """
    checks.one_of("texture", name, TEXTURES)
    return read_picture(_bundled(f"skimage/data/{name}.png"), "L")


class Split(NamedTuple):
    """Images and labels to train on and to test on.

    Args:
        train_x, train_y: images [N, C, H, W], float32, and labels [N] or, one a pixel, [N, H, W], int64.
        test_x, test_y: the same to test on.
        classes: the names, in the order of the labels.

    Example:
        >>> from convnotes.data import Split
        >>> Split(torch.rand(6, 1, 8, 8), torch.arange(6) % 2, torch.rand(2, 1, 8, 8), torch.arange(2), ("a", "b"))
        Split(6 to train, 2 to test, 1×8×8, 2 classes)
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: tuple[str, ...]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Split:
        """The same on another device, the pictures in another dtype (labels stay int64)."""
        train_x, test_x = (x.to(device=device, dtype=dtype) for x in (self.train_x, self.test_x))
        train_y, test_y = (y.to(device=device) for y in (self.train_y, self.test_y))
        return Split(train_x, train_y, test_x, test_y, self.classes)

    def __repr__(self) -> str:
        size = "×".join(map(str, self.train_x.shape[1:]))
        return f"Split({len(self.train_x)} to train, {len(self.test_x)} to test, {size}, {len(self.classes)} classes)"


def digits(test_fraction: float = 0.25, seed: int = 0) -> Split:
    """scikit-learn's 1,797 handwritten digits [N, 1, 8, 8].

    Args:
        test_fraction: the share that each class gives to the test, in (0, 1).
        seed: of which digits those are.

    Raises:
        TypeError, ValueError: for a fraction that is none.

    Example:
        >>> from convnotes.data import digits
        >>> digits()
        Split(1347 to train, 450 to test, 1×8×8, 10 classes)
    """
    checks.number("test_fraction", test_fraction, "(0, 1)")
    bunch = optional("sklearn.datasets").load_digits()
    every, y = np.arange(len(bunch.target)), torch.as_tensor(bunch.target, dtype=torch.int64)
    x = torch.as_tensor(bunch.images, dtype=torch.float32)[:, None] / 16  # stored as 0 to 16
    halves = optional("sklearn.model_selection").train_test_split(
        every, test_size=test_fraction, random_state=seed, stratify=bunch.target
    )
    train, test = map(torch.as_tensor, halves)
    return Split(x[train], y[train], x[test], y[test], tuple(map(str, bunch.target_names)))


def textures(
    crop: int = 32,
    train_per_class: int = 300,
    test_per_class: int = 300,
    normalise: Literal["none", "brightness", "contrast"] = "contrast",
    seed: int = 0,
) -> Split:
    """Square crops of brick, grass and gravel [N, 1, crop, crop]: the left halves train, the right halves test.

    No crop crosses the middle, so no pixel is in both. The crops of one half may overlap each other.

    Args:
        crop: side in pixels, at most 256.
        train_per_class, test_per_class: crops of each texture.
        normalise: works on each crop alone. "brightness" takes its mean away, "contrast" also divides by its standard
            deviation, so that neither tells the texture; "none" leaves [0, 1].
        seed: of where the crops lie.

    Raises:
        TypeError, ValueError: for a bad argument.

    Example:
        >>> from convnotes.data import textures
        >>> textures(crop=16, train_per_class=4, test_per_class=2)
        Split(12 to train, 6 to test, 1×16×16, 3 classes)
    """
    checks.whole("crop", crop, most=256)  # half a texture is 512×256 pixels
    checks.positive(train_per_class=train_per_class, test_per_class=test_per_class)
    checks.one_of("normalise", normalise, ("none", "brightness", "contrast"))
    generator = torch.Generator().manual_seed(seed)
    halves = []
    for columns, count in ((slice(None, 256), train_per_class), (slice(256, None), test_per_class)):
        crops = []
        for name in TEXTURES:
            every = (
                texture(name)[0, :, columns].unfold(0, crop, 1).unfold(1, crop, 1)
            )  # [513-crop, 257-crop, crop, crop]
            i = torch.randint(every.shape[0], (count,), generator=generator)
            j = torch.randint(every.shape[1], (count,), generator=generator)
            crops.append(every[i, j])
        x = torch.cat(crops)[:, None]
        if normalise != "none":
            x = x - x.mean((2, 3), keepdim=True)
        if normalise == "contrast":
            x = x / x.std((2, 3), keepdim=True, correction=0).clamp_min(1e-3)
        halves.append((x, torch.arange(len(TEXTURES)).repeat_interleave(count)))
    return Split(*halves[0], *halves[1], TEXTURES)


def _bundled(file_name: str) -> Path:
    """The file "package/path" of an installed package, found without importing the package."""
    package, _, path = file_name.partition("/")
    spec = importlib.util.find_spec(package)
    locations = (spec and spec.submodule_search_locations) or optional(package).__path__  # says how to install it
    file = Path(locations[0]) / path
    if not file.is_file():
        raise FileNotFoundError(
            f"the installed {package} does not contain {path}: this version may download it instead"
        )
    return file
