"""Three other ways to compute the plain convolution of stride 1, each as its
equations: as one matrix product, by the Fourier transform, and by Winograd's
tiles. They give what `definitions.conv2d` gives, within rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convnotes.geometry import IntOrPair, pair


def conv2d_by_matrix(
    input: Tensor, weight: Tensor, padding: IntOrPair = 0
) -> Tensor:
    """One matrix product per image, with all patches as columns (im2col)::

        y[b,o,n] = Σ_m w[o,m] · columns[b,m,n]     m = (c,u,v), n = (i,j)

    Chellapilla et al. 2006.
    """
    KH, KW = weight.shape[2:]
    py, px = pair(padding, "padding")
    columns = torch.nn.functional.unfold(input, (KH, KW), padding=(py, px))
    H = input.shape[2] + 2 * py - KH + 1
    return (weight.flatten(1) @ columns).unflatten(2, (H, -1))


def conv2d_by_fft(
    input: Tensor, weight: Tensor, padding: IntOrPair = 0
) -> Tensor:
    """Products of frequencies instead of sums over taps::

        y[b,o] = F⁻¹( Σ_c F(x[b,c]) · conj F(w[o,c]) )

    The transforms are as large as the padded image, so that nothing that is
    kept wraps around. Mathieu et al. 2014.
    """
    KH, KW = weight.shape[2:]
    py, px = pair(padding, "padding")
    x = torch.nn.functional.pad(input, (px, px, py, py))
    H, W = x.shape[2:]
    image, kernel = torch.fft.rfft2(x), torch.fft.rfft2(weight, s=(H, W))
    products = torch.einsum("bcfg,ocfg->bofg", image, kernel.conj())
    y = torch.fft.irfft2(products, s=(H, W))
    return y[..., : H - KH + 1, : W - KW + 1]


def winograd_matrices(m: int, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The matrices of F(m, k): m outputs of k taps by m + k − 1 products::

        y = A [ (G w) ⊙ (D x) ]     A [m, t], G [t, k], D [t, t], t = m + k − 1

    A product of polynomials of degree m − 1 and k − 1 is known from its values
    at t points: 0, ±1, ±2, ±½, … and infinity. Turned around, the same three
    matrices compute a correlation. Winograd 1980; Lavin and Gray 2016.
    """
    t = m + k - 1
    points = [0.0]
    for size in range(1, t):
        for point in (float(size), 1 / size) if size > 1 else (1.0,):
            points += [point, -point]

    def values(length: int) -> Tensor:
        """Polynomials of so many coefficients at the points: [t, length]."""
        rows = [[p**n for n in range(length)] for p in points[: t - 1]]
        infinity = [0.0] * (length - 1) + [1.0]
        return torch.tensor([*rows, infinity], dtype=torch.float64)

    return values(m).T, values(k), torch.linalg.inv(values(t)).T


def conv2d_by_winograd(
    input: Tensor, weight: Tensor, padding: IntOrPair = 0, m: int = 2
) -> Tensor:
    """Tiles of m×m outputs, each from few products::

        Y = A [ (G w Gᵀ) ⊙ (D X Dᵀ) ] Aᵀ,  summed over c between the brackets

    Per pair of channels a tile takes (m + k − 1)² products. `weight` `[O, C, k,
    k]`. The tiles of the input overlap by k − 1 pixels.
    """
    k = weight.shape[2]
    t = m + k - 1
    py, px = pair(padding, "padding")
    H = input.shape[2] + 2 * py - k + 1
    W = input.shape[3] + 2 * px - k + 1
    A, G, D = (matrix.to(input) for matrix in winograd_matrices(m, k))
    below, right = -H % m, -W % m  # the last tiles are filled with zeros
    x = torch.nn.functional.pad(input, (px, px + right, py, py + below))
    tiles = x.unfold(2, t, m).unfold(3, t, m)  # [B, C, rows, columns, t, t]
    products = torch.einsum(
        "bcijuv,ocuv->boijuv", D @ tiles @ D.T, G @ weight @ G.T
    )
    y = A @ products @ A.T  # [B, O, rows, columns, m, m]
    return y.transpose(3, 4).flatten(4).flatten(2, 3)[..., :H, :W]
