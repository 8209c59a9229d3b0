"""Adder convolution: compare a patch with the kernel by L1 distance, not by product::

    y[b,o,i,j] = bias[o] − Σ_{c,u,v} | x[b, c, i·s+u·d−p, j·s+v·d−p] − w[o,c,u,v] |

A perfect match scores 0, everything else is negative, and the sum has no multiplication.
Chen et al., "AdderNet: do we really need multiplications in deep learning?", CVPR 2020, arXiv:1912.13200 ·
chapter operations/adder.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.activation import ActLayer
from convnotes.fundamentals.layer import ConvBlock
from convnotes.geometry import Factory, IntOrPair, Padding, Reach, kernel_reach, pair, resolve_padding
from convnotes.kernels.adder.operator import Contraction, contract
from convnotes.kernels.transforms import one_image, one_node
from convnotes.operations.cifar_resnet import BasicBlock, CifarResNet, CifarResNetOptions
from convnotes.parameters import Handle, named, scale_steps, scale_to

if TYPE_CHECKING:
    from typing_extensions import Unpack

Gradient = Literal["paper", "exact"]
_GRADIENTS = get_args(Gradient)


@one_node
@one_image("input")
def adder2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    gradient: Gradient = "paper",
) -> Tensor:
    """Score every patch of the images against templates by L1 distance: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    Sizes are those of `torch.nn.functional.conv2d`. A pixel outside the image has the value 0 and costs `|w|`: padding
    is not neutral. Half and bfloat16 are summed in float32; where autocast mixes dtypes the wider one is used.

    `gradient` chooses the derivatives for autograd::

        "exact"   ∂y/∂x  = sign(w − x)            ∂y/∂w  = sign(x − w)     0 where they are equal
        "paper"   ∂y/∂x := clamp(w − x, −1, 1)    ∂y/∂w := x − w           section 3.2 of the paper

    The paper's two are not the gradient of any function, but they tell how far off a pixel is. Forward mode uses them
    as well, and second derivatives are the derivatives of these formulas.

    Args:
        input: images `[B, C, H, W]`, or one, `[C, H, W]`.
        weight: templates `[O, C/groups, KH, KW]`.
        bias: `[O]` or None.
        stride, padding, dilation, groups: as in `torch.nn.functional.conv2d`.
        gradient: "paper" or "exact".

    Raises:
        TypeError, ValueError: for an argument, a shape, a dtype or a device that does not fit.

    Example:
        >>> x = torch.tensor([[[[1.0, 2.0, 4.0]]]])
        >>> adder2d(x, torch.tensor([[[[1.0, 3.0]]]]))
        tensor([[[[-1., -2.]]]])
    """
    checks.one_of("gradient", gradient, _GRADIENTS)
    checks.tensor("weight of adder2d", weight, ("O", "C/groups", "KH", "KW"))
    if not weight.is_floating_point():
        raise TypeError(f"weight of adder2d must hold real numbers, got {weight.dtype}")
    O, C, KH, KW = weight.shape
    checks.divides("groups", groups, out_channels=O)
    checks.images("adder2d", input, weight, C * groups)
    stride, dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    checks.fits("adder2d", input, weight, stride, padding, dilation)
    if bias is not None:
        checks.tensor("bias of adder2d", bias, (O,), weight)
    if input.dtype != weight.dtype:  # under autocast
        wider = torch.promote_types(input.dtype, weight.dtype)
        input, weight = input.to(wider), weight.to(wider)
    vertical, horizontal = resolve_padding(padding, (KH, KW), dilation, stride)
    slope = "distance" if gradient == "exact" else "paper"
    scores = Contraction("output", slope, stride, (*vertical, *horizontal), dilation, groups, negative=True)
    score = contract(input, weight, None, None, None, scores)
    return score if bias is None else score + bias.view(1, O, 1, 1)  # [B, O, H_out, W_out]


class Adder2d(ConvBlock, shown="groups gradient"):
    """`adder2d` with learned templates: `[B, C, H, W]` → `[B, O, H_out, W_out]`.

    Scores grow with the fan-in and are never positive (without bias): follow the layer with a norm. Templates start
    standard normal, as in the authors' code. Train the layer with `scale_adder_steps`.

    Args:
        in_channels: C channels of the input.
        out_channels: O channels of the output.
        kernel_size, stride, padding, dilation, groups: as in `torch.nn.Conv2d`.
        bias: whether to add a learned number per output channel.
        gradient: as in `adder2d`.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> y = Adder2d(3, 16, kernel_size=3, padding=1, bias=False)(torch.rand(2, 3, 9, 9))
        >>> y.shape, bool((y < 0).all())
        (torch.Size([2, 16, 9, 9]), True)
    """

    templates = ("weight",)  # parameters that are compared with the input, not multiplied

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        gradient: Gradient = "paper",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        checks.flags(bias=bias)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        checks.one_of("gradient", gradient, _GRADIENTS)
        self.gradient, kw = gradient, Factory(device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size, **kw))
        self.bias = nn.Parameter(torch.empty(out_channels, **kw)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the templates again, standard normal; the bias becomes 0."""
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        self._check(input, self.weight)
        return adder2d(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups, self.gradient
        )

    def extra_cost(self, input: Tensor, output: Tensor) -> dict[str, int]:
        """Additions for `convnotes.measure.cost`, counted as in the paper: two per tap, the difference and the sum."""
        bias = 0 if self.bias is None else output.numel()
        return {"adds": 2 * output.numel() * self.weight[0].numel() + bias}

    def reach(self) -> Reach:
        """(before, after, stride) of each axis, for `convnotes.measure.receptive_field`."""
        return kernel_reach(self.kernel_size, self.stride, self.padding, self.dilation)


def scale_adder_steps(
    model: nn.Module, optimizer: torch.optim.Optimizer, eta: float = 0.2, when: Literal["step", "backward"] = "step"
) -> Handle:
    """Bring the gradient g of every adder's weight to the length η·√k, k the number of its elements (section 3.3).

    The returned handle's `remove()` ends it.

    Args:
        model: a network with at least one `Adder2d`.
        optimizer: steps at least one of their weights.
        eta: η.
        when: "step" scales once, right before each step of `optimizer`, the gradient of the whole batch. So a loss
            scale, the accumulation over several backward passes and the mean over processes keep their meaning;
            clipping to a total norm before the step affects the other parameters only, as η alone sets the length of an
            adder's step. "backward" scales inside each backward pass, as the authors' code: the scaled gradients are
            accumulated and clipped, and a loss scale cancels out of them but not out of the others.

    Raises:
        TypeError, ValueError: for a bad argument, a model without `Adder2d`, and where `optimizer` steps none of its
            adders.

    Example:
        >>> net = Adder2d(3, 4, kernel_size=3, bias=False)
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
        >>> handle = scale_adder_steps(net, optimizer, eta=0.2)
        >>> net(torch.rand(2, 3, 9, 9)).sum().backward()
        >>> optimizer.step()
        >>> round(net.weight.grad.norm().item() / net.weight.numel() ** 0.5, 4)
        0.2
    """
    checks.number("eta", eta, "(0, inf)")
    checks.one_of("when", when, ("step", "backward"))
    weights = named(model, Adder2d, "weight")

    def scale(g: Tensor) -> Tensor:
        scale_to(g, eta * math.sqrt(g.numel()))
        return g

    if when == "backward":
        return Handle(*(w.register_hook(lambda g: scale(g.clone())) for w in weights if w.requires_grad))
    return scale_steps(optimizer, weights, scale)


class AdderResNet(CifarResNet):
    """`CifarResNet` with adders for all inner kernels: `[B, 3, H, W]`, 32×32 in the paper → logits `[B, num_classes]`.

    The first convolution and the classifier are ordinary, the 1×1 kernels of the shortcuts are adders, and batch norm
    follows each. It has as many parameters as the plain network: 272,474 for depth 20 and 10 classes. The authors' code
    has a norm after the classifier and no bias in it.

    Args:
        depth: 6n + 2.
        num_classes: number of logits.
        gradient: as in `adder2d`.
        device, dtype: of the parameters.
        act_layer: makes each activation.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> AdderResNet(depth=8)(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int = 20,
        num_classes: int = 10,
        gradient: Gradient = "paper",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        act_layer: ActLayer = nn.ReLU,
    ) -> None:
        block = functools.partial(BasicBlock, conv=functools.partial(Adder2d, gradient=gradient))
        super().__init__(depth, num_classes, block, device, dtype, act_layer)


class AdderResNetOptions(CifarResNetOptions, total=False):
    """The other arguments of `AdderResNet`."""

    gradient: Gradient


def adder_resnet20(num_classes: int = 10, **options: Unpack[AdderResNetOptions]) -> AdderResNet:
    """`AdderResNet` of 20 layers.

    Args:
        num_classes: number of logits.
        **options: the other arguments of `AdderResNet`, except `depth`.

    Example:
        >>> sum(p.numel() for p in adder_resnet20().parameters())
        272474
    """
    return AdderResNet(20, num_classes, **options)
