"""Active convolution: the taps of a kernel lie anywhere, also between pixels, and their positions are learned::

    y[b,o,i,j] = bias[o] + Σ_{c,k} w[o,c,k] · x̃[b, c, i·s − p + Δy_k, j·s − p + Δx_k]

x̃ is the image interpolated bilinearly, 0 outside; the positions (Δy_k, Δx_k), vertical first, are shared by all images,
output pixels and channels, or each group of output channels has its own. Interpolation is linear in the image, so it
can be applied to the kernel instead: each tap is splatted on the four pixels around it, and the layer is one ordinary
convolution with the kernel ::

    ŵ[o,c,u,v] = Σ_k w[o,c,k] · h(u − Δy_k) · h(v − Δx_k),   h(t) = max(0, 1 − abs t).

Jeon & Kim, "Active convolution: learning the shape of convolution for image classification", CVPR 2017,
arXiv:1703.09076; kernels built so: Khalfaoui-Hassani et al., "Dilated convolution with learnable spacings", ICLR 2023,
arXiv:2112.03740 · chapter receptive_field/active.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.layer import Block, draw_as_conv
from convnotes.geometry import Factory, IntOrPair, Reach, pair
from convnotes.kernels.transforms import one_image, one_node
from convnotes.parameters import Handle, groups, named, renamed, scale_rows, scale_steps
from convnotes.receptive_field.splat import confined, extent, splat
from convnotes.receptive_field.synapses import checked_start
from convnotes.receptive_field.synapses import ring as ring


@one_node
@one_image("input")
def active_conv2d(
    input: Tensor,
    weight: Tensor,
    positions: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    reach: IntOrPair | None = None,
) -> Tensor:
    """Convolve with taps at real positions: `[B, C, H, W]` → `[B, O, H_out, W_out]`, sizes as with a 1×1 kernel.

    Positions count from where a 1×1 kernel would look, so `padding=0` keeps the size of the image, and a negative one
    leaves out output pixels at its border: −1 is what an unpadded 3×3 kernel has. At a whole position
    the derivative with respect to it is one-sided, towards the next pixel, as in deformable convolution: a tap one
    pixel outside the top, where it reads 0, has a derivative; one pixel outside the bottom it has none. A NaN anywhere
    under the splatted kernel makes the output pixel NaN, even where no tap touches it.

    Args:
        input: images `[B, C, H, W]`, or one, `[C, H, W]`.
        weight: `[O, C, K]`, K taps.
        positions: `[K, 2]`, (y, x) of each tap in pixels; or `[G, K, 2]`, those of each of G groups of O/G neighbouring
            output channels.
        bias: `[O]` or None.
        stride, padding: in pixels, one number or (vertical, horizontal); the padding may be negative.
        reach: whole pixels, one or (vertical, horizontal). The splatted kernel then has sides of 2·reach + 1 pixels,
            and the positions are clamped to [−reach, reach]: one beyond acts on the border, with derivative 0; at reach
            itself the derivative is the inner one. None makes the kernel as small as the positions allow, and taps too
            far away to meet the image cost nothing; this reads the values of the positions, so `torch.compile`,
            `torch.export`, vmap over positions and the meta device need a reach.

    Raises:
        TypeError, ValueError: for shapes, dtypes and devices that do not fit each other, and for a missing reach where
            it is needed.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 1, 4)
        >>> active_conv2d(x, torch.ones(1, 1, 1), torch.tensor([[0.0, 0.5]]))
        tensor([[[[0.5000, 1.5000, 2.5000, 1.5000]]]])
    """
    _check(input, weight, positions, bias, padding)
    stride, (py, px) = pair(stride, "stride", 1), pair(padding, "padding", None)
    if reach is None:
        rows, columns = extent(positions, input.shape[2:], (py, px))
        kernel = splat(weight, positions, rows, columns)
    else:
        bottom, right = pair(reach, "reach", 1)
        rows, columns = (-bottom, bottom), (-right, right)
        kernel = splat(weight, confined(positions, (bottom, right)), rows, columns, inner=True)
    if rows[0] == -rows[1] and columns[0] == -columns[1] and py >= -rows[1] and px >= -columns[1]:
        return F.conv2d(input, kernel, bias, stride, (py + rows[1], px + columns[1]))
    sides = (px - columns[0], px + columns[1], py - rows[0], py + rows[1])
    return F.conv2d(F.pad(input, sides), kernel, bias, stride)  # a negative side cuts off what no tap meets


def _check(input: Tensor, weight: Tensor, positions: Tensor, bias: Tensor | None, padding: IntOrPair) -> None:
    checks.tensor("weight of active_conv2d", weight, "OCK")
    O, C, K = weight.shape
    if K == 0:
        raise ValueError(f"weight of active_conv2d must hold one tap at least, got shape {tuple(weight.shape)}")
    if isinstance(positions, Tensor) and positions.dim() == 3:
        checks.tensor("positions of active_conv2d", positions, ("G", K, 2), weight)
        checks.divides("the number G of position groups", positions.shape[0], out_channels=O)
    else:
        checks.tensor("positions of active_conv2d", positions, (K, 2), weight)
    if bias is not None:
        checks.tensor("bias of active_conv2d", bias, (O,), weight)
    checks.images("active_conv2d", input, weight, C)
    height, width = (n + 2 * p for n, p in zip(input.shape[2:], pair(padding, "padding", None), strict=True))
    if height < 1 or width < 1:
        raise ValueError(f"active_conv2d: a kernel of 1×1 does not fit into the padded input of {height}×{width}")


class ActiveConv2d(Block):
    """`active_conv2d` with learned weights and positions: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    The first synapse is pinned at (0, 0): the values in row 0 of `positions` do not matter, and their gradient is 0.
    The kernel has 2·max_reach + 1 pixels per side, so the cost does not depend on the positions. `active_groups` and
    `scale_active_steps` train positions as the paper does. Jeon & Kim 2017, section 3.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        synapses: number of taps, which start on `ring(synapses)`; or the (y, x) where they start, the first at (0, 0).
        stride, padding: in pixels, one number or (vertical, horizontal); `padding=0` keeps the size of the image, and
            it may be negative.
        bias: whether to add a learned number per output channel.
        max_reach: the `reach` of `active_conv2d`: a synapse beyond acts on the border.
        device, dtype: of the parameters.
        position_group: number G of groups of neighbouring output channels with positions of their own. `positions` are
            `[K, 2]` for one group, else `[G, K, 2]`, and all groups start alike.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer = ActiveConv2d(8, 16, synapses=5)
        >>> layer(torch.rand(2, 8, 9, 9)).shape, layer.full_weight().shape
        (torch.Size([2, 16, 9, 9]), torch.Size([16, 8, 7, 7]))
    """

    positional = ("positions",)  # parameters that say where, not how much

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        synapses: int | Sequence[Sequence[float]] = 9,
        stride: IntOrPair = 1,
        padding: IntOrPair = 0,
        bias: bool = True,
        max_reach: IntOrPair = 3,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        position_group: int = 1,
    ) -> None:
        checks.flags(bias=bias)
        super().__init__(in_channels, out_channels)
        checks.divides("position_group", position_group, out_channels=out_channels)
        self.position_group = position_group
        self.stride, self.padding = pair(stride, "stride", 1), pair(padding, "padding", None)
        self.max_reach = pair(max_reach, "max_reach", 1)
        self.start = checked_start(synapses, self.max_reach)
        K, kw = len(self.start), Factory(device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, K, **kw))
        groups = () if position_group == 1 else (position_group,)
        self.positions = nn.Parameter(torch.empty(*groups, K, 2, **kw))
        self.bias = nn.Parameter(torch.empty(out_channels, **kw)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights again, as `torch.nn.Conv2d` does, and put the synapses back where they started."""
        draw_as_conv(self.weight, self.bias)
        with torch.no_grad():
            self.positions.copy_(torch.tensor(self.start, dtype=torch.float64))

    def places(self) -> Tensor:
        """Where the synapses look, (y, x) as in `positions`: the first at (0, 0), none beyond `max_reach`."""
        return confined(self._pinned(), self.max_reach)

    def _pinned(self) -> Tensor:
        return torch.cat([torch.zeros_like(self.positions[..., :1, :]), self.positions[..., 1:, :]], dim=-2)

    def full_weight(self) -> Tensor:
        """The weight `[O, C, KH, KW]` of the ordinary convolution that this layer equals, its middle at (0, 0)."""
        rows, columns = ((-n, n) for n in self.max_reach)
        return splat(self.weight, self.places(), rows, columns, inner=True)

    def reach(self) -> Reach:
        """How far the layer may look, for `convnotes.measure.receptive_field`: `max_reach` on every side."""
        (py, px), (bottom, right), (sy, sx) = self.padding, self.max_reach, self.stride
        return (py + bottom, bottom - py, sy), (px + right, right - px, sx)

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        checks.images("ActiveConv2d", input, self.weight, self.in_channels)
        return active_conv2d(input, self.weight, self._pinned(), self.bias, self.stride, self.padding, self.max_reach)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, synapses={len(self.start)}, stride={self.stride}, "
            f"padding={self.padding}, max_reach={self.max_reach}"
            + ("" if self.position_group == 1 else f", position_group={self.position_group}")
        )


def active_groups(
    model: nn.Module, lr: float, factor: float = 0.01, weight_decay: float | None = None
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: the positions of every `ActiveConv2d` learn slowly and without decay.

    Args:
        model: a network with at least one `ActiveConv2d`.
        lr: learning rate of the other parameters.
        factor: positions learn at `factor · lr`; 0.01 is the paper's.
        weight_decay: of the other parameters; None leaves it to the optimiser.

    Raises:
        ValueError: for a model without `ActiveConv2d`.

    Example:
        >>> optimizer = torch.optim.SGD(active_groups(ActiveConv2d(1, 1), lr=0.1), momentum=0.9)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.001]
    """
    return groups(model, named(model, ActiveConv2d, "positions"), lr, factor, weight_decay)


def scale_active_steps(model: nn.Module, optimizer: torch.optim.Optimizer, normalise: bool = True) -> Handle:
    """Before each step, bring the gradient of every position to length 1; after it, bring the positions back inside.

    Back inside means onto the border of `max_reach`, where they have a gradient again; without this a position that has
    left stays out. The layer itself has its true gradient, as clipping, accumulation and loss scaling need it. The
    returned handle's `remove()` ends both. Jeon & Kim 2017, section 3.

    Args:
        model: a network with at least one `ActiveConv2d`.
        optimizer: steps at least one of their positions.
        normalise: False leaves the gradients as they are.

    Raises:
        ValueError: for a model without `ActiveConv2d`, and where `optimizer` steps no position of it.

    Example:
        >>> net = ActiveConv2d(1, 1)
        >>> optimizer = torch.optim.SGD(active_groups(net, lr=0.1))
        >>> handle = scale_active_steps(net, optimizer)
    """
    positions = named(model, ActiveConv2d, "positions")

    @torch.no_grad()
    def back_inside() -> None:
        for layer in model.modules():
            if isinstance(layer, ActiveConv2d):
                layer.positions.copy_(layer.places())

    return scale_steps(optimizer, positions, scale_rows if normalise else None, back_inside)


def parameter_groups(
    model: nn.Module, lr: float, weight_decay: float = 0.0, slower: float = 100.0
) -> list[dict[str, Any]]:
    """The old name of `active_groups`, with `slower` for 1 / `factor`."""
    renamed("parameter_groups", "active_groups")
    apart = [layer.positions for layer in model.modules() if isinstance(layer, ActiveConv2d)]
    return groups(model, apart, lr, 1 / slower, weight_decay)


@torch.no_grad()
def normalise_position_gradients(model: nn.Module) -> None:
    """Do once what `scale_active_steps` does before each step."""
    renamed("normalise_position_gradients", "scale_active_steps")
    for layer in model.modules():
        if isinstance(layer, ActiveConv2d) and layer.positions.grad is not None:
            scale_rows(layer.positions.grad)


def steer_positions(optimizer: torch.optim.Optimizer, model: nn.Module, normalise: bool = True) -> None:
    """The old name of `scale_active_steps`."""
    renamed("steer_positions", "scale_active_steps")
    scale_active_steps(model, optimizer, normalise)
