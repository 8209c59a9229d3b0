"""An inception block as its branches: what their 1×1 kernels keep, and what the kernels weigh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking

BLOCK_3A = (64, 96, 128, 16, 32, 32)
NARROWED = ("3×3", "5×5", "pooling")  # the branches with a 1×1 kernel that narrows

Kernel = tuple[int, int, int]


class BranchDiagram(Widget):
    """An inception block: pipes as wide as their channels are many, kernels as areas of their weights.

    The branches have the kernels 1×1; 1×1 and 3×3; 1×1 and 5×5; pooling and 1×1. Their outputs are concatenated.
    Without the 1×1 kernels the large ones read all input channels, and pooling gives as many as it reads. Biases and
    norms are not counted.

    Args:
        in_channels: channels of the input, at most 1024.
        widths: six numbers as the paper's table and `convnotes.Inception` have them: ch1x1, ch3x3red, ch3x3, ch5x5red,
            ch5x5, pool_proj. The default is block 3a of GoogLeNet.
        side: height and width of the maps, at most 256.
        **state: `kept`, the channels that the 1×1 kernels of the 3×3, the 5×5 and the pooling branch give, at most
            `in_channels` each; `narrowed`, whether there are these kernels; `branch`, the one that is written out,
            "3×3", "5×5" or "pooling"; `true_5x5`, False for a 3×3 kernel instead of the 5×5, as in torchvision.

    Raises:
        ValueError, TypeError: for numbers out of range, and for another branch.

    Example:
        >>> from convnotes.widgets import BranchDiagram
        >>> BranchDiagram().weights()
        {'1×1': 12288, '3×3': 129024, '5×5': 15872, 'pooling': 6144}
        >>> BranchDiagram(narrowed=False).weights()
        {'1×1': 12288, '3×3': 221184, '5×5': 153600, 'pooling': 0}
    """

    module = "branch_diagram"
    by_hand = "the channels that each 1×1 kernel keeps can be changed"

    in_channels = traitlets.Int().tag(sync=True)
    outputs: traitlets.List[int] = traitlets.List().tag(sync=True)  # of the 1×1, the 3×3 and the 5×5 branch
    side = traitlets.Int().tag(sync=True)
    kept: traitlets.List[int] = traitlets.List().tag(sync=True)
    narrowed = traitlets.Bool(True).tag(sync=True)
    branch = traitlets.Unicode("3×3").tag(sync=True)
    true_5x5 = traitlets.Bool(True).tag(sync=True)

    def __init__(self, in_channels: int = 192, widths: Sequence[int] = BLOCK_3A, side: int = 28, **state: Any) -> None:
        checks.whole("in_channels", in_channels, most=1024)
        checks.whole("side", side, most=256)
        f1, r3, f3, r5, f5, p = checks.wholes("widths", list(widths), 6, most=1024)
        start = {"kept": [r3, r5, p]} | state
        super().__init__(in_channels=in_channels, outputs=[f1, f3, f5], side=side, **start)

    @checking("kept")
    def _check_kept(self, name: str, value: Any) -> list[int]:
        return list(checks.wholes(name, list(value), len(NARROWED), most=self.in_channels))

    _check_branch = checking("branch")(lambda _, name, value: checks.one_of(name, value, NARROWED))

    def weights(self) -> dict[str, int]:
        """The weights of each branch, by its name."""
        return {
            name: sum(size**2 * inputs * outputs for size, inputs, outputs in kernels)
            for name, kernels in self._kernels().items()
        }

    def macs(self) -> int:
        """Multiply-adds of the block."""
        return sum(self.weights().values()) * self.side**2

    def values(self) -> int:
        """How many values kernels and pooling write at each position."""
        return self.in_channels + sum(outputs for row in self._kernels().values() for _, _, outputs in row)

    def out_channels(self) -> int:
        """Channels of the output."""
        return sum(self.outputs) + (self.kept[2] if self.narrowed else self.in_channels)

    def _kernels(self) -> dict[str, list[Kernel]]:
        """Size, input and output channels of the kernels of each branch."""
        C, (f1, f3, f5), (r3, r5, p) = self.in_channels, self.outputs, self.kept
        large = 5 if self.true_5x5 else 3

        def behind(r: int, size: int, outputs: int) -> list[Kernel]:
            return [(1, C, r), (size, r, outputs)] if self.narrowed else [(size, C, outputs)]

        return {
            "1×1": [(1, C, f1)],
            "3×3": behind(r3, 3, f3),
            "5×5": behind(r5, large, f5),
            "pooling": [(1, C, p)] if self.narrowed else [],
        }

    def _describe(self) -> str:
        r3, r5, p = self.kept
        narrowed = f"narrowed to {r3}, {r5} and {p}" if self.narrowed else "without 1×1 kernels"
        return f"{self.in_channels} → {self.out_channels()} channels, {narrowed}"

    def _alt(self) -> str:
        counted = ", ".join(f"{name} {count:,}" for name, count in self.weights().items())
        return f"Weights of the four branches of an inception block: {counted}."

    def _picture(self) -> bytes:
        title = f"an inception block, {self.in_channels} → {self.out_channels()} channels"
        ax = plots.bars(self.weights(), title=title, label="weights", highlight=[self.branch])
        ax.locator_params(axis="x", nbins=4)
        return plots.save(ax)
