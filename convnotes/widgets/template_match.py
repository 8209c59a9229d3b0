"""Take a template out of a photograph and look for it, by inner product and by L1 distance, under another light."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, checking, panels


class TemplateMatch(PhotoWidget):
    """A template cut out of a grey photograph, and looked for in it under another light, by two operators.

    The convolution scores by the inner product, the adder by the negative L1 distance.

    Args:
        image: a photograph `[H, W]` with values in [0, 1], 15×15 pixels at least.
        place: the pixel (row, column) around which the template is cut out.
        alt: what the photograph shows, for readers who do not see it.
        **state: `size`, the side of the template, odd, 5 to 15; `light`, which is added to the photograph, in [−0.4,
            0.4]; `centred`, whether the convolution's template loses its mean.

    Raises:
        ValueError: for anything else than a photograph, and for numbers out of range.
        TypeError: for numbers of another kind.

    Example:
        >>> from convnotes.widgets import TemplateMatch
        >>> TemplateMatch(torch.rand(20, 20), (9, 9)).misses()[1]  # the distance finds the place
        0.0
    """

    module = "template_match"
    by_hand = "template and light can be changed"
    precision = torch.float64

    start: traitlets.List[int] = traitlets.List().tag(sync=True)
    place: traitlets.List[int] = traitlets.List().tag(sync=True)
    size = traitlets.Int(9).tag(sync=True)
    light = traitlets.Float(0.0).tag(sync=True)
    centred = traitlets.Bool(False).tag(sync=True)

    def __init__(self, image: Any, place: Any, alt: str = "A photograph", **state: Any) -> None:
        pixels = checks.picture("image", image, "HW")
        if min(pixels.shape) < 15:
            raise ValueError(f"image must have at least 15×15 pixels, got shape {pixels.shape}")
        super().__init__(pixels, alt, start=list(place), place=list(place), **state)

    _check_size = checking("size")(lambda _, name, value: checks.whole(name, value, 5, 15, odd=True))

    _check_light = checking("light")(lambda _, name, value: checks.number(name, value, "[-0.4, 0.4]"))

    def corner(self) -> tuple[int, int]:
        """The template's first row and column; near the border the template is moved inside."""
        row, column = self.place
        last = self.height - self.size, self.width - self.size
        return min(max(row - self.size // 2, 0), last[0]), min(max(column - self.size // 2, 0), last[1])

    def responses(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(inner product, negative L1 distance) of the template with every patch: `[H−size+1, W−size+1]` each."""
        pixels = self._pixels()
        row, column = self.corner()
        template = pixels[row : row + self.size, column : column + self.size].reshape(-1, 1)
        patches = torch.nn.functional.unfold((pixels + self.light)[None, None], self.size)[0]
        kernel = template - template.mean() if self.centred else template
        shape = self.height - self.size + 1, self.width - self.size + 1
        return (kernel * patches).sum(0).view(shape), -(patches - template).abs().sum(0).view(shape)

    def misses(self) -> tuple[float, float]:
        """How many pixels the best match of each operator lies from where the template was cut out."""
        corner, found = np.array(self.corner()), []
        for scores in self.responses():
            best = np.unravel_index(int(scores.argmax()), scores.shape)
            found.append(float(np.hypot(*(best - corner))))
        return found[0], found[1]

    def _describe(self) -> str:
        return f"photograph {self.height}×{self.width}, template {self.size}×{self.size} at {self.place}"

    def _alt(self) -> str:
        product, distance = self.misses()
        return (
            f"{self.alt}, with a template of {self.size}×{self.size} pixels marked, and maps of how well it matches "
            f"each place. The best match by inner product lies {product:.0f} pixels from where the template was cut, "
            f"by L1 distance {distance:.0f} pixels."
        )

    def _picture(self) -> bytes:
        from matplotlib.patches import Rectangle

        pixels = self._pixels().numpy()
        row, column = self.corner()
        axes = panels(1, 3, (9.6, 2.5))
        plots.image(np.clip(pixels + self.light, 0, 1), axes[0], "the template's place")
        marks = [(row, column)]
        for ax, scores, name in zip(axes[1:], self.responses(), ("inner product", "−L1 distance"), strict=True):
            ax.imshow(scores.numpy(), cmap="gray")
            ax.set(title=f"{name}: its best match", xticks=[], yticks=[])
            marks.append(divmod(int(scores.argmax()), scores.shape[1]))
        for ax, (top, left), shift in zip(axes, marks, (0, self.size // 2, self.size // 2), strict=True):
            ax.add_patch(Rectangle((left - shift, top - shift), self.size, self.size, fill=False, ec="#D55E00", lw=2.5))
        return plots.save(axes[0])
