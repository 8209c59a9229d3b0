"""Active convolution: the taps of a kernel lie anywhere, between pixels too, and learn where.

    y[b,o,i,j] = bias[o] + Σ_{c,k} w[o,c,k] · x̃[b, c, i·s − p + β_k, j·s − p + α_k]

x̃ is the picture interpolated bilinearly, 0 outside; the positions (β_k, α_k), vertical first, are shared by all
pictures, places and channels. Interpolation is linear in the picture, so it can be done to the kernel instead: each
tap is splatted on the four pixels around it, and the layer is one ordinary convolution,

    ŵ[o,c,u,v] = Σ_k w[o,c,k] · h(u − β_k) · h(v − α_k),   h(t) = max(0, 1 − abs t).

Jeon & Kim, "Active convolution: learning the shape of convolution for image classification", CVPR 2017,
arXiv:1703.09076; kernels built so: Khalfaoui-Hassani et al., "Dilated convolution with learnable spacings", ICLR 2023,
arXiv:2112.03740 · chapter receptive_field/active.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.geometry import Factory, IntOrPair, Pair, Reach, output_size, pair
from convnotes.parameters import Handle, groups, named, renamed, scale_rows, scale_steps


def active_conv2d(
    input: Tensor,
    weight: Tensor,
    positions: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    reach: IntOrPair | None = None,
) -> Tensor:
    """Convolve `input` `[B, C, H, W]` with K taps `weight` `[O, C, K]` at `positions` `[K, 2]`, (y, x) in pixels.

    Positions count from the output place, which is where a 1×1 kernel would look: the result is `[B, O, H_out, W_out]`
    with the sizes of a 1×1 kernel, so `padding=0` keeps the picture's size. At a whole position the derivative with
    respect to it is one-sided, towards the next pixel, as in deformable convolution; so a tap one pixel outside the
    top, where it reads 0, has a derivative, and one pixel outside the bottom it has none.

    The size of the splatted kernel depends on the positions. With `reach=None` it is read from their values and is as
    small as they allow; what lies too far away to meet the picture costs nothing. That cannot be captured in a graph:
    `torch.compile`, `torch.export`, vmap over positions and the meta device need `reach`, whole pixels, one or
    (vertical, horizontal). Then the kernel has 2·reach + 1 pixels a side and the positions are clamped to
    [−reach, reach]: one beyond acts on the border, with derivative 0. At reach itself the derivative is the inner one.

    A NaN anywhere under the splatted kernel makes the output place NaN, also where no tap touches it.

    Raises `ValueError` or `TypeError` for shapes, dtypes and devices that do not fit each other, and `ValueError`
    where `reach` is needed and missing.
    """
    _check(input, weight, positions, bias)
    stride, (py, px) = pair(stride, "stride", 1), pair(padding, "padding")
    output_size(input.shape[2:], 1, stride, (py, px))  # refuses what leaves no place
    if reach is None:
        rows, columns = _extent(positions, input.shape[2:], (py, px))
        kernel = _splat(weight, positions, rows, columns)
    else:
        bottom, right = pair(reach, "reach", 1)
        rows, columns = (-bottom, bottom), (-right, right)
        kernel = _splat(weight, _confined(positions, (bottom, right)), rows, columns, inner=True)
    if rows[0] == -rows[1] and columns[0] == -columns[1]:
        return F.conv2d(input, kernel, bias, stride, (py + rows[1], px + columns[1]))
    sides = (px - columns[0], px + columns[1], py - rows[0], py + rows[1])
    return F.conv2d(F.pad(input, sides), kernel, bias, stride)  # a negative side cuts off what no tap meets


def _check(input: Tensor, weight: Tensor, positions: Tensor, bias: Tensor | None) -> None:
    checks.tensor("weight of active_conv2d", weight, "OCK")
    O, C, K = weight.shape
    if K == 0:
        raise ValueError(f"weight of active_conv2d must hold one tap at least, got shape {tuple(weight.shape)}")
    checks.tensor("positions of active_conv2d", positions, (K, 2), weight)
    if bias is not None:
        checks.tensor("bias of active_conv2d", bias, (O,), weight)
    checks.images("active_conv2d", input, weight, C)


def _confined(positions: Tensor, reach: Pair) -> Tensor:
    """Each position, moved to the nearest one within `reach`, with derivative 1 inside and on the border, else 0.

    `clamp` has these values too, but from torch 2.14 on its derivative at a bound may be 0.
    """

    def within(at: Tensor, most: int) -> Tensor:
        return torch.where(at > most, most, torch.where(at < -most, -most, at))

    vertical, horizontal = positions.unbind(1)
    return torch.stack([within(vertical, reach[0]), within(horizontal, reach[1])], dim=1)


def _extent(positions: Tensor, size: Sequence[int], padding: Pair) -> tuple[Pair, Pair]:
    """First and last row, first and last column of the smallest kernel that holds all taps that meet the picture."""
    if torch.compiler.is_compiling() or positions.is_meta:
        raise ValueError(
            "the size of the splatted kernel depends on the values of positions, which a captured graph and the meta "
            "device do not have: give active_conv2d a reach"
        )
    cells = positions.detach().floor().nan_to_num(0.0, math.inf, -math.inf)
    extent = []
    for first, last, n, p in zip(cells.amin(0).tolist(), cells.amax(0).tolist(), size, padding, strict=True):
        far = n - 1 + p  # from no output place does anything further away lie in the picture
        extent.append((int(max(-far, min(first, far))), int(min(far, max(last + 1, -far)))))
    return extent[0], extent[1]


def _shares(coordinate: Tensor, first: int, last: int, inner: bool) -> Tensor:
    """h(u − coordinate) for the pixels u from `first` to `last`: `[K]` → `[K, last − first + 1]`.

    A whole coordinate belongs to the cell that begins there; `inner` puts one at `last` into the cell that ends there.
    """
    cell = coordinate.floor().clamp(max=last - 1) if inner else coordinate.floor()
    beyond = (coordinate - cell)[:, None]  # in [0, 1]: how far into the cell
    pixel = torch.arange(first, last + 1, device=coordinate.device) - cell.long()[:, None]
    nothing = 0 * beyond  # NaN where the coordinate is
    return torch.where(pixel == 0, 1 - beyond, torch.where(pixel == 1, beyond, nothing))


def _splat(weight: Tensor, positions: Tensor, rows: Pair, columns: Pair, inner: bool = False) -> Tensor:
    """The ordinary kernel `[O, C, KH, KW]` on `rows` and `columns` that `weight` `[O, C, K]` at `positions` equals."""
    vertical, horizontal = positions.unbind(1)
    shares = _shares(vertical, *rows, inner)[:, :, None] * _shares(horizontal, *columns, inner)[:, None, :]
    return (weight @ shares.flatten(1)).unflatten(2, shares.shape[1:])  # [O, C, K] @ [K, KH·KW]


def ring(synapses: int, radius: float = 1.0) -> tuple[tuple[float, float], ...]:
    """The paper's start: the first synapse at (0, 0), the others on a circle, rounded to pixels; (y, x) of each.

        (β_k, α_k) = ( [radius · sin θ_k], [radius · cos θ_k] ),   θ_k = 2π · (k − 1)/(synapses − 1),   k ≥ 1

    Nine synapses of radius 1 are a 3×3 kernel, not in raster order: after the middle come (0, 1), (1, 1), (1, 0),
    (1, −1), (0, −1), (−1, −1), (−1, 0), (−1, 1), from the right by way of below; in the authors' (x, y) that is (1, 0),
    (1, 1), (0, 1), …. Halves are rounded away from 0. With more synapses than pixels on the circle some coincide.
    """
    checks.positive(synapses=synapses)
    checks.number("radius", radius, "[0, inf)")

    def rounded(value: float) -> float:
        return float(math.copysign(math.floor(abs(value) + 0.5 + 1e-9), value)) + 0.0  # no −0

    angles = [2 * math.pi * k / (synapses - 1) for k in range(synapses - 1)]
    return (0.0, 0.0), *((rounded(radius * math.sin(a)), rounded(radius * math.cos(a))) for a in angles)


class ActiveConv2d(nn.Module):
    """`active_conv2d` with learned weights and positions: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    `synapses` is the number of taps, which start on `ring(synapses)`, or the (y, x) where they start, the first at
    (0, 0). The first synapse is pinned there: what row 0 of `positions` holds does not matter, its gradient is 0.
    `padding=0` keeps the picture's size.

    `max_reach`, whole pixels, one or (vertical, horizontal), bounds the positions: a synapse beyond acts on the border
    (see `active_conv2d`, `reach`). It fixes the size of the kernel, 2·max_reach + 1, and with it the cost, whatever
    the positions. `active_groups` and `scale_active_steps` train positions as the paper does, and keep them inside.

    Raises `ValueError` or `TypeError` for bad arguments and for an input whose shape, dtype or device does not fit.
    Jeon & Kim 2017, section 3.
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
    ) -> None:
        super().__init__()
        checks.positive(in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.stride, self.padding = pair(stride, "stride", 1), pair(padding, "padding")
        self.max_reach = pair(max_reach, "max_reach", 1)
        self.start = _checked_start(synapses, self.max_reach)
        K, kw = len(self.start), Factory(device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, K, **kw))
        self.positions = nn.Parameter(torch.empty(K, 2, **kw))
        self.bias = nn.Parameter(torch.empty(out_channels, **kw)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, as `torch.nn.Conv2d` does, and put the synapses back where they started."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)
        with torch.no_grad():
            self.positions.copy_(torch.tensor(self.start, dtype=torch.float64))

    def places(self) -> Tensor:
        """Where the synapses look, `[K, 2]` in (y, x): the first at (0, 0), none beyond `max_reach`."""
        return _confined(self._pinned(), self.max_reach)

    def _pinned(self) -> Tensor:
        return torch.cat([torch.zeros_like(self.positions[:1]), self.positions[1:]])

    def full_weight(self) -> Tensor:
        """The weight `[O, C, KH, KW]` of the ordinary convolution that this layer equals, its middle at (0, 0)."""
        rows, columns = ((-n, n) for n in self.max_reach)
        return _splat(self.weight, self.places(), rows, columns, inner=True)

    def reach(self) -> Reach:
        """How far the layer may look, for `convnotes.measure.receptive_field`: `max_reach` on every side."""
        (py, px), (bottom, right), (sy, sx) = self.padding, self.max_reach, self.stride
        return (py + bottom, bottom - py, sy), (px + right, right - px, sx)

    def forward(self, input: Tensor) -> Tensor:
        checks.images("ActiveConv2d", input, self.weight, self.in_channels)
        return active_conv2d(input, self.weight, self._pinned(), self.bias, self.stride, self.padding, self.max_reach)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, synapses={len(self.start)}, stride={self.stride}, "
            f"padding={self.padding}, max_reach={self.max_reach}"
        )


def _checked_start(synapses: int | Sequence[Sequence[float]], reach: Pair) -> tuple[tuple[float, float], ...]:
    if isinstance(synapses, Sequence) and not isinstance(synapses, str):
        if not synapses or any(len(place) != 2 for place in synapses):
            raise ValueError(f"synapses must hold at least one (y, x), got {synapses!r}")
        start = tuple((float(y), float(x)) for y, x in synapses)
    else:
        start = ring(synapses)
    if start[0] != (0, 0):
        raise ValueError(f"the first synapse is pinned at (0, 0), got {start[0]}")
    for place in start:
        if not all(abs(at) <= most for at, most in zip(place, reach, strict=True)):
            raise ValueError(f"synapses must start within max_reach={reach}, got {place}")
    return start


def active_groups(
    model: nn.Module, lr: float, factor: float = 0.01, weight_decay: float | None = None
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: the positions of every `ActiveConv2d` learn at `factor · lr` without decay.

    As in the paper; the others have `lr` and `weight_decay`, which None leaves to the optimiser. For example
    `SGD(active_groups(model, lr=0.1), momentum=0.9)`. Raises `ValueError` for a model without `ActiveConv2d`.
    """
    return groups(model, named(model, ActiveConv2d, "positions"), lr, factor, weight_decay)


def scale_active_steps(model: nn.Module, optimizer: torch.optim.Optimizer, normalise: bool = True) -> Handle:
    """Before each step, bring the gradient of every position to length 1; after it, bring the positions back inside.

    Back inside means onto the border of `max_reach`, where they have a gradient again; without this a position that
    has left stays out. The layer itself has its true gradient, which is what clipping, accumulation and scaling by a
    loss expect. `normalise=False` leaves the gradients as they are. Returns a handle with `remove()`. Raises
    `ValueError` where `optimizer` steps no position of `model`. Jeon & Kim 2017, section 3.
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
