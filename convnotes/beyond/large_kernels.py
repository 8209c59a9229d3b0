"""Large depthwise kernels: one kernel of up to 51×51 per channel, trained beside a small one::

    y = BN(w_K ∗ x) + BN(w_k ∗ x)       in training,        y = w ∗ x + b   after `fuse`
    y = BN(w_{K×k} ∗ x) + BN(w_{k×K} ∗ x) + BN(w_k ∗ x)        in strips

Ding et al., "Scaling up your kernels to 31×31" (RepLKNet), CVPR 2022, arXiv:2203.06717; Liu et al., "A ConvNet for the
2020s" (ConvNeXt), CVPR 2022, arXiv:2201.03545; Liu et al., "More ConvNets in the 2020s" (SLaK), ICLR 2023,
arXiv:2207.03620 · chapter beyond/large_kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convnotes import checks
from convnotes.beyond.fusing import Branches
from convnotes.beyond.reparameterise import conv_norm
from convnotes.geometry import Factory


class LargeKernelConv2d(Branches, shown="channels kernel_size small_kernel strips"):
    """A large and a small kernel per channel, each with its batch norm, added: `[B, C, H, W]` → `[B, C, H, W]`.

    `fuse` returns the one depthwise convolution that it equals in eval mode. On the CPU kernels of any size train fast
    (`DepthwiseConv2d`). The names of the parameters are those of RepLKNet's own code. Ding et al. 2022, section 3.

    Args:
        channels: C channels of input and output.
        kernel_size: K, odd, the side of the large kernel.
        small_kernel: k, odd and at most K, the side of the small one; None leaves it out.
        strips: whether K×k and k×K kernels stand in for the one of K×K, as in SLaK; needs a small kernel.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = LargeKernelConv2d(8, 31).eval()
        >>> layer.fuse()
        Conv2d(8, 8, kernel_size=(31, 31), stride=(1, 1), padding=(15, 15), groups=8)
        >>> layer(torch.rand(1, 8, 14, 9)).shape
        torch.Size([1, 8, 14, 9])
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        small_kernel: int | None = 5,
        strips: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        checks.flags(strips=strips)
        checks.positive(channels=channels)
        K, k, kw = (
            checks.whole("kernel_size", kernel_size, 1, odd=True),
            small_kernel,
            Factory(device=device, dtype=dtype),
        )
        if k is not None:
            checks.whole("small_kernel", k, 1, K, odd=True)
        sizes: dict[str, tuple[int, int]] = {"lkb_origin": (K, K)}
        if strips:
            if k is None:
                raise ValueError("strips needs a small_kernel, the width of a strip, got None")
            sizes = {"lora1": (K, k), "lora2": (k, K)}
        if k is not None:
            sizes["small_conv"] = (k, k)
        super().__init__(
            **{
                name: conv_norm(channels, channels, size, padding=(size[0] // 2, size[1] // 2), groups=channels, **kw)
                for name, size in sizes.items()
            }
        )
        self.channels, self.kernel_size, self.small_kernel, self.strips = channels, K, k, strips

    def forward(self, input: Tensor) -> Tensor:
        checks.images("LargeKernelConv2d", input, next(self.parameters()), self.channels, least=1)
        return super().forward(input)
