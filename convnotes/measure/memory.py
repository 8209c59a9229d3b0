"""How much memory a call needs at once: counted from the tensors that it makes, the same number on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from convnotes import checks
from convnotes.kernels import private
from convnotes.measure.trees import found


def peak_memory(call: Callable[[], Any]) -> int:
    """The most bytes of tensors that live at once during `call()`, without those that were there before.

    A training step counts with its saved activations and gradients when `call` runs the backward as well. What views
    share counts once. The scratch memory that one operation takes and gives back inside itself is not seen.

    Args:
        call: a function without arguments.

    Raises:
        TypeError: for what cannot be called.

    Example:
        >>> from convnotes.measure import peak_memory
        >>> x = torch.zeros(1000)
        >>> peak_memory(lambda: (x + 1) * 2)  # two new tensors of 1000 floats
        8000
    """
    checks.instance("call", call, Callable, "something to call")
    with _Record() as record:
        call()
    return record.peak


class _Record(private.TorchDispatchMode):  # type: ignore[misc]  # a class of torch, where it has one
    """Looks at every operation: what it was given was there, what it gives is new unless it was there."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self.there: dict[int, StorageWeakRef] = {}
        self.made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        for storage in _storages((args, kwargs)):
            ref = StorageWeakRef(storage)
            if ref.cdata not in self.made:
                self.there.setdefault(ref.cdata, ref)
        output = func(*args, **kwargs)
        self.made = {at: (ref, size) for at, (ref, size) in self.made.items() if not ref.expired()}
        for storage in _storages(output):
            ref = StorageWeakRef(storage)
            if ref.cdata not in self.there:
                self.made[ref.cdata] = (ref, storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self.made.values()))
        return output


def _storages(tree: Any) -> Iterator[Any]:
    return (leaf.untyped_storage() for leaf in found(tree, Tensor))
