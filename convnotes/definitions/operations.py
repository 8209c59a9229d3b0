"""The operators of part 3, operation optimisation, as their definitions."""

from __future__ import annotations

import torch
from torch import Tensor

from convnotes.geometry import (
    IntOrPair,
    Padding,
    output_size,
    pair,
    resolve_padding,
)


def shift2d(input: Tensor, displacements: Tensor) -> Tensor:
    """The shift: each channel moves by a whole displacement of its own::

        y[b,c,i,j] = x[b, c, i + dy_c, j + dx_c],   0 outside the image

    `input` `[B, C, H, W]`, `displacements` whole numbers `[C, 2]`, (dy, dx) →
    `[B, C, H, W]`. Wu et al. 2018.
    """
    C, H, W = input.shape[1:]
    planes = []
    for c in range(C):
        dy, dx = (int(n) for n in displacements[c])
        x = torch.nn.functional.pad(
            input[:, c], (abs(dx), abs(dx), abs(dy), abs(dy))
        )
        planes.append(x[:, abs(dy) + dy :, abs(dx) + dx :][:, :H, :W])
    return torch.stack(planes, dim=1)


def active_shift2d(input: Tensor, displacements: Tensor) -> Tensor:
    """The active shift: each channel moves by a real displacement of its own,
    bilinear between the pixels::

        y[b,c,i,j] = Σ_{u,v ∈ {0,1}} a_u(dy_c) · a_v(dx_c)
                     · x[b, c, i + ⌊dy_c⌋ + u, j + ⌊dx_c⌋ + v]
        a_1(d) = d − ⌊d⌋,   a_0(d) = 1 − a_1(d),   x = 0 outside the image

    `displacements` real numbers `[C, 2]`, (dy, dx). Jeon & Kim 2018.
    """
    whole = displacements.detach().floor()
    y = torch.zeros_like(input)
    for u in (0, 1):
        for v in (0, 1):
            corner = shift2d(
                input, whole + torch.tensor([u, v], dtype=whole.dtype)
            )
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
    """The adder: a patch is compared with the kernel by L1 distance, not by
    product::

        y[b,o,i,j] = bias[o] − Σ_{c,u,v}
                     | x[b, c, i·s + u·d − p, j·s + v·d − p] − w[o,c,u,v] |

    Shapes as in `conv2d`. A position outside the image is a pixel of value 0
    and costs `|w|`. Chen et al. 2020. The gradient that autograd finds here is
    the exact one, not the paper's.
    """
    B, C = input.shape[:2]
    O, _, KH, KW = weight.shape
    sy, sx = pair(stride, "stride", 1)
    dy, dx = pair(dilation, "dilation", 1)
    (top, bottom), (left, right) = resolve_padding(
        padding, (KH, KW), (dy, dx), (sy, sx)
    )
    H, W = output_size(input.shape[2:], (KH, KW), (sy, sx), padding, (dy, dx))

    x = torch.nn.functional.pad(input, (left, right, top, bottom)).unflatten(
        1, (groups, 1, C // groups)
    )
    w = weight.unflatten(0, (groups, O // groups))[
        ..., None, None
    ]  # [G, O/G, C/G, KH, KW, 1, 1]
    y = input.new_zeros(B, groups, O // groups, H, W)
    for u in range(KH):
        for v in range(KW):
            rows = slice(u * dy, u * dy + (H - 1) * sy + 1, sy)
            columns = slice(v * dx, v * dx + (W - 1) * sx + 1, sx)
            y = y - (x[..., rows, columns] - w[:, :, :, u, v]).abs().sum(
                3
            )  # [B, G, O/G, C/G, H, W] over c
    y = y.flatten(1, 2)
    return y if bias is None else y + bias.view(1, O, 1, 1)


def quantized_adder2d(
    input: Tensor,
    weight: Tensor,
    scale: float,
    zero_point: int,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Tensor:
    """The adder of images and templates that are rounded to 256 values, the
    same for both::

        q(v) = clamp(round(v / scale) + zero_point, 0, 255)
        y[b,o,i,j] = bias[o] − scale · Σ_{c,u,v} | q(x[...]) − q(w[...]) |
                     − Σ_{c,u,v} | w[o,c,u,v] − cut(w[o,c,u,v]) |

    Indices and shapes as in `adder2d`. `cut` cuts at both ends of what the 256
    values stand for: a weight beyond them is as much farther from every pixel.
    A position outside the image is a pixel of value 0, and q(0) = zero_point.
    In a difference the zero point cancels; so the sum is that of `adder2d` for
    q(v) − zero_point. Nie et al. 2022.
    """

    def q(v: Tensor) -> Tensor:
        whole = (v / scale).round() + zero_point
        return whole.clamp(0, 255) - zero_point

    cut = weight.clamp(-zero_point * scale, (255 - zero_point) * scale)
    shift = -(weight - cut).abs().sum((1, 2, 3))
    if bias is not None:
        shift = shift + bias
    shape = (stride, padding, dilation, groups)
    y = adder2d(q(input), q(weight), None, *shape)
    return scale * y + shift.view(1, -1, 1, 1)
