"""Linear branches of one channel, each with its norm, and the one 3×3 kernel that gives the same map."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
import traitlets
from torch import nn

from convnotes import checks, plots
from convnotes.beyond.fusing import Branches, fuse
from convnotes.widgets.base import PhotoWidget, checking, panels

BRANCHES = {  # kind → its kernel; "1x1-kxk" has a 1×1 kernel, `FIRST`, before it
    "kxk": [[-1.0, -1.0, 0.0], [-1.0, 0.5, 1.0], [0.0, 1.0, 1.0]],
    "1x1": [[0.8]],
    "identity": [[1.0]],
    "1xk": [[-1.0, 2.0, -1.0]],
    "kx1": [[-1.0], [0.0], [1.0]],
    "1x1-kxk": [[0.0, 0.2, 0.0], [0.2, 0.2, 0.2], [0.0, 0.2, 0.0]],
    "avg": [[1 / 9] * 3] * 3,
}
FIRST = 0.5  # the weight of the 1×1 kernel of "1x1-kxk"
PADDINGS = ("zero", "bias")
_LIGHTNESS = torch.tensor([0.299, 0.587, 0.114])
_SCALE, _SHIFT = 2, 1  # the most that a norm multiplies by, and that it or a bias adds
_STEPS = 3  # norms are folded, zeros are put around, kernels are added


class BranchFuser(PhotoWidget):
    """Branches that read the same photograph, their sum, and the kernel into which they melt.

    A branch is a kernel without a bias and a batch norm in eval mode, which multiplies by a scale and adds a shift. The
    photograph is its lightness, so that each kernel is one grid of taps.

    Args:
        image: a photograph `[3, H, W]` with values in [0, 1].
        alt: what the photograph shows, for readers who do not see it.
        **state: `on`, the kinds of branches that are switched on, one at least: "kxk" (3×3), "1x1", "identity",
            "1xk", "kx1", "1x1-kxk" (a 1×1 kernel with a bias, then a 3×3 kernel) and "avg" (the mean of 3×3 pixels);
            `scales` and `shifts` of the seven norms in that order, in [-2, 2] and [-1, 1]; `bias` of the 1×1 kernel
            before the 3×3, in [-1, 1], and `padding`, what surrounds its map: "zero", or "bias", with which the series
            is one convolution; `melt`, from 0, the branches as they are, over 1, norms folded, and 2, zeros around
            small kernels, to 3, all kernels added; `branch`, the kind whose norm is changed.

    Raises:
        ValueError, TypeError: for anything else than a photograph and such a state.

    Example:
        >>> from convnotes.widgets import BranchFuser
        >>> widget = BranchFuser(torch.rand(3, 8, 8), on=["1x1", "identity"], scales=[1.0] * 7, shifts=[0.0] * 7)
        >>> widget.kernel()
        tensor([[1.8000]], dtype=torch.float64)
        >>> widget.difference() < 1e-12
        True
    """

    module = "branch_fuser"
    by_hand = "branches can be switched on and off and their norms changed, and a slider melts them into one kernel"
    precision = torch.float64

    kernels = traitlets.Dict(BRANCHES).tag(sync=True)
    first = traitlets.Float(FIRST).tag(sync=True)
    on: traitlets.List[str] = traitlets.List(["kxk", "1x1", "identity"]).tag(sync=True)
    scales: traitlets.List[float] = traitlets.List([0.4, 1.0, 0.8, 0.4, 0.4, 1.0, 1.0]).tag(sync=True)
    shifts: traitlets.List[float] = traitlets.List([0.1, -0.4, -0.4, 0.0, 0.0, -0.4, -0.5]).tag(sync=True)
    bias = traitlets.Float(0.5).tag(sync=True)
    padding = traitlets.Unicode("bias").tag(sync=True)
    melt = traitlets.Float(0.0).tag(sync=True)
    branch = traitlets.Unicode("kxk").tag(sync=True)

    def __init__(self, image: Any, alt: str = "A photograph", **state: Any) -> None:
        colours = checks.picture("image", image, (3, "H", "W"))
        height, width = colours.shape[1:]
        grey = (_LIGHTNESS @ torch.from_numpy(colours).view(3, -1).float()).round().to(torch.uint8)
        super().__init__(grey.view(height, width).numpy(), alt, **state)

    @checking("on")
    def _check_on(self, name: str, kinds: Any) -> list[str]:
        checks.some(name, kinds, "branch")
        for kind in kinds:
            checks.one_of(name, kind, BRANCHES)
        if len({*kinds}) < len(kinds):
            raise ValueError(f"{name} must name each branch once, got {kinds!r}")
        return list(kinds)

    @checking("scales", "shifts")
    def _check_norms(self, name: str, values: Any) -> list[float]:
        found, most = checks.numbers(name, values, (len(BRANCHES),)), _SCALE if name == "scales" else _SHIFT
        if np.abs(found).max() > most:
            raise ValueError(f"{name} must lie in [−{most}, {most}], got {values!r}")
        return [float(value) for value in found]

    @checking("branch", "padding")
    def _check_name(self, name: str, value: Any) -> str:
        return checks.one_of(name, value, BRANCHES if name == "branch" else PADDINGS)

    @checking("bias", "melt")
    def _check_number(self, name: str, value: Any) -> float:
        return checks.number(name, value, f"[-{_SHIFT}, {_SHIFT}]" if name == "bias" else f"[0, {_STEPS}]")

    def branches(self, padding: str | None = None) -> Branches:
        """The branches that are on, as modules in eval mode; `padding` instead of the widget's own."""
        around = (padding or self.padding) == "bias"
        made = OrderedDict[str, nn.Module]()
        for kind, taps, scale, shift in zip(BRANCHES, BRANCHES.values(), self.scales, self.shifts, strict=True):
            if kind in self.on:
                norm = nn.BatchNorm2d(1, eps=0).double()
                _put(norm, scale, shift)
                made[kind] = nn.Sequential(*self._before(kind, taps, around), norm)
        return Branches(**made).eval()

    def _before(self, kind: str, rows: list[list[float]], around: bool) -> list[nn.Module]:
        """What a branch computes before its norm."""
        if kind == "avg":
            return [nn.AvgPool2d(3, 1, 1)]
        half = (len(rows) // 2, len(rows[0]) // 2)
        last = nn.Conv2d(1, 1, (len(rows), len(rows[0])), padding=half, bias=False).double()
        _put(last, rows)
        if kind != "1x1-kxk":
            return [last]
        point = nn.Conv2d(1, 1, 1, padding=1 if around else 0).double()
        last.padding = (0, 0) if around else half
        _put(point, self.first, self.bias)
        return [point, last]

    def fused(self) -> nn.Conv2d:
        """The one convolution, as `convnotes.fuse` makes it of the branches that pad with the bias."""
        return fuse(self.branches("bias"))

    def kernel(self) -> torch.Tensor:
        """The taps of that convolution, `[KH, KW]`."""
        return self.fused().weight.detach()[0, 0]

    def outputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What the branches give together and what the one convolution gives, `[H, W]` each."""
        x = self._pixels()[None, None]
        with torch.no_grad():
            return self.branches()(x)[0, 0], self.fused()(x)[0, 0]

    def difference(self) -> float:
        """The largest difference between the two."""
        many, one = self.outputs()
        return (many - one).abs().max().item()

    def _describe(self) -> str:
        return f"{len(self.on)} of {len(BRANCHES)} branches, image {self.height}×{self.width}"

    def _alt(self) -> str:
        rows, columns = self.kernel().shape
        equal = "is the same" if self.difference() < 1e-9 else "is another"
        return (
            f"{self.alt} in grey. The branches {', '.join(self.on)} are added; the map of one {rows}×{columns} kernel "
            f"{equal}."
        )

    def _picture(self) -> bytes:
        axes = panels(1, 4, (8.6, 2.4))
        many, one = self.outputs()
        plots.image(self._pixels(), axes[0], "input")
        plots.kernel(self.kernel().round(decimals=2), axes[1], "one kernel")
        plots.signed(many, axes[2], "sum of the branches")
        plots.signed(many - one, axes[3], "difference")
        return plots.save(axes[0])


def _put(module: nn.Module, weight: Any, bias: float | None = None) -> None:
    """Numbers for a layer of one channel."""
    with torch.no_grad():
        for name, value in (("weight", weight), ("bias", bias)):
            if value is not None:
                parameter = module.get_parameter(name)
                parameter.copy_(torch.tensor(value, dtype=parameter.dtype).view_as(parameter))
