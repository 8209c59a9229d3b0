"""Deformable aggregation in plain torch, for any device: a table of pixels, four rows of it per sample, sums of taps::

y[p,c] = Σ_k m[p,k] · x̃[c, place of tap k of p]
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from convnotes.kernels.aggregate.sampling import Taps
from convnotes.kernels.deform.in_torch import reads_of, sample_gradients
from convnotes.kernels.deform.rows import weighted_rows


def forward(input: Tensor, offset: Tensor, mask: Tensor, taps: Taps) -> Tensor:
    """`[B, C, h, w]`, channels last in memory. Differentiable any number of times."""
    sizes = taps.sizes(input, offset)
    reads = reads_of(input, offset, mask, sizes)
    samples = weighted_rows(reads.table, reads.weights, reads.rows, reads.edge)  # [B·h·w·K·G, C/G]
    sums = samples.view(sizes.B, sizes.h, sizes.w, sizes.K, sizes.C).sum(3)
    return sums.to(input.dtype).permute(0, 3, 1, 2)


def backward(grad: Tensor, *inputs: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """The gradients of input, offset and mask, written out, for where autograd does not reach."""
    input, offset, mask, taps, _ = inputs
    sizes = taps.sizes(input, offset)
    reads = reads_of(input, offset, mask, sizes)
    sent = grad.permute(0, 2, 3, 1).unsqueeze(3).expand(-1, -1, -1, sizes.K, -1)  # a tap's is that of the sum
    columns = sent.reshape(-1, sizes.C // sizes.G).to(reads.table.dtype)
    return sample_gradients(reads, columns, input, offset, mask)
