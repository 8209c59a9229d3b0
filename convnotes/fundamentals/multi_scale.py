"""Mixed convolution: kernels of several sizes in one layer, each on its own part of the channels::

    y[b,o,i,j] = β[o] + Σ_{c ∈ P_m, u, v} w_m[o,c,u,v] · x[b, c, i·s + u·d − p_m, j·s + v·d − p_m]    for o ∈ Q_m
    p_m = ⌊d·(k_m − 1)/2⌋

The input channels are cut into parts P_m and the output channels into parts Q_m, one of each for every kernel size
k_m. All sizes give maps of the same size, which are concatenated by channels.
Tan & Le, "MixConv: mixed depthwise convolutional kernels", BMVC 2019, arXiv:1907.09595 · chapter
fundamentals/multi_scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.fundamentals.layer import Composite
from convnotes.geometry import IntOrPair, Pair, is_whole, output_size, pair
from convnotes.kernels.transforms import one_image, one_node

_RULES = ("", "same", "valid")  # of padding, by name, as timm has them


def split_channels(channels: int, parts: int) -> list[int]:
    """Cut a number of channels into equal parts; the remainder goes to the first.

    Args:
        channels: how many to cut.
        parts: number of parts, `channels` at most.

    Raises:
        TypeError: for anything but ints.
        ValueError: for a number below 1, and for fewer channels than parts.

    Example:
        >>> from convnotes.fundamentals.multi_scale import split_channels
        >>> split_channels(8, 3)
        [4, 2, 2]
    """
    checks.positive(channels=channels, parts=parts)
    if channels < parts:
        raise ValueError(f"{channels} channels cannot be cut into {parts} parts: each needs one at least")
    return [channels // parts + channels % parts, *[channels // parts] * (parts - 1)]


class MixedConv2d(Composite):
    """Kernels of several sizes side by side: `[B, C, H, W]` → `[B, O, ⌈H/s⌉, ⌈W/s⌉]`.

    Every kernel size works on its own part of the channels, all parts equal (`split_channels`). No part sees the
    channels of another: follow the layer with a 1×1 kernel. The kernels are the modules "0", "1", …, with the names of
    timm's `MixedConv2d`, and `padding` takes what that takes. Tan & Le 2019, section 3.1.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_sizes: a side per part of the channels, or one for all. A size may occur several times: (3, 3, 5, 7)
            gives half of the channels to 3×3.
        stride: s, one number or (vertical, horizontal).
        dilation: distance between the taps of every kernel.
        depthwise: True gives every channel kernels of its own; with False each part mixes its channels.
        bias: whether to add a learned number per output channel.
        device, dtype: of the parameters.
        padding: None pads each axis by dilation·(k − 1) pixels, half on each side, with the odd one of an even kernel
            at the bottom and on the right; the result has ⌈H/s⌉×⌈W/s⌉ pixels whatever k is. The others are timm's. ""
            pads by ⌊(s − 1 + dilation·(k − 1))/2⌋ on every side, which is the same for odd kernels and strides 1 and 2.
            "same" is TensorFlow's, which pads as little as gives ⌈H/s⌉×⌈W/s⌉ pixels of the image at hand. "valid" pads
            nothing, and a number, or (vertical, horizontal), is that of every kernel. With "", "valid" and numbers all
            kernels must give maps of one size.

    Raises:
        TypeError, ValueError: for a bad argument, such as fewer channels than parts, or a depthwise part whose outputs
            are no multiple of its inputs; for an input whose shape, dtype or device does not fit; and for kernels whose
            maps differ in size.

    Example:
        >>> layer = MixedConv2d(6, 12, kernel_sizes=(3, 5, 7), depthwise=True)
        >>> layer(torch.rand(1, 6, 9, 9)).shape
        torch.Size([1, 12, 9, 9])
        >>> [tuple(conv.weight.shape) for conv in layer.children()]
        [(4, 1, 3, 3), (4, 1, 5, 5), (4, 1, 7, 7)]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_sizes: Sequence[int] | int = (3, 5, 7),
        stride: IntOrPair = 1,
        dilation: IntOrPair = 1,
        depthwise: bool = False,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        padding: IntOrPair | str | None = None,
    ) -> None:
        checks.flags(depthwise=depthwise, bias=bias)
        super().__init__()
        checks.positive(in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels, self.depthwise = in_channels, out_channels, depthwise
        sizes = (kernel_sizes,) if is_whole(kernel_sizes) else kernel_sizes
        self.kernel_sizes = checks.wholes("kernel_sizes", sizes)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels < len(self.kernel_sizes):
                raise ValueError(
                    f"{name} must be at least {len(self.kernel_sizes)}, one for each of the kernel sizes "
                    f"{self.kernel_sizes}, got {channels}"
                )
        self.stride, self.dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
        self.padding = _checked(padding)
        self.in_splits = split_channels(in_channels, len(self.kernel_sizes))
        self.out_splits = split_channels(out_channels, len(self.kernel_sizes))
        for n, (size, C, O) in enumerate(zip(self.kernel_sizes, self.in_splits, self.out_splits, strict=True)):
            if depthwise and O % C:
                raise ValueError(
                    f"depthwise needs a whole number of kernels a channel, got {O} outputs for {C} inputs in part {n} "
                    f"of {self.in_splits} → {self.out_splits}"
                )
            (top, bottom), (left, right) = self._sides(size)
            own = (top, left) if (top, left) == (bottom, right) else 0  # else the input is padded before
            conv = (DepthwiseConv2d if depthwise else nn.Conv2d)(
                C, O, size, self.stride, own, self.dilation,
                groups=C if depthwise else 1, bias=bias, device=device, dtype=dtype,
            )  # fmt: skip
            self.add_module(str(n), conv)

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        convs = list(self.children())
        checks.images("MixedConv2d", input, convs[0].weight, self.in_channels, least=1)
        if self.padding not in (None, "same") and not isinstance(input, torch.fx.Proxy):
            self._check_sizes(input.shape[2:])
        parts = input.split(self.in_splits, dim=1)
        maps = [conv(self._padded(parts[n], self.kernel_sizes[n])) for n, conv in enumerate(convs)]
        return torch.cat(maps, dim=1)  # [B, O_m, H_out, W_out] each

    def _sides(self, k: int) -> tuple[Pair, Pair]:
        """What a kernel of k×k pads, ((top, bottom), (left, right)), by every rule but that of `_pad_same`."""
        spans = [d * (k - 1) for d in self.dilation]
        if self.padding is None or (self.padding == "same" and self.stride == (1, 1)):
            vertical, horizontal = ((span // 2, span - span // 2) for span in spans)
            return vertical, horizontal
        if self.padding == "":
            down, across = ((s - 1 + span) // 2 for s, span in zip(self.stride, spans, strict=True))
        else:
            down, across = (0, 0) if isinstance(self.padding, str) else self.padding
        return (down, down), (across, across)

    def _padded(self, part: Tensor, k: int) -> Tensor:
        """A part, with the padding that its kernel does not add by itself."""
        if self.padding == "same" and self.stride != (1, 1):
            return _pad_same(part, k, self.stride, self.dilation)
        (top, bottom), (left, right) = self._sides(k)
        return part if (top, left) == (bottom, right) else F.pad(part, (left, right, top, bottom))

    def _check_sizes(self, size: Sequence[int]) -> None:
        maps = []
        for k in self.kernel_sizes:
            (top, _), (left, _) = self._sides(k)
            maps.append(output_size(size, k, self.stride, (top, left), self.dilation))
        if any(map != maps[0] for map in maps):
            raise ValueError(
                f"padding of MixedConv2d must give all kernels {self.kernel_sizes} maps of one size, got "
                f"{self.padding!r}, which gives {', '.join(f'{height}×{width}' for height, width in maps)}"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_sizes={self.kernel_sizes}, stride={self.stride}, "
            f"dilation={self.dilation}, depthwise={self.depthwise}"
            + ("" if self.padding is None else f", padding={self.padding!r}")
        )


def _checked(padding: IntOrPair | str | None) -> Pair | str | None:
    if padding is None or isinstance(padding, str):
        words = 'None, an int, two ints, "", "same" or "valid"'
        return checks.one_of("padding", padding, (None, *_RULES), words)
    return pair(padding, "padding")


@one_node
def _pad_same(input: Tensor, k: int, stride: Pair, dilation: Pair) -> Tensor:
    """Pad as TensorFlow does: as little as gives ⌈H/s⌉×⌈W/s⌉ pixels, the odd one at the bottom and on the right."""
    sides: list[int] = []
    for n, s, d in zip(input.shape[:1:-1], stride[::-1], dilation[::-1], strict=True):  # the last axis first
        missing = d * (k - 1) - (n - 1) % s
        missing = missing if d * (k - 1) + 1 >= s else max(0, missing)  # a captured graph has no maximum of sizes
        sides += [missing // 2, missing - missing // 2]
    return F.pad(input, sides)
