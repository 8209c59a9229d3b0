"""What bounds the time of a layer, its multiply-adds or its bytes: operators of equal channels under one roofline."""

from __future__ import annotations

from typing import Any, NamedTuple

import traitlets
from torch import nn

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking, panels

NAMES = {
    "full": "full",
    "ghost": "ghost",
    "depthwise": "depthwise",
    "partial": "partial",
    "pointwise": "1×1",
    "separable": "depthwise, 1×1",
    "mixed": "partial, 1×1",
}
MACHINES = {"laptop CPU": (100.0, 40.0), "GPU": (10_000.0, 1_000.0)}  # rough: 10⁹ multiply-adds and bytes per second
BYTES = 4  # of a number, in float32
_LIMITS = {"channels": (8, 512), "size": (4, 112), "kernel": (1, 11), "batch": (1, 64)}
_SPEEDS = {"peak": "[10, 1000000]", "bandwidth": "[1, 10000]"}


class Bound(NamedTuple):
    """What one call takes at least: `decides` is "operations", "bytes", or "both" where its steps differ."""

    operations: int
    bytes: int
    seconds: float
    decides: str


class Roofline(Widget):
    """The least time that seven operators take on a machine, under the roof that the machine sets to all of them.

    A step of an operator is one convolution. It takes at least as long as its multiply-adds at the machine's peak, and
    at least as long as its bytes at the machine's bandwidth: those of its input and weights read once and of its output
    written once, in float32. An operator takes the sum of its steps. A ghost layer has the steps of `GhostConv2d` with
    a ratio of 2 and cheap kernels of 3×3, a partial one that of `PartialConv2d` with a quarter of the channels, each
    without norms and copies. Williams et al. 2009.

    Args:
        **state: `channels`, of input and output, 8 to 512 in steps of 8; `size`, pixels per side, 4 to 112 in steps of
            4; `kernel`, taps per side, odd, 1 to 11; `batch`, images, 1 to 64; `peak`, 10⁹ multiply-adds per second, 10
            to 1,000,000; `bandwidth`, 10⁹ bytes per second, 1 to 10,000; `operator`, the chosen one, "full", "ghost",
            "depthwise", "partial", "pointwise", "separable" or "mixed" (partial, then 1×1).

    Raises:
        ValueError, TypeError: for anything else.

    Example:
        >>> from convnotes.widgets import Roofline
        >>> bound = Roofline(channels=64, size=56, kernel=3).bounds()["depthwise"]
        >>> bound.operations, bound.bytes, bound.decides
        (1806336, 1607936, 'bytes')
    """

    module = "roofline"
    by_hand = "channels, map, kernel, batch and machine can be changed"

    channels = traitlets.Int(64).tag(sync=True)
    size = traitlets.Int(56).tag(sync=True)
    kernel = traitlets.Int(3).tag(sync=True)
    batch = traitlets.Int(1).tag(sync=True)
    peak = traitlets.Float(MACHINES["laptop CPU"][0]).tag(sync=True)
    bandwidth = traitlets.Float(MACHINES["laptop CPU"][1]).tag(sync=True)
    operator = traitlets.Unicode("depthwise").tag(sync=True)

    @checking(*_LIMITS)
    def _check_number(self, name: str, value: Any) -> int:
        number = checks.whole(name, value, *_LIMITS[name], odd=name == "kernel")
        step = {"channels": 8, "size": 4}.get(name, 1)
        if number % step:
            raise ValueError(f"{name} must be a multiple of {step}, got {value}")
        return number

    _check_speed = checking(*_SPEEDS)(lambda _, name, value: checks.number(name, value, _SPEEDS[name]))

    _check_operator = checking("operator")(lambda _, name, value: checks.one_of(name, value, NAMES))

    def steps(self) -> dict[str, list[nn.Conv2d]]:
        """The convolutions of each operator, on the meta device."""
        C, k = self.channels, self.kernel

        def conv(before: int, after: int, size: int, groups: int = 1) -> nn.Conv2d:
            return nn.Conv2d(before, after, size, padding=size // 2, groups=groups, bias=False, device="meta")

        part, own, mix = conv(C // 4, C // 4, k), conv(C, C, k, C), conv(C, C, 1)
        return {
            "full": [conv(C, C, k)],
            "ghost": [conv(C, C // 2, k), conv(C // 2, C // 2, 3, C // 2)],
            "depthwise": [own],
            "partial": [part],
            "pointwise": [mix],
            "separable": [own, mix],
            "mixed": [part, mix],
        }

    def bounds(self) -> dict[str, Bound]:
        """What each operator takes at least."""
        return {name: self._bound(steps) for name, steps in self.steps().items()}

    def _bound(self, steps: list[nn.Conv2d]) -> Bound:
        macs, moved, seconds, sides = 0, 0, 0.0, set()
        pixels = self.batch * self.size**2
        for conv in steps:
            weights = conv.weight.numel()
            operations = pixels * weights
            numbers = pixels * (conv.in_channels + conv.out_channels) + weights
            times = operations / (1e9 * self.peak), BYTES * numbers / (1e9 * self.bandwidth)
            sides.add("operations" if times[0] >= times[1] else "bytes")
            macs, moved, seconds = macs + operations, moved + BYTES * numbers, seconds + max(times)
        return Bound(macs, moved, seconds, "both" if len(sides) > 1 else sides.pop())

    def _describe(self) -> str:
        layer = f"{self.channels} channels, {self.size}×{self.size} pixels, kernel {self.kernel}×{self.kernel}"
        machine = f"{self.peak:,g} G multiply-adds/s, {self.bandwidth:,g} GB/s"
        return f"{layer}, batch {self.batch}; {machine}"

    def _alt(self) -> str:
        parts = [
            f"{NAMES[name]} {bound.operations / bound.bytes:.1f} multiply-adds per byte, at least "
            f"{1e6 * bound.seconds:.1f} µs, decided by {bound.decides}"
            for name, bound in self.bounds().items()
        ]
        return "; ".join(parts) + "."

    def _picture(self) -> bytes:
        ridge, ink = self.peak / self.bandwidth, plots.INK["light"]
        colours = {"operations": "kernel", "bytes": "input", "both": "grey"}
        with plots.style():
            ax = panels(1, 1, (6.2, 3.6))
            ax.loglog([0.1, ridge], [0.1 * self.bandwidth, self.peak], color=ink["input"], lw=2)
            ax.loglog([ridge, 10_000], [self.peak] * 2, color=ink["kernel"], lw=2)
            for name, bound in self.bounds().items():
                at = bound.operations / bound.bytes, bound.operations / bound.seconds / 1e9
                ax.plot(*at, "o", color=plots.PALETTE[colours[bound.decides]], mec=ink[colours[bound.decides]], ms=8)
                ax.annotate(NAMES[name], at, (4, -14), textcoords="offset points", fontsize=10)
            ax.set(xlabel="multiply-adds per byte", ylabel="10⁹ multiply-adds per second")
        return plots.save(ax)
