"""Widgets that live in Jupyter and, with the state stored in a notebook, in a static page without a kernel.

Each is one idea in a few files of one name::

    name.py           the state, its checks, and a picture and words for where no script runs
    name.compute.js   what is computed, as pure functions that the tests run in node
    name.draw.js      drawings that are worth a file of their own (not every widget has some)
    name.js           the controls, and what changes with them
    name.css          the widget's own style, if the kit's is not enough

`kit/` is what all of them share: numbers, elements, the frame, controls and pictures. `base.py` joins the files into
the one module and the one style sheet that a notebook stores. Needs pip install "convnotes[viz]".
"""

import importlib
from typing import Any

from convnotes.checks import naming_extras

_HOME = {
    "ActiveSynapses": "active_synapses",
    "AggregationSampler": "aggregation_sampler",
    "AttentionViewer": "attention_viewer",
    "BranchDiagram": "branch_diagram",
    "BranchFuser": "branch_fuser",
    "ChannelMixer": "channel_mixer",
    "ConvAlgorithms": "conv_algorithms",
    "ConvArithmetic": "conv_arithmetic",
    "DeformSampler": "deform_sampler",
    "DesignExplorer": "design_explorer",
    "EffectiveField": "effective_field",
    "DynamicKernel": "dynamic_kernel",
    "FieldGrower": "field_grower",
    "KernelCount": "kernel_count",
    "KernelStackViewer": "kernel_stack_viewer",
    "LiveFilter": "live_filter",
    "MixedKernels": "mixed_kernels",
    "OperatorMap": "operator_map",
    "PoolPlacer": "pool_placer",
    "Quiz": "quiz",
    "ReadBack": "read_back",
    "Roofline": "roofline",
    "SeparableViewer": "separable_viewer",
    "ShiftViewer": "shift_viewer",
    "SignalDepth": "signal_depth",
    "TemplateMatch": "template_match",
    "TransferViewer": "transfer_viewer",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'convnotes.widgets' has no attribute {name!r}; its names are {', '.join(_HOME)}")
    with naming_extras():
        value = getattr(importlib.import_module(f"convnotes.widgets.{_HOME[name]}"), name)
    globals()[name] = value
    return value
