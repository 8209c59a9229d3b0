"""Deformable convolution in plain torch, for any device: a table of pixels, four rows of it per sample, one product::

    s[p,k,c] = m[p,k] · x̃[c, place of tap k of p]            y[p,o] = Σ_{k,c} s[p,k,c] · w[k,c,o]

`rows` reads the table. A position is held as whole pixel and fraction of the offset, which are never added, so
that a far one is as exact as a near one; samples are computed in float32 at least.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convnotes.kernels.deform.rows import table_gradient, weight_gradient, weighted_rows
from convnotes.kernels.deform.sampling import Sampling, Sizes


def forward(input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, sampling: Sampling) -> Tensor:
    """`[B, O, h, w]`, channels last in memory. Differentiable any number of times."""
    sizes = sampling.sizes(input, offset, weight)
    B, O, c, h, w, K, groups = sizes.B, sizes.O, sizes.c, sizes.h, sizes.w, sizes.K, sizes.groups
    reads = reads_of(input, offset, mask, sizes)
    samples = weighted_rows(reads.table, reads.weights, reads.rows, reads.edge)
    samples = samples.to(weight.dtype).view(B * h * w, K, groups, c).permute(2, 0, 1, 3)
    out = torch.bmm(samples.flatten(2), _kernels(weight, groups))  # [groups, B·h·w, O/groups]
    return out.transpose(0, 1).reshape(B, h, w, O).permute(0, 3, 1, 2)


def backward(grad: Tensor, *inputs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The gradients of input, offset, weight and mask, written out, for where autograd does not reach."""
    input, offset, weight, mask, sampling, _ = inputs
    sizes = sampling.sizes(input, offset, weight)
    B, C, O, c, h, w, G = sizes.B, sizes.C, sizes.O, sizes.c, sizes.h, sizes.w, sizes.G
    K, groups = sizes.K, sizes.groups
    reads = reads_of(input, offset, mask, sizes)
    sent = grad.permute(0, 2, 3, 1).reshape(B * h * w, groups, O // groups).transpose(0, 1)
    samples = weighted_rows(reads.table, reads.weights, reads.rows, reads.edge)
    samples = samples.to(weight.dtype).view(B * h * w, K, groups, c).permute(2, 0, 1, 3).flatten(2)
    by_weight = torch.bmm(samples.transpose(1, 2), sent).view(groups, K, c, O // groups)
    columns = torch.bmm(sent, _kernels(weight, groups).transpose(1, 2)).view(groups, B * h * w, K, c)
    columns = columns.permute(1, 2, 0, 3).reshape(-1, C // G).to(reads.table.dtype)
    by_input, by_offset, by_mask = sample_gradients(reads, columns, input, offset, mask)
    return by_input, by_offset, by_weight.permute(0, 3, 2, 1).reshape(weight.shape), by_mask


def sample_gradients(
    reads: Reads, columns: Tensor, input: Tensor, offset: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The gradients of input, offset and mask from `columns` `[M, C/G]`, those of the samples."""
    B, C, H, W = input.shape
    by_table = table_gradient(reads.weights, columns, reads.rows, len(reads.table)).view(B, H + 2, W + 2, C)
    by_corner = weight_gradient(reads.table, columns, reads.rows).view(*reads.below.shape, 4)
    d00, d01, d10, d11 = by_corner.unbind(-1)
    below, right, m = reads.below, reads.right, 1 if reads.strength is None else reads.strength
    upper, lower = d00 * (1 - right) + d01 * right, d10 * (1 - right) + d11 * right
    moves = torch.stack([m * (lower - upper), m * ((1 - below) * (d01 - d00) + below * (d11 - d10))])
    moves = moves.permute(1, 5, 4, 0, 2, 3).flatten(1, 3)  # [2, B, h, w, K, G] → [B, G·K·2, h, w]
    by_mask = (1 - below) * upper + below * lower
    return (
        by_table[:, 1:-1, 1:-1].permute(0, 3, 1, 2).to(input.dtype),
        torch.where(offset.isfinite(), moves, 0).to(offset.dtype),
        None if mask is None else by_mask.permute(0, 4, 3, 1, 2).flatten(1, 2).to(mask.dtype),
    )


class Reads(NamedTuple):
    """What is read: y[m] = Σ_n weights[m,n] · table[rows[m,n]], m counting samples `[B, h, w, K, G]`."""

    table: Tensor  # [pixels·G, C/G], those of the frame among them
    weights: Tensor  # [M, 4]
    rows: Tensor  # [M, 4]
    edge: Tensor  # [M]: those at −1, which read no pixel, but are derived as positions further in
    below: Tensor  # fraction of a pixel downwards, [B, h, w, K, G]
    right: Tensor
    strength: Tensor | None  # the mask


def _kernels(weight: Tensor, groups: int) -> Tensor:
    """`[O, C/groups, KH, KW]` → `[groups, K·C/groups, O/groups]`."""
    O, c, KH, KW = weight.shape
    return weight.reshape(groups, O // groups, c, KH * KW).permute(0, 3, 2, 1).flatten(1, 2)


def reads_of(input: Tensor, offset: Tensor, mask: Tensor | None, sizes: Sizes) -> Reads:
    _, C, H, W, _, _, KH, KW, h, w, G, sy, sx, top, left, dy, dx = sizes
    K = sizes.K
    # The plain kernel's positions, [h, 1, K, 1] and [1, w, K, 1]; the layout throughout is [B, h, w, K, G].
    dtype, device = torch.promote_types(input.dtype, torch.float32), input.device
    taps_y = (torch.arange(KH, dtype=dtype, device=device) * dy).repeat_interleave(KW).view(K, 1)
    taps_x = (torch.arange(KW, dtype=dtype, device=device) * dx).repeat(KH).view(K, 1)
    rows = (torch.arange(h, dtype=dtype, device=device) * sy - top).view(h, 1, 1, 1) + taps_y
    columns = (torch.arange(w, dtype=dtype, device=device) * sx - left).view(w, 1, 1) + taps_x

    moves = offset.to(dtype).unflatten(1, (G, K, 2)).permute(3, 0, 4, 5, 2, 1)
    y, below, inside_y, edge_y = _split(moves[0], rows, H)
    x, right, inside_x, edge_x = _split(moves[1], columns, W)
    index = _corners(y, x, inside_y & inside_x, (H, W))  # [B, h, w, K, G, 4]
    strength = None if mask is None else mask.to(dtype).unflatten(1, (G, K)).permute(0, 3, 4, 2, 1)
    above, under, beside = 1 - below, below, 1 - right
    if strength is not None:
        above, under = above * strength, under * strength
    weights = torch.stack([above * beside, above * right, under * beside, under * right], -1)
    framed = F.pad(input.to(dtype).permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # [B, H+2, W+2, C]
    table = framed.reshape(-1, C // G)
    edge = inside_y & inside_x & (edge_y | edge_x)
    if strength is not None:
        edge = edge & strength.isfinite()
    return Reads(table, weights.reshape(-1, 4), index.reshape(-1, 4), edge.reshape(-1), below, right, strength)


def _split(move: Tensor, start: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A position on one axis: whole pixel, counted from −1; fraction; is it inside, from −1 to `size`? is it −1?"""
    finite = torch.finfo(move.dtype)
    move = move.clamp(finite.min, finite.max)  # an infinity has no fraction; NaN stays
    whole = move.detach().floor()
    fraction, pixel = move - whole, whole + start
    return pixel + 1, fraction, (pixel >= -1) & (pixel < size), (pixel == -1) & (fraction == 0)


def _corners(y: Tensor, x: Tensor, inside: Tensor, size: tuple[int, int]) -> Tensor:
    """Rows of the table of framed pixels that hold the four corners of each sample `[B, h, w, K, G]` → `[…, 4]`.

    Pixels outside the image are those of its frame of zeros. What lies outside altogether reads from the last
    column of one line of the frame and the first of the next, so that no pixel of the image has a part in it.
    """
    height, width = size[0] + 2, size[1] + 2
    y, x = torch.where(inside, y, 0).long(), torch.where(inside, x, width - 1).long()
    B, *_, G = inside.shape
    picture = torch.arange(B, device=inside.device).view(B, 1, 1, 1, 1) * (height * width)
    first = (picture + y * width + x) * G + torch.arange(G, device=inside.device)
    return torch.stack([first, first + G, first + width * G, first + (width + 1) * G], -1)
