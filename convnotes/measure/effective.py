"""How far an output really sees: gradients of one output position with respect to the image, in float64::

    ERF[i, j] = mean over inputs and channels of | ∂ Σ_o y[o, centre] / ∂ x[c, i, j] |

Luo, Li, Urtasun & Zemel, "Understanding the effective receptive field in deep convolutional neural networks",
NeurIPS 2016, arXiv:1701.04128.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from convnotes import checks
from convnotes.measure.copies import Script, copied, operation_by_operation
from convnotes.measure.linear import Linear

_SMALL = 1e-3  # pixels of the image that the linear twin sees: no layer saturates
_MOST = 64  # positions that are asked at most


def effective_receptive_field(
    model: nn.Module, input_shape: Sequence[int], at: str | None = None, samples: int = 8, seed: int = 0
) -> Tensor:
    """Where the central output position looks: a map `[H, W]`, its largest value 1, float64, on the CPU.

    A copy of the model in float64 and eval mode is asked, on the device of the model. The model, the caller's modes
    (`torch.no_grad`, autocast, default dtype) and the random generator are left alone and make no difference.

    Args:
        model: any module whose forward takes one image.
        input_shape: [B, C, H, W]; B is not used.
        at: the layer whose output is meant, as in `model.named_modules()`; by default the model's own.
        samples: how many normal images are averaged.
        seed: of these images.

    Raises:
        TypeError: for what is no module.
        ValueError: for a bad shape, an unknown layer, a model on the meta device, an output that is no map and a
            gradient that is 0 everywhere.

    Example:
        >>> from convnotes.measure import effective_receptive_field
        >>> seen = effective_receptive_field(nn.Conv2d(1, 1, 3), (1, 1, 9, 9))
        >>> seen.shape, int((seen > 0).sum())
        (torch.Size([9, 9]), 9)
    """
    twin, at = _twin(model, input_shape, at)
    checks.positive(samples=samples)
    generator = torch.Generator("cpu").manual_seed(seed)
    shape = (samples, *input_shape[1:])
    with _alone(twin):
        x = torch.randn(shape, dtype=torch.float64, generator=generator, device="cpu").to(_device(twin))
        y, x = _asked(twin, x, at)
        gradient = _gradient(y, x, y.shape[2] // 2, y.shape[3] // 2).abs().mean((0, 1)).cpu()
    if not gradient.any():
        raise ValueError("the central output position depends on no pixel (all its units are off): use more samples")
    return gradient / gradient.max()


def measured_receptive_field(
    model: nn.Module, input_shape: Sequence[int], at: str | None = None
) -> int | tuple[int, int]:
    """The size of the receptive field in pixels, measured: the extent of the non-zero gradients.

    To see every pixel that *can* have an influence it asks a linear twin of the model, modules and functions alike:
    each kernel an average of positive weights, activations and norms the identity, maximum pooling an average, a
    product of maps a sum. A function for which no linear one can stand is refused by name.

    The central position is asked. Where the model enlarges a map, fields differ from position to position with a period: then
    a whole period of positions around the centre is asked, and the largest field is given.

    Parameters that a module names in an attribute `positional` say where it looks, not how much, and stay as they are.
    The model and the caller's modes are left alone and make no difference.

    Args:
        model: any module whose forward takes one image; not a scripted one.
        input_shape: [B, C, H, W], larger than the field; B is not used.
        at: the layer whose output is meant, as in `model.named_modules()`; by default the model's own.

    Raises:
        TypeError: for what is no module.
        ValueError: for a bad shape, an unknown layer, a model on the meta device, an output that is no map, a function
            without a linear stand-in, and a field that reaches the border of the image.

    Example:
        >>> from convnotes.measure import measured_receptive_field
        >>> measured_receptive_field(nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2)), (1, 1, 20, 20))
        4
    """
    twin, at = _twin(model, input_shape, at)
    _made_positive(twin)
    with _alone(twin):
        shape = (1, *input_shape[1:])
        x = torch.full(shape, _SMALL, dtype=torch.float64, device=_device(twin))
        linear = Linear()
        for module in twin.modules():
            if _opaque(module):
                module.register_forward_pre_hook(linear.rest)
                module.register_forward_hook(linear.wake)
        with linear:
            y, x = _asked(twin, x, at)
        period = _period(linear.sizes, (y.shape[2], y.shape[3]))
        fields = [_extent(y, x, n - period // 2) for n in range(period)]
    size = max(rows for rows, _ in fields), max(columns for _, columns in fields)
    return size[0] if size[0] == size[1] else size


def _twin(model: nn.Module, input_shape: Sequence[int], at: str | None) -> tuple[nn.Module, str | None]:
    checks.module("model", model)
    checks.wholes("input_shape [B, C, H, W]", input_shape, 4)
    names = dict(model.named_modules())
    if at is not None and at not in names:
        raise ValueError(
            f"there is no layer {at!r}; the outermost are {', '.join(n for n, _ in model.named_children())}"
        )
    if any(t.is_meta for t in (*model.parameters(), *model.buffers())):
        raise ValueError("a model on the meta device has no values, so no gradients: give it some with to_empty()")
    twin = copied(model, dtype=torch.float64)
    if at and at not in dict(twin.named_modules()):  # a wrapper is left out of the copy
        inside = [name for name, module in twin.named_modules() if name and at.endswith(name)]
        at = max(inside, key=len, default="")
    return twin, at


def _device(model: nn.Module) -> torch.device:
    return next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))


@contextlib.contextmanager
def _alone(model: nn.Module) -> Iterator[None]:
    """Inside: gradients are on, and neither autocast nor a default dtype changes what the copy does."""
    default, no_autocast = torch.get_default_dtype(), torch.autocast(_device(model).type, enabled=False)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(False), torch.enable_grad(), no_autocast, operation_by_operation():
            yield
    finally:
        torch.set_default_dtype(default)


def _asked(model: nn.Module, x: Tensor, at: str | None) -> tuple[Tensor, Tensor]:
    """The output of the model (of layer `at`), and the image with which it depends on it."""
    kept: list[object] = []

    def keep(module: nn.Module, args: object, output: object) -> None:
        kept.append(output.clone() if isinstance(output, Tensor) else output)  # a later layer may write into it

    model.get_submodule(at or "").register_forward_hook(keep)
    x.requires_grad_()
    model(x.clone())  # of which a layer may write into the first
    if not kept:
        raise ValueError(f"layer {at!r} is not called")
    y = kept[-1]
    if not isinstance(y, Tensor) or y.dim() != 4:
        what = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"the output must be a map [B, C, H, W], got {what}: name the layer that gives one by at=")
    if not y.requires_grad:
        raise ValueError("the output depends on no pixel: no gradient leads from it to the image")
    return y, x


def _gradient(y: Tensor, x: Tensor, row: int, column: int) -> Tensor:
    """Gradient of one position of a map, summed over its channels, [N, C, H, W]."""
    (gradient,) = torch.autograd.grad(y[:, :, row, column].sum(), x, retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient


def _extent(y: Tensor, x: Tensor, beside: int) -> tuple[int, int]:
    """Rows and columns that a position beside the centre of a map sees."""
    at = [min(max(side // 2 + beside, 0), side - 1) for side in y.shape[2:]]
    seen = _gradient(y, x, at[0], at[1])[0].ne(0).any(0)
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    if not len(rows):
        return 0, 0
    height, width = seen.shape
    if rows.min() == 0 or columns.min() == 0 or rows.max() == height - 1 or columns.max() == width - 1:
        raise ValueError(
            f"the field reaches the border of an image of {height}×{width}: ask with a larger one, unless some layer "
            f"sees any image whole"
        )
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


def _period(sizes: Sequence[tuple[int, int]], output: tuple[int, int]) -> int:
    """How many positions in a row may differ: as many as the output has for each of the smallest map on the way."""
    shares = [math.ceil(side / min((s[n] for s in sizes if s[n] > 1), default=side)) for n, side in enumerate(output)]
    return min(max(shares), _MOST)


def _opaque(module: nn.Module) -> bool:
    """A kernel of this package, whose own gradients tell where it looks."""
    ours = type(module).__module__.startswith("convnotes.")
    return ours and (callable(getattr(module, "reach", None)) or any(True for _ in module.parameters(recurse=False)))


@torch.no_grad()
def _made_positive(twin: nn.Module) -> None:
    """Every weight an average, every bias 0, and none with a gradient: what has one depends on the image."""
    for module in list(twin.modules()):
        if isinstance(module, Script):
            raise ValueError("a scripted or traced module has no linear twin: measure the module that it was made from")
        for name in list(getattr(module, "parametrizations", ())):
            parametrize.remove_parametrizations(module, name)
    for name, parameter in twin.named_parameters():
        parameter.requires_grad_(False)
        owner, _, own = name.rpartition(".")
        if own in getattr(twin.get_submodule(owner), "positional", ()):
            continue
        if parameter.dim() > 1:
            parameter.fill_(1 / parameter[0].numel())
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
