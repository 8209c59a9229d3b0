"""How far an output really sees: gradients of one output position with respect to the image, in float64::

    ERF[i, j] = mean over inputs and channels of | ∂ Σ_o y[o, centre] / ∂ x[c, i, j] |

Luo, Li, Urtasun & Zemel, "Understanding the effective receptive field in deep convolutional neural networks",
NeurIPS 2016, arXiv:1701.04128.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from convnotes import checks
from convnotes.measure.copies import OwnModes, Script, copied, operation_by_operation
from convnotes.measure.linear import Linear
from convnotes.measure.periods import Period, Periods

_SMALL = 1e-3  # pixels of the image that the linear twin sees: no layer saturates
_MOST = 512  # rows, and columns, that are asked at most


def effective_receptive_field(
    model: nn.Module, input_shape: Sequence[int], at: str | None = None, samples: int = 8, seed: int = 0
) -> Tensor:
    """Where the central output position looks: a map `[H, W]`, its largest value 1, float64, on the CPU.

    A copy of the model in float64 and eval mode is asked, on the device of the model, hooks and all. The model, the
    caller's modes (`torch.no_grad`, autocast, default dtype) and the random generator are left alone and make no
    difference.

    Args:
        model: any module whose forward takes one image.
        input_shape: [B, C, H, W]; B is not used.
        at: the layer whose output is meant, as in `model.named_modules()`; by default the model's own.
        samples: how many normal images are averaged.
        seed: of these images.

    Raises:
        TypeError: where `model` is not a module.
        ValueError: for a bad shape, an unknown layer, a model on the meta device, an output that is not a map and a
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
        with OwnModes(gradients=True):
            y = _asked(twin, x, at)
        gradient = _gradient(y[:, :, y.shape[2] // 2, y.shape[3] // 2], x).abs().mean((0, 1)).cpu()
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

    The central position is asked. Where the model resizes a map, receptive fields differ from position to position with
    a period: then a whole period of rows and of columns in the middle is asked, and the largest receptive field is
    given. Where the map holds less than two periods, or none is known, as behind windows and indices, every row and
    column is asked, and the largest receptive field that lies within the image is given.

    Parameters that a module names in an attribute `positional` say where it looks, not how much, and stay as they are.
    The model and the caller's modes are left alone and make no difference.

    Args:
        model: any module whose forward takes one image; not a scripted one.
        input_shape: [B, C, H, W], larger than the field; B is not used.
        at: the layer whose output is meant, as in `model.named_modules()`; by default the model's own.

    Raises:
        TypeError: where `model` is not a module.
        ValueError: for a bad shape, an unknown layer, a model on the meta device, an output that is not a map, a
            function without a linear stand-in, a field that reaches the border of the image, and more than 512 rows or
            columns to ask.

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
        periods = Periods(x)
        linear = Linear(periods)
        for module in twin.modules():
            if _opaque(module):
                module.register_forward_pre_hook(linear.rest)
                module.register_forward_hook(linear.wake, with_kwargs=True)
        with linear:
            y = _asked(twin, x, at)
        size = _extents(y, x, periods.of(y))
    if 0 in size:
        raise ValueError("the positions in the middle of the output depend on no pixel")
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


def _asked(model: nn.Module, x: Tensor, at: str | None) -> Tensor:
    """The output of the model (of layer `at`), which depends on the image `x`."""
    kept: list[object] = []

    def keep(module: nn.Module, args: object, output: object) -> None:
        kept.append(output.clone() if isinstance(output, Tensor) else output)  # a later layer may write into it

    model.get_submodule(at or "").register_forward_hook(keep)
    x.requires_grad_()
    try:
        model(x.clone())  # of which a layer may write into the first
    except ValueError:
        raise
    except Exception as problem:
        raise ValueError(
            f"{type(model).__name__} does not run with gradients on an image of shape {tuple(x.shape)}: {problem}"
        ) from problem
    if not kept:
        raise ValueError(f"layer {at!r} is not called")
    y = kept[-1]
    if not isinstance(y, Tensor) or y.dim() != 4:
        what = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"the output must be a map [B, C, H, W], got {what}: name the layer that gives one by at=")
    if not y.requires_grad:
        raise ValueError("the output depends on no pixel: no gradient leads from it to the image")
    return y


def _gradient(part: Tensor, x: Tensor) -> Tensor:
    """Gradient of the sum of a part of a map, [N, C, H, W]."""
    try:
        (gradient,) = torch.autograd.grad(part.sum(), x, retain_graph=True, allow_unused=True)
    except RuntimeError as problem:
        raise ValueError(f"the model has no gradient: {problem}") from problem
    return torch.zeros_like(x) if gradient is None else gradient


def _extents(y: Tensor, x: Tensor, period: Period) -> tuple[int, int]:
    """Rows that a row of a map sees, and columns that a column sees: of those of one period the most."""
    sides = tuple(y.shape[2:])
    whole = [period is None or 2 * p > side for p, side in zip(period or sides, sides, strict=True)]
    asked = [_asked_for(side, side if all_ else p) for side, all_, p in zip(sides, whole, period or sides, strict=True)]
    if len(asked[0]) == len(asked[1]) == 1:
        seen = _gradient(y[:, :, asked[0][0], asked[1][0]], x)[0].ne(0).any(0)
        return _extent([seen.any(1)], seen, False), _extent([seen.any(0)], seen, False)
    rows, columns = (slice(span[0], span[-1] + 1) for span in asked)
    by_row = [_gradient(y[:, :, n, columns], x)[0].ne(0).any(0).any(1) for n in asked[0]]
    by_column = [_gradient(y[:, :, rows, n], x)[0].ne(0).any(0).any(0) for n in asked[1]]
    return _extent(by_row, x[0, 0], whole[0]), _extent(by_column, x[0, 0], whole[1])


def _asked_for(side: int, period: int) -> range:
    """As many positions of a side as the period has, in its middle."""
    if period > _MOST:
        raise ValueError(
            f"{period} rows or columns of the output may all see differently, and {_MOST} are asked at most: ask with "
            f"a smaller image, or at= a layer before"
        )
    return range(side // 2 - period // 2, side // 2 + (period + 1) // 2)


def _extent(seen: list[Tensor], image: Tensor, whole: bool) -> int:
    """Of what each position sees on one axis of an image, the longest from first to last.

    Where the `whole` axis of the output was asked, those that reach the border of the image are left out, unless the
    one in the middle does.
    """
    longest = 0
    for n, one in enumerate(seen):
        found = one.nonzero()
        if one[0] or one[-1]:
            if whole and n != len(seen) // 2:
                continue
            height, width = image.shape
            raise ValueError(
                f"the receptive field reaches the border of an image of {height}×{width}: ask with a larger one, "
                f"unless some layer sees any image whole"
            )
        if len(found):
            longest = max(longest, int(found.max() - found.min()) + 1)
    return longest


def _opaque(module: nn.Module) -> bool:
    """A kernel of this package, whose own gradients tell where it looks."""
    ours = type(module).__module__.startswith("convnotes.")
    return ours and (callable(getattr(module, "reach", None)) or any(True for _ in module.parameters(recurse=False)))


@torch.no_grad()
def _made_positive(twin: nn.Module) -> None:
    """Every weight positive, every bias 0, and none with a gradient: what has one depends on the image."""
    for module in list(twin.modules()):
        if isinstance(module, Script):
            raise ValueError("a scripted or traced module has no linear twin: measure the module that it was made from")
        if parametrize.is_parametrized(module):
            _without_parametrizations(module)
    generator = torch.Generator("cpu").manual_seed(0)
    for name, parameter in twin.named_parameters():
        parameter.requires_grad_(False)
        owner, _, own = name.rpartition(".")
        if own in getattr(twin.get_submodule(owner), "positional", ()):
            continue
        if parameter.dim() > 1:  # not all alike, as a model may take their mean away
            values = torch.rand(parameter.shape, generator=generator, dtype=torch.float64, device="cpu") + 0.5
            parameter.copy_(values / parameter[0].numel())
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)


def _without_parametrizations(module: nn.Module) -> None:
    """Plain parameters. torch's own way changes the class, which the module of the caller has too."""
    values = {name: getattr(module, name) for name in module.parametrizations}  # type: ignore[union-attr]
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value.detach().clone()))
