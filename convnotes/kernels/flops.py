"""Formulas for torch's counter of operations, handed over when that is imported: its import takes triton's with it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_COUNTER = "torch.utils.flop_counter"
_waiting: list[tuple[object, Callable[..., int]]] = []


def flop_formula(operator: object) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """As `torch.utils.flop_counter.register_flop_formula`, which it calls as soon as that module is imported."""

    def keep(count: Callable[..., int]) -> Callable[..., int]:
        _waiting.append((operator, count))
        if _COUNTER in sys.modules:
            _hand_over()
        elif _on_import not in sys.meta_path:
            sys.meta_path.insert(0, _on_import)
        return count

    return keep


def _hand_over() -> None:
    register = sys.modules[_COUNTER].register_flop_formula
    while _waiting:
        operator, count = _waiting.pop()
        register(operator)(count)


class _OnImport(MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != _COUNTER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        loader: Any = spec.loader if spec else None
        execute = loader.exec_module

        def then_hand_over(module: ModuleType) -> None:
            execute(module)
            _hand_over()

        loader.exec_module = then_hand_over
        return spec


_on_import = _OnImport()
