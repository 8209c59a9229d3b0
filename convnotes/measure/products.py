"""FLOPs of the products of vectors, matrices and tensors that torch's own counter does not know; two a multiply-add."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

Shape = Sequence[int]


def _vector(matrix: Shape, vector: Shape, *rest: Any, **options: Any) -> int:
    return 2 * math.prod(matrix)


def _added_vector(self: Shape, matrix: Shape, vector: Shape, *rest: Any, **options: Any) -> int:
    return 2 * math.prod(matrix)


def _added_product(self: Shape, first: Shape, second: Shape, *rest: Any, **options: Any) -> int:
    return _product(first, second)


def _product(first: Shape, second: Shape, *rest: Any, **options: Any) -> int:
    return 2 * math.prod(first) * second[-1]


def _added_outer(self: Shape, first: Shape, second: Shape, *rest: Any, **options: Any) -> int:
    return 2 * first[0] * second[0]


def _added_sum(self: Shape, first: Shape, second: Shape, *rest: Any, **options: Any) -> int:
    return 2 * math.prod(first) * second[2]


def _over_time(
    input: Shape, weight: Shape, bias: Shape, pad: int = 0, *rest: Any, out_shape: Shape, **options: Any
) -> int:
    return 2 * math.prod(out_shape) * weight[0] * weight[1]


def _trilinear(
    i1: Shape, i2: Shape, i3: Shape, expand1: Shape, expand2: Shape, expand3: Shape, *rest: Any, **options: Any
) -> int:
    """Every element of the three, spread over each other: as many products as there are positions."""
    spread = []
    for shape, expand in ((i1, expand1), (i2, expand2), (i3, expand3)):
        sides = list(shape)
        for dim in sorted(expand):
            sides.insert(dim, 1)
        spread.append(sides)
    return 2 * math.prod(map(max, zip(*spread, strict=True)))


_FORMULAS: dict[str, Callable[..., int]] = {
    "mv": _vector, "dot": _vector, "vdot": _vector, "addmv": _added_vector, "addmv_": _added_vector,
    "addbmm": _added_sum, "addbmm_": _added_sum, "addmm_": _added_product, "baddbmm_": _added_product,
    "addr": _added_outer, "addr_": _added_outer, "_int_mm": _product, "conv_tbc": _over_time,
    "_trilinear": _trilinear, "_sparse_addmm": _added_product,
}  # fmt: skip


_CALLED = {"outer", "ger", "kron", "einsum", "vecdot", "linalg_vecdot"}  # torch multiplies element by element for them


class Products(TorchFunctionMode):
    """Inside: it is known whether torch multiplies element by element for a product of vectors, matrices or tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.within = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before, self.within = self.within, self.within or getattr(func, "__name__", "") in _CALLED
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.within = before

    def _elements(self, *shapes: Any, out_shape: Shape, **options: Any) -> int:
        return 2 * math.prod(out_shape) if self.within else 0

    def formulas(self) -> dict[Any, Callable[..., int]]:
        """For `FlopCounterMode(custom_mapping=…)`; what a version of torch has not is left out."""
        aten = torch.ops.aten
        known = {getattr(aten, name): count for name, count in _FORMULAS.items() if hasattr(aten, name)}
        return {**known, aten.mul: self._elements}
