"""What a case is made of: calls on named tensors, and who draws the tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from convnotes.kernels import backend
from convnotes.kernels.backend import Name

Shape = tuple[int, int, int]  # batch, channels, height = width


@dataclass(frozen=True)
class Call:
    """A function of named tensors, whose gradients are wanted; `backend` computes it, forwards and backwards.

    One that does not train has no gradients, and is timed forwards only.
    """

    run: Callable[..., Tensor]
    inputs: dict[str, Tensor]
    backend: Name | None = None
    trains: bool = True

    def forward(self) -> Tensor:
        with _by(self.backend):
            return self.run(**self.inputs)

    def gradients(self, cotangent: Tensor) -> dict[str, Tensor]:
        with _by(self.backend):
            y, wanted = self.run(**self.inputs), list(self.inputs.values())
            return dict(zip(self.inputs, torch.autograd.grad(y, wanted, cotangent), strict=True))


def _by(name: Name | None) -> contextlib.AbstractContextManager[object]:
    return contextlib.nullcontext() if name is None else backend.use(name)


@dataclass(frozen=True)
class Calls:
    """Ours, its multiply-adds (None: none to speak of), the rivals by name or why one is skipped, and the yardstick.

    With `same=False` the rivals are other functions for the same purpose.
    """

    ours: Call
    macs: int | None
    rivals: Mapping[str, Call | str]
    conv_name: str
    conv: Call
    conv_macs: int
    same: bool = True


class Make:
    """Draws float32 tensors that want a gradient: the same numbers on every device."""

    def __init__(self, device: str = "cpu", seed: int = 0) -> None:
        self.device = device
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, scale: float = 1.0) -> Tensor:
        return self.leaf(scale * torch.randn(shape, generator=self._generator))

    def between_pixels(self, *shape: int) -> Tensor:
        """From −2 to 3, a tenth of a pixel at least from any whole number."""
        whole = torch.randint(-2, 3, shape, generator=self._generator)
        return self.leaf(whole + 0.1 + 0.8 * torch.rand(shape, generator=self._generator))

    def last(self, tensor: Tensor) -> Tensor:
        """The same numbers in channels_last."""
        return self.leaf(tensor.detach().to(memory_format=torch.channels_last))

    def leaf(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device).requires_grad_()


@torch.no_grad()
def off_the_kink(inputs: dict[str, Tensor], step: float = 2**-10) -> None:
    """Move the last channel of query and key so that no a_i + b_j comes within a quarter of `step` of 0."""
    for name, half, off in zip(("query", "key"), inputs["relation"].chunk(2), (0.25, 0.5), strict=True):
        half[-1] = 1.0
        x = inputs[name]
        score = torch.einsum("bchw,c->bhw", x.double(), half.double())
        x[:, -1] += ((score / step).round() + off) * step - score


Build = Callable[[Make, Shape], Calls]
