"""Every public network once, as data, as `layer_cases` has the layers."""

from support.layer_definitions import Layer
from torch import nn

import convnotes
from convnotes.compression.small_kernels import VGG
from convnotes.operations.cifar_resnet import CifarResNet


def wake_branches(net: nn.Module) -> None:
    """Off the start at which each residual block is its shortcut."""
    for name, parameter in net.named_parameters():
        if name.endswith("bn3.weight"):
            nn.init.ones_(parameter)


NETWORKS = {
    "NIN": Layer(
        lambda **kw: convnotes.NIN(num_classes=7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7",),
    ),
    "GoogLeNet": Layer(
        lambda **kw: convnotes.GoogLeNet(7, **kw), input=(2, 3, 33, 18), output=(2, 7), words=("num_classes=7",)
    ),
    "MobileNetV1": Layer(
        lambda **kw: convnotes.MobileNetV1(7, width_multiplier=0.1, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7", "width_multiplier=0.1"),
    ),
    "Xception": Layer(
        lambda **kw: convnotes.Xception(7, **kw), input=(2, 3, 33, 18), output=(2, 7), words=("num_classes=7",)
    ),
    "SqueezeNet": Layer(
        lambda **kw: convnotes.SqueezeNet("1_1", 7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("version='1_1'", "num_classes=7"),
    ),
    "ResNet": Layer(
        lambda **kw: convnotes.ResNet((1, 1, 1, 1), groups=2, width_per_group=16, num_classes=7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7",),
    ),
    "VGG": Layer(
        lambda **kw: VGG([(4, 5), (6, 7)], num_classes=7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7",),
    ),
    "DeepLabV3": Layer(
        lambda **kw: convnotes.DeepLabV3((1, 1, 1, 1), 7, aspp_channels=4, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7, 33, 18),
        words=("num_classes=7", "output_stride=8"),
    ),
    "CifarResNet": Layer(
        lambda **kw: CifarResNet(8, 7, **kw), input=(2, 3, 33, 18), output=(2, 7), words=("depth=8, num_classes=7",)
    ),
    "ShiftResNet": Layer(
        lambda **kw: convnotes.ShiftResNet(8, expansion=2, num_classes=7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("depth=8, expansion=2, num_classes=7",),
    ),
    "AdderResNet": Layer(
        lambda **kw: convnotes.AdderResNet(8, 7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("depth=8, num_classes=7",),
    ),
    "RepVGG": Layer(
        lambda **kw: convnotes.RepVGG((1, 2, 1, 1), (4, 6, 6, 8), 7, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7",),
    ),
    "ConvNeXt": Layer(
        lambda **kw: convnotes.ConvNeXt((1, 1, 2, 1), (4, 6, 6, 8), 7, layer_scale=0.5, **kw),
        input=(2, 3, 65, 34),
        output=(2, 7),
        words=("num_classes=7",),
    ),
    "RepLKNet": Layer(
        lambda **kw: convnotes.RepLKNet((9, 7, 5, 3), (1, 1, 1, 1), (4, 6, 6, 8), 7, small_kernel=3, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7",),
    ),
    "RedNet": Layer(
        lambda **kw: convnotes.RedNet((1, 1, 1, 1), (8, 6, 16, 32), 7, kernel_size=5, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7, kernel_size=5",),
        wake=wake_branches,
    ),
    "GhostNet": Layer(
        lambda **kw: convnotes.GhostNet(7, width_multiplier=0.1, **kw),
        input=(2, 3, 33, 18),
        output=(2, 7),
        words=("num_classes=7, width_multiplier=0.1",),
    ),
    "FasterNet": Layer(
        lambda **kw: convnotes.FasterNet((1, 2, 1, 1), 6, 7, feature_channels=20, **kw),
        input=(2, 3, 65, 34),
        output=(2, 7),
        words=("num_classes=7",),
    ),
}
