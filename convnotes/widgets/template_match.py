"""Take a template out of a photograph and look for it, by inner product and by L1 distance, under another light."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, panels


class TemplateMatch(PhotoWidget):
    """A grey photograph `[H, W]` with values in [0, 1], and a template of `size`×`size` pixels cut out around `place`.

    Both operators look for the template in the photograph plus `light`: the convolution by the inner product, the adder
    by the negative L1 distance. With `centred` the convolution's template loses its mean. `size` is odd, 5 to 15,
    `light` lies in [−0.4, 0.4]. Raises `TypeError` or `ValueError` for what is none of this.
    """

    module = "template_match"
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

    @traitlets.validate("size")
    def _check_size(self, proposal: Any) -> int:
        return checks.whole("size", proposal["value"], 5, 15, odd=True)

    @traitlets.validate("light")
    def _check_light(self, proposal: Any) -> float:
        return checks.number("light", proposal["value"], "[-0.4, 0.4]")

    def corner(self) -> tuple[int, int]:
        """The template's first row and column; a place too near to the border is moved inside."""
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
        """How many pixels the best match of each lies from where the template was taken."""
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
            f"by L1 distance {distance:.0f} pixels. In the page and in Jupyter template and light can be changed."
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
