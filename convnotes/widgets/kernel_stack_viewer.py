"""Stack 3×3 kernels, see what they reach, what kernel they compose and what the one large kernel would cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import Widget, panels

BOX = [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
MOST = 5


class KernelStackViewer(Widget):
    """One to five 3×3 kernels in a row, without ReLU: their reach, their composition, and their count of weights.

    `kernels` holds a 3×3 list of numbers for each layer, the first layer first; `channels` is the width of every map,
    which the counts are for (the kernels shown are of one channel); `edited` is the layer whose kernel the controls
    change, 0 for all of them. Raises `TypeError` or `ValueError` for what is no stack of kernels.
    """

    module = "kernel_stack_viewer"

    kernels: traitlets.List[list[list[float]]] = traitlets.List().tag(sync=True)
    channels = traitlets.Int(64, min=1, max=512).tag(sync=True)
    edited = traitlets.Int(0, min=0, max=MOST).tag(sync=True)

    def __init__(self, kernels: Any = None, **state: Any) -> None:
        start = [BOX] * 3 if kernels is None else kernels
        super().__init__(kernels=start.tolist() if isinstance(start, (torch.Tensor, np.ndarray)) else start, **state)

    @traitlets.validate("kernels")
    def _check_kernels(self, proposal: Any) -> list[list[list[float]]]:
        return checks.numbers("kernels", proposal["value"], (range(1, MOST + 1), 3, 3)).tolist()

    def composed(self) -> torch.Tensor:
        """The one kernel `[2n+1, 2n+1]` that the n kernels make together, float64."""
        whole = torch.ones(1, 1, 1, 1, dtype=torch.float64)
        for kernel in torch.tensor(self.kernels, dtype=torch.float64):
            whole = torch.nn.functional.conv2d(whole, kernel.flip(0, 1)[None, None], padding=2)  # a full convolution
        return whole[0, 0]

    def parameters(self) -> tuple[int, int]:
        """Weights of the stack and of the one large kernel, on `channels` channels, without biases."""
        n, pairs = len(self.kernels), self.channels**2
        return 9 * n * pairs, (2 * n + 1) ** 2 * pairs

    def _describe(self) -> str:
        return f"{len(self.kernels)} kernels of 3×3, {self.channels} channels"

    def _alt(self) -> str:
        n, (small, large) = len(self.kernels), self.parameters()
        reach = f"{2 * n + 1}×{2 * n + 1}"
        return (
            f"{n} layers of 3×3 kernels, the part of each map that one output sees, and the {reach} kernel that they "
            f"compose. The stack has {small:,} weights, one kernel of {reach} has {large:,}. "
            "In the page and in Jupyter the kernels can be changed."
        )

    def _picture(self) -> bytes:
        whole, n = self.composed(), len(self.kernels)
        size = (1.5 * n + 0.55 * len(whole) + 0.6, 0.55 * len(whole) + 0.6)
        axes = panels(1, n + 1, size, width_ratios=[3] * n + [len(whole)])
        for number, kernel in enumerate(self.kernels):
            plots.kernel(kernel, axes[number], f"layer {number + 1}")
        plots.kernel(whole, axes[n], f"composed, {len(whole)}×{len(whole)}")
        return plots.save(axes[n])
