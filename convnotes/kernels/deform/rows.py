"""Sums of four weighted rows of a table: what a bilinear sample is, with every derivative of it fast::

    y[m,c] = Σ_n w[m,n] · t[index[m,n], c]

Take the scalar T(t, w, g) = Σ_{m,n,c} w[m,n] · t[index[m,n], c] · g[m,c], linear in each of its three factors. The sum
above is ∂T/∂g. Its gradients are the other two derivatives, ∂T/∂t (rows are collected into the table) and ∂T/∂w (rows
are compared with rows), and the gradients of those are the same three again. So three loops, each read-only, give
forward mode and reverse mode of any order. Two of them are torch's `embedding_bag`, once by row of y and once, after a
sort of `index`, by row of t: nothing is added atomically, and the result does not depend on the number of threads.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convnotes.kernels import private
from convnotes.kernels.operator import factors_gradients, factors_tangent


def weighted_rows(table: Tensor, weights: Tensor, index: Tensor, hidden: Tensor | None = None) -> Tensor:
    """y[m,c] = Σ_n weights[m,n] · table[index[m,n], c], shape `[M, C]`.

    `table` `[R, C]` and `weights` `[M, 4]` of one floating dtype, `index` `[M, 4]` of int64 below R. Rows that are
    `hidden` `[M]` are 0, and derived as if they were not. Differentiable in both, forward and reverse, any number of
    times; under `torch.vmap`; deterministic. Inside `torch.compile` and `torch.export`, which do not follow an own
    forward-mode rule, it is torch's operator with torch's gradient; there a hidden row that is not finite has none.
    """
    if torch.compiler.is_compiling():
        found = F.embedding_bag(index, table, mode="sum", per_sample_weights=weights)
        if hidden is None:
            return found
        nothing = (found - found.detach()).nan_to_num(0.0, 0.0, 0.0)  # 0, with the slope of what is hidden
        return torch.where(hidden.unsqueeze(1), nothing, found)
    return _Trilinear.apply(table, weights, None, index, hidden, table.shape[0])


def table_gradient(weights: Tensor, columns: Tensor, index: Tensor, rows: int) -> Tensor:
    """∂T/∂t `[rows, C]` for g = `columns` `[M, C]`."""
    return _Trilinear.apply(None, weights, columns, index, None, rows)


def weight_gradient(table: Tensor, columns: Tensor, index: Tensor) -> Tensor:
    """∂T/∂w `[M, 4]` for g = `columns` `[M, C]`."""
    return _Trilinear.apply(table, None, columns, index, None, table.shape[0])


class _Trilinear(torch.autograd.Function):
    """The derivative of T by the one of (table, weights, columns) that is None, at the other two."""

    @staticmethod
    def forward(table, weights, columns, index, hidden, rows):
        # Detached: embedding_bag takes a slower way for what seems to need its gradient.
        table, weights, columns = (None if f is None else f.detach() for f in (table, weights, columns))
        fits = max(rows, index.numel()) < 2**31  # int32 sorts and reads twice as fast
        index = index.to(torch.int32 if fits else torch.int64)
        if columns is None:
            found = F.embedding_bag(index, table, mode="sum", per_sample_weights=weights)
            return found if hidden is None else found.masked_fill_(hidden.unsqueeze(1), 0)
        if weights is None:
            return private.row_products(columns, table, index)
        flat = index.flatten()
        sorted_index, order = flat.sort(stable=True)
        row = torch.arange(rows, dtype=flat.dtype, device=flat.device)
        starts = torch.searchsorted(sorted_index, row, out_int32=fits)  # where each row's entries begin
        sources = (order >> 2).to(flat.dtype)  # order // 4, several times as fast
        weights = weights.flatten().index_select(0, order)
        return F.embedding_bag(sources, columns, starts, mode="sum", per_sample_weights=weights)

    @staticmethod
    def setup_context(ctx, inputs, output):
        *factors, index, _, ctx.rows = inputs
        ctx.save_for_backward(*factors, index)
        ctx.save_for_forward(*factors, index)

    @staticmethod
    def backward(ctx, cotangent):
        *factors, index = ctx.saved_tensors
        call = functools.partial(_called, index, ctx.rows)
        return *factors_gradients(call, factors, ctx.needs_input_grad[:3], cotangent), None, None, None

    @staticmethod
    def jvp(ctx, *tangents):
        *factors, index = ctx.saved_tensors
        return factors_tangent(functools.partial(_called, index, ctx.rows), factors, tangents[:3])

    @staticmethod
    def vmap(info, in_dims, *inputs):
        """One table below the other, and the indices moved down with them."""
        *tensors, rows = inputs
        n = info.batch_size
        *factors, index, hidden = (_stacked(t, dim, n) for t, dim in zip(tensors, in_dims[:5], strict=True))
        index = index + rows * torch.arange(n, device=index.device).view(n, 1, 1)
        joined = [None if t is None else t.flatten(0, 1) for t in (*factors, index, hidden)]
        return _Trilinear.apply(*joined, n * rows).unflatten(0, (n, -1)), 0


def _stacked(tensor: Any, dim: int | None, size: int) -> Any:
    if tensor is None:
        return None
    return tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def _called(index: Tensor, rows: int, *factors: Tensor | None) -> Tensor:
    return _Trilinear.apply(*factors, index, None, rows)
