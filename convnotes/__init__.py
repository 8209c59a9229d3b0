"""convnotes: the layers of a book on convolution kernel design.

The public names load on first use (PEP 562), so that importing convnotes costs torch and nothing more.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "convnotes.fundamentals.multi_scale": ("MixedConv2d",),
    "convnotes.fundamentals.initialisation": ("initialise",),
    "convnotes.fundamentals.transfer": ("transfer",),
    "convnotes.compression.pointwise": ("MLPConv", "NIN"),
    "convnotes.compression.inception": ("Inception", "GoogLeNet", "googlenet"),
    "convnotes.compression.separable": ("SeparableConv2d", "MobileNetV1", "Xception", "mobilenet_v1", "xception"),
    "convnotes.compression.squeezenet": ("Fire", "SqueezeNet", "squeezenet1_0", "squeezenet1_1"),
    "convnotes.compression.residual": ("Bottleneck", "ResNet", "resnet50", "resnext50_32x4d"),
    "convnotes.compression.small_kernels": ("KernelStack", "vgg16"),
    "convnotes.receptive_field.dilated": ("ASPP", "AtrousCascade", "DeepLabV3", "deeplabv3_resnet50"),
    "convnotes.receptive_field.active": ("ActiveConv2d", "active_conv2d", "active_groups", "scale_active_steps"),
    "convnotes.receptive_field.non_local": ("NonLocal2d", "non_local2d"),
    "convnotes.receptive_field.deformable": ("DeformConv2d", "deform_conv2d"),
    "convnotes.operations.shift": ("Shift2d", "shift2d", "ShiftBlock", "ShiftResNet", "shiftresnet20"),
    "convnotes.operations.active_shift": (
        "ActiveShift2d",
        "active_shift2d",
        "active_shift_groups",
        "scale_active_shift_steps",
        "normalise_active_shift_steps",
    ),
    "convnotes.operations.adder": ("Adder2d", "adder2d", "AdderResNet", "adder_resnet20", "scale_adder_steps"),
    "convnotes.beyond.fusing": ("fuse", "fuse_branches"),
    "convnotes.beyond.reparameterise": ("RepConv2d", "RepVGG", "repvgg_a0"),
    "convnotes.beyond.large_kernels": ("LargeKernelConv2d",),
    "convnotes.beyond.convnext": ("ConvNeXtBlock", "ConvNeXt", "convnext_tiny"),
    "convnotes.beyond.replknet": ("RepLKNet", "replknet31_b"),
    "convnotes.beyond.dynamic": ("CondConv2d", "DynamicConv2d"),
    "convnotes.beyond.involution": ("Involution2d", "involution2d"),
    "convnotes.beyond.dcn_layouts": ("from_dcnv3", "from_dcnv4", "from_dcn_state"),
    "convnotes.beyond.deformable_aggregation": ("DeformableAggregation2d", "deform_aggregate2d"),
    "convnotes.beyond.dcn": ("DCNv3", "DCNv4"),
    "convnotes.beyond.rednet": ("RedNet", "rednet50"),
    "convnotes.beyond.cheap_features": ("GhostConv2d", "PartialConv2d"),
    "convnotes.beyond.ghostnet": ("GhostNet", "ghostnet_100"),
    "convnotes.beyond.fasternet": ("FasterNet", "fasternet_t0"),
    "convnotes.beyond.shift_add": ("PowerOfTwoConv2d", "ShiftAdd2d"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [*_MODULE_OF, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'convnotes' has no attribute {name!r}; its names are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
