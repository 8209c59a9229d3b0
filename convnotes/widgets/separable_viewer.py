"""The kernels of an input channel made of few stencils: how much of a full kernel a separable pair is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from convnotes import checks, plots
from convnotes.widgets.base import PhotoWidget, checking, panels

_ACROSS = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 5
_BETWEEN = (_ACROSS + _ACROSS.T) / 2
_BLUR = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
_SHIFTS = np.stack([np.eye(9)[n].reshape(3, 3) for n in (3, 4, 5)])
_LAYERS = 3  # the most stencils per channel
_MOST = 2  # a tap's largest size by hand


def _of_brightness(kernels: np.ndarray) -> np.ndarray:
    """A kernel per output for all input channels alike, `[3, 3, 3, 3]`."""
    return np.repeat(kernels[:, None], 3, axis=1)


def _each_its_own(kernels: np.ndarray) -> np.ndarray:
    """A kernel per output for the input channel of its number, `[3, 3, 3, 3]`."""
    return np.eye(3)[:, :, None, None] * kernels[:, None]


TARGETS = {  # name → full kernel [output, input, row, column], and the bias of every output
    "edges": (_of_brightness(np.stack([_ACROSS, _ACROSS.T, _BETWEEN])), 0.5),
    "shifts": (_of_brightness(_SHIFTS / 3), 0.0),
    "fringes": (_each_its_own(_SHIFTS), 0.0),
    "blur": (_each_its_own(np.stack([_BLUR] * 3)), 0.0),
}
_FIRST = {"across": _ACROSS, "down": _ACROSS.T, "between": _BETWEEN, "blur": _BLUR}
STENCILS = {name: kernel / np.abs(kernel).max() for name, kernel in _FIRST.items()}


class SeparableViewer(PhotoWidget):
    """The kernels of one input channel as a multiplication table: stencils times mixing numbers, and what is left over.

    A separable pair with m stencils per channel is fitted to a full kernel from red, green and blue to three outputs.
    With "best" it is the nearest one. Another first stencil is used for every channel, with the numbers that leave
    least; stencils after it are the best for the rest.

    Args:
        image: a photograph `[3, H, W]` with values in [0, 1].
        alt: what the photograph shows, for readers who do not see it.
        **state: `target`, the full kernel: "edges" (three edge filters of the brightness), "shifts" (the brightness
            shifted three ways), "fringes" (each colour shifted its own way) or "blur"; `layers`, m from 1 to 3;
            `stencil`, the first one: "best", "across", "down", "between", "blur", or "hand" for those of `taps`
            `[3, 3]`, each in [-2, 2]; `channel`, from 0 to 2, whose kernels are shown.

    Raises:
        ValueError, TypeError: for anything else than a photograph and such a state.

    Example:
        >>> from convnotes.widgets import SeparableViewer
        >>> widget = SeparableViewer(torch.rand(3, 8, 8), target="edges", layers=1)
        >>> round(widget.share(), 3)
        0.6
        >>> widget.layers = 2
        >>> round(widget.share(), 3)
        1.0
    """

    module = "separable_viewer"
    by_hand = "the target, the number of stencils and the first stencil can be chosen"

    target = traitlets.Unicode("edges").tag(sync=True)
    layers = traitlets.Int(1).tag(sync=True)
    stencil = traitlets.Unicode("best").tag(sync=True)
    taps: traitlets.List[list[float]] = traitlets.List().tag(sync=True)
    channel = traitlets.Int(0).tag(sync=True)

    def __init__(self, image: Any, alt: str = "A photograph", **state: Any) -> None:
        start = {"taps": STENCILS["between"].tolist()} | state
        super().__init__(checks.picture("image", image, (3, "H", "W")), alt, **start)

    @checking("target", "stencil")
    def _check_name(self, name: str, value: Any) -> str:
        return checks.one_of(name, value, TARGETS if name == "target" else ("best", *STENCILS, "hand"))

    @checking("layers", "channel")
    def _check_whole(self, name: str, value: Any) -> int:
        return checks.whole(name, value, *((1, _LAYERS) if name == "layers" else (0, 2)))

    @checking("taps")
    def _check_taps(self, name: str, rows: Any) -> list[list[float]]:
        taps = checks.numbers(name, rows, (3, 3))
        if np.abs(taps).max() > _MOST:
            raise ValueError(f"{name} must lie in [−{_MOST}, {_MOST}], got {rows!r}")
        return taps.tolist()

    def full(self) -> torch.Tensor:
        """The target, a full kernel `[output, input, row, column]`."""
        return torch.from_numpy(TARGETS[self.target][0])

    def pair(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The stencils `[C, m, 3, 3]` and the mixing numbers `[O, C, m]` of the separable pair."""
        rest = self.full().transpose(0, 1).flatten(2)  # [C, O, 9]: the kernels of each channel as the rows of a matrix
        stencils, numbers = [], []
        if self.stencil != "best":
            first = torch.tensor(self.taps if self.stencil == "hand" else STENCILS[self.stencil]).double().flatten()
            number = rest @ first / first.square().sum().clamp(min=1e-300)
            stencils.append(first.expand(3, 9))
            numbers.append(number)
            rest = rest - number[:, :, None] * first
        parts = torch.linalg.svd(rest, full_matrices=False)
        for n in range(self.layers - len(stencils)):
            stencils.append(parts.Vh[:, n])
            numbers.append(parts.U[:, :, n] * parts.S[:, n, None])
        return torch.stack(stencils, 1).unflatten(2, (3, 3)), torch.stack(numbers, 2).transpose(0, 1)

    def output(self) -> torch.Tensor:
        """What the pair gives, `[3, H, W]`."""
        return self._through(self._made())

    def share(self) -> float:
        """1 − ‖W − T‖² / ‖T‖²: the share of the target's squared size that the full kernel W makes."""
        target = self.full()
        return 1 - ((self._made() - target).square().sum() / target.square().sum()).item()

    def _made(self) -> torch.Tensor:
        stencils, numbers = self.pair()
        return torch.einsum("cmuv,ocm->ocuv", stencils, numbers)

    def _through(self, weight: torch.Tensor) -> torch.Tensor:
        bias = torch.full((3,), TARGETS[self.target][1])
        return torch.nn.functional.conv2d(self._pixels()[None], weight.float(), bias, padding=1)[0]

    def _describe(self) -> str:
        return f"image 3×{self.height}×{self.width}, m = {self.layers}, {100 * self.share():.1f}% of the target made"

    def _alt(self) -> str:
        return (
            f"The three 3×3 kernels of one input channel, the multiples of {self.layers} stencils that come nearest to "
            f"them, what is left over, and the outputs of both on a photograph. {self.alt}."
        )

    def _picture(self) -> bytes:
        axes = panels(1, 3, (7.2, 1.9))
        plots.image(self._pixels(), axes[0], "input")
        plots.image(self.output().clamp(0, 1), axes[1], "output, separable layer")
        plots.image(self._through(self.full()).clamp(0, 1), axes[2], "output, target")
        return plots.save(axes[0])
