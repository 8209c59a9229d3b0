"""Softmax attention between two maps, with all derivatives, and on the CPU a backward that takes little memory::

    y[b,i,:] = Σ_j P[b,i,j] · g[b,:,j]      P[b,i,j] = exp(scale · q[b,:,i] · k[b,:,j] − l[b,i]),   l the log of the sum

torch's fused kernel for the CPU reads maps whose channels lie side by side, and its backward takes one thread for each
image. With y and l known, the gradients are sums over pairs of a block of queries and a block of keys (Dao et al.,
"FlashAttention", NeurIPS 2022, arXiv:2205.14135, appendix B). So the kernel's backward is called for one pair of blocks
after the other, on copies of these alone, and the block of queries is divided among threads.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from convnotes.kernels import private
from convnotes.kernels.transforms import has_memory, transformed

_KEYS = 256  # in a block
_PARTS = 8  # of a block of queries of all images, for as many threads; fixed, so that their number changes no bit


def attention(q: Tensor, k: Tensor, g: Tensor, scale: float) -> Tensor:
    """q `[B, D, places]`, k `[B, D, N]` and g `[B, C, N]` → y `[B, places, C]`."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return _fused(q, k, g, scale)
    if transformed(q, k, g):
        return _pairs(q, k, g, scale)
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in (q, k, g))):
        return _fused(q, k, g, scale)
    if _by_blocks(q, k, g, scale):
        return _Blocks.apply(q, k, g, scale).squeeze(1)[..., : g.shape[1]]
    return _TwiceDifferentiable.apply(q, k, g, _fused(q, k, g, scale), scale)


def _fused(q: Tensor, k: Tensor, g: Tensor, scale: float) -> Tensor:
    width = _width(q, g)
    q, k, v = (_rows(t, width).unsqueeze(1) for t in (q, k, g))
    y = F.scaled_dot_product_attention(q, k, v, scale=scale)
    return y.squeeze(1)[..., : g.shape[1]]


def _width(q: Tensor, g: Tensor) -> int | None:
    """How many channels the CPU's fused kernel has to be given: equally many from all, else torch makes all pairs."""
    return max(q.shape[1], g.shape[1]) if q.device.type == "cpu" else None


def _rows(t: Tensor, width: int | None) -> Tensor:
    """`[B, channels, places]` → `[B, places, width]`, side by side; zeros fill up."""
    t = t.transpose(1, 2)
    if width is not None and width > t.shape[2]:
        t = F.pad(t, (0, width - t.shape[2]))
    return t.contiguous()


def _pairs(q: Tensor, k: Tensor, g: Tensor, scale: float) -> Tensor:
    return torch.softmax(scale * q.transpose(1, 2) @ k, 2) @ g.transpose(1, 2)


def _through_pairs(ctx, q: Tensor, k: Tensor, g: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients by operations that can be differentiated again, and mapped."""
    again = torch.is_grad_enabled()
    needed = ctx.needs_input_grad[:3]
    with torch.enable_grad():
        q, k, g = (t.view_as(t) for t in (q, k, g))  # none comes from another
        wanted = [t for t, n in zip((q, k, g), needed, strict=True) if n]
        y = _pairs(q, k, g, ctx.scale)
    found = iter(torch.autograd.grad(y, wanted, gradient.to(y.dtype), create_graph=again))
    return tuple(next(found) if n else None for n in needed)


class _TwiceDifferentiable(torch.autograd.Function):
    """Hands fused attention on as it is, and gives it the second derivative that it lacks.

    An ordinary backward goes on into the fused kernel's own. One that is to be differentiated again
    (`create_graph=True`) leaves that out and goes through all pairs.
    """

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, g: Tensor, y: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(q, k, g)
        ctx.scale = scale
        return y.view_as(y)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():
            return None, None, None, gradient, None
        q, k, g = ctx.saved_tensors
        return *_through_pairs(ctx, q, k, g, gradient), None, None


def _queries(q: Tensor) -> int:
    """How many queries make a block: with one image alone a thread has less to do than with several."""
    return 2048 if q.shape[0] == 1 else 4096


def _by_blocks(q: Tensor, k: Tensor, g: Tensor, scale: float) -> bool:
    """On the CPU, where torch would take its fused kernel, and in a precision that can sum the blocks' gradients."""
    if min(q.shape[2], k.shape[2]) <= _queries(q):  # the whole is faster, and small
        return False
    if q.device.type != "cpu" or q.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu"):
        return False
    width = max(q.shape[1], g.shape[1])
    q, k, v = (t.new_empty(width).expand(t.shape[0], 1, t.shape[2], width) for t in (q, k, g))
    return private.attention_in_halves(q, k, v, scale)


def _mapped(gradient: Tensor) -> bool:
    """Are many gradients asked for at once (`is_grads_batched`)?"""
    return transformed(gradient) or not has_memory(gradient)


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, g: Tensor, scale: float) -> Tensor:
        queries, keys, values = (_rows(t, _width(q, g)).unsqueeze(1) for t in (q, k, g))
        y, log_sum = private.attention(queries, keys, values, scale)
        ctx.save_for_backward(q, k, g, y, log_sum)
        ctx.scale = scale
        return y  # [B, 1, places, width]

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, g, y, log_sum = ctx.saved_tensors
        if torch.is_grad_enabled() or _mapped(gradient):
            return *_through_pairs(ctx, q, k, g, gradient[:, 0].narrow(2, 0, g.shape[1])), None
        return *_backward(gradient.squeeze(1).transpose(1, 2), q, k, g, y, log_sum, ctx.scale), None


def _backward(gradient: Tensor, q: Tensor, k: Tensor, g: Tensor, y: Tensor, log_sum: Tensor, scale: float):
    """The three gradients, laid out as the maps; `gradient` `[B, width, places]`, y `[B, 1, places, width]`."""
    width, D, C = y.shape[3], q.shape[1], g.shape[1]
    by_q, by_k, by_g = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(g)
    for i in range(0, q.shape[2], _queries(q)):
        block = slice(i, min(i + _queries(q), q.shape[2]))
        parts = math.gcd(max(1, _PARTS // len(q)), block.stop - i)
        slope, query = (_rows(t[..., block], width).unflatten(1, (parts, -1)) for t in (gradient, q))
        seen, sums = (t[:, 0, block].unflatten(1, (parts, -1)) for t in (y, log_sum))
        total = torch.zeros_like(query)
        for j in range(0, k.shape[2], _KEYS):
            keys = slice(j, j + _KEYS)
            key, value = (_rows(t[..., keys], width).unsqueeze(1).expand(-1, parts, -1, -1) for t in (k, g))
            found = private.attention_backward(slope, query, key, value, seen, sums, scale=scale)
            total += found[0]
            by_k[..., keys] += found[1].sum(1).transpose(1, 2)[:, :D]
            by_g[..., keys] += found[2].sum(1).transpose(1, 2)[:, :C]
            del found  # before the next three are made
        by_q[..., block] = total.flatten(1, 2).transpose(1, 2)[:, :D]
    return by_q, by_k, by_g
