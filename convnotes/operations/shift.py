"""Shift: each channel moves by a whole displacement of its own, and a 1×1 convolution mixes the results::

    y[b,c,i,j] = x[b, c, i + dy_c, j + dx_c],   0 outside the image

A depthwise convolution whose kernels are 0 except for a single 1: no parameters, no multiply-adds, only memory moved.
Wu et al., "Shift: a zero FLOP, zero parameter alternative to spatial convolutions", CVPR 2018, arXiv:1711.08141 ·
chapter operations/shift.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.compression.residual import shortcut
from convnotes.fundamentals.activation import ActLayer, activated, plain
from convnotes.fundamentals.layer import Block, Composite
from convnotes.geometry import Factory, Reach
from convnotes.kernels.shift.moves import Moves, moves_of
from convnotes.kernels.shift.operator import by_gather, by_slices
from convnotes.kernels.shift_pointwise.operator import fuses, shift_pointwise
from convnotes.kernels.transforms import one_image, one_node
from convnotes.operations.cifar_resnet import CifarResNet, CifarResNetOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

Order = Literal["contiguous", "interleaved"]
_kept_moves = functools.lru_cache(256)(moves_of)  # for displacements that are passed with each call


@one_node
@one_image("input")
def shift2d(input: Tensor, displacements: Tensor | Sequence[Sequence[int]]) -> Tensor:
    """Move each channel by a whole displacement of its own: `[B, C, H, W]` → the same shape.

    Channel c reads (dy, dx) = `displacements[c]` pixels further; outside the image is 0. On the CPU a compiled loop
    does it in one pass; in plain torch the channels that move alike are copied together.

    Args:
        input: images `[B, C, H, W]` of any dtype, or one, `[C, H, W]`.
        displacements: whole numbers `[C, 2]` in pixels, a sequence of pairs or a tensor. A list becomes part of a
            captured graph. A tensor on an accelerator has to be waited for, and in a captured graph it is gathered
            from, pixel by pixel.

    Raises:
        TypeError: for anything but a tensor, and for displacements that are not whole.
        ValueError: for a shape or a device that does not fit.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 2, 2)
        >>> shift2d(x, [(0, 1)])
        tensor([[[[1., 0.],
                  [3., 0.]]]])
    """
    if not isinstance(displacements, Tensor):
        pairs = _pairs(displacements)
        checks.images("shift2d", input, input, len(pairs))
        return by_slices(input, moves_of(pairs) if torch.compiler.is_compiling() else _kept_moves(pairs))
    if displacements.is_floating_point() or displacements.is_complex() or displacements.dtype == torch.bool:
        raise TypeError(f"displacements must be whole numbers, got {displacements.dtype}")
    check_displacements(input, displacements, "shift2d")
    if torch.compiler.is_compiling():
        offsets = displacements.to(torch.int64)
        return by_gather(by_gather(input, offsets[:, 0], 2), offsets[:, 1], 3)
    return by_slices(input, _kept_moves(_pairs(displacements.tolist())))


def check_displacements(input: Tensor, displacements: Tensor, layer: str) -> None:
    """Refuse displacements that are not [C, 2], images that have not C channels, and devices that differ."""
    checks.tensor(f"displacements of {layer}", displacements, ("C", 2))
    checks.images(layer, input, input, displacements.shape[0])
    if displacements.device != input.device:
        raise ValueError(f"displacements of {layer} must be on {input.device}, got {displacements.device}")


def _pairs(displacements: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    if not isinstance(displacements, Sequence) or isinstance(displacements, str):
        raise TypeError(f"displacements must be a tensor or pairs (dy, dx), got {type(displacements).__name__}")
    if set(map(len, displacements)) - {2}:
        raise ValueError(f"displacements must be pairs (dy, dx), one per channel, got {displacements!r}")
    pairs = tuple((dy, dx) for dy, dx in displacements)
    kinds = set(map(type, itertools.chain.from_iterable(pairs)))
    if any(kind is bool or not issubclass(kind, int) for kind in kinds):
        raise TypeError(f"displacements must be whole numbers, got {displacements!r}")
    return pairs


def _window(channels: int, kernel_size: int, dilation: int, order: Order) -> list[tuple[int, int]]:
    """(dy, dx) of each channel: the taps of a k×k window in turn; what is left over after ⌊C/k²⌋·k² stays."""
    k, share = kernel_size, channels // kernel_size**2
    displacements = []
    for c in range(channels):
        tap = c % k**2 if order == "interleaved" else c // max(share, 1)
        moves = c < share * k**2
        row, column = divmod(tap, k)
        displacements.append((dilation * (row - k // 2), dilation * (column - k // 2)) if moves else (0, 0))
    return displacements


class Shift2d(Composite, shown="channels kernel_size dilation order"):
    """The taps of a k×k window dealt out to the channels: `[B, C, H, W]` → the same shape, no parameters.

    Channels past ⌊C/k²⌋·k² stay where they are. The buffer `displacements` `[C, 2]` is part of the state: loading
    another one changes the layer.

    Args:
        channels: C channels of the input.
        kernel_size: k, odd.
        dilation: distance of the taps in pixels.
        order: "contiguous" gives each tap ⌊C/k²⌋ neighbouring channels, as the paper; "interleaved" deals them out in
            turn, as the authors' CUDA code. With a 1×1 convolution before and after, it makes no difference.
        device, dtype: of the buffer `displacements`; every dtype of images fits, so `dtype` is not used.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape does not fit.

    Example:
        >>> layer = Shift2d(9)
        >>> layer.displacements[0].tolist()
        [-1, -1]
        >>> layer(torch.rand(2, 9, 5, 7)).shape
        torch.Size([2, 9, 5, 7])
    """

    displacements: Tensor

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        dilation: int = 1,
        order: Order = "contiguous",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.positive(channels=channels, dilation=dilation)
        checks.whole("kernel_size", kernel_size, odd=True)  # an even window has no centre
        checks.one_of("order", order, get_args(Order))
        self.channels, self.kernel_size, self.dilation, self.order = channels, kernel_size, dilation, order
        self.register_buffer("displacements", torch.empty(channels, 2, dtype=torch.int64, device=device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the displacements to those of the window."""
        displacements = _window(self.channels, self.kernel_size, self.dilation, self.order)
        self._moves: Moves = moves_of(displacements)
        self.displacements.copy_(torch.tensor(displacements))

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if not self.displacements.is_meta:
            self._moves = moves_of(_pairs(self.displacements.tolist()))

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        checks.images("Shift2d", input, input, self.channels)
        return by_slices(input, self._moves)

    def extra_cost(self, input: Tensor, output: Tensor) -> dict[str, int]:
        """Bytes read and written, for `convnotes.measure.cost`."""
        return {"moved_bytes": 2 * output.numel() * output.element_size()}

    def reach(self) -> Reach:
        """(before, after, stride) of each axis, for `convnotes.measure.receptive_field`."""
        dy, dx = self._moves.numbers[::5], self._moves.numbers[1::5]
        return (-min(dy), max(dy), 1), (-min(dx), max(dx), 1)


class ShiftBlock(Block, shown="in_channels out_channels stride expansion"):
    """1×1, shift, 1×1 beside a shortcut: `[B, C, H, W]` → `[B, out_channels, ⌈H/stride⌉, ⌈W/stride⌉]`, as ::

        y = shortcut(x) + ReLU( B2(w2 · shift(ReLU(B1(w1 · x)))) )      B: batch norm

    Where the shape changes the shortcut is a strided 1×1 convolution and batch norm. There is no ReLU after the sum. It
    is the paper's convolution-shift-convolution module with expansion, in the order of the authors' residual network.
    Outside captured graphs shift and second convolution are one kernel (`kernels.shift_pointwise`) on CUDA with Triton,
    and on the CPU with numba in channels last, for float32 and a multiple of 16 output channels.

    Args:
        in_channels: C channels of the input.
        out_channels: number of output channels.
        stride: step of the second 1×1 kernel in pixels.
        expansion: the shift works on expansion · out_channels channels.
        kernel_size, dilation, order: as in `Shift2d`.
        device, dtype: of the parameters.
        act_layer: makes both activations.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> block = ShiftBlock(16, 32, stride=2, expansion=3)
        >>> block(torch.rand(2, 16, 9, 9)).shape, sum(p.numel() for p in block.parameters())
        (torch.Size([2, 32, 5, 5]), 5440)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        expansion: int = 1,
        kernel_size: int = 3,
        dilation: int = 1,
        order: Order = "contiguous",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        super().__init__(in_channels, out_channels)
        checks.positive(stride=stride, expansion=expansion)
        self.stride, self.expansion = stride, expansion
        middle, kw = expansion * out_channels, Factory(device=device, dtype=dtype)
        self.conv1 = nn.Conv2d(in_channels, middle, 1, bias=False, **kw)
        self.bn1 = nn.BatchNorm2d(middle, **kw)
        self.act1 = plain(act_layer)
        self.shift: nn.Module = Shift2d(middle, kernel_size, dilation, order, **kw)
        self.conv2 = nn.Conv2d(middle, out_channels, 1, stride, bias=False, **kw)
        self.bn2 = nn.BatchNorm2d(out_channels, **kw)
        self.act2 = plain(act_layer)
        self.downsample = shortcut(in_channels, out_channels, stride, **kw)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("ShiftBlock", input, self.conv1.weight, self.in_channels)
        y = activated(self.act1, self.bn1(self.conv1(input)))  # [B, expansion·O, H, W]
        shift = self.shift
        if isinstance(shift, Shift2d) and fuses(y, shift, self.conv2):
            y = shift_pointwise(y, self.conv2.weight, shift.displacements, self.stride)
        else:
            y = self.conv2(shift(y))
        y = activated(self.act2, self.bn2(y))
        return y + (input if self.downsample is None else self.downsample(input))


class ShiftResNet(CifarResNet, shown="depth expansion num_classes"):
    """`CifarResNet` of `ShiftBlock`s: `[B, 3, H, W]`, 32×32 in the paper → logits `[B, num_classes]`.

    Parameters of depth 20 for 10 classes with expansion 1, 3, 6 and 9: 34,906, 95,642, 186,746 and 277,850, as in the
    authors' code; the plain network has 272,474.

    Args:
        depth: 6n + 2.
        expansion: as in `ShiftBlock`.
        num_classes: number of logits.
        device, dtype: of the parameters.
        act_layer: makes each activation.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> ShiftResNet(depth=8)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 20,
        expansion: int = 1,
        num_classes: int = 10,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        block = functools.partial(ShiftBlock, expansion=expansion)
        super().__init__(depth, num_classes, block, device, dtype, act_layer)
        self.expansion = expansion


def shiftresnet20(expansion: int = 1, num_classes: int = 10, **options: Unpack[CifarResNetOptions]) -> ShiftResNet:
    """`ShiftResNet` of 20 layers.

    Args:
        expansion, num_classes: as in `ShiftResNet`.
        **options: `device`, `dtype` and `act_layer` of `ShiftResNet`.

    Example:
        >>> sum(p.numel() for p in shiftresnet20().parameters())
        34906
    """
    return ShiftResNet(20, expansion, num_classes, **options)
