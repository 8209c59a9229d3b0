"""A linear stand-in for every function of torch, so that gradients show all that an output can depend on.

Inside `Linear` a function acts on what depends on the image as follows; what is neither here nor known to be linear
is refused by name.

- position by position (activations, norms, …): the identity; where several maps meet, their mean
- maxima, norms and spreads over dimensions: the mean over them; softmax: the mean, at each position
- maximum pooling: mean pooling over the same windows
- convolutions: with the sizes of their weights, not the signs
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes.geometry import pair
from convnotes.measure.copies import OwnModes
from convnotes.measure.periods import Periods
from convnotes.measure.trees import found

_IDENTITY = {
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout",
    "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm", "normalize", "relu",
    "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "tanh",
    "softplus", "softsign", "softshrink", "hardshrink", "tanhshrink", "threshold", "hardtanh", "hardsigmoid",
    "hardswish", "logsigmoid", "log_sigmoid", "clamp", "clip", "float", "half", "bfloat16", "double", "to", "type",
    "type_as", "nan_to_num", "fake_quantize", "pow", "rpow", "float_power", "detach", "data",
}  # fmt: skip
_MEANS = {
    "var_mean", "std_mean", "aminmax", "mode",
    "mean", "amax", "amin", "max", "min", "logsumexp", "std", "var", "norm", "vector_norm", "prod", "median",
    "nanmean", "nanmedian",
}  # fmt: skip
_SOFTMAX = {
    "softmax", "log_softmax", "softmin", "gumbel_softmax", "_softmax", "_log_softmax",
}  # fmt: skip
_LINEAR = {
    "conv2d", "conv1d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "matmul", "mm",
    "bmm", "mv", "dot", "addmm", "baddbmm", "addbmm", "addmv", "einsum", "tensordot", "inner", "bilinear",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "sum", "nansum", "cumsum", "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "chunk", "split",
    "split_with_sizes", "tensor_split", "hsplit", "vsplit", "unbind", "view", "reshape", "view_as", "reshape_as",
    "expand", "expand_as", "flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "permute", "t", "mT", "T",
    "movedim", "moveaxis", "swapaxes", "swapdims", "narrow", "select", "getitem", "index_select", "gather", "take",
    "take_along_dim", "roll", "flip", "fliplr", "flipud", "rot90", "repeat", "repeat_interleave", "tile", "contiguous",
    "clone", "alias", "unfold", "fold", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "interpolate", "upsample", "upsample_nearest", "upsample_bilinear", "grid_sample", "pad",
    "constant_pad_nd", "unsafe_chunk", "unsafe_split", "diagonal", "tril", "triu", "copy", "setitem", "index_add",
    "scatter", "scatter_add", "masked_fill", "as_strided", "broadcast_to", "block_diag", "real", "atleast_2d",
    "atleast_3d", "atleast_1d", "requires_grad", "swap", "cpu", "cuda", "get", "numpy", "ravel", "broadcast_tensors",
    "meshgrid", "kron", "multi_head_attention_forward", "scaled_dot_product_attention", "lp_pool2d", "lp_pool1d",
    "fft_rfft", "fft_irfft", "fft_rfft2", "fft_irfft2", "fft_fft", "fft_ifft", "fft_fft2", "fft_ifft2", "fft_fftshift",
    "fft_ifftshift", "diff", "index_put", "as_subclass", "view_as_real",
    "view_as_complex", "masked_scatter", "zero", "fill",
}  # fmt: skip
_WHOLE = {"bool", "int", "long", "short", "byte", "char"}  # methods that give a tensor, unlike __bool__ and __int__
_ASKS = {
    "size", "dim", "ndim", "numel", "nelement", "stride", "is_contiguous", "is_floating_point", "is_complex", "shape",
    "dtype", "device", "layout", "is_cuda", "is_meta", "is_sparse", "is_quantized", "requires_grad", "is_leaf",
    "grad_fn", "data_ptr", "storage", "untyped_storage", "hash", "repr", "len", "element_size", "item", "tolist",
    "bool", "int", "index", "format", "str", "zeros_like", "ones_like", "empty_like",
    "full_like", "rand_like", "randn_like", "new", "new_zeros", "new_ones", "new_empty", "new_full", "new_tensor",
    "equal", "isnan", "isinf", "isfinite", "all", "any", "allclose",
    "is_same_size", "get_device", "is_nested", "names", "is_mkldnn", "itemsize", "nbytes", "is_inference", "is_signed",
    "backward", "retain_grad", "register_hook", "register_forward_hook", "dim_order", "iter",
}  # fmt: skip


def dependent(tree: Any) -> list[Tensor]:
    """The tensors that depend on the image: those with a gradient, as no parameter of a twin has one."""
    return [t for t in found(tree, Tensor) if t.requires_grad]


class Linear(OwnModes):
    """Inside: every function that is given what depends on the image is a linear one; `periods` is told of all."""

    def __init__(self, periods: Periods) -> None:
        super().__init__(gradients=True)
        self.resting = 0
        self.periods = periods

    def rest(self, *of_a_hook: Any) -> None:
        """Functions are what they are until `wake`."""
        self.resting += 1

    def wake(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """The end of `rest`: a layer that was called."""
        self.resting -= 1
        if not self.resting and dependent((args, kwargs)):
            self.periods.told("layer", args, kwargs, output)

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        maps = dependent((args, kwargs))
        if self.resting or not maps:
            return func(*args, **kwargs)
        name = _name(func)
        output = self._stand_in(func, name, maps, args, kwargs)
        self.periods.told(name, args, kwargs, output)
        return output

    def _stand_in(self, func: Any, name: str, maps: list[Tensor], args: tuple[Any, ...], kwargs: Any) -> Any:
        if name in _POOLS:
            pooled = _POOLS[name](*args, **kwargs)
            wants = kwargs.get("return_indices") or getattr(func, "__name__", "").endswith("_with_indices")
            return (pooled, torch.zeros_like(pooled, dtype=torch.int64)) if wants else pooled
        if name == "setitem" and dependent(args[1]):  # by a mask that is made of the image
            if not dependent(args[0]) or dependent(args[2]):
                raise ValueError(
                    "measured_receptive_field has no linear stand-in for writing by a mask: use torch.where"
                )
            return None
        if name in ("where", "masked_fill") or (name in ("max", "min") and len(maps) == 2):
            return self._met(func, name, maps, args, kwargs)
        if name in _MEANS:
            return _mean(func, name, args, kwargs)
        if name in _SOFTMAX:
            dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
            x = maps[0]
            return x.mean(dim if dim is not None else 1 if x.dim() != 3 else 0, keepdim=True).expand_as(x)
        if name in ("sort", "topk", "msort"):
            with torch.no_grad():
                true = func(*args, **kwargs)
            values = true if isinstance(true, Tensor) else true[0]
            dim = kwargs.get(
                "dim", 0 if name == "msort" else args[at] if len(args) > (at := 1 + (name == "topk")) else -1
            )
            met = maps[0].mean(dim, keepdim=True).expand_as(values)
            return met if isinstance(true, Tensor) else type(true)((met, true[1]))
        if name == "glu":
            dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
            first, second = maps[0].chunk(2, dim)
            return (first + second) / 2
        if name.startswith(("conv", "linear")) and name in _LINEAR:
            return _positive(func, args, kwargs)
        if name in _IDENTITY or getattr(func, "__name__", "") in _WHOLE:
            return maps[0]
        if name in _PRODUCTS and len(maps) > 1:
            product = func(*args, **kwargs)
            return product * (1e-3 / product.detach().abs().max())  # or products of products vanish
        if name in _LINEAR or name in _ASKS or _custom(func):
            return func(*args, **kwargs)
        if _elementwise(name):
            return self._met(func, name, maps, args, kwargs)
        raise ValueError(
            f"measured_receptive_field has no linear stand-in for {getattr(func, '__name__', func)}: ask at= the layer "
            f"before it, or replace it by one that is linear"
        )

    def _met(self, func: Any, name: str, maps: list[Tensor], args: tuple[Any, ...], kwargs: Any) -> Tensor:
        """The mean of maps that meet element by element, spread over what else comes; constants scale by their size."""
        others = [t for t in found((args, kwargs), Tensor) if not t.requires_grad]
        total = maps[0]
        for other in maps[1:]:
            total = total + other
        total = total / len(maps)
        if name in ("mul", "multiply") and others:
            total = total * others[0].to(total.dtype).abs()
        total = total.expand(torch.broadcast_shapes(total.shape, *(t.shape for t in others)))
        return args[0].copy_(total.clone()) if _writes(func) else total


def _custom(func: Any) -> bool:
    """Whether it is an operator that somebody added to torch: its own gradients tell."""
    return type(func).__name__ in ("OpOverload", "OpOverloadPacket") and not str(func).startswith("aten.")


def _writes(func: Any) -> bool:
    """Whether it changes its first argument: relu_, __iadd__."""
    name = str(getattr(func, "__name__", ""))
    return name.startswith("__i") if name.startswith("__") else name.endswith("_")


def _name(func: Any) -> str:
    name = str(getattr(func, "__name__", ""))
    plain = name.strip("_")
    if name == "__get__":
        return str(getattr(getattr(func, "__self__", None), "__name__", "get"))
    if name in ("__set__", "__delete__"):
        return "get"
    if name.startswith("__") and plain.startswith(("i", "r")) and plain[1:] in _OPERATORS:
        plain = plain[1:]
    return plain.removesuffix("_with_indices")


_PRODUCTS = {
    "matmul", "mm", "bmm", "mv", "dot", "baddbmm", "addbmm", "addmm", "einsum", "tensordot", "inner", "bilinear",
}  # fmt: skip
_OPERATORS = {"add", "sub", "mul", "div", "truediv", "floordiv", "pow", "mod", "matmul", "and", "or", "xor"}
_RENAMED = {"truediv": "div", "floordiv": "floor_divide", "mod": "remainder"}


def _elementwise(name: str) -> bool:
    """Whether torch says so of the operation of this name."""
    packet = getattr(torch.ops.aten, _RENAMED.get(name, name), None)
    overloads = packet.overloads() if packet is not None and hasattr(packet, "overloads") else []
    return any(torch.Tag.pointwise in getattr(packet, overload).tags for overload in overloads)


def _mean(func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The mean over the dimensions that a reduction is asked for; indices are those that it gives."""
    x = args[0] if args else kwargs["input"]
    at = 2 if "norm" in name else 1  # a norm is given its order first
    dim = kwargs.get("dim", kwargs.get("axis", args[at] if len(args) > at else None))
    with torch.no_grad():
        true = func(*args, **kwargs)
    whole = x.mean() if dim is None or isinstance(dim, bool) else x.mean(dim)
    if isinstance(true, Tensor):
        return whole.reshape(true.shape)
    values = [whole.reshape(t.shape) if t.is_floating_point() else t for t in true]
    return type(true)(values)


def _positive(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A convolution with the absolute values of its weight, where that does not depend on the image."""
    given = dict(zip(("input", "weight"), args, strict=False)) | kwargs
    weight = given["weight"]
    if weight.requires_grad:
        return func(*args, **kwargs)
    given["weight"] = weight.detach().abs()
    input = given.pop("input").clone()  # what the model writes in place afterwards is another tensor
    return func(input, given.pop("weight"), *args[2:], **given)


def _max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Means over the same windows."""
    if pair(dilation) == (1, 1):
        return F.avg_pool2d(input, kernel_size, stride or None, padding, ceil_mode)
    whole = input if input.dim() == 4 else input[None]
    kernel, C = pair(kernel_size), whole.shape[1]
    ones = whole.new_ones(C, 1, *kernel) / (kernel[0] * kernel[1])
    if ceil_mode:  # a row or column too many where the last window is not full, as far as one may begin inside
        wanted = F.max_pool2d(whole.detach(), kernel_size, stride or None, padding, dilation, True).shape[2:]
        steps, pads, spread = pair(stride or kernel_size), pair(padding), pair(dilation)
        more = [
            max(0, (n - 1) * s + d * (k - 1) + 1 - side - 2 * p)
            for n, s, d, k, side, p in zip(wanted, steps, spread, kernel, whole.shape[2:], pads, strict=True)
        ]
        whole = F.pad(whole, (pads[1], pads[1] + more[1], pads[0], pads[0] + more[0]))
        padding = 0
    pooled = F.conv2d(whole, ones, None, stride or kernel_size, padding, dilation, C)
    return pooled if input.dim() == 4 else pooled[0]


def _max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, *rest: Any, **more: Any
) -> Tensor:
    return F.avg_pool1d(input, kernel_size, stride, padding, more.get("ceil_mode", False))


def _adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    return F.adaptive_avg_pool2d(input, output_size)


def _lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    return F.avg_pool2d(input, kernel_size, stride, ceil_mode=ceil_mode)


_POOLS: dict[str, Callable[..., Tensor]] = {
    "max_pool2d": _max_pool2d,
    "max_pool1d": _max_pool1d,
    "adaptive_max_pool2d": _adaptive_max_pool2d,
    "lp_pool2d": _lp_pool2d,
}
