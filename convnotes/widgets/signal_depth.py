"""Send a signal through a deep random network, and its gradient back, and see what is left of them layer by layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import traitlets
from torch import nn

from convnotes import checks, plots
from convnotes.widgets.base import Widget, checking, panels

SCHEMES = ("normal", "xavier", "he", "orthogonal")
NONLINEARITIES = ("linear", "relu", "tanh")
BATCH = 32
BAND = (1 / 3, 3.0)
_LIMITS = {"depth": (2, 30), "width": (16, 96), "draw": (1, 9)}


class SignalDepth(Widget):
    """A fully connected network with random weights: its signal and its gradient, layer by layer.

    All layers have n units, with a nonlinearity between. The input `[32, n]` is standard normal, and so is the gradient
    that comes back into the output of the last layer. The page marks a band from 1/3 to 3 and says whether the signal
    and the gradient stay inside it in every layer.

    Args:
        **state: `scheme`: "normal" with the standard deviation `std`, from 0.01 to 0.4, "xavier" 1/√n, "he" √(2/n),
            "orthogonal" with gain √2 for "relu" and 1 otherwise; `depth`, the number of layers, 2 to 30; `width`, the
            n, 16 to 96; `nonlinearity`: "linear", "relu" or "tanh"; `norm`: whether every layer ends in a batch
            norm, with the statistics of the 32 inputs; `draw`, the number of the draw, 1 to 9: the page and Python
            make the same weights of it.

    Raises:
        ValueError: for an unknown name, and for a number out of range.
        TypeError: for anything else than a number.

    Example:
        >>> from convnotes.widgets import SignalDepth
        >>> widget = SignalDepth(scheme="orthogonal", nonlinearity="linear", depth=3)
        >>> outputs, gradients = widget.deviations()
        >>> abs(outputs[0] - outputs[-1]) < 1e-3  # an orthogonal layer keeps lengths
        True
    """

    module = "signal_depth"
    by_hand = "the scheme, the depth, the width, the nonlinearity and the norm can be changed"

    scheme = traitlets.Unicode("normal").tag(sync=True)
    std = traitlets.Float(0.1).tag(sync=True)
    depth = traitlets.Int(20).tag(sync=True)
    width = traitlets.Int(64).tag(sync=True)
    nonlinearity = traitlets.Unicode("relu").tag(sync=True)
    norm = traitlets.Bool(False).tag(sync=True)
    draw = traitlets.Int(3).tag(sync=True)

    @checking("scheme", "nonlinearity")
    def _check_choice(self, name: str, value: Any) -> str:
        return checks.one_of(name, value, SCHEMES if name == "scheme" else NONLINEARITIES)

    _check_std = checking("std")(lambda _, name, value: checks.number(name, value, "[0.01, 0.4]"))

    _check_number = checking(*_LIMITS)(lambda _, name, value: checks.whole(name, value, *_LIMITS[name]))

    def weights(self) -> list[torch.Tensor]:
        """The weight `[n, n]` of every layer, float64."""
        n, gain = self.width, 2**0.5 if self.nonlinearity == "relu" else 1.0
        layers = [self._numbers(2 + layer, n, n) for layer in range(self.depth)]
        if self.scheme != "orthogonal":
            deviation = {"normal": self.std, "xavier": n**-0.5, "he": (2 / n) ** 0.5}[self.scheme]
            return [deviation * layer for layer in layers]
        rows = []
        for layer in layers:  # Gram and Schmidt on the rows: QR of the transpose, the diagonal of R made positive
            q, r = torch.linalg.qr(layer.T)
            rows.append(gain * (q * r.diagonal().sign()).T)
        return rows

    def deviations(self) -> tuple[list[float], list[float]]:
        """The standard deviation of what every layer gives, and of the gradient with respect to it."""
        act = {"linear": lambda z: z, "relu": torch.relu, "tanh": torch.tanh}[self.nonlinearity]
        outputs: list[torch.Tensor] = []
        a = self._numbers(0, BATCH, self.width)
        for weight in self.weights():
            z = a @ weight.T
            if self.norm:
                z = nn.functional.batch_norm(z, None, None, training=True)
            outputs.append(z if outputs else z.requires_grad_())
            a = act(z)
        gradients = torch.autograd.grad(outputs[-1], outputs, self._numbers(1, BATCH, self.width))
        forwards, backwards = ([t.detach().std(correction=0).item() for t in each] for each in (outputs, gradients))
        return forwards, backwards

    def _numbers(self, stream: int, rows: int, columns: int) -> torch.Tensor:
        return torch.from_numpy(gaussians(seed_of(self.draw, stream), rows * columns)).view(rows, columns)

    def _describe(self) -> str:
        scheme = f"normal {self.std:g}" if self.scheme == "normal" else self.scheme
        norm = ", batch norm" if self.norm else ""
        return f"{self.depth} layers of {self.width}, {self.nonlinearity}, {scheme}{norm}"

    def _alt(self) -> str:
        outputs, gradients = self.deviations()
        return (
            f"the standard deviation of a signal in {self.depth} layers, {outputs[0]:.2g} in the first and "
            f"{outputs[-1]:.2g} in the last, and of its gradient, {gradients[0]:.2g} back in the first."
        )

    def _picture(self) -> bytes:
        outputs, gradients = self.deviations()
        layers = range(1, self.depth + 1)
        with plots.style():
            ax = panels(1, 1, (6.2, 3.2))
            ax.axhspan(*BAND, color=plots.PALETTE["grey"], alpha=0.2, lw=0)
            ax.semilogy(layers, outputs, "o-", color=plots.PALETTE["output"], label="output")
            ax.semilogy(layers, gradients, "s--", color=plots.PALETTE["accent"], label="gradient")
            ax.set(xlabel="layer", ylabel="standard deviation")
            ax.legend()
        return plots.save(ax)


def seed_of(draw: int, stream: int) -> int:
    """One seed for each stream of numbers of a draw: 0 the input, 1 the gradient, 2 and on the layers."""
    return (draw * 0x9E3779B1 + stream * 0x85EBCA6B) % 2**32


def gaussians(seed: int, count: int) -> np.ndarray:
    """`count` standard normal numbers, those of the page: the generator mulberry32, then Box and Muller."""
    with np.errstate(over="ignore"):
        state = np.uint32(seed) + np.uint32(0x6D2B79F5) * np.arange(1, count + count % 2 + 1, dtype=np.uint32)
        t = (state ^ (state >> np.uint32(15))) * (state | np.uint32(1))
        t ^= t + (t ^ (t >> np.uint32(7))) * (t | np.uint32(61))
    uniform = ((t ^ (t >> np.uint32(14))).astype(np.float64) + 0.5) / 2**32
    radius, turn = np.sqrt(-2 * np.log(uniform[::2])), 2 * math.pi * uniform[1::2]
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1).reshape(-1)[:count]
