# What `__init__.py` loads on first use, for type checkers and editors; tests/test_types.py compares the two.

from convnotes.compression.inception import GoogLeNet, Inception, googlenet
from convnotes.compression.pointwise import NIN, MLPConv
from convnotes.compression.residual import Bottleneck, ResNet, resnet50, resnext50_32x4d
from convnotes.compression.separable import MobileNetV1, SeparableConv2d, Xception, mobilenet_v1, xception
from convnotes.compression.small_kernels import KernelStack, vgg16
from convnotes.compression.squeezenet import Fire, SqueezeNet, squeezenet1_0, squeezenet1_1
from convnotes.fundamentals.initialisation import initialise
from convnotes.fundamentals.multi_scale import MixedConv2d
from convnotes.fundamentals.transfer import transfer
from convnotes.operations.active_shift import (
    ActiveShift2d,
    active_shift2d,
    active_shift_groups,
    normalise_active_shift_steps,
)
from convnotes.operations.adder import Adder2d, AdderResNet, adder2d, adder_resnet20, scale_adder_steps
from convnotes.operations.shift import Shift2d, ShiftBlock, ShiftResNet, shift2d, shiftresnet20
from convnotes.receptive_field.active import ActiveConv2d, active_conv2d
from convnotes.receptive_field.deformable import DeformConv2d, deform_conv2d
from convnotes.receptive_field.dilated import ASPP, AtrousCascade, DeepLabV3, deeplabv3_resnet50
from convnotes.receptive_field.non_local import NonLocal2d, non_local2d

__all__ = [
    "ASPP",
    "NIN",
    "ActiveConv2d",
    "ActiveShift2d",
    "Adder2d",
    "AdderResNet",
    "AtrousCascade",
    "Bottleneck",
    "DeepLabV3",
    "DeformConv2d",
    "Fire",
    "GoogLeNet",
    "Inception",
    "KernelStack",
    "MLPConv",
    "MixedConv2d",
    "MobileNetV1",
    "NonLocal2d",
    "ResNet",
    "SeparableConv2d",
    "Shift2d",
    "ShiftBlock",
    "ShiftResNet",
    "SqueezeNet",
    "Xception",
    "__version__",
    "active_conv2d",
    "active_shift2d",
    "active_shift_groups",
    "adder2d",
    "adder_resnet20",
    "deeplabv3_resnet50",
    "deform_conv2d",
    "googlenet",
    "initialise",
    "mobilenet_v1",
    "non_local2d",
    "normalise_active_shift_steps",
    "resnet50",
    "resnext50_32x4d",
    "scale_adder_steps",
    "shift2d",
    "shiftresnet20",
    "squeezenet1_0",
    "squeezenet1_1",
    "transfer",
    "vgg16",
    "xception",
]

__version__: str
