"""The operators of part 2, receptive field, as their definitions."""

from __future__ import annotations

import torch
from torch import Tensor

from convnotes.geometry import (
    Factory,
    IntOrPair,
    Padding,
    output_size,
    pair,
    resolve_padding,
)


def active_conv2d(
    input: Tensor,
    weight: Tensor,
    positions: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
) -> Tensor:
    """Active convolution: K taps at positions that need not be whole, the same
    for all output positions::

        y[b,o,i,j] = bias[o] + Σ_{c,k} w[o,c,k]
                     · x̃[b, c, i·s − p + Δy_k, j·s − p + Δx_k]

    x̃ is the image interpolated bilinearly between its pixels, 0 outside.
    `weight` `[O, C, K]`, `positions` `[K, 2]` holds (Δy_k, Δx_k), vertical
    first, in pixels; the output is as large as that of a 1×1 kernel, and p may
    be negative. At a whole position the derivative with respect to it is
    one-sided, towards the next pixel. Positions `[G, K, 2]` are those of G
    groups of neighbouring output channels. Jeon & Kim 2017, arXiv:1703.09076.
    """
    if positions.dim() == 3:
        groups = zip(weight.chunk(len(positions)), positions, strict=True)
        y = torch.cat(
            [
                active_conv2d(input, w, at, None, stride, padding)
                for w, at in groups
            ],
            dim=1,
        )
        return y if bias is None else y + bias.view(1, -1, 1, 1)
    B, _, H, W = input.shape
    O, _, K = weight.shape
    sy, sx = pair(stride, "stride", 1)
    py, px = pair(padding, "padding", None)
    rows, columns = output_size((H + 2 * py, W + 2 * px), 1, (sy, sx))
    # where the tap (0, 0) of each output position lies
    i = torch.arange(rows, device=input.device) * sy - py
    j = torch.arange(columns, device=input.device) * sx - px

    y = input.new_zeros(B, O, rows, columns)
    for k in range(K):
        floor = positions[k].detach().floor()
        # how far past the pixel above and to the left
        below, right = positions[k] - floor
        for u, share in enumerate((1 - below, below)):
            for v, part in enumerate((1 - right, right)):
                m, n = i + int(floor[0]) + u, j + int(floor[1]) + v
                inside = ((m >= 0) & (m < H))[:, None] & ((n >= 0) & (n < W))
                pixel = input[:, :, m.clamp(0, H - 1)][
                    ..., n.clamp(0, W - 1)
                ]  # [B, C, rows, columns]
                sample = share * part * torch.where(inside, pixel, 0.0)
                y = y + torch.einsum("bcij,oc->boij", sample, weight[:, :, k])
    return y if bias is None else y + bias.view(1, O, 1, 1)


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """The deformable convolution: each tap (u, v) of each output position reads
    the image at a position of its own::

        y[b,o,i,j] = bias[o] + Σ_{c,u,v} w[o,c,u,v] · m[b,u,v,i,j]
                     · x̃[b, c, i·s + u·d − p + Δy, j·s + v·d − p + Δx]
        x̃[b,c,ŷ,x̂] = Σ_{q,r} hat(ŷ − q) · hat(x̂ − r) · x[b,c,q,r]
        hat(t) = max(0, 1 − abs(t))

    `input` `[B, C, H, W]`, `weight` `[O, C/groups, KH, KW]`. `offset` `[B,
    2·K·G, H_out, W_out]` holds (Δy, Δx) of the K = KH·KW taps in turn, for each
    of G groups of neighbouring input channels; `mask` `[B, K·G, H_out, W_out]`
    holds m (None: 1). Where ŷ or x̂ is whole, the derivative by it is that to
    the right. Dai et al. 2017, equations 2 to 4; Zhu et al. 2019, equation 1.
    """
    B, C, H, W = input.shape
    O, _, KH, KW = weight.shape
    K = KH * KW
    groups, G = C // weight.shape[1], offset.shape[1] // (2 * K)
    sy, sx = pair(stride, "stride", 1)
    dy, dx = pair(dilation, "dilation", 1)
    (top, _), (left, _) = resolve_padding(padding, (KH, KW), (dy, dx), (sy, sx))
    kind = Factory(dtype=input.dtype, device=input.device)
    rows = sy * torch.arange(offset.shape[2], **kind).view(-1, 1) - top
    columns = sx * torch.arange(offset.shape[3], **kind) - left

    x = input.unflatten(1, (G, C // G))
    w = weight.unflatten(0, (groups, O // groups))
    offset = offset.unflatten(1, (G, K, 2))  # [B, G, K, 2, H_out, W_out]
    y = input.new_zeros(B, O, *offset.shape[-2:])
    for u in range(KH):
        for v in range(KW):
            k = u * KW + v
            # [B, G, H_out, W_out, H] and [B, G, H_out, W_out, W]
            at_y = hat(rows + u * dy + offset[:, :, k, 0], H)
            at_x = hat(columns + v * dx + offset[:, :, k, 1], W)
            sample = torch.einsum("bgijq,bgijr,bgcqr->bgcij", at_y, at_x, x)
            if mask is not None:
                sample = sample * mask.unflatten(1, (G, 1, K))[:, :, :, k]
            sample = sample.flatten(1, 2).unflatten(1, (groups, C // groups))
            term = torch.einsum("bgcij,goc->bgoij", sample, w[..., u, v])
            y = y + term.flatten(1, 2)
    return y if bias is None else y + bias.view(1, O, 1, 1)


def hat(position: Tensor, size: int) -> Tensor:
    """The weight of each of the pixels 0 … `size` − 1 in a sample at `position`
    on their axis: `[…]` → `[…, size]`.

    It is 1 on the pixel and falls to 0 at its neighbours. The slope at a whole
    position is that to the right.
    """
    kind = Factory(dtype=position.dtype, device=position.device)
    t = position.unsqueeze(-1) - torch.arange(size, **kind)
    height = torch.where(t >= 0, 1 - t, 1 + t)
    return torch.where((t < -1) | (t >= 1), 0, height)


def non_local(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mode: str,
    scale: float = 1.0,
    relation: Tensor | None = None,
) -> Tensor:
    """The non-local operation with all pairs of positions written out: n a
    position of the query, m one of the M keys::

        y[b,c,n] = Σ_m f[b,n,m] · g[b,c,m]

        "gaussian", "embedded"  f[b,n,:] = softmax_m(scale·q[b,:,n]·k[b,:,m])
        "dot"                   f[b,n,m] = q[b,:,n]·k[b,:,m] / M
        "concat"                f[b,n,m] = ReLU(w · [q[b,:,n], k[b,:,m]]) / M

    `query` `[B, D, H, W]`, `key` `[B, D, H_k, W_k]`, `value` g `[B, C, H_k,
    W_k]`, `relation` w `[2·D]` → `[B, C, H, W]`. Wang et al. 2018, section 3.2,
    arXiv:1711.07971.
    """
    q, k, g = (
        query.flatten(2),
        key.flatten(2),
        value.flatten(2),
    )  # [B, D, N], [B, D, M], [B, C, M]
    N, M = q.shape[2], k.shape[2]
    if mode == "concat":
        both = torch.cat(
            [
                q[..., :, None].expand(-1, -1, N, M),
                k[..., None, :].expand(-1, -1, N, M),
            ],
            1,
        )
        f = torch.relu(torch.einsum("d,bdnm->bnm", relation, both)) / M
    else:
        products = torch.einsum("bdn,bdm->bnm", q, k)
        f = (
            products / M
            if mode == "dot"
            else torch.softmax(scale * products, dim=2)
        )
    return torch.einsum("bnm,bcm->bcn", f, g).unflatten(2, query.shape[2:])
