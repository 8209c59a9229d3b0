"""The adder's sum in plain torch, for any device: tiles of differences that stay in the cache.

Inside, images lie channels last: a patch is then a few long runs of memory, and so is a kernel. Half and bfloat16 are
summed in float32. No tensor of the size outputs × taps × positions is ever made.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from convnotes.kernels.adder.operator import Contraction, Factor

_TILE = {"cpu": 2**21, "cuda": 2**24}  # elements of the one large buffer, measured: fewer calls, and still in the cache
_OUTPUTS = 8  # output channels per tile: enough that reading a patch does not matter


def contract(
    input: Tensor, weight: Tensor, at_output: Factor, at_input: Factor, at_weight: Factor, contraction: Contraction
) -> Tensor:
    """The sum of `adder.operator`, without derivatives."""
    slot, slope, (sy, sx), padding, (dy, dx), G, negative = contraction
    O, C, KH, KW = weight.shape
    O, K = O // G, C * KH * KW
    result = contraction.empty(input, weight)
    if input.numel() == 0 or result.numel() == 0:
        return result.zero_()
    wide = torch.float64 if input.dtype == torch.float64 else torch.float32
    alone = at_input is None and at_weight is None
    if slot == "weight" and slope == "difference" and alone and at_output is not None:
        x, w, sent = (t.to(wide) for t in (input, weight, at_output))
        result.copy_(_difference_by_weight(x, w, sent, contraction))
        return result.neg_() if negative else result
    x = _padded(input, padding, wide)  # [B, H, W, G·C]
    H, W = contraction.places(input, weight)

    def by_place(map: Tensor) -> Tensor:  # [B, G·O, H, W] → [B, H, W, G, O]
        return map.permute(0, 2, 3, 1).unflatten(-1, (G, O))

    def by_tap(kernel: Tensor) -> Tensor:  # [G·O, C, KH, KW] → [G, O, KH, KW, C]
        return kernel.unflatten(0, (G, O)).permute(0, 1, 3, 4, 2)

    def windows(padded: Tensor) -> Tensor:  # [B, H, W, G, KH, KW, C], a view
        b, h, w, _ = padded.stride()
        sizes = (padded.shape[0], H, W, G, KH, KW, C)
        return padded.as_strided(sizes, (b, h * sy, w * sx, C, h * dy, w * dx, 1))

    kernel = by_tap(weight).reshape(G, O, K).to(wide)
    r = None if at_weight is None else by_tap(at_weight).reshape(G, O, K).to(wide)
    t = None if at_input is None else windows(_padded(at_input, padding, wide))
    g = None if at_output is None else by_place(at_output).to(wide).contiguous()
    tiles = _differences(windows(x), kernel, slope, t, r)
    if slot == "output":
        y = by_place(result)
        for place, outputs, d in tiles:
            y[place][..., outputs] = d.sum(-1)
    elif slot == "weight":
        assert g is not None, "only the slot that is open has no factor of its own"
        sums = torch.zeros_like(kernel)
        for place, outputs, d in tiles:
            d = d.flatten(0, 2).flatten(1, 2)  # [places, G·n, K]
            sent = g[place][..., outputs].reshape(len(d), -1)
            sums[:, outputs] += torch.bmm(sent.t().unsqueeze(1), d.transpose(0, 1)).view(G, -1, K)
        result.copy_(sums.view(G * O, KH, KW, C).permute(0, 3, 1, 2))
    else:
        assert g is not None, "only the slot that is open has no factor of its own"
        padded = torch.zeros_like(x)
        back = windows(padded)
        taps = [back[..., u, v, :] for u in range(KH) for v in range(KW)]  # the pixels [B, H, W, G, C] that a tap reads
        for place, outputs, d in tiles:
            d = d.flatten(0, 3)  # [places·G, n, K]
            if outputs.start == 0:
                columns = d.new_zeros(len(d), 1, K)
            columns.baddbmm_(g[place][..., outputs].reshape(len(d), 1, -1), d)
            if outputs.stop == O:
                by_taps = columns.view(*back[place].shape[:4], KH * KW, C).unbind(4)
                for tap, column in zip(taps, by_taps, strict=True):
                    tap[place].add_(column)
        top, _, left, _ = padding
        H, W = input.shape[2:]
        result.copy_(padded[:, top : top + H, left : left + W].permute(0, 3, 1, 2))
    return result.neg_() if negative else result


def _differences(
    windows: Tensor, kernel: Tensor, slope: str, t: Tensor | None, r: Tensor | None
) -> Iterator[tuple[tuple[slice, slice, slice], slice, Tensor]]:
    """f(x − w)·t·r of a box of positions and n outputs at a time, `[b, h, w, G, n, K]`, in a buffer that is used again.

    `windows` and `t` `[B, H, W, G, KH, KW, C]`, `kernel` and `r` `[G, O, K]`; the outputs run fastest.
    """
    (B, H, W), (G, O, K) = windows.shape[:3], kernel.shape
    sizes = (B, H, W)
    n = min(O, _OUTPUTS)
    box = _box(sizes, max(1, _TILE.get(kernel.device.type, _TILE["cpu"]) // (G * n * K)))
    buffer = kernel.new_empty(math.prod(box) * G * n * K)
    starts = [range(0, size, step) for size, step in zip(sizes, box, strict=True)]
    for corner in itertools.product(*starts):
        b, h, w = (slice(start, start + step) for start, step in zip(corner, box, strict=True))
        place = (b, h, w)
        patch = windows[place].flatten(-3).unsqueeze(4)  # [b, h, w, G, 1, K], copied once for all outputs
        factor = None if t is None else t[place].flatten(-3).unsqueeze(4)
        for first in range(0, O, n):
            outputs = slice(first, min(first + n, O))
            shape = (*patch.shape[:4], outputs.stop - first, K)
            d = torch.sub(patch, kernel[:, outputs], out=buffer[: math.prod(shape)].view(shape))
            _slope(d, slope)
            if r is not None:
                d.mul_(r[:, outputs])
            if factor is not None:
                d.mul_(factor)
            yield place, outputs, d


def _slope(d: Tensor, name: str) -> None:
    """f of the differences, written over them."""
    if name in ("distance", "paper"):
        d.abs_()
    elif name == "sign":
        d.sign_()
    elif name == "clamp":
        d.clamp_(-1, 1)
    elif name == "inside":
        d.abs_().le_(1)
    elif name == "one":
        d.fill_(1)


def _difference_by_weight(input: Tensor, weight: Tensor, sent: Tensor, contraction: Contraction) -> Tensor:
    """Σ g·(x − w): the weight gradient of a convolution, and w as often as there are positions (padding counts)."""
    top, bottom, left, right = contraction.padding
    if (top, left) != (bottom, right):
        input, top, left = F.pad(input, (left, right, top, bottom)), 0, 0
    by_convolution = torch.ops.aten.convolution_backward(
        *(sent, input, weight, None, contraction.stride, (top, left), contraction.dilation),
        *(False, (0, 0), contraction.groups, (False, True, False)),
    )[1]
    return by_convolution - weight * sent.sum((0, 2, 3)).view(-1, 1, 1, 1)


def _padded(images: Tensor, padding: tuple[int, int, int, int], dtype: torch.dtype) -> Tensor:
    """[B, C, H, W] → [B, top + H + bottom, left + W + right, C], zeros around."""
    (B, C, H, W), (top, bottom, left, right) = images.shape, padding
    padded = images.new_zeros(B, top + H + bottom, left + W + right, C, dtype=dtype)
    padded[:, top : top + H, left : left + W] = images.permute(0, 2, 3, 1)
    return padded


def _box(sizes: tuple[int, int, int], places: int) -> tuple[int, int, int]:
    """Images, rows and columns of a tile of at most `places` positions."""
    box: list[int] = []
    for size in reversed(sizes):
        parts = -(-size // min(size, max(1, places // math.prod(box))))
        box.append(-(-size // parts))
    columns, rows, pictures = box
    return pictures, rows, columns
