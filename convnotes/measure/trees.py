"""What lies in nested tuples, lists and dictionaries, as modules take and give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any, TypeVar

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

Leaf = TypeVar("Leaf")


def found(tree: Any, kind: type[Leaf]) -> Iterator[Leaf]:
    """Every `kind` in `tree`, in order; what lies in one of that kind is its own."""
    if isinstance(tree, kind):
        yield tree
    elif isinstance(tree, Mapping):
        for part in tree.values():
            yield from found(part, kind)
    elif isinstance(tree, (tuple, list, Set)):
        for part in tree:
            yield from found(part, kind)


def storage(tensor: Tensor) -> int:
    """Which storage a tensor is a view of."""
    return StorageWeakRef(tensor.untyped_storage()).cdata
