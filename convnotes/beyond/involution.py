"""Involution: every position has a kernel of its own, which all channels of a group share::

    y[b,c,i,j] = Σ_{u,v} w[b,g(c),u,v,i,j] · x[b, c, i·s + u·d − p, j·s + v·d − p]        g(c): the group of c
    w[b,:,:,:,i,j] = W_2 · ReLU(BN(W_1 · x̄[b,:,i,j])) + b_2         x̄: x, averaged over s×s pixels

A convolution shares its kernel over the positions and has one per channel; here it is the other way round. The kernel
comes from the pixel in its centre alone: attention compares that pixel with its neighbours.
Li et al., "Involution: inverting the inherence of convolution for visual recognition", CVPR 2021, arXiv:2103.06255 ·
chapter beyond/dynamic.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.beyond.dynamic import in_format_of
from convnotes.beyond.reparameterise import conv_norm
from convnotes.fundamentals.layer import Composite
from convnotes.geometry import Factory, IntOrPair, Padding, Reach, kernel_reach, pair, resolve_padding
from convnotes.kernels.transforms import one_node


@one_node
def involution2d(
    input: Tensor, weight: Tensor, stride: IntOrPair = 1, padding: Padding = 0, dilation: IntOrPair = 1
) -> Tensor:
    """Weigh the pixels around each position with a kernel for that position: `[B, C, H, W]` → `[B, C, H_out, W_out]`.

    Sizes are those of `torch.nn.functional.conv2d`. The sum runs over the taps, one at a time: no patches are copied.
    Under autocast the wider of two dtypes is used.

    Args:
        input: images `[B, C, H, W]`, or one, `[C, H, W]`.
        weight: `[B, G, KH, KW, H_out, W_out]`, or `[G, …]` for one image: a kernel per position and group of C/G
            channels.
        stride, padding, dilation: as in `torch.nn.functional.conv2d`.

    Raises:
        TypeError, ValueError: for an argument, a shape, a dtype or a device that does not fit.

    Example:
        >>> x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> kernels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # of positions 0 and 1
        >>> involution2d(x, kernels.T.reshape(1, 1, 1, 2, 1, 2))
        tensor([[[[1., 3.]]]])
    """
    if isinstance(input, Tensor) and isinstance(weight, Tensor) and input.dim() == 3 and weight.dim() == 5:
        return involution2d(input.unsqueeze(0), weight.unsqueeze(0), stride, padding, dilation).squeeze(0)
    checks.tensor("weight of involution2d", weight, ("B", "G", "KH", "KW", "H_out", "W_out"))
    checks.tensor("input of involution2d", input, ("B", "C", "H", "W"), weight)
    (B, C), (G, KH, KW) = input.shape[:2], weight.shape[1:4]
    if C % G:
        raise ValueError(f"the groups of weight must divide the channels of input, got {G} groups for {C} channels")
    (sy, sx), (dy, dx) = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    kernel = weight.new_empty(0, 0, KH, KW)  # for its size alone
    H, W = checks.size_after("involution2d", input, kernel, (sy, sx), padding, (dy, dx))
    if not torch.jit.is_tracing():
        checks.tensor("weight of involution2d", weight, (B, G, KH, KW, H, W))
    if input.dtype != weight.dtype:  # under autocast
        wider = torch.promote_types(input.dtype, weight.dtype)
        input, weight = input.to(wider), weight.to(wider)
    (top, bottom), (left, right) = resolve_padding(padding, (KH, KW), (dy, dx), (sy, sx))
    x = F.pad(input, (left, right, top, bottom)).unflatten(1, (G, C // G))  # [B, G, C/G, …]
    y = input.new_zeros(())
    for u in range(KH):
        for v in range(KW):
            rows = slice(u * dy, u * dy + (H - 1) * sy + 1, sy)
            columns = slice(v * dx, v * dx + (W - 1) * sx + 1, sx)
            y = torch.addcmul(y, weight[:, :, u, v].unsqueeze(2), x[..., rows, columns])
    return in_format_of(input, y.flatten(1, 2))


class Involution2d(Composite, shown="channels kernel_size stride dilation groups reduction"):
    """`involution2d` with a kernel made from each pixel: `[B, C, H, W]` → `[B, C, ⌈H/stride⌉, ⌈W/stride⌉]`.

    A 1×1 kernel to C/`reduction` channels, batch norm, ReLU and another 1×1 kernel turn the channels of a pixel into
    the kernels of its position, one per group. With a stride they take the mean of as many pixels; at the lower and the
    right edge of those that are left. The names of the parameters are those of the authors' code, which needs maps that
    the stride divides, and has groups of 16 channels. Li et al. 2021, section 3.

    `convnotes.measure.cost` counts the multiply-adds of the two 1×1 kernels; the KH·KW products per output, element by
    element, come on top.

    Args:
        channels: C channels of input and output.
        kernel_size: sides of the kernels, odd; the padding keeps the size at stride 1.
        stride, dilation: as in `torch.nn.Conv2d`.
        groups: G, number of kernels at each position.
        reduction: the first 1×1 kernel gives C/`reduction` channels, at least 1.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = Involution2d(32, kernel_size=7, groups=2)
        >>> layer(torch.rand(1, 32, 9, 5)).shape
        torch.Size([1, 32, 9, 5])
        >>> layer.generate(torch.rand(1, 32, 9, 5)).shape
        torch.Size([1, 2, 7, 7, 9, 5])
    """

    def __init__(
        self,
        channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        dilation: IntOrPair = 1,
        groups: int = 1,
        reduction: int = 4,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.positive(channels=channels, reduction=reduction)
        checks.divides("groups", groups, channels=channels)
        self.channels, self.groups, self.reduction = channels, groups, reduction
        self.kernel_size = KH, KW = pair(kernel_size, "kernel_size", 1)
        if not KH % 2 or not KW % 2:
            raise ValueError(f"kernel_size must be odd, got {kernel_size!r}")
        self.stride, self.dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
        self.padding = (self.dilation[0] * (KH // 2), self.dilation[1] * (KW // 2))
        kw, hidden = Factory(device=device, dtype=dtype), max(1, channels // reduction)
        self.conv1 = conv_norm(channels, hidden, 1, **kw)
        self.conv2 = nn.Sequential(OrderedDict(conv=nn.Conv2d(hidden, groups * KH * KW, 1, **kw)))

    def generate(self, input: Tensor) -> Tensor:
        """The kernels of every position of `[B, C, H, W]`: `[B, G, KH, KW, ⌈H/stride⌉, ⌈W/stride⌉]`."""
        x = input if self.stride == (1, 1) else F.avg_pool2d(input, self.stride, self.stride, ceil_mode=True)
        return self.conv2(torch.relu(self.conv1(x))).unflatten(1, (self.groups, *self.kernel_size))

    def forward(self, input: Tensor) -> Tensor:
        checks.images("Involution2d", input, self.conv1[0].weight, self.channels, least=1)
        return involution2d(input, self.generate(input), self.stride, self.padding, self.dilation)

    def reach(self) -> Reach:
        """(before, after, stride) of each axis, for `convnotes.measure.receptive_field`."""
        return kernel_reach(self.kernel_size, self.stride, self.padding, self.dilation)
