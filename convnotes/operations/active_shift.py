"""Active shift: each channel moves by a real displacement, which is learned::

    y[b,c,i,j] = x̃[b, c, i + dy_c, j + dx_c]

x̃ is bilinear between the pixels and 0 outside the image. With n = ⌊d⌋ and f = d − n on each axis ::

    x̃[i + d] = (1 − f) · x[i + n] + f · x[i + n + 1],   ∂x̃/∂d = x[i + n + 1] − x[i + n]

so that on whole displacements, where x̃ has a kink, the derivative is the one to the right.
Jeon & Kim, "Constructing fast network through deconstruction of convolution", NeurIPS 2018, arXiv:1806.07370 ·
chapter operations/shift.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.layer import Composite
from convnotes.geometry import Reach
from convnotes.kernels.shift.operator import by_gather
from convnotes.kernels.transforms import one_image, one_node
from convnotes.operations.shift import check_displacements
from convnotes.parameters import Handle, groups, named, renamed, scale_rows, scale_steps


@one_node
@one_image("input")
def active_shift2d(input: Tensor, displacements: Tensor) -> Tensor:
    """Move each channel by a real displacement of its own: `[B, C, H, W]` → the same shape and dtype.

    Channel c reads (dy, dx) = `displacements[c]` pixels further, by bilinear interpolation; outside the image is 0.
    Differentiable in both arguments.

    Args:
        input: images `[B, C, H, W]`, or one, `[C, H, W]`.
        displacements: real numbers `[C, 2]` in pixels, of the input's dtype and device.

    Raises:
        TypeError: for anything but a tensor, and for displacements that are not real.
        ValueError: for a shape, dtype or device that does not fit.

    Example:
        >>> x = torch.tensor([[[[0.0, 4.0, 8.0]]]])
        >>> active_shift2d(x, torch.tensor([[0.0, 0.25]]))
        tensor([[[[1., 5., 6.]]]])
    """
    if not isinstance(displacements, Tensor) or not displacements.is_floating_point():
        got = displacements.dtype if isinstance(displacements, Tensor) else type(displacements).__name__
        raise TypeError(f"displacements must be a tensor of real numbers [C, 2], got {got}")
    check_displacements(input, displacements, "active_shift2d")
    checks.images("active_shift2d", input, displacements, displacements.shape[0])
    whole = displacements.detach().floor()
    part = (displacements - whole).to(input.dtype)  # [C, 2] in [0, 1)
    moved = input
    for axis in (0, 1):
        n, f = whole[:, axis].long(), part[:, axis].view(1, -1, 1, 1)
        near, far = by_gather(moved, n, axis + 2), by_gather(moved, n + 1, axis + 2)
        moved = torch.lerp(near, far, f)
    if input.stride(1) == 1 < input.shape[1]:  # channels last in, channels last out
        moved = moved.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    return moved


class ActiveShift2d(Composite, shown="channels radius"):
    """`active_shift2d` with learned displacements: `[B, C, H, W]` → the same shape, 2·C parameters.

    The paper learns the displacements with 0.001 of the learning rate of the rest (`active_shift_groups`) and uses only
    the direction of their gradients (`scale_active_shift_steps`).

    Args:
        channels: C channels of the input.
        radius: the displacements start uniformly in (−radius, radius) pixels.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = ActiveShift2d(8)
        >>> layer.displacements.shape, layer(torch.rand(2, 8, 5, 7)).shape
        (torch.Size([8, 2]), torch.Size([2, 8, 5, 7]))
    """

    positional = ("displacements",)  # parameters that say where, not how much

    def __init__(
        self,
        channels: int,
        radius: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.positive(channels=channels)
        checks.number("radius", radius, "[0, inf)")
        self.channels, self.radius = channels, radius
        self.displacements = nn.Parameter(torch.empty(channels, 2, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the displacements again, uniformly in (−radius, radius)."""
        nn.init.uniform_(self.displacements, -self.radius, self.radius)

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        checks.images("ActiveShift2d", input, self.displacements, self.channels)
        return active_shift2d(input, self.displacements)

    def extra_cost(self, input: Tensor, output: Tensor) -> dict[str, int]:
        """Bytes of one pass, read and written, for `convnotes.measure.cost`; the three interpolations count no MAC."""
        return {"moved_bytes": 2 * output.numel() * output.element_size()}

    def reach(self) -> Reach:
        """(before, after, stride) of each axis as learned so far; no closed form without the values."""
        if self.displacements.is_meta:
            raise ValueError("the reach of ActiveShift2d is learned: effective_receptive_field answers from gradients")
        least = self.displacements.detach().amin(0).floor().int().tolist()
        most = self.displacements.detach().amax(0).ceil().int().tolist()
        return (-least[0], most[0], 1), (-least[1], most[1], 1)


def active_shift_groups(
    model: nn.Module, lr: float, factor: float = 1e-3, weight_decay: float | None = None
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: the displacements of every `ActiveShift2d` learn slowly and without decay.

    Args:
        model: a network with at least one `ActiveShift2d`.
        lr, factor, weight_decay: as in `convnotes.active_groups`; the paper's factor is 0.001.

    Raises:
        ValueError: for a model without `ActiveShift2d`.

    Example:
        >>> net = nn.Sequential(ActiveShift2d(8), nn.Conv2d(8, 8, 1))
        >>> [group["lr"] for group in active_shift_groups(net, lr=1.0)]
        [1.0, 0.001]
    """
    return groups(model, named(model, ActiveShift2d, "displacements"), lr, factor, weight_decay)


def scale_active_shift_steps(model: nn.Module, optimizer: torch.optim.Optimizer) -> Handle:
    """Before each step of an optimiser, bring the gradient of every displacement (dy, dx) to length 1.

    The paper does so in each backward pass. Here it happens once per step, so that loss scaling and the accumulation
    over several batches keep their meaning. The returned handle's `remove()` ends it.

    Args:
        model: a network with at least one `ActiveShift2d`.
        optimizer: steps at least one of their displacements.

    Raises:
        ValueError: for a model without `ActiveShift2d`, and where `optimizer` steps no displacement of it.

    Example:
        >>> net = ActiveShift2d(8)
        >>> before = net.displacements.detach().clone()
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> handle = scale_active_shift_steps(net, optimizer)
        >>> net(torch.rand(2, 8, 5, 5)).sum().backward()
        >>> optimizer.step()
        >>> steps = (net.displacements - before).norm(dim=1)
        >>> torch.allclose(steps, torch.full((8,), 0.1))
        True
    """
    return scale_steps(optimizer, named(model, ActiveShift2d, "displacements"), scale_rows)


def normalise_active_shift_steps(model: nn.Module, optimizer: torch.optim.Optimizer) -> Handle:
    """The old name of `scale_active_shift_steps`, which goes with the next release; it gives a `DeprecationWarning`.

    Args:
        model, optimizer: as in `scale_active_shift_steps`.

    Raises:
        ValueError: as `scale_active_shift_steps`.

    Example:
        >>> import warnings
        >>> net = ActiveShift2d(8)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", DeprecationWarning)
        ...     handle = normalise_active_shift_steps(net, torch.optim.SGD(net.parameters()))
    """
    renamed("normalise_active_shift_steps", "scale_active_shift_steps")
    return scale_active_shift_steps(model, optimizer)
