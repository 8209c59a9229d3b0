"""Mix the channels of a photograph by a 1×1 kernel that is edited by hand."""

from __future__ import annotations

from typing import Any

import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, checking, panels

# Lightness, red against green, yellow against blue; the bias puts the zero of the last two in the middle of the scale.
OPPONENT = ([[0.3, 0.6, 0.1], [0.5, -0.5, 0], [0.25, 0.25, -0.5]], [0, 0.5, 0.5])


class ChannelMixer(PhotoWidget):
    """A photograph, a 1×1 kernel from its 3 channels to 1 to 4, and its output.

    Args:
        image: a photograph `[3, H, W]` with values in [0, 1].
        alt: what the photograph shows, for readers who do not see it.
        **state: `weight`, three numbers for each output; `bias`, one number for each output; `scramble`, whether the
            pixels are permuted; `probe`, the marked pixel (row, column) of the photograph, wherever it is shown; `row`,
            from 0 to 3, the row of the kernel whose output is shown large.

    Raises:
        ValueError: for anything else than a photograph, and for numbers that do not fit.

    Example:
        >>> from convnotes.widgets import ChannelMixer
        >>> ChannelMixer(torch.ones(3, 8, 8), weight=[[1, 2, 3]], bias=[0.5]).output().max()
        tensor(6.5000)
    """

    module = "channel_mixer"
    by_hand = "every weight can be changed"

    weight: traitlets.List[list[float]] = traitlets.List().tag(sync=True)
    bias: traitlets.List[float] = traitlets.List().tag(sync=True)
    scramble = traitlets.Bool(False).tag(sync=True)
    probe: traitlets.List[int] = traitlets.List().tag(sync=True)
    row = traitlets.Int(0).tag(sync=True)

    def __init__(self, image: Any, alt: str = "A photograph", **state: Any) -> None:
        pixels = checks.picture("image", image, (3, "H", "W"))
        height, width = pixels.shape[1:]
        start = {"weight": OPPONENT[0], "bias": OPPONENT[1], "probe": [height // 2, width // 2]} | state
        super().__init__(pixels, alt, **start)

    _check_weight = checking("weight")(lambda _, name, value: checks.numbers(name, value, (range(1, 5), 3)).tolist())

    _check_bias = checking("bias")(lambda _, name, value: checks.numbers(name, value, (range(1, 5),)).tolist())

    _check_row = checking("row")(lambda _, name, value: checks.whole(name, value, 0, 3))

    def output(self) -> torch.Tensor:
        """What the kernel makes of the photograph: `[C_out, H, W]`, not scrambled."""
        weight, bias = torch.tensor(self.weight), torch.tensor(self.bias)
        return torch.nn.functional.conv2d(self._pixels()[None], weight[:, :, None, None], bias)[0]

    def _describe(self) -> str:
        return f"image 3×{self.height}×{self.width}, kernel {len(self.weight)}×3"

    def _alt(self) -> str:
        return f"{self.alt}, beside the {len(self.weight)} channels that a 1×1 kernel makes of its red, green and blue."

    def _picture(self) -> bytes:
        maps = self.output().clamp(0, 1)
        axes = panels(1, 1 + len(maps), (1.5 * (1 + len(maps)), 1.4))
        plots.image(self._pixels(), axes[0], "input")
        for number, (ax, channel) in enumerate(zip(axes[1:], maps, strict=True), 1):
            plots.image(channel, ax, f"output {number}")
        return plots.save(axes[0])
