"""Shift and the 1×1 convolution after it as one operator, for the devices on which that saves time.

    y[b,o,i,j] = Σ_c w[o,c] · x[b, c, i·s + dy_c, j·s + dx_c]

Take the scalar T(x, w, g) = Σ g[b,o,i,j] · w[o,c] · x[b, c, …], linear in each of its three factors: y is ∂T/∂g, the
gradients are the other two derivatives, and the gradients of those are the same three again. So three kernels serve
every order of derivative.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from convnotes.kernels import backend
from convnotes.kernels.transforms import transformed

# Outputs up to which the fused product is taken: one tile of it. Each further tile reads all channels again, and finds
# their places again, which costs more instructions than the product itself. Compiled for an H100 they are 1,560 a warp
# for 32 channels × 128 places in bfloat16 and 1,040 for 16 × 64 in float32, by which one tile takes some three quarters
# of the time of shift and convolution one after the other, and two take more than all of it. Reckoned, never measured.
_PAYS_UP_TO = 64


def fuses(input: Tensor, shift: nn.Module, conv: nn.Conv2d) -> bool:
    """Does `shift_pointwise` serve these two modules, and pay? Never in a graph that is captured or transformed.

    Modules with hooks are called one by one, so that whoever looks at them sees them.
    """
    if not isinstance(input, Tensor) or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    weight, displacements = conv.weight, shift.displacements
    if "triton" not in backend.KERNELS["shift_pointwise"] or input.device.type != backend.DEVICE["triton"]:
        return False
    if _hooked(shift) or _hooked(conv) or _has_any_global_hook() or transformed(input, weight):
        return False
    factors = _as_autocast(input, weight)
    return (
        conv.out_channels <= _PAYS_UP_TO
        and displacements.device == input.device
        and backend.chosen("shift_pointwise", factors) == "triton"
    )


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def shift_pointwise(input: Tensor, weight: Tensor, displacements: Tensor, stride: int) -> Tensor:
    """Move channel c of `input` `[B, C, H, W]` by `displacements[c]`, `[C, 2]`, and mix by `weight` `[O, C, 1, 1]`.

    Returns `[B, O, ⌈H/stride⌉, ⌈W/stride⌉]`. Differentiable any number of times in reverse mode; under autocast in its
    dtype.
    """
    input, weight = _as_autocast(input, weight)
    return _Trilinear.apply(input, weight.flatten(1), None, displacements, tuple(input.shape[2:]), stride)


def _as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    return tuple(t.to(torch.get_autocast_dtype(device)) for t in tensors)


class _Trilinear(torch.autograd.Function):
    """The derivative of T by the one of (input, weight, sent) that is None, at the other two."""

    @staticmethod
    def forward(ctx, input, weight, sent, displacements, size, stride):
        from convnotes.kernels import shift_triton

        ctx.save_for_backward(input, weight, sent, displacements)
        ctx.size, ctx.stride = size, stride
        if sent is None:
            return shift_triton.output(input, weight, displacements, stride)
        if input is None:
            return shift_triton.by_input(weight, sent, displacements, size, stride)
        return shift_triton.by_weight(input, sent, displacements, stride)

    @staticmethod
    def backward(ctx, cotangent):
        *factors, displacements = ctx.saved_tensors
        filled = [cotangent if factor is None else factor for factor in factors]
        rest = (displacements, ctx.size, ctx.stride)
        gradients = [
            _Trilinear.apply(*filled[:n], None, *filled[n + 1 :], *rest)
            if factors[n] is not None and ctx.needs_input_grad[n]
            else None
            for n in range(3)
        ]
        return *gradients, None, None, None
