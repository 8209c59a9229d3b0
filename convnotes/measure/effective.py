"""How far an output really sees: gradients of one output place with respect to the picture, in float64::

    ERF[i, j] = mean over inputs and channels of | ∂ Σ_o y[o, centre] / ∂ x[c, i, j] |

Luo, Li, Urtasun & Zemel, "Understanding the effective receptive field in deep convolutional neural networks",
NeurIPS 2016, arXiv:1701.04128.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.kernels import private


def effective_receptive_field(
    model: nn.Module, input_shape: Sequence[int], at: str | None = None, samples: int = 8, seed: int = 0
) -> Tensor:
    """Where the central output place looks: a map `[H, W]`, its largest value 1, float64.

    `input_shape` is [B, C, H, W] (the batch is not used: `samples` normal pictures of seed `seed` are averaged). `at`
    names the layer whose output is meant, as in `model.named_modules()`; without it the model's own. The model is
    copied, not touched.

    Raises `TypeError` for what is no module, `ValueError` for a bad shape, an unknown layer, an output that is no map
    and a gradient that is 0 everywhere.
    """
    _check(model, input_shape, at)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, *input_shape[1:], dtype=torch.float64, generator=generator)
    gradient = _gradient(copy.deepcopy(model).double().eval(), x, at).abs().mean((0, 1))
    if not gradient.any():
        raise ValueError("the central output place depends on no pixel (all its units are off): use more samples")
    return gradient / gradient.max()


def measured_receptive_field(
    model: nn.Module, input_shape: Sequence[int], at: str | None = None
) -> int | tuple[int, int]:
    """The size of the receptive field in pixels, measured: the extent of the non-zero gradients.

    To see every pixel that *can* have an influence it asks a linear twin of the model: each kernel an average of
    positive weights, norms the identity, maximum pooling an average, the picture small and positive so that no unit is
    off. Parameters that a module names in an attribute `positional` say where it looks, not how much, and stay as they
    are. `input_shape` [B, C, H, W] must be larger than the field, else `ValueError`. Arguments as above.
    """
    _check(model, input_shape, at)
    twin = _linear_twin(model)
    x = torch.full((1, *input_shape[1:]), 1e-3, dtype=torch.float64)
    seen = _gradient(twin, x, at)[0].ne(0).any(0)
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    size = (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1)
    height, width = seen.shape
    if rows.min() == 0 or columns.min() == 0 or rows.max() == height - 1 or columns.max() == width - 1:
        raise ValueError(
            f"the field reaches the border of a picture of {height}×{width}: ask with a larger one, unless some layer "
            f"sees any picture whole"
        )
    return size[0] if size[0] == size[1] else size


def _check(model: nn.Module, input_shape: Sequence[int], at: str | None) -> None:
    checks.module("model", model)
    checks.wholes("input_shape [B, C, H, W]", input_shape, 4)
    names = dict(model.named_modules())
    if at is not None and at not in names:
        raise ValueError(
            f"there is no layer {at!r}; the outermost are {', '.join(n for n, _ in model.named_children())}"
        )


def _gradient(model: nn.Module, x: Tensor, at: str | None) -> Tensor:
    """Gradient of the central place of the output (of layer `at`), summed over its channels, [N, C, H, W]."""
    kept: list[Tensor] = []
    hook = model.get_submodule(at or "").register_forward_hook(lambda module, args, output: kept.append(output))
    x.requires_grad_()
    with torch.enable_grad():
        model(x)
    hook.remove()
    y = kept[-1]
    if not isinstance(y, Tensor) or y.dim() != 4:
        what = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"the output must be a map [B, C, H, W], got {what}: name the layer that gives one by at=")
    (gradient,) = torch.autograd.grad(y[:, :, y.shape[2] // 2, y.shape[3] // 2].sum(), x)
    return gradient


@torch.no_grad()
def _linear_twin(model: nn.Module) -> nn.Module:
    twin = copy.deepcopy(model).double().eval()
    for path, module in list(twin.named_modules(remove_duplicate=False)):  # a shared one at each of its names
        if isinstance(module, nn.MaxPool2d) and module is not twin:
            pool = nn.AvgPool2d(module.kernel_size, module.stride, module.padding, ceil_mode=module.ceil_mode)
            if module.dilation not in (1, (1, 1)):
                raise ValueError(f"maximum pooling with dilation {module.dilation} has no average to stand for it")
            owner, _, name = path.rpartition(".")
            setattr(twin.get_submodule(owner), name, pool)
        if isinstance(module, private.BATCH_NORMS):
            module.reset_running_stats()
    for name, parameter in twin.named_parameters():
        owner, _, own = name.rpartition(".")
        if own in getattr(twin.get_submodule(owner), "positional", ()):
            continue
        if parameter.dim() > 1:
            parameter.fill_(1 / parameter[0].numel())
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return twin
