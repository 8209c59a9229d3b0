"""DCNv3 and DCNv4: the deformable aggregation as their authors chose its parts.

Both predict offsets and masks with kernels that start at 0. DCNv3 looks at the neighbours first, and its masks are a
softmax over the taps; DCNv4 has no softmax, so that a sum of samples can have any size, and looks at the pixel alone.
Wang et al., "InternImage", CVPR 2023, arXiv:2211.05778, section 3.1; Xiong et al., "Efficient deformable ConvNets",
CVPR 2024, arXiv:2401.06197, section 3 · chapter beyond/deformable_aggregation.
"""

from __future__ import annotations

import torch
from torch import nn

from convnotes.beyond.deformable_aggregation import DeformableAggregation2d
from convnotes.fundamentals.activation import ActLayer
from convnotes.geometry import IntOrPair


class DCNv3(DeformableAggregation2d):
    """`DeformableAggregation2d` with softmax, and a depthwise kernel, layer norm and GELU before the prediction.

    Args:
        channels, kernel_size, stride, dilation, groups, offset_scale, remove_center: as in `DeformableAggregation2d`.
        predictor_size: odd sides of the depthwise kernel; None: those of `kernel_size`.
        act_layer: makes the activation behind it.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> DCNv3(64)(torch.rand(1, 64, 14, 9)).shape
        torch.Size([1, 64, 14, 9])
    """

    def __init__(
        self,
        channels: int,
        kernel_size: IntOrPair = 3,
        stride: IntOrPair = 1,
        dilation: IntOrPair = 1,
        groups: int = 4,
        offset_scale: float = 1.0,
        remove_center: bool = False,
        predictor_size: IntOrPair | None = None,
        act_layer: ActLayer = nn.GELU,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            *(channels, kernel_size, stride, dilation, groups, offset_scale, remove_center),
            softmax=True,
            predictor_size=kernel_size if predictor_size is None else predictor_size,
            act_layer=act_layer,
            device=device,
            dtype=dtype,
        )


class DCNv4(DeformableAggregation2d):
    """`DeformableAggregation2d` without softmax: masks have no bounds, and start at 0.

    Args:
        channels, kernel_size, stride, dilation, groups, offset_scale, remove_center: as in `DeformableAggregation2d`.
        predictor_size: odd sides of a depthwise kernel before the prediction, without norm and activation; None: there
            is none.
        projections: whether there are 1×1 kernels before and after the aggregation.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> DCNv4(64)(torch.rand(1, 64, 14, 9)).abs().max()
        tensor(0., grad_fn=<MaxBackward1>)
    """

    def __init__(
        self,
        channels: int,
        kernel_size: IntOrPair = 3,
        stride: IntOrPair = 1,
        dilation: IntOrPair = 1,
        groups: int = 4,
        offset_scale: float = 1.0,
        remove_center: bool = False,
        predictor_size: IntOrPair | None = None,
        projections: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            *(channels, kernel_size, stride, dilation, groups, offset_scale, remove_center),
            softmax=False,
            predictor_size=predictor_size,
            act_layer=None,
            projections=projections,
            device=device,
            dtype=dtype,
        )
