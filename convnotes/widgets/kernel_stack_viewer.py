"""Stack 3×3 kernels: what one output sees, what kernel they compose, and what one large kernel would cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking, panels

BOX = [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
MOST = 5
_LIMITS = {"in_channels": (1, 512), "out_channels": (1, 512), "edited": (0, MOST)}


class KernelStackViewer(Widget):
    """One to five 3×3 kernels in a row, without ReLU: what they see, the kernel that they compose, and their weights.

    Args:
        kernels: `[n, 3, 3]`, the first layer first; None: three kernels of ones.
        **state: `in_channels` and `out_channels`, each from 1 to 512, which the counts of weights are for (the kernels
            shown have one channel); `edited`, the layer whose kernel the controls change, 0 for all of them.

    Raises:
        ValueError: for anything else than a stack of kernels, and for numbers out of range.
        TypeError: for channels and `edited` that are not ints.

    Example:
        >>> from convnotes.widgets import KernelStackViewer
        >>> widget = KernelStackViewer(torch.ones(2, 3, 3), in_channels=1, out_channels=1)
        >>> widget.parameters(), widget.composed()[2, 2]
        ((18, 25), tensor(9., dtype=torch.float64))
    """

    module = "kernel_stack_viewer"
    by_hand = "the kernels can be changed"

    kernels: traitlets.List[list[list[float]]] = traitlets.List().tag(sync=True)
    in_channels = traitlets.Int(64).tag(sync=True)
    out_channels = traitlets.Int(64).tag(sync=True)
    edited = traitlets.Int(0).tag(sync=True)

    def __init__(self, kernels: Any = None, **state: Any) -> None:
        start = [BOX] * 3 if kernels is None else kernels
        super().__init__(kernels=start.tolist() if isinstance(start, (torch.Tensor, np.ndarray)) else start, **state)

    @checking("kernels")
    def _check_kernels(self, name: str, value: Any) -> list[list[list[float]]]:
        return checks.numbers(name, value, (range(1, MOST + 1), 3, 3)).tolist()

    _check_number = checking(*_LIMITS)(lambda _, name, value: checks.whole(name, value, *_LIMITS[name]))

    def composed(self) -> torch.Tensor:
        """The one kernel `[2n+1, 2n+1]` that the n kernels make together, float64."""
        whole = torch.ones(1, 1, 1, 1, dtype=torch.float64)
        for kernel in torch.tensor(self.kernels, dtype=torch.float64):
            whole = torch.nn.functional.conv2d(whole, kernel.flip(0, 1)[None, None], padding=2)  # a full convolution
        return whole[0, 0]

    def parameters(self) -> tuple[int, int]:
        """Weights of the stack and of the one large kernel, without biases."""
        n, before, after = len(self.kernels), self.in_channels, self.out_channels
        return 9 * after * (before + (n - 1) * after), (2 * n + 1) ** 2 * before * after

    def _describe(self) -> str:
        return f"{len(self.kernels)} kernels of 3×3, {self.in_channels} to {self.out_channels} channels"

    def _alt(self) -> str:
        n, (small, large) = len(self.kernels), self.parameters()
        size = f"{2 * n + 1}×{2 * n + 1}"
        return (
            f"{n} layers of 3×3 kernels, the part of each map that one output sees, and the {size} kernel that they "
            f"compose. The stack has {small:,} weights, one kernel of {size} has {large:,}."
        )

    def _picture(self) -> bytes:
        whole, n = self.composed(), len(self.kernels)
        size = (1.5 * n + 0.55 * len(whole) + 0.6, 0.55 * len(whole) + 0.6)
        axes = panels(1, n + 1, size, width_ratios=[3] * n + [len(whole)])
        for number, kernel in enumerate(self.kernels):
            plots.kernel(kernel, axes[number], f"layer {number + 1}")
        plots.kernel(whole, axes[n], f"composed, {len(whole)}×{len(whole)}")
        return plots.save(axes[n])
