"""Every operator as its definition: tap by tap, slow and obvious.

This page is what the book shows and what the tests compare with. Nothing else imports it, and nothing here is
optimised: each function is its equation, so that it can be checked by reading. Gradients come from autograd.

Letters: b picture of the batch · c, o input and output channel · i, j output row and column · u, v kernel row and
column · s stride · p padding · d dilation · g group.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convnotes.geometry import IntOrPair, Padding, output_size, pair, resolve_padding


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Tensor:
    """The plain convolution of deep learning (a cross-correlation: the kernel is not flipped).

        y[b,o,i,j] = bias[o] + Σ_{c,u,v} w[o,c,u,v] · x[b, c, i·s + u·d − p, j·s + v·d − p]

    `input` `[B, C, H, W]`, `weight` `[O, C/groups, KH, KW]` → `[B, O, H_out, W_out]`; places outside the picture
    are 0, and an output channel sees only the input channels of its group. Dumoulin & Visin 2016.
    """
    B, C = input.shape[:2]
    O, _, KH, KW = weight.shape
    (sy, sx), (dy, dx) = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    (top, bottom), (left, right) = resolve_padding(padding, (KH, KW), (dy, dx), (sy, sx))
    H, W = output_size(input.shape[2:], (KH, KW), (sy, sx), padding, (dy, dx))

    x = torch.nn.functional.pad(input, (left, right, top, bottom)).unflatten(1, (groups, C // groups))
    w = weight.unflatten(0, (groups, O // groups))  # [G, O/G, C/G, KH, KW]
    y = input.new_zeros(B, groups, O // groups, H, W)
    for u in range(KH):
        for v in range(KW):
            rows = slice(u * dy, u * dy + (H - 1) * sy + 1, sy)
            columns = slice(v * dx, v * dx + (W - 1) * sx + 1, sx)
            y = y + torch.einsum("bgcij,goc->bgoij", x[..., rows, columns], w[..., u, v])
    y = y.flatten(1, 2)
    return y if bias is None else y + bias.view(1, O, 1, 1)


def pointwise(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The 1×1 convolution: one matrix, applied to the channels of every pixel.

        y[b,o,i,j] = bias[o] + Σ_c w[o,c] · x[b,c,i,j]

    `input` `[B, C, H, W]`, `weight` `[O, C]` → `[B, O, H, W]`. Lin, Chen & Yan 2013, arXiv:1312.4400.
    """
    y = torch.einsum("oc,bcij->boij", weight, input)
    return y if bias is None else y + bias.view(1, -1, 1, 1)


def mlpconv(
    input: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> Tensor:
    """The block of Network in Network: a convolution, then a small perceptron on the channels of every pixel.

        z_0 = ReLU(w_0 ∗ x + b_0),   z_n = ReLU(w_n · z_{n−1} + b_n)   at every pixel

    `weights[0]` is `[O_0, C, KH, KW]`, each later one `[O_n, O_{n−1}, 1, 1]`. Lin, Chen & Yan 2013, section 3.1.
    """
    z = torch.relu(conv2d(input, weights[0], biases[0], stride, padding, dilation))
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        z = torch.relu(pointwise(z, weight[:, :, 0, 0], bias))
    return z


def separable(
    input: Tensor,
    depthwise: Tensor,
    pointwise_weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> Tensor:
    """The depthwise separable convolution: m spatial kernels a channel, then a matrix on the C·m results.

        z[b,c·m+n,i,j] = Σ_{u,v} d[c,n,u,v] · x[b, c, i·s + u·r − p, j·s + v·r − p]      y = w · z + β at every pixel

    `depthwise` `[C·m, 1, KH, KW]`, `pointwise_weight` `[O, C·m]`. Howard et al. 2017; Chollet 2017.
    """
    C = input.shape[1]
    m = depthwise.shape[0] // C
    planes = [
        conv2d(input[:, c : c + 1], depthwise[c * m + n : c * m + n + 1], None, stride, padding, dilation)
        for c in range(C)
        for n in range(m)
    ]  # one channel through one kernel at a time
    return pointwise(torch.cat(planes, dim=1), pointwise_weight, bias)


def kernel_stack(
    input: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], padding: Padding = 0, activation: bool = True
) -> Tensor:
    """Small kernels in a row, each followed by ReLU, in the place of one large kernel.

        z_0 = x,   z_n = ReLU(w_n ∗ z_{n−1} + b_n),   y = the last z

    `weights[n]` is `[O, O, 3, 3]`, the first `[O, C, 3, 3]`; `activation=False` leaves ReLU out. Simonyan & Zisserman
    2015, section 2.3.
    """
    z = input
    for weight, bias in zip(weights, biases, strict=True):
        z = conv2d(z, weight, bias, padding=padding)
        z = torch.relu(z) if activation else z
    return z


def batch_norm(input: Tensor, norm: torch.nn.BatchNorm2d) -> Tensor:
    """Batch norm in inference: (x − mean) / √(variance + ε) · γ + β, channel by channel. Ioffe & Szegedy 2015."""
    shape = (1, -1, 1, 1)
    mean, variance = norm.running_mean.view(shape), norm.running_var.view(shape)
    return (input - mean) / torch.sqrt(variance + norm.eps) * norm.weight.view(shape) + norm.bias.view(shape)


def max_pool3(input: Tensor) -> Tensor:
    """The largest of the 3×3 pixels around each pixel, as far as they lie in the picture: `[B, C, H, W]` → same."""
    H, W = input.shape[2:]
    x = torch.nn.functional.pad(input, (1, 1, 1, 1), value=-torch.inf)
    return torch.stack([x[:, :, u : u + H, v : v + W] for u in range(3) for v in range(3)]).amax(0)


def active_conv2d(
    input: Tensor,
    weight: Tensor,
    positions: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
) -> Tensor:
    """Active convolution: K taps at places that need not be whole, the same for all output places.

        y[b,o,i,j] = bias[o] + Σ_{c,k} w[o,c,k] · x̃[b, c, i·s − p + β_k, j·s − p + α_k]

    x̃ is the picture interpolated bilinearly between its pixels, 0 outside. `weight` `[O, C, K]`, `positions` `[K, 2]`
    holds (β_k, α_k), vertical first, in pixels; the output is as large as that of a 1×1 kernel. At a whole position
    the derivative with respect to it is one-sided, towards the next pixel. Jeon & Kim 2017, arXiv:1703.09076.
    """
    B, _, H, W = input.shape
    O, _, K = weight.shape
    (sy, sx), (py, px) = pair(stride, "stride", 1), pair(padding, "padding")
    rows, columns = output_size((H, W), 1, (sy, sx), (py, px))
    i = torch.arange(rows, device=input.device) * sy - py  # where the tap (0, 0) of each output place lies
    j = torch.arange(columns, device=input.device) * sx - px

    y = input.new_zeros(B, O, rows, columns)
    for k in range(K):
        floor = positions[k].detach().floor()
        below, right = positions[k] - floor  # how far past the pixel above and to the left
        for u, share in enumerate((1 - below, below)):
            for v, part in enumerate((1 - right, right)):
                m, n = i + int(floor[0]) + u, j + int(floor[1]) + v
                inside = ((m >= 0) & (m < H))[:, None] & ((n >= 0) & (n < W))
                pixel = input[:, :, m.clamp(0, H - 1)][..., n.clamp(0, W - 1)]  # [B, C, rows, columns]
                sample = share * part * torch.where(inside, pixel, 0.0)
                y = y + torch.einsum("bcij,oc->boij", sample, weight[:, :, k])
    return y if bias is None else y + bias.view(1, O, 1, 1)


def non_local(
    query: Tensor, key: Tensor, value: Tensor, mode: str, scale: float = 1.0, relation: Tensor | None = None
) -> Tensor:
    """The non-local operation with all pairs of places written out: n a place of the query, m one of the M keys.

        y[b,c,n] = Σ_m f[b,n,m] · g[b,c,m]

        "gaussian", "embedded"   f[b,n,:] = softmax(scale · q[b,:,n]·k[b,:,m]) over m
        "dot"                    f[b,n,m] = q[b,:,n]·k[b,:,m] / M
        "concat"                 f[b,n,m] = ReLU(w · [q[b,:,n], k[b,:,m]]) / M

    `query` `[B, D, H, W]`, `key` `[B, D, H_k, W_k]`, `value` g `[B, C, H_k, W_k]`, `relation` w `[2·D]` →
    `[B, C, H, W]`. Wang et al. 2018, section 3.2, arXiv:1711.07971.
    """
    q, k, g = query.flatten(2), key.flatten(2), value.flatten(2)  # [B, D, N], [B, D, M], [B, C, M]
    N, M = q.shape[2], k.shape[2]
    if mode == "concat":
        both = torch.cat([q[..., :, None].expand(-1, -1, N, M), k[..., None, :].expand(-1, -1, N, M)], 1)
        f = torch.relu(torch.einsum("d,bdnm->bnm", relation, both)) / M
    else:
        products = torch.einsum("bdn,bdm->bnm", q, k)
        f = products / M if mode == "dot" else torch.softmax(scale * products, dim=2)
    return torch.einsum("bnm,bcm->bcn", f, g).unflatten(2, query.shape[2:])


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
    """The deformable convolution: each tap (u, v) of each output place reads the picture at a place of its own.

        y[b,o,i,j] = bias[o] + Σ_{c,u,v} w[o,c,u,v] · m[b,u,v,i,j] · x̃[b, c, i·s + u·d − p + Δy, j·s + v·d − p + Δx]
        x̃[b,c,ŷ,x̂] = Σ_{q,r} hat(ŷ − q) · hat(x̂ − r) · x[b,c,q,r],   hat(t) = max(0, 1 − abs(t))

    `input` `[B, C, H, W]`, `weight` `[O, C/groups, KH, KW]`. `offset` `[B, 2·K·G, H_out, W_out]` holds (Δy, Δx) of the
    K = KH·KW taps in turn, for each of G groups of neighbouring input channels; `mask` `[B, K·G, H_out, W_out]` holds m
    (None: 1). A sample with ŷ ≤ −1 or x̂ ≤ −1 is 0 and has no gradient. Dai et al. 2017, equations 2 to 4; Zhu et al.
    2019, equation 1.
    """
    B, C, H, W = input.shape
    O, _, KH, KW = weight.shape
    K = KH * KW
    groups, G = C // weight.shape[1], offset.shape[1] // (2 * K)
    (sy, sx), (dy, dx) = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    (top, _), (left, _) = resolve_padding(padding, (KH, KW), (dy, dx), (sy, sx))
    rows = torch.arange(offset.shape[2], dtype=input.dtype, device=input.device).view(-1, 1) * sy - top
    columns = torch.arange(offset.shape[3], dtype=input.dtype, device=input.device) * sx - left

    x = input.unflatten(1, (G, C // G))
    w = weight.unflatten(0, (groups, O // groups))
    offset = offset.unflatten(1, (G, K, 2))  # [B, G, K, 2, H_out, W_out]
    y = input.new_zeros(B, O, *offset.shape[-2:])
    for u in range(KH):
        for v in range(KW):
            k = u * KW + v
            at_y = hat(rows + u * dy + offset[:, :, k, 0], H)  # [B, G, H_out, W_out, H]
            at_x = hat(columns + v * dx + offset[:, :, k, 1], W)
            sample = torch.einsum("bgijq,bgijr,bgcqr->bgcij", at_y, at_x, x)
            if mask is not None:
                sample = sample * mask.unflatten(1, (G, 1, K))[:, :, :, k]
            sample = sample.flatten(1, 2).unflatten(1, (groups, C // groups))
            y = y + torch.einsum("bgcij,goc->bgoij", sample, w[..., u, v]).flatten(1, 2)
    return y if bias is None else y + bias.view(1, O, 1, 1)


def hat(place: Tensor, size: int) -> Tensor:
    """How much each of the pixels 0 … `size` − 1 has to do with a place on their axis: `[…]` → `[…, size]`.

    1 on the pixel, falling to 0 at the neighbours; the slope on the pixel is that to the right. At −1 and before, no
    pixel has to do with the place, nor with a change of it.
    """
    t = place.unsqueeze(-1) - torch.arange(size, dtype=place.dtype, device=place.device)
    nothing = (t < -1) | (t >= 1) | (place.unsqueeze(-1) <= -1)
    return torch.where(nothing, 0, torch.where(t >= 0, 1 - t, 1 + t))


def shift2d(input: Tensor, displacements: Tensor) -> Tensor:
    """The shift: each channel moves by a whole displacement of its own.

        y[b,c,i,j] = x[b, c, i + dy_c, j + dx_c],   0 outside the picture

    `input` `[B, C, H, W]`, `displacements` whole numbers `[C, 2]`, (dy, dx) → `[B, C, H, W]`. Wu et al. 2018.
    """
    C, H, W = input.shape[1:]
    planes = []
    for c in range(C):
        dy, dx = (int(n) for n in displacements[c])
        x = torch.nn.functional.pad(input[:, c], (abs(dx), abs(dx), abs(dy), abs(dy)))
        planes.append(x[:, abs(dy) + dy :, abs(dx) + dx :][:, :H, :W])
    return torch.stack(planes, dim=1)


def active_shift2d(input: Tensor, displacements: Tensor) -> Tensor:
    """The active shift: each channel moves by a real displacement of its own, bilinear between the pixels.

        y[b,c,i,j] = Σ_{u,v ∈ {0,1}} a_u(dy_c) · a_v(dx_c) · x[b, c, i + ⌊dy_c⌋ + u, j + ⌊dx_c⌋ + v]
        a_1(d) = d − ⌊d⌋,   a_0(d) = 1 − a_1(d),   x = 0 outside the picture

    `displacements` real numbers `[C, 2]`, (dy, dx). Jeon & Kim 2018.
    """
    whole = displacements.detach().floor()
    y = torch.zeros_like(input)
    for u in (0, 1):
        for v in (0, 1):
            corner = shift2d(input, whole + torch.tensor([u, v], dtype=whole.dtype))
            part = displacements - whole  # [C, 2]
            vertical = part[:, 0] if u else 1 - part[:, 0]
            horizontal = part[:, 1] if v else 1 - part[:, 1]
            y = y + (vertical * horizontal).view(1, -1, 1, 1) * corner
    return y


def adder2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Tensor:
    """The adder: a patch is compared with the kernel by L1 distance, not by product.

        y[b,o,i,j] = bias[o] − Σ_{c,u,v} | x[b, c, i·s + u·d − p, j·s + v·d − p] − w[o,c,u,v] |

    Shapes as in `conv2d`. A place outside the picture is a pixel of value 0 and costs `|w|`. Chen et al. 2020. The
    gradient that autograd finds here is the exact one, not the paper's.
    """
    B, C = input.shape[:2]
    O, _, KH, KW = weight.shape
    (sy, sx), (dy, dx) = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    (top, bottom), (left, right) = resolve_padding(padding, (KH, KW), (dy, dx), (sy, sx))
    H, W = output_size(input.shape[2:], (KH, KW), (sy, sx), padding, (dy, dx))

    x = torch.nn.functional.pad(input, (left, right, top, bottom)).unflatten(1, (groups, 1, C // groups))
    w = weight.unflatten(0, (groups, O // groups))[..., None, None]  # [G, O/G, C/G, KH, KW, 1, 1]
    y = input.new_zeros(B, groups, O // groups, H, W)
    for u in range(KH):
        for v in range(KW):
            rows = slice(u * dy, u * dy + (H - 1) * sy + 1, sy)
            columns = slice(v * dx, v * dx + (W - 1) * sx + 1, sx)
            y = y - (x[..., rows, columns] - w[:, :, :, u, v]).abs().sum(3)  # [B, G, O/G, C/G, H, W] over c
    y = y.flatten(1, 2)
    return y if bias is None else y + bias.view(1, O, 1, 1)


def conv_norm_relu(input: Tensor, weight: Tensor, norm: torch.nn.BatchNorm2d) -> Tensor:
    """A size-keeping convolution without bias (kernel sides odd), batch norm in inference, ReLU."""
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    return torch.relu(batch_norm(conv2d(input, weight, padding=padding), norm))


def inception(input: Tensor, weights: Sequence[Tensor], norms: Sequence[torch.nn.BatchNorm2d]) -> Tensor:
    """Four branches side by side; the large kernels and the pooled channels stand beside a 1×1 kernel.

        y = concat( f_1(x), f_3(r_3(x)), f_5(r_5(x)), p(maxpool3(x)) )      f, r, p: convolution, batch norm, ReLU

    `weights` and `norms` are those of f_1, r_3, f_3, r_5, f_5, p in this order. Szegedy et al. 2015, figure 2b.
    """
    f1, r3, f3, r5, f5, p = zip(weights, norms, strict=True)
    branches = [
        conv_norm_relu(input, *f1),
        conv_norm_relu(conv_norm_relu(input, *r3), *f3),
        conv_norm_relu(conv_norm_relu(input, *r5), *f5),
        conv_norm_relu(max_pool3(input), *p),
    ]
    return torch.cat(branches, dim=1)


def factorised(input: Tensor, vertical: Tensor, horizontal: Tensor, bias: Tensor | None = None) -> Tensor:
    """An n×1 and a 1×n kernel in a row, as the one n×n convolution that they are (n odd, the size is kept).

        w[o,c,u,v] = Σ_m h[o,m,v] · a[m,c,u]      a sum of outer products

    `vertical` `[M, C, n, 1]`, `horizontal` `[O, M, 1, n]`. Szegedy et al. 2016, section 3.2.
    """
    weight = torch.einsum("omv,mcu->ocuv", horizontal[:, :, 0], vertical[..., 0])
    return conv2d(input, weight, bias, padding=vertical.shape[2] // 2)


def fire(input: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Squeeze the channels by a 1×1 kernel, expand them by a 1×1 and a 3×3 kernel side by side.

        s = ReLU(w_s · x + b_s) at every pixel      y = concat( ReLU(w_1 · s + b_1), ReLU(w_3 ∗ s + b_3) )

    `weights` are w_s `[S, C, 1, 1]`, w_1 `[E_1, S, 1, 1]` and w_3 `[E_3, S, 3, 3]`. Iandola et al. 2016, section 3.2.
    """
    s = torch.relu(pointwise(input, weights[0][:, :, 0, 0], biases[0]))
    narrow = pointwise(s, weights[1][:, :, 0, 0], biases[1])
    wide = conv2d(s, weights[2], biases[2], padding=1)
    return torch.relu(torch.cat([narrow, wide], dim=1))
