# What `__init__.py` loads on first use, for type checkers and editors; tests/test_types.py compares the two.
# `as` says that a name is there to be imported: jedi, which completes in Jupyter, does not look at `__all__`.

from convnotes.beyond.cheap_features import GhostConv2d as GhostConv2d
from convnotes.beyond.cheap_features import PartialConv2d as PartialConv2d
from convnotes.beyond.convnext import ConvNeXt as ConvNeXt
from convnotes.beyond.convnext import ConvNeXtBlock as ConvNeXtBlock
from convnotes.beyond.convnext import convnext_tiny as convnext_tiny
from convnotes.beyond.dcn import DCNv3 as DCNv3
from convnotes.beyond.dcn import DCNv4 as DCNv4
from convnotes.beyond.dcn_layouts import from_dcn_state as from_dcn_state
from convnotes.beyond.dcn_layouts import from_dcnv3 as from_dcnv3
from convnotes.beyond.dcn_layouts import from_dcnv4 as from_dcnv4
from convnotes.beyond.deformable_aggregation import DeformableAggregation2d as DeformableAggregation2d
from convnotes.beyond.deformable_aggregation import deform_aggregate2d as deform_aggregate2d
from convnotes.beyond.dynamic import CondConv2d as CondConv2d
from convnotes.beyond.dynamic import DynamicConv2d as DynamicConv2d
from convnotes.beyond.fasternet import FasterNet as FasterNet
from convnotes.beyond.fasternet import fasternet_t0 as fasternet_t0
from convnotes.beyond.fusing import fuse as fuse
from convnotes.beyond.fusing import fuse_branches as fuse_branches
from convnotes.beyond.ghostnet import GhostNet as GhostNet
from convnotes.beyond.ghostnet import ghostnet_100 as ghostnet_100
from convnotes.beyond.involution import Involution2d as Involution2d
from convnotes.beyond.involution import involution2d as involution2d
from convnotes.beyond.large_kernels import LargeKernelConv2d as LargeKernelConv2d
from convnotes.beyond.rednet import RedNet as RedNet
from convnotes.beyond.rednet import rednet50 as rednet50
from convnotes.beyond.reparameterise import RepConv2d as RepConv2d
from convnotes.beyond.reparameterise import RepVGG as RepVGG
from convnotes.beyond.reparameterise import repvgg_a0 as repvgg_a0
from convnotes.beyond.replknet import RepLKNet as RepLKNet
from convnotes.beyond.replknet import replknet31_b as replknet31_b
from convnotes.beyond.shift_add import PowerOfTwoConv2d as PowerOfTwoConv2d
from convnotes.beyond.shift_add import ShiftAdd2d as ShiftAdd2d
from convnotes.compression.inception import GoogLeNet as GoogLeNet
from convnotes.compression.inception import Inception as Inception
from convnotes.compression.inception import googlenet as googlenet
from convnotes.compression.pointwise import NIN as NIN
from convnotes.compression.pointwise import MLPConv as MLPConv
from convnotes.compression.residual import Bottleneck as Bottleneck
from convnotes.compression.residual import ResNet as ResNet
from convnotes.compression.residual import resnet50 as resnet50
from convnotes.compression.residual import resnext50_32x4d as resnext50_32x4d
from convnotes.compression.separable import MobileNetV1 as MobileNetV1
from convnotes.compression.separable import SeparableConv2d as SeparableConv2d
from convnotes.compression.separable import Xception as Xception
from convnotes.compression.separable import mobilenet_v1 as mobilenet_v1
from convnotes.compression.separable import xception as xception
from convnotes.compression.small_kernels import KernelStack as KernelStack
from convnotes.compression.small_kernels import vgg16 as vgg16
from convnotes.compression.squeezenet import Fire as Fire
from convnotes.compression.squeezenet import SqueezeNet as SqueezeNet
from convnotes.compression.squeezenet import squeezenet1_0 as squeezenet1_0
from convnotes.compression.squeezenet import squeezenet1_1 as squeezenet1_1
from convnotes.fundamentals.initialisation import initialise as initialise
from convnotes.fundamentals.multi_scale import MixedConv2d as MixedConv2d
from convnotes.fundamentals.transfer import transfer as transfer
from convnotes.operations.active_shift import ActiveShift2d as ActiveShift2d
from convnotes.operations.active_shift import active_shift2d as active_shift2d
from convnotes.operations.active_shift import active_shift_groups as active_shift_groups
from convnotes.operations.active_shift import normalise_active_shift_steps as normalise_active_shift_steps
from convnotes.operations.active_shift import scale_active_shift_steps as scale_active_shift_steps
from convnotes.operations.adder import Adder2d as Adder2d
from convnotes.operations.adder import AdderResNet as AdderResNet
from convnotes.operations.adder import adder2d as adder2d
from convnotes.operations.adder import adder_resnet20 as adder_resnet20
from convnotes.operations.adder import scale_adder_steps as scale_adder_steps
from convnotes.operations.shift import Shift2d as Shift2d
from convnotes.operations.shift import ShiftBlock as ShiftBlock
from convnotes.operations.shift import ShiftResNet as ShiftResNet
from convnotes.operations.shift import shift2d as shift2d
from convnotes.operations.shift import shiftresnet20 as shiftresnet20
from convnotes.receptive_field.active import ActiveConv2d as ActiveConv2d
from convnotes.receptive_field.active import active_conv2d as active_conv2d
from convnotes.receptive_field.active import active_groups as active_groups
from convnotes.receptive_field.active import scale_active_steps as scale_active_steps
from convnotes.receptive_field.deformable import DeformConv2d as DeformConv2d
from convnotes.receptive_field.deformable import deform_conv2d as deform_conv2d
from convnotes.receptive_field.dilated import ASPP as ASPP
from convnotes.receptive_field.dilated import AtrousCascade as AtrousCascade
from convnotes.receptive_field.dilated import DeepLabV3 as DeepLabV3
from convnotes.receptive_field.dilated import deeplabv3_resnet50 as deeplabv3_resnet50
from convnotes.receptive_field.non_local import NonLocal2d as NonLocal2d
from convnotes.receptive_field.non_local import non_local2d as non_local2d

__all__ = [
    "ASPP",
    "NIN",
    "ActiveConv2d",
    "ActiveShift2d",
    "Adder2d",
    "AdderResNet",
    "AtrousCascade",
    "Bottleneck",
    "CondConv2d",
    "ConvNeXt",
    "ConvNeXtBlock",
    "DCNv3",
    "DCNv4",
    "DeepLabV3",
    "DeformConv2d",
    "DeformableAggregation2d",
    "DynamicConv2d",
    "FasterNet",
    "Fire",
    "GhostConv2d",
    "GhostNet",
    "GoogLeNet",
    "Inception",
    "Involution2d",
    "KernelStack",
    "LargeKernelConv2d",
    "MLPConv",
    "MixedConv2d",
    "MobileNetV1",
    "NonLocal2d",
    "PartialConv2d",
    "PowerOfTwoConv2d",
    "RedNet",
    "RepConv2d",
    "RepLKNet",
    "RepVGG",
    "ResNet",
    "SeparableConv2d",
    "Shift2d",
    "ShiftAdd2d",
    "ShiftBlock",
    "ShiftResNet",
    "SqueezeNet",
    "Xception",
    "__version__",
    "active_conv2d",
    "active_groups",
    "active_shift2d",
    "active_shift_groups",
    "adder2d",
    "adder_resnet20",
    "convnext_tiny",
    "deeplabv3_resnet50",
    "deform_aggregate2d",
    "deform_conv2d",
    "fasternet_t0",
    "from_dcn_state",
    "from_dcnv3",
    "from_dcnv4",
    "fuse",
    "fuse_branches",
    "ghostnet_100",
    "googlenet",
    "initialise",
    "involution2d",
    "mobilenet_v1",
    "non_local2d",
    "normalise_active_shift_steps",
    "rednet50",
    "replknet31_b",
    "repvgg_a0",
    "resnet50",
    "resnext50_32x4d",
    "scale_active_shift_steps",
    "scale_active_steps",
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
