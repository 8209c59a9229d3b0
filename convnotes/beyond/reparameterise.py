"""Re-parameterisation: linear branches that are trained side by side, and used as one convolution::

    y = Σ_n BN_n(w_n ∗ x)   in training,        y = w ∗ x + b   after `fuse`

`beyond.fusing` has the equations of w and b.
Ding et al., "RepVGG: making VGG-style ConvNets great again", CVPR 2021, arXiv:2101.03697; Ding et al., "Diverse branch
block", CVPR 2021, arXiv:2103.13425; Ding et al., "ACNet", ICCV 2019, arXiv:1908.03930 · chapter
beyond/reparameterise.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.beyond.fusing import Branches
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.fundamentals.layer import Classifier
from convnotes.geometry import Factory, Pair

if TYPE_CHECKING:
    from typing_extensions import Unpack


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int | Pair,
    stride: int = 1,
    padding: int | Pair = 0,
    groups: int = 1,
    **kw: Unpack[Factory],
) -> nn.Sequential:
    """A convolution without bias, "conv", and its batch norm, "bn". One kernel per channel trains fast on a CPU."""
    make = DepthwiseConv2d if groups == in_channels else nn.Conv2d
    conv = make(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False, **kw)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(out_channels, **kw)))


class _Sizes(NamedTuple):
    C: int
    O: int
    k: int
    stride: int
    groups: int
    kw: Factory

    @property
    def half(self) -> int:
        return self.k // 2

    def conv(self, size: int | Pair, padding: int | Pair, C: int = 0, stride: int = 0) -> nn.Sequential:
        return conv_norm(C or self.C, self.O, size, stride or self.stride, padding, self.groups, **self.kw)

    def identity(self) -> nn.Module | None:
        return nn.BatchNorm2d(self.C, **self.kw) if self.C == self.O and self.stride == 1 else None

    def in_series(self) -> nn.Module:
        """1×1, then k×k. The 1×1 kernel has the padding, so the bias of its norm is there beyond the edge too."""
        first = self.conv(1, self.half, stride=1)
        return nn.Sequential(OrderedDict(first=first, second=self.conv(self.k, 0, C=self.O)))

    def averaged(self) -> nn.Module:
        """1×1, then the mean of k×k pixels."""
        pool, norm = nn.AvgPool2d(self.k, self.stride), nn.BatchNorm2d(self.O, **self.kw)
        return nn.Sequential(OrderedDict(first=self.conv(1, self.half, stride=1), pool=pool, bn=norm))


# The kind of a branch → its name as a module, and what makes it; None where input and output have different shapes.
_KINDS: dict[str, tuple[str, Callable[[_Sizes], nn.Module | None]]] = {
    "kxk": ("rbr_dense", lambda s: s.conv(s.k, s.half)),
    "1x1": ("rbr_1x1", lambda s: s.conv(1, 0)),
    "identity": ("rbr_identity", _Sizes.identity),
    "1xk": ("rbr_1xk", lambda s: s.conv((1, s.k), (0, s.half))),
    "kx1": ("rbr_kx1", lambda s: s.conv((s.k, 1), (s.half, 0))),
    "1x1-kxk": ("rbr_1x1_kxk", _Sizes.in_series),
    "1x1-avg": ("rbr_1x1_avg", _Sizes.averaged),
}


class RepConv2d(Branches, shown="in_channels out_channels kernel_size stride groups branches"):
    """Linear branches, each with its batch norm, added: `[B, C, H, W]` → `[B, O, ⌈H/stride⌉, ⌈W/stride⌉]`.

    In training each branch has a norm of its own. In eval mode they are one convolution, which `fuse` returns: the same
    function in less time. RepVGG has the branches "kxk", "1x1" and "identity", ACNet "kxk", "1xk" and "kx1", the
    diverse branch block "kxk", "1x1", "1x1-kxk" and "1x1-avg". The first three are named as in RepVGG's own code.
    Ding et al. 2021, arXiv:2101.03697, section 3.3.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size: k, odd; the padding is ⌊k/2⌋ pixels.
        stride: step in pixels.
        groups: of each convolution.
        branches: kinds of branches, each of "kxk", "1x1", "identity", "1xk", "kx1", "1x1-kxk" (the two in series) and
            "1x1-avg" (the mean of k×k pixels after a 1×1 kernel). A kind may occur several times. "identity" is left
            out where the shape of the output differs from that of the input.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, where no branch is left, and for an input whose shape, dtype or
            device does not fit.

    Example:
        >>> block = RepConv2d(8, 8, branches=("kxk", "1x1", "identity")).eval()
        >>> conv = block.fuse()
        >>> conv
        Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
        >>> x = torch.rand(1, 8, 9, 7)
        >>> torch.allclose(conv(x), block(x), atol=1e-6)
        True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        branches: Sequence[str] = ("kxk", "1x1", "identity"),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        checks.positive(in_channels=in_channels, out_channels=out_channels, stride=stride)
        checks.divides("groups", groups, in_channels=in_channels, out_channels=out_channels)
        checks.whole("kernel_size", kernel_size, 1, odd=True)
        kw, made = Factory(device=device, dtype=dtype), dict[str, nn.Module]()
        sizes = _Sizes(in_channels, out_channels, kernel_size, stride, groups, kw)
        checks.instance("branches", branches, Sequence, "a sequence of kinds of branches")
        for n, kind in enumerate(branches):
            name, make = _KINDS[checks.one_of("branches", kind, tuple(_KINDS))]
            branch = make(sizes)
            if branch is not None:
                made[f"{name}_{n}" if name in made else name] = branch
        super().__init__(**made)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.groups, self.branches = stride, groups, tuple(branches)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("RepConv2d", input, next(self.parameters()), self.in_channels, least=1)
        return super().forward(input)


class RepVGG(Classifier):
    """A network of `RepConv2d` and ReLU alone: `[B, 3, H, W]`, 224×224 in the paper → logits `[B, num_classes]`.

    Each stage halves the map in its first block. `fuse_branches` makes the network for inference, a plain chain of 3×3
    convolutions. The names of the parameters are those of the authors' code. Ding et al. 2021, tables 2 and 3.

    Args:
        layers: number of blocks in each of the stages 1 to 4; one more block stands before them.
        channels: of each of the stages; the first block has those of stage 1, or 64 where they are more.
        num_classes: number of logits.
        branches: of each block, as in `RepConv2d`.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> from convnotes.beyond.reparameterise import RepVGG
        >>> net = RepVGG((1, 1, 1, 1), (8, 8, 16, 16), num_classes=10, device="meta")
        >>> net(torch.empty(2, 3, 32, 32, device="meta")).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        layers: Sequence[int],
        channels: Sequence[int],
        num_classes: int = 1000,
        branches: Sequence[str] = ("kxk", "1x1", "identity"),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_classes, least=1)
        checks.wholes("layers", layers, 4)
        checks.wholes("channels", channels, 4)
        kw, before = Factory(device=device, dtype=dtype), min(64, channels[0])
        self.stage0 = RepConv2d(3, before, stride=2, branches=branches, **kw)
        for stage, (count, width) in enumerate(zip(layers, channels, strict=True), 1):
            blocks = []
            for n in range(count):
                blocks.append(RepConv2d(before, width, stride=1 if n else 2, branches=branches, **kw))
                before = width
            self.add_module(f"stage{stage}", nn.Sequential(*blocks))
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(before, num_classes, **kw)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("RepVGG", input, self.linear.weight, 3, self.least)
        x = torch.relu(self.stage0(input))
        for stage in range(1, 5):
            for block in self.get_submodule(f"stage{stage}").children():
                x = torch.relu(block(x))
        return self.linear(self.gap(x).flatten(1))


def repvgg_a0(num_classes: int = 1000, **options: Unpack[Factory]) -> RepVGG:
    """RepVGG-A0: for 1000 classes 9,108,968 parameters in training and 8,309,384 fused (8.31 M in the paper).

    Args:
        num_classes: number of logits.
        **options: device and dtype of the parameters.

    Example:
        >>> sum(p.numel() for p in repvgg_a0(device="meta").parameters())
        9108968
    """
    return RepVGG((2, 4, 14, 1), (48, 96, 192, 1280), num_classes, **options)
