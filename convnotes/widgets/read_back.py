"""Send a photograph through random bottlenecks, with the shortcut or without, and read its colours back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import traitlets
from torch import Tensor, nn

from convnotes import checks, plots
from convnotes.compression.residual import Bottleneck
from convnotes.widgets.base import PhotoWidget, checking, panels


class ReadBack(PhotoWidget):
    """A photograph, a stack of bottlenecks with the weights given, and what can be read back after each of them.

    The best 1×1 kernel with a bias, by least squares, reads red, green and blue from the channels. All norms take the
    statistics of this image, with weight 1 and bias 0, as at the start of a training. Without the shortcut a block
    gives ReLU(F(x)) instead of ReLU(x + F(x)).

    Args:
        image: a photograph `[3, H, W]` with values in [0, 1].
        stem: the `nn.Conv2d` of 3×3 taps with padding 1 before the blocks; a norm and a ReLU follow it.
        blocks: at least one `Bottleneck`, all of the same numbers of channels, without stride, groups and dilation.
        alt: what the photograph shows, for readers who do not see it.
        **state: `depth`, the number of blocks that the image passes, from 0; `shortcut`, whether they add their input.

    Raises:
        ValueError, TypeError: for anything else than a photograph, such a stem and such blocks.

    Example:
        >>> from convnotes import Bottleneck
        >>> from convnotes.widgets import ReadBack
        >>> blocks = [Bottleneck(8, 2), Bottleneck(8, 2)]
        >>> widget = ReadBack(torch.rand(3, 8, 8), nn.Conv2d(3, 8, 3, padding=1), blocks, depth=2)
        >>> colours, share = widget.read()
        >>> tuple(colours.shape), share == widget.shares()[2]
        ((3, 8, 8), True)
    """

    module = "read_back"
    by_hand = "the number of blocks and the shortcut can be changed"
    precision = torch.float64

    weights = traitlets.Bytes().tag(sync=True)
    channels = traitlets.Int().tag(sync=True)
    middle = traitlets.Int().tag(sync=True)
    blocks = traitlets.Int().tag(sync=True)
    depth = traitlets.Int().tag(sync=True)
    shortcut = traitlets.Bool(True).tag(sync=True)

    def __init__(
        self, image: Any, stem: nn.Conv2d, blocks: Sequence[Bottleneck], alt: str = "A photograph", **state: Any
    ) -> None:
        pixels = checks.picture("image", image, (3, "H", "W"))
        checks.instance("stem", stem, nn.Conv2d, "a torch.nn.Conv2d")
        checks.some("blocks", blocks, "Bottleneck")
        for n, block in enumerate(blocks):
            checks.instance(f"blocks[{n}]", block, Bottleneck, "a Bottleneck")
        channels, middle = stem.out_channels, blocks[0].conv1.out_channels
        if stem.weight.shape[1:] != (3, 3, 3) or stem.stride != (1, 1) or stem.padding != (1, 1):
            raise ValueError(f"stem must have 3 input channels, 3×3 taps, stride 1 and padding 1, got {stem}")
        shapes = [(channels, middle, 1, 1), (middle, middle, 3, 3), (middle, channels, 1, 1)]
        for n, block in enumerate(blocks):
            found = [tuple(conv.weight.shape) for conv in (block.conv1, block.conv2, block.conv3)]
            wanted = [(middle, channels, 1, 1), shapes[1], (channels, middle, 1, 1)]
            if found != wanted or block.downsample is not None or block.dilation > 1:
                raise ValueError(
                    f"blocks[{n}] must be {channels} → {middle} → {channels} without stride, groups and dilation, "
                    f"got {block.extra_repr()}"
                )
        bias = torch.zeros(channels) if stem.bias is None else stem.bias
        each = [stem.weight, bias, *(w for b in blocks for w in (b.conv1.weight, b.conv2.weight, b.conv3.weight))]
        flat = torch.cat([w.detach().float().flatten() for w in each])
        sizes = {"channels": channels, "middle": middle, "blocks": len(blocks)}
        super().__init__(pixels, alt, weights=flat.numpy().astype("<f4").tobytes(), **sizes, **state)

    _check_depth = checking("depth")(lambda widget, name, value: checks.whole(name, value, 0, widget.blocks))

    def read(self, depth: int | None = None, shortcut: bool | None = None) -> tuple[Tensor, float]:
        """The colours `[3, H, W]` that are read back, and the share of their variance; None takes the present state.

        Colours may lie outside [0, 1].
        """
        shortcut = self.shortcut if shortcut is None else shortcut
        maps = self._maps(shortcut, self.depth if depth is None else checks.whole("depth", depth, 0, self.blocks))
        return self._read(maps[-1])

    def shares(self, shortcut: bool = True) -> list[float]:
        """The share of the variance of the colours that is read back after 0, 1, 2, … blocks."""
        return [self._read(x)[1] for x in self._maps(shortcut, self.blocks)]

    def _read(self, x: Tensor) -> tuple[Tensor, float]:
        colours = self._pixels().flatten(1).T  # [H·W, 3]
        known = nn.functional.pad(x[0].flatten(1).T, (0, 1), value=1.0)  # and the bias
        found = known @ torch.linalg.lstsq(known, colours, driver="gelsd").solution
        share = 1 - (colours - found).square().sum() / (colours - colours.mean(0)).square().sum()
        return found.T.view(3, self.height, self.width), share.item()

    def _maps(self, shortcut: bool, depth: int) -> list[Tensor]:
        """The channels `[1, C, H, W]` after 0 to `depth` blocks."""
        C, m = self.channels, self.middle
        numbers = torch.frombuffer(bytearray(self.weights), dtype=torch.float32).to(self.precision)
        stem, rest = numbers.split([28 * C, len(numbers) - 28 * C])
        x = nn.functional.conv2d(self._pixels()[None], stem[: 27 * C].view(C, 3, 3, 3), stem[27 * C :], padding=1)
        maps = [torch.relu(_normalised(x))]
        for weights in rest.view(self.blocks, -1)[:depth]:
            first, second, third = weights.split([C * m, 9 * m * m, C * m])
            y = torch.relu(_normalised(nn.functional.conv2d(maps[-1], first.view(m, C, 1, 1))))
            y = torch.relu(_normalised(nn.functional.conv2d(y, second.view(m, m, 3, 3), padding=1)))
            y = _normalised(nn.functional.conv2d(y, third.view(C, m, 1, 1)))
            maps.append(torch.relu(y + maps[-1] if shortcut else y))
        return maps

    def _state(self) -> str:
        return f"{self.depth} of {self.blocks} blocks {'with' if self.shortcut else 'without'} the shortcut"

    def _describe(self) -> str:
        return f"image {self.height}×{self.width}, {self._state()}"

    def _alt(self) -> str:
        return f"{self.alt}, read back from {self.channels} channels after {self._state()}: {self.read()[1]:.0%} of it."

    def _picture(self) -> bytes:
        axes = panels(1, 3, (8.6, 2.3))
        colours, share = self.read()
        plots.image(self._pixels(), axes[0], "input")
        plots.image(colours.clamp(0, 1), axes[1], f"read back: {share:.0%}")
        with plots.style():
            for shortcut, colour, line in ((True, "accent", "D-"), (False, "grey", "o--")):
                label = f"{'with' if shortcut else 'without'} shortcut"
                axes[2].plot(self.shares(shortcut), line, color=plots.INK["light"][colour], ms=4, label=label)
            axes[2].set(xlabel="blocks", ylabel="share read back", ylim=(0, 1.7), yticks=[0, 0.5, 1])
            axes[2].legend(loc="upper right")
        return plots.save(axes[0])


def _normalised(x: Tensor) -> Tensor:
    return nn.functional.batch_norm(x, None, None, training=True)
