"""Depthwise convolution with a backward of its own, where torch on the CPU leaves its fast path.

    y[b,c,i,j] = Σ_{u,v} w[c,u,v] · x[b, c, i − p + u·d, j − p + v·d]

The forward pass is torch's. Its backward on the CPU is several times as slow from dilation 2 or a kernel side of 5 on.
There the gradient of the input is taken as one more forward convolution, by the kernel turned round, and that of the
weight by loops of our own (`depthwise_numba`), or in plain torch a few columns of the kernel at a time, or tap by tap
where it is dilated. Second derivatives and `torch.func` are torch's own. Padding is a zero like any other: it meets a
weight or a gradient that is infinite, and makes NaN of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

from convnotes.geometry import IntOrPair, Reach, kernel_reach, resolve_padding
from convnotes.kernels import backend
from convnotes.kernels.flops import flop_formula
from convnotes.kernels.transforms import differentiable_gradients, joined, transformed

# Numbers of a map from which the backward in plain torch beats torch's own, measured on 1 and 2 threads: of one picture
# tap by tap, of all by columns. On smaller ones the calls take longer than what they save. Compiled loops pay on all.
_TAPS_PAY_FROM, _COLUMNS_PAY_FROM = 2**15, 2**16
_WIDTH = 3  # of a kernel whose gradient oneDNN takes on its fast path, however high it is
_CHANNELS = 64  # of all pictures together, from which oneDNN gives no thread a part of a channel (up to 7 threads)

torch.fx.wrap("depthwise_conv2d")  # a symbolic trace keeps it as one node


class DepthwiseConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` with as many groups as input channels, and `depthwise_conv2d` behind it."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return depthwise_conv2d(input, weight, bias, self.stride, self.padding, self.dilation)

    def reach(self) -> Reach:
        """(before, after, stride) of each axis, for `convnotes.measure.receptive_field`."""
        return kernel_reach(self.kernel_size, self.stride, self.padding, self.dilation)


def depthwise_conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: IntOrPair | str,
    dilation: Sequence[int],
) -> Tensor:
    """`torch.nn.functional.conv2d` with a group for each input channel; `input` `[B, C, H, W]`."""
    if torch.compiler.is_compiling() or not _is_faster(input, weight, stride, padding, dilation):
        return F.conv2d(input, weight, bias, stride, padding, dilation, input.shape[-3])
    (top, bottom), (left, right) = resolve_padding(padding, weight.shape[2:], dilation, stride)
    return _forward(input, weight, bias, (top, bottom, left, right), dilation)


def _is_faster(
    input: Tensor, weight: Tensor, stride: Sequence[int], padding: IntOrPair | str, dilation: Sequence[int]
) -> bool:
    """In training on the CPU, as measured: see the head of this file. Channels last, torch is fast by itself."""
    if not (torch.is_grad_enabled() and (input.requires_grad or weight.requires_grad)):
        return False
    kernel = weight.shape[2:]
    off_the_fast_path = max(dilation) >= 2 or max(kernel) >= 5
    if not off_the_fast_path or max(stride) > 1 or input.device.type != "cpu" or input.dim() != 4:
        return False
    if input.dtype not in (torch.float32, torch.float64) or input.dtype != weight.dtype:
        return False
    channels_last = input.stride(1) == 1 and not input.is_contiguous()
    if channels_last or len(weight) != input.shape[1]:
        return False
    if torch.is_autocast_enabled("cpu") or transformed(input, weight):
        return False
    compiled = backend.chosen("depthwise_conv2d", (input, weight)) == "numba"
    if _dense_and_many(input, dilation):
        pays = input.numel() >= _COLUMNS_PAY_FROM
    else:
        pays = input.shape[1:].numel() >= _TAPS_PAY_FROM
    if not (compiled or pays):
        return False
    pads = resolve_padding(padding, kernel, dilation, stride)
    return all(max(pad) <= d * (k - 1) for pad, k, d in zip(pads, kernel, dilation, strict=True))


def _convolve(input, weight, bias, padding, dilation) -> Tensor:
    return _convolved(input, weight, bias, _pairs(padding), dilation)


_forward = torch.library.custom_op(
    "convnotes::depthwise_conv2d",
    _convolve,
    mutates_args=(),
    schema="(Tensor input, Tensor weight, Tensor? bias, int[] padding, int[] dilation) -> Tensor",
)
_forward.register_fake(_convolve)


@torch.library.custom_op(
    "convnotes::depthwise_conv2d_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor input, Tensor weight, int[] padding, int[] dilation, bool[] needed) "
    "-> (Tensor, Tensor)",
)
def _backward(grad, input, weight, padding, dilation, needed) -> tuple[Tensor, Tensor]:
    """The gradients of input and weight, in memory one after the other; empty tensors for what is not needed."""
    gradients: Callable[..., tuple[Tensor | None, Tensor | None]] = _in_torch
    if backend.chosen("depthwise_conv2d", (grad, input, weight)) == "numba":
        from convnotes.kernels.depthwise_numba import backward as gradients
    found = zip(gradients(grad, input, weight, _pairs(padding), dilation, needed), needed, strict=True)
    by_input, by_weight = (t.contiguous() if n and t is not None else grad.new_empty(0) for t, n in found)
    return by_input, by_weight


@_backward.register_fake
def _(grad, input, weight, padding, dilation, needed):
    return tuple(t.new_empty(t.shape if n else 0) for t, n in zip((input, weight), needed, strict=True))


def _keep(ctx, inputs, output) -> None:
    input, weight, _, ctx.padding, ctx.dilation = inputs
    ctx.save_for_backward(input, weight)
    backend.remember(ctx)


def _pull(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    input, weight = ctx.saved_tensors
    needed = list(ctx.needs_input_grad[:2])
    by_bias = grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
    if not any(needed):
        return None, None, by_bias, None, None
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # it is to be differentiated again
        found = differentiable_gradients(
            lambda x, w: _convolve(x, w, None, ctx.padding, ctx.dilation), (input, weight), needed, grad
        )
        return *found, by_bias, None, None
    with backend.as_remembered(ctx):
        found = _backward(grad, input, weight, ctx.padding, ctx.dilation, needed)
    return *(t if n else None for t, n in zip(found, needed, strict=True)), by_bias, None, None


_forward.register_autograd(_pull, setup_context=_keep)


@_forward.register_vmap
def _(info, in_dims, *inputs):
    """The mapped dimension joins the channels, here and in the gradient."""
    input, weight, bias = (
        None if t is None else joined(t, dim, at, info.batch_size)
        for t, dim, at in zip(inputs[:3], in_dims[:3], (1, 0, 0), strict=True)
    )
    return _forward(input, weight, bias, *inputs[3:]).unflatten(1, (info.batch_size, -1)), 1


@_backward.register_vmap
def _(info, in_dims, *inputs):
    tensors = (
        joined(t, dim, at, info.batch_size) for t, dim, at in zip(inputs[:3], in_dims[:3], (1, 1, 0), strict=True)
    )
    found, needed = _backward(*tensors, *inputs[3:]), inputs[-1]
    parts = (t.unflatten(at, (info.batch_size, -1)) if n else t for t, at, n in zip(found, (1, 0), needed, strict=True))
    return tuple(parts), tuple(at if n else None for at, n in zip((1, 0), needed, strict=True))


@flop_formula(torch.ops.convnotes.depthwise_conv2d)
def _count(input_shape, weight_shape, *_, out_shape=None, **__) -> int:
    return 2 * math.prod(out_shape) * math.prod(weight_shape[2:])


@flop_formula(torch.ops.convnotes.depthwise_conv2d_backward)
def _count_backward(grad_shape, input_shape, weight_shape, *rest, out_shape=None, **__) -> int:
    """For either gradient as many as forwards."""
    return sum(rest[-1]) * 2 * math.prod(grad_shape) * math.prod(weight_shape[2:])


def _pairs(padding) -> tuple[tuple[int, int], tuple[int, int]]:
    top, bottom, left, right = padding
    return (top, bottom), (left, right)


def _convolved(input: Tensor, weight: Tensor, bias: Tensor | None, padding, dilation) -> Tensor:
    (top, bottom), (left, right) = padding
    if top != bottom or left != right:
        input, top, left = F.pad(input, (left, right, top, bottom)), 0, 0
    return F.conv2d(input, weight, bias, 1, (top, left), dilation, input.shape[1])


def _in_torch(
    grad: Tensor, input: Tensor, weight: Tensor, padding, dilation, needed
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of input and weight in plain torch."""
    by_input = by_weight = None
    if needed[0]:
        turned = [
            (d * (k - 1) - before, d * (k - 1) - after)
            for k, d, (before, after) in zip(weight.shape[2:], dilation, padding, strict=True)
        ]
        by_input = _convolved(grad, weight.flip(2, 3), None, turned, dilation)
    if needed[1]:
        weight_gradient = _weight_by_columns if _dense_and_many(grad, dilation) else _weight_by_taps
        by_weight = weight_gradient(grad, input, weight, padding, dilation)
    return by_input, by_weight


def _dense_and_many(map: Tensor, dilation) -> bool:
    """Is the gradient of the weight one that oneDNN takes fast, and in an order that no number of threads changes?

    It divides the channels of all pictures among threads, 16 at a time; where they are few, the rows as well.
    """
    enough = map.shape[:2].numel() >= _CHANNELS and map.dtype == torch.float32
    return enough and max(dilation) == 1 and torch.backends.mkldnn.is_available()


def _weight_by_columns(grad: Tensor, input: Tensor, weight: Tensor, padding, _) -> Tensor:
    """The gradient of the weight as that of narrow kernels side by side, each of its own window of the picture."""
    by_weight, (KH, KW), (rows, (before, after)) = torch.empty_like(weight), weight.shape[2:], padding
    grad = grad.flatten(0, 1)[None]  # each picture has kernels of its own: [1, B·C, h, w]
    for left in range(0, KW, _WIDTH):
        right = min(left + _WIDTH, KW)
        window = F.pad(input, (before - left, after - (KW - right), *rows)).flatten(0, 1)[None]  # < 0 cuts columns off
        size = (len(window[0]), 1, KH, right - left)
        found = conv2d_weight(window, size, grad, groups=size[0])
        by_weight[..., left:right] = found.unflatten(0, (-1, len(weight))).sum(0)
    return by_weight


def _weight_by_taps(grad: Tensor, input: Tensor, weight: Tensor, padding, dilation) -> Tensor:
    padded = F.pad(input, (*padding[1], *padding[0]))
    by_weight, (KH, KW), (h, w) = torch.zeros_like(weight), weight.shape[2:], grad.shape[2:]
    product = grad.new_empty(grad.shape[1:])  # of one picture: it stays in the cache
    for b in range(len(grad)):
        for u in range(KH):
            for v in range(KW):
                y, x = u * dilation[0], v * dilation[1]
                torch.mul(padded[b, :, y : y + h, x : x + w], grad[b], out=product)
                by_weight[:, 0, u, v] += product.sum((1, 2))
    return by_weight
