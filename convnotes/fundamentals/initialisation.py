"""Initialisation: what the kernels are before the first step.

A value y = Σ w·x of n products, with weights of mean 0 that are drawn independently of x, has the variance ::

    Var[y] = n · Var[w] · E[x²]

so that a signal keeps its size through many layers where n · Var[w] makes up for what the nonlinearity takes away::

    he      Var[w] = g² / n                  Kaiming He et al., ICCV 2015, arXiv:1502.01852, section 2.2
    xavier  Var[w] = g² · 2 / (n + n')       Glorot & Bengio, AISTATS 2010, section 4.2.1
    n, n'   fan-in and fan-out (`fans`);     g = √2 for ReLU, 1 for none (`torch.nn.init.calculate_gain`)

Chapter fundamentals/initialisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.kernels import private

Scheme = Literal["he", "xavier", "normal", "orthogonal", "lsuv"]

# The options that each scheme has, with their defaults.
_OPTIONS: dict[str, dict[str, Any]] = {
    "he": {"mode": "fan_in", "nonlinearity": "relu"},
    "xavier": {"nonlinearity": "linear"},
    "normal": {"std": 0.01},
    "orthogonal": {"nonlinearity": "linear"},
    "lsuv": {"input": None},
}
_NORMS: tuple[type[Any], ...] = (*private.STATISTIC_NORMS, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def initialise(
    module: nn.Module,
    scheme: Scheme = "he",
    *,
    mode: Literal["fan_in", "fan_out"] | None = None,
    nonlinearity: str | None = None,
    std: float | None = None,
    input: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Draw every kernel inside `module` again, in place, and return `module`.

    Kernels are the weights of `torch.nn`'s convolutions, plain and transposed, of `torch.nn.Linear`, and of any other
    layer with `in_channels`, `out_channels` and a `weight` of three dimensions or more, such as `ActiveConv2d`. Their
    biases become 0; norms get weight 1, bias 0 and fresh running statistics. The parts that a layer names in
    `starts_at_zero` (the offsets of `DeformConv2d`, the end of `NonLocal2d`) become 0 whatever the scheme. Everything
    else stays as it is: embeddings, learned positions, and the templates of `Adder2d`, which are compared and not
    multiplied, so that no fan-in applies. Dtypes, devices, layouts and `requires_grad` stay.

    Args:
        module: a layer or a network with at least one kernel.
        scheme: "he" and "xavier": normal, with the variances above. "normal": normal with the deviation `std`, whatever
            the fan-in. "orthogonal": the weight as a matrix, flattened from dimension 1 and group by group, has
            orthonormal rows (or columns, where these are fewer) times the gain (Saxe et al. 2014, arXiv:1312.6120).
            "lsuv": orthogonal, then every kernel is divided by the deviation of its layer's output for the batch
            `input`, one after the other as the batch reaches them (Mishkin & Matas 2016, arXiv:1511.06422).
        mode: for "he", whether n is the fan-in (the default: signals keep their size) or the fan-out (gradients do).
        nonlinearity: what follows the layers, a name of `torch.nn.init.calculate_gain`; None is "relu" for "he" and
            "linear", a gain of 1, for "xavier" and "orthogonal".
        std: for "normal", 0.01 by default.
        input: for "lsuv", a batch as `module` takes it. It passes once, without gradients, in eval mode except for the
            norms, which normalise by the batch as in training; modes and running statistics are restored. As biases are
            0, one division is exact, where the paper repeats it. A layer that the batch does not reach stays
            orthogonal; one that it reaches twice is scaled once.
        generator: source of the random numbers, on any device; torch's own when None. Half precision is drawn in
            float32, so that the same generator gives the same numbers.

    Raises:
        TypeError: for anything but a module, and for weights that are not real floating point.
        ValueError: for an unknown scheme, an option that the scheme does not have, a module without kernels, weights
            that are lazy, on `meta` or computed by a parametrisation, all before anything is changed; and with "lsuv"
            where a layer's output is constant or not finite.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(64, 128, 3), nn.ReLU(), nn.Conv2d(128, 10, 1))
        >>> _ = initialise(net, "he", generator=torch.Generator().manual_seed(0))
        >>> round(net[0].weight.std().item() / (2 / (64 * 9)) ** 0.5, 2)
        1.0
    """
    checks.module("module", module)
    given = {"mode": mode, "nonlinearity": nonlinearity, "std": std, "input": input}
    options = _checked(scheme, {name: value for name, value in given.items() if value is not None})
    zeros = [p for part in module.modules() for p in _starting_at_zero(part)]
    layers = [layer for layer in _layers(module) if all(layer.weight is not zero for zero in zeros)]
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, _NORMS):
                part.reset_parameters()
        for layer in layers:
            bias = getattr(layer, "bias", None)
            if bias is not None:
                nn.init.zeros_(bias)
        once = [own for n, own in enumerate(layers) if all(own.weight is not other.weight for other in layers[:n])]
        for layer in once:
            _draw(layer, scheme, options, generator)
        for parameter in zeros:
            nn.init.zeros_(parameter)
        if scheme == "lsuv":
            _scale_by_layer(module, once, options["input"])
    return module


def weight_of(layer: nn.Module) -> Tensor:
    """The weight of a layer as a tensor; in torch's own types it may be anything."""
    return cast(Tensor, layer.weight)


def fans(layer: nn.Module) -> tuple[float, float]:
    """Fan-in and fan-out of a layer with a kernel: the products in one output value, and in the gradient of one input.

    For a convolution `[O, C/groups, …]` with K taps they are C/groups · K and O/groups · K / ∏ stride, because a stride
    skips positions and so leaves fewer products per input. A transposed convolution has the two exchanged. They are
    means over positions away from the border. `torch.nn.init` leaves groups and strides out of the fan-out, and reads a
    transposed kernel as a plain one.

    Args:
        layer: a module with a `weight` of at least two dimensions, such as `torch.nn.Conv2d` or `torch.nn.Linear`.

    Example:
        >>> from convnotes.fundamentals.initialisation import fans
        >>> fans(nn.Conv2d(16, 32, 3, stride=2))
        (144, 72.0)
    """
    first, second, *sides = weight_of(layer).shape
    taps = math.prod(sides)
    stride = getattr(layer, "stride", 1)
    along = second * taps
    across = first / getattr(layer, "groups", 1) * taps / (math.prod(stride) if isinstance(stride, tuple) else stride)
    return (across, along) if getattr(layer, "transposed", False) else (along, across)


def _checked(scheme: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options of a scheme, with those that were given."""
    checks.one_of("scheme", scheme, _OPTIONS)
    for name, value in given.items():
        if name not in _OPTIONS[scheme]:
            known = ", ".join(_OPTIONS[scheme])
            raise ValueError(f"scheme {scheme!r} takes {known} and a generator, but {name} was given")
        if name == "input":
            checks.instance("input", value, Tensor, "a batch, a tensor")
    options = _OPTIONS[scheme] | given
    if scheme == "lsuv" and options["input"] is None:
        raise ValueError('scheme "lsuv" measures the layers on a batch: give it as input=')
    checks.one_of("mode", options.get("mode", "fan_in"), ("fan_in", "fan_out"))
    checks.number("std", options.get("std", 1), "(0, inf)")
    if "nonlinearity" in options:
        nn.init.calculate_gain(options["nonlinearity"])  # refuses an unknown name
    return options


def _has_kernel(layer: nn.Module) -> bool:
    if isinstance(layer, (*private.CONVOLUTIONS, nn.Linear)):
        return True
    named = all(hasattr(layer, name) for name in ("in_channels", "out_channels", "weight"))
    return named and weight_of(layer).dim() >= 3 and "weight" not in getattr(layer, "templates", ())


def _layers(module: nn.Module) -> list[nn.Module]:
    """The layers whose kernels are drawn, in the order of their making; refuses what cannot be drawn in place."""
    found = []
    for name, layer in module.named_modules():
        if not _has_kernel(layer):
            continue
        weight = dict(layer.named_parameters(recurse=False)).get("weight")
        where = f"the weight of {name or 'the module'} ({type(layer).__name__})"
        if weight is None:
            raise ValueError(f"{where} is computed by a parametrisation: initialise before it is put on")
        if isinstance(weight, nn.parameter.UninitializedParameter):
            raise ValueError(f"{where} is lazy, its shape unknown: run a batch through the module first")
        if weight.is_meta:
            raise ValueError(f"{where} is on meta and holds no values: move it with to_empty first")
        if not weight.is_floating_point():
            raise TypeError(f"{where} is {weight.dtype}, but real floating point is needed")
        found.append(layer)
    if not found:
        raise ValueError(f"{type(module).__name__} holds no convolution and no linear layer: nothing to initialise")
    return found


def _starting_at_zero(module: nn.Module) -> Iterator[nn.Parameter]:
    for name in getattr(module, "starts_at_zero", ()):
        part = getattr(module, name)
        yield from [part] if isinstance(part, nn.Parameter) else part.parameters()


def _draw(layer: nn.Module, scheme: str, options: dict[str, Any], generator: torch.Generator | None) -> None:
    weight = weight_of(layer)
    dtype = torch.promote_types(weight.dtype, torch.float32)
    drawn = torch.empty(weight.shape, dtype=dtype, device=weight.device if generator is None else generator.device)
    gain = nn.init.calculate_gain(options.get("nonlinearity", "linear"))
    if scheme in ("orthogonal", "lsuv"):
        for part in drawn.chunk(getattr(layer, "groups", 1)):
            nn.init.orthogonal_(part, gain, generator=generator)
    else:
        fan_in, fan_out = fans(layer)
        deviation: dict[str, Callable[[], float]] = {
            "he": lambda: gain / math.sqrt(fan_in if options["mode"] == "fan_in" else fan_out),
            "xavier": lambda: gain * math.sqrt(2 / (fan_in + fan_out)),
            "normal": lambda: options["std"],
        }
        nn.init.normal_(drawn, std=deviation[scheme](), generator=generator)
    weight.copy_(drawn)


def _scale_by_layer(module: nn.Module, layers: list[nn.Module], batch: Tensor) -> None:
    """One pass in which each layer, as it is reached, is scaled to unit deviation, and its output with it."""
    scaled: set[nn.Module] = set()
    names = {layer: name for name, layer in module.named_modules()}

    def scale(layer: nn.Module, _: Any, output: Tensor) -> Tensor | None:
        if layer in scaled:
            return None
        scaled.add(layer)
        deviation = output.to(torch.promote_types(output.dtype, torch.float32)).std(correction=0)
        if not (deviation.isfinite() and deviation > 0):
            raise ValueError(f"lsuv: the output of {names[layer] or 'the module'} has the deviation {deviation.item()}")
        weight_of(layer).div_(deviation)
        return output / deviation.to(output.dtype)

    modes = [(part, part.training) for part in module.modules()]
    norms = [part for part in module.modules() if isinstance(part, private.STATISTIC_NORMS)]
    handles = [layer.register_forward_hook(scale) for layer in layers]
    try:
        module.eval()
        for norm in norms:
            norm.train()
        module(batch)
    finally:
        for handle in handles:
            handle.remove()
        for part, training in modes:
            part.training = training
        for norm in norms:
            norm.reset_running_stats()
