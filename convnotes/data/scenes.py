"""Scenes composed of real images: handwritten digits, scaled, turned and partly hidden, on photographed textures::

    segmentation    which digit does each pixel belong to?
    scaled_digits   one digit a picture, of any size and turn
    pairs           are the two digits at the two ends of a wide picture the same?

Everything comes out of the installed wheels and repeats exactly for a seed. Training scenes use the training digits and
the left halves of the textures, test scenes the test digits and the right halves: nothing is in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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

    def compose(half: _Half) -> tuple[Tensor, Tensor]:
        images, labels = half.textures(size, size), torch.zeros(half.count, size, size, dtype=torch.long)
        for _ in range(digits):
            pictures, which = half.digits()
            ink = half.placed(pictures, (size, size), scale, rotation)
            images = images * (1 - ink) + ink
            labels = torch.where(ink[:, 0] > 0.5, 1 + which[:, None, None], labels)
        return images, labels

    return _split(compose, train, test, classes, seed, ("ground", *map(str, classes)))


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
        scale, rotation, classes, seed: as in `segmentation`.

    Raises:
        TypeError, ValueError: for what makes no picture.

    Example:
        >>> from convnotes.data import scaled_digits
        >>> scaled_digits(train=4, test=2)
        Split(4 to train, 2 to test, 1×32×32, 10 classes)
    """
    _check(size=size, train=train, test=test)
    _check_ranges(scale, rotation, size)

    def compose(half: _Half) -> tuple[Tensor, Tensor]:
        texture = half.textures(size, size)
        pictures, which = half.digits()
        ink = half.placed(pictures, (size, size), scale, rotation)
        return texture * (1 - ink) + ink, which

    return _split(compose, train, test, classes, seed, tuple(map(str, classes)))


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
        scale, classes, seed: as in `segmentation`, with two classes at least.

    Raises:
        TypeError, ValueError: for what makes no picture.

    Example:
        >>> from convnotes.data import pairs
        >>> pairs(train=4, test=2)
        Split(4 to train, 2 to test, 1×16×64, 2 classes)
    """
    _check(height=height, width=width, train=train, test=test)
    _check_ranges(scale, 0.0, height)
    if width < 2 * height:
        raise ValueError(f"width must be twice the height at least, got {height}×{width}")
    if len(classes) < 2:
        raise ValueError(f"pairs needs two classes at least, got {tuple(classes)!r}")

    def compose(half: _Half) -> tuple[Tensor, Tensor]:
        images = half.textures(height, width)
        same = torch.randperm(half.count, generator=half.generator) % 2
        left, which = half.digits()
        other = (which + half.whole(1, len(classes))) % len(classes)
        right, _ = half.digits(torch.where(same == 1, which, other))
        for pictures, columns in ((left, slice(None, height)), (right, slice(width - height, None))):
            ink = half.placed(pictures, (height, height), scale)
            images[..., columns] = images[..., columns] * (1 - ink) + ink
        return images, same

    return _split(compose, train, test, classes, seed, ("different", "same"))


def _split(
    compose: Callable[[_Half], tuple[Tensor, Tensor]],
    train: int,
    test: int,
    classes: Sequence[int],
    seed: int,
    names: tuple[str, ...],
) -> Split:
    """The images and labels that `compose` makes of each half."""
    wanted = list(classes)
    if not wanted or len(set(wanted)) != len(wanted) or not set(wanted) <= set(range(10)):
        raise ValueError(f"classes must hold different digits from 0 to 9, got {tuple(classes)!r}")
    halves = [compose(_Half(part, count, wanted, seed)) for part, count in (("train", train), ("test", test))]
    return Split(*halves[0], *halves[1], names)


class _Half:
    """The material of `count` training or test scenes; what is drawn comes from one generator."""

    def __init__(self, part: str, count: int, classes: list[int], seed: int) -> None:
        self.part, self.count, self.classes = part, count, classes
        self.generator = torch.Generator().manual_seed(2 * seed + (part == "test"))

    def whole(self, low: int, high: int) -> Tensor:
        """A whole number from `low` to `high` − 1 per scene."""
        return torch.randint(low, high, (self.count,), generator=self.generator)

    def uniform(self, low: float, high: float) -> Tensor:
        """A real number per scene."""
        return low + (high - low) * torch.rand(self.count, generator=self.generator)

    def textures(self, height: int, width: int) -> Tensor:
        """Crops of the three textures [count, 1, height, width], darkened to at most 0.6 so that ink stands out."""
        columns = slice(None, 256) if self.part == "train" else slice(256, None)
        halves = torch.stack([texture(name)[0, :, columns] for name in TEXTURES])  # [3, 512, 256]
        kind, i, j = self.whole(0, 3), self.whole(0, 513 - height), self.whole(0, 257 - width)
        return 0.6 * halves.unfold(1, height, 1).unfold(2, width, 1)[kind, i, j][:, None]

    def digits(self, which: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Digits [count, 1, 8, 8], and the index of each one's class in `classes`."""
        split = handwritten()
        x, y = (split.train_x, split.train_y) if self.part == "train" else (split.test_x, split.test_y)
        if which is None:
            which = self.whole(0, len(self.classes))
        members = [(y == c).nonzero()[:, 0] for c in self.classes]
        random = self.uniform(0, 1)
        chosen = [members[w][int(r * len(members[w]))] for w, r in zip(which.tolist(), random.tolist(), strict=True)]
        return x[torch.stack(chosen)], which

    def placed(
        self, pictures: Tensor, size: tuple[int, int], scale: tuple[float, float], rotation: float = 0.0
    ) -> Tensor:
        """Each digit [count, 1, 8, 8] enlarged, turned and put at a random position of a canvas [count, 1, *size]."""
        height, width = size
        side = 8 * self.uniform(*scale)
        angle = math.radians(rotation) * self.uniform(-1, 1)
        dy = (self.uniform(0, 1) - 0.5) * (height - side).clamp_min(0)  # of the centre, in pixels
        dx = (self.uniform(0, 1) - 0.5) * (width - side).clamp_min(0)
        cos, sin = angle.cos(), angle.sin()
        to_digit = torch.stack(
            [
                torch.stack([cos * width, sin * height, -2 * (cos * dx + sin * dy)], -1),
                torch.stack([-sin * width, cos * height, -2 * (-sin * dx + cos * dy)], -1),
            ],
            1,
        ) / side.view(-1, 1, 1)  # [count, 2, 3]: position on the canvas → position in the digit, both in [−1, 1]
        grid = F.affine_grid(to_digit, [self.count, 1, height, width], align_corners=False)
        return F.grid_sample(pictures, grid, mode="bilinear", align_corners=False).clamp(0, 1)


def _check(**counts: int) -> None:
    for name, value in counts.items():  # half a texture is 512×256 pixels
        checks.whole(name, value, most=256 if name in ("size", "height", "width") else None)


def _check_ranges(scale: tuple[float, float], rotation: float, size: int) -> None:
    low, high = scale
    if not 0 < low <= high or 8 * high > size:
        raise ValueError(f"scale must be (low, high) with 0 < low ≤ high and 8·high ≤ {size} pixels, got {scale!r}")
    checks.number("rotation", rotation, "[0, 180]")
