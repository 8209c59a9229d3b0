"""Scenes composed of real images: handwritten digits, scaled, turned and partly hidden, on photographed textures::

    segmentation    which digit does each pixel belong to?
    scaled_digits   one digit a picture, of any size and turn
    pairs           are the two digits at the two ends of a wide picture the same?

Everything comes out of the installed wheels and repeats exactly for a seed. Training scenes use the training digits and
the left halves of the textures, test scenes the test digits and the right halves: nothing is in both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from convnotes import checks
from convnotes.data.embedded import TEXTURES, Split, texture
from convnotes.data.embedded import digits as handwritten


def segmentation(
    size: int = 48,
    train: int = 200,
    test: int = 100,
    digits: int = 3,
    scale: tuple[float, float] = (1.5, 2.5),
    rotation: float = 15.0,
    classes: Sequence[int] = tuple(range(10)),
    seed: int = 0,
) -> Split:
    """Scenes [N, 1, size, size] with `digits` digits each, and a label for each pixel [N, size, size].

    Label 0 is the ground, label 1 + n a pixel inked by a digit of `classes[n]`. A later digit may hide part of an
    earlier one.

    Args:
        size: side of a scene in pixels, at most 256.
        train, test: scenes of each part.
        digits: digits in a scene.
        scale: the range of a digit's side in units of 8 pixels.
        rotation: the largest turn in degrees to either side.
        classes: which digits, in the order of their labels.
        seed: of everything that is drawn.

    Raises:
        TypeError, ValueError: for what makes no scene.

    Example:
        >>> from convnotes.data import segmentation
        >>> scenes = segmentation(train=2, test=1)
        >>> scenes.train_x.shape, scenes.train_y.shape
        (torch.Size([2, 1, 48, 48]), torch.Size([2, 48, 48]))
    """
    _check(size=size, train=train, test=test, digits=digits)
    _check_ranges(scale, rotation, size)
    wanted = _check_classes(classes)
    halves = []
    for part, count in (("train", train), ("test", test)):
        generator = _generator(seed, part)
        images, labels = _ground(part, count, (size, size), generator), torch.zeros(count, size, size, dtype=torch.long)
        for _ in range(digits):
            pictures, which = _draw(part, count, wanted, generator)
            ink = _placed(pictures, (size, size), _uniform(count, *scale, generator), rotation, generator)
            images = images * (1 - ink) + ink
            labels = torch.where(ink[:, 0] > 0.5, 1 + which[:, None, None], labels)
        halves.append((images, labels))
    return Split(*halves[0], *halves[1], ("ground", *map(str, classes)))


def scaled_digits(
    size: int = 32,
    train: int = 600,
    test: int = 300,
    scale: tuple[float, float] = (1.0, 3.0),
    rotation: float = 0.0,
    classes: Sequence[int] = tuple(range(10)),
    seed: int = 0,
) -> Split:
    """One digit a picture [N, 1, size, size] on a texture, anywhere in it; the label is its index in `classes`.

    Args:
        size: side of a picture in pixels, at most 256.
        train, test: pictures of each part.
        scale: the range of a digit's side in units of 8 pixels.
        rotation: the largest turn in degrees to either side.
        classes: which digits, in the order of their labels.
        seed: of everything that is drawn.

    Raises:
        TypeError, ValueError: for what makes no picture.

    Example:
        >>> from convnotes.data import scaled_digits
        >>> scaled_digits(train=4, test=2)
        Split(4 to train, 2 to test, 1×32×32, 10 classes)
    """
    _check(size=size, train=train, test=test)
    _check_ranges(scale, rotation, size)
    wanted = _check_classes(classes)
    halves = []
    for part, count in (("train", train), ("test", test)):
        generator = _generator(seed, part)
        ground = _ground(part, count, (size, size), generator)
        pictures, which = _draw(part, count, wanted, generator)
        ink = _placed(pictures, (size, size), _uniform(count, *scale, generator), rotation, generator)
        halves.append((ground * (1 - ink) + ink, which))
    return Split(*halves[0], *halves[1], tuple(map(str, classes)))


def pairs(
    height: int = 16,
    width: int = 64,
    train: int = 600,
    test: int = 300,
    scale: tuple[float, float] = (1.25, 1.75),
    classes: Sequence[int] = tuple(range(10)),
    seed: int = 0,
) -> Split:
    """Two digits at the two ends of a picture [N, 1, height, width]; label 1 where they are of the same class.

    Half of the pairs are the same. Between the digits lie width − 2·height pixels of texture, so that no small window
    sees both.

    Args:
        height: of a picture in pixels, at most 256.
        width: twice the height at least.
        train, test: pictures of each part.
        scale: the range of a digit's side in units of 8 pixels.
        classes: which digits, two at least.
        seed: of everything that is drawn.

    Raises:
        TypeError, ValueError: for what makes no picture.

    Example:
        >>> from convnotes.data import pairs
        >>> pairs(train=4, test=2)
        Split(4 to train, 2 to test, 1×16×64, 2 classes)
    """
    _check(height=height, width=width, train=train, test=test)
    _check_ranges(scale, 0.0, height)
    wanted = _check_classes(classes)
    if width < 2 * height:
        raise ValueError(f"width must be twice the height at least, got {height}×{width}")
    if len(wanted) < 2:
        raise ValueError(f"pairs needs two classes at least, got {tuple(classes)!r}")
    halves = []
    for part, count in (("train", train), ("test", test)):
        generator = _generator(seed, part)
        images = _ground(part, count, (height, width), generator)
        same = torch.randperm(count, generator=generator) % 2
        left, which = _draw(part, count, wanted, generator)
        other = (which + torch.randint(1, len(wanted), (count,), generator=generator)) % len(wanted)
        right, _ = _draw(part, count, wanted, generator, torch.where(same == 1, which, other))
        for pictures, columns in ((left, slice(None, height)), (right, slice(width - height, None))):
            ink = _placed(pictures, (height, height), _uniform(count, *scale, generator), 0.0, generator)
            images[..., columns] = images[..., columns] * (1 - ink) + ink
        halves.append((images, same))
    return Split(*halves[0], *halves[1], ("different", "same"))


def _generator(seed: int, part: str) -> torch.Generator:
    return torch.Generator().manual_seed(2 * seed + (part == "test"))


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _ground(part: str, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Crops of the three textures [count, 1, *size], darkened to at most 0.6 so that ink stands out."""
    columns = slice(None, 256) if part == "train" else slice(256, None)
    halves = torch.stack([texture(name)[0, :, columns] for name in TEXTURES])  # [3, 512, 256]
    kind = torch.randint(3, (count,), generator=generator)
    i = torch.randint(513 - size[0], (count,), generator=generator)
    j = torch.randint(257 - size[1], (count,), generator=generator)
    return 0.6 * halves.unfold(1, size[0], 1).unfold(2, size[1], 1)[kind, i, j][:, None]


def _draw(
    part: str, count: int, classes: list[int], generator: torch.Generator, which: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Digits [count, 1, 8, 8] of the training or the test part, and the index of each one's class in `classes`."""
    split = handwritten()
    x, y = (split.train_x, split.train_y) if part == "train" else (split.test_x, split.test_y)
    if which is None:
        which = torch.randint(len(classes), (count,), generator=generator)
    members = [(y == c).nonzero()[:, 0] for c in classes]
    random = torch.rand(count, generator=generator)
    chosen = [members[w][int(r * len(members[w]))] for w, r in zip(which.tolist(), random.tolist(), strict=True)]
    return x[torch.stack(chosen)], which


def _placed(
    pictures: Tensor, size: tuple[int, int], scale: Tensor, rotation: float, generator: torch.Generator
) -> Tensor:
    """Each digit [N, 1, 8, 8] enlarged by `scale`, turned and put at a random place of a canvas [N, 1, *size]."""
    height, width = size
    angle = math.radians(rotation) * _uniform(len(pictures), -1, 1, generator)
    free_y, free_x = (height - 8 * scale).clamp_min(0), (width - 8 * scale).clamp_min(0)
    dy = (torch.rand(len(pictures), generator=generator) - 0.5) * free_y  # of the centre, in pixels
    dx = (torch.rand(len(pictures), generator=generator) - 0.5) * free_x
    cos, sin = angle.cos(), angle.sin()
    to_digit = torch.stack(
        [
            torch.stack([cos * width, sin * height, -2 * (cos * dx + sin * dy)], -1),
            torch.stack([-sin * width, cos * height, -2 * (-sin * dx + cos * dy)], -1),
        ],
        1,
    ) / (8 * scale[:, None, None])  # [N, 2, 3]: place on the canvas → place in the digit, both in [−1, 1]
    grid = F.affine_grid(to_digit, [len(pictures), 1, height, width], align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", align_corners=False).clamp(0, 1)


def _check(**counts: int) -> None:
    for name, value in counts.items():  # half a texture is 512×256 pixels
        checks.whole(name, value, most=256 if name in ("size", "height", "width") else None)


def _check_ranges(scale: tuple[float, float], rotation: float, size: int) -> None:
    low, high = scale
    if not 0 < low <= high or 8 * high > size:
        raise ValueError(f"scale must be (low, high) with 0 < low ≤ high and 8·high ≤ {size} pixels, got {scale!r}")
    checks.number("rotation", rotation, "[0, 180]")


def _check_classes(classes: Sequence[int]) -> list[int]:
    wanted = list(classes)
    if not wanted or len(set(wanted)) != len(wanted) or not set(wanted) <= set(range(10)):
        raise ValueError(f"classes must hold different digits from 0 to 9, got {tuple(classes)!r}")
    return wanted
