"""What the layers and networks of the package have in common: their base classes."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from convnotes import checks
from convnotes.geometry import Factory, IntOrPair, Padding, checked_padding, pair, resolve_padding

_UNNAMED = ("in_channels", "out_channels", "channels")  # `extra_repr` gives their values only, as torch does


def reset_all(module: nn.Module) -> None:
    """Call `reset_parameters` of everything inside `module` that has one, in the order in which the parts were made.

    A part with a `reset_parameters` of its own is called once; its own parts are left to it.
    """
    for child in module.children():
        reset = getattr(child, "reset_parameters", None)
        if callable(reset):
            reset()
        else:
            reset_all(child)


def draw_as_conv(weight: Tensor, bias: Tensor | None) -> None:
    """Draw a weight `[O, …]` and a bias `[O]` as `torch.nn.Conv2d` does."""
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(weight[0].numel())
        nn.init.uniform_(bias, -bound, bound)


class Composite(nn.Module):
    """A module whose parts draw their own weights."""

    _shown: tuple[str, ...] = ()

    def __init_subclass__(cls, shown: str = "", **options: Any) -> None:
        """`class Layer(Composite, shown="stride order")`: the attributes that `extra_repr` lists."""
        super().__init_subclass__(**options)
        cls._shown = tuple(shown.split()) or cls._shown

    def reset_parameters(self) -> None:
        """Draw all weights again: each part by its own rule, then what this module does differently."""
        reset_all(self)
        self._start()

    def _start(self) -> None:
        """Set what this module draws differently from its parts."""

    def extra_repr(self) -> str:
        values = ((name, getattr(self, name)) for name in self._shown)
        return ", ".join(repr(value) if name in _UNNAMED else f"{name}={value!r}" for name, value in values)


class Block(Composite, shown="in_channels out_channels"):
    """A module from `in_channels` to `out_channels`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        checks.positive(in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels


class ConvBlock(Block):
    """A `Block` with the kernel of a `torch.nn.Conv2d`: checks the sizes and keeps them as that does."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair,
        padding: Padding,
        dilation: IntOrPair,
        groups: int = 1,
    ) -> None:
        super().__init__(in_channels, out_channels)
        checks.divides("groups", groups, in_channels=in_channels, out_channels=out_channels)
        self.groups, self.kernel_size = groups, pair(kernel_size, "kernel_size", 1)
        self.stride, self.dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
        self.padding = checked_padding(padding)
        resolve_padding(self.padding, self.kernel_size, self.dilation, self.stride)  # refuses "same" with a stride

    def _check(self, input: Tensor, weight: Tensor) -> None:
        """Refuse images that do not fit the weight `[O, C/groups, KH, KW]`, or into which its kernel does not fit."""
        layer = type(self).__name__
        checks.images(layer, input, weight, self.in_channels)
        checks.fits(layer, input, weight, self.stride, self.padding, self.dilation)

    def extra_repr(self) -> str:
        conv = ", ".join(f"{name}={getattr(self, name)}" for name in ("kernel_size", "stride", "padding", "dilation"))
        return f"{self.in_channels}, {self.out_channels}, {conv}, {super().extra_repr()}"


class DropoutOptions(Factory, total=False):
    """The other arguments of a network that is told its dropout."""

    dropout: float


class Classifier(Composite, shown="num_classes"):
    """A network from images, each side of `least` pixels or more, to logits `[B, num_classes]`."""

    least: int = 0  # also of a network that was pickled before it was kept

    def __init__(self, num_classes: int, least: int = 0) -> None:
        super().__init__()
        checks.positive(num_classes=num_classes)
        self.num_classes, self.least = num_classes, least

    def _check(self, input: Tensor, first: Any) -> None:
        """Refuse images that do not fit the `first` convolution, or are too small."""
        checks.images(type(self).__name__, input, first.weight, first.in_channels, self.least)
