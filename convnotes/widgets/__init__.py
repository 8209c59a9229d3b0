"""Widgets that live in Jupyter and, with the state stored in a notebook, in a static page without a kernel.

Each is one idea: `name.py` holds the state, `name.js` computes and draws; `kit.js` and `kit.css` are what all of them
share. Needs pip install "convnotes[viz]".
"""

import importlib
from typing import Any

from convnotes.checks import naming_extras

_HOME = {
    "ActiveSynapses": "active_synapses",
    "AttentionViewer": "attention_viewer",
    "BudgetBench": "budget_bench",
    "ChannelMixer": "channel_mixer",
    "ConvArithmetic": "conv_arithmetic",
    "DeformSampler": "deform_sampler",
    "DesignExplorer": "design_explorer",
    "FieldGrower": "field_grower",
    "KernelCount": "kernel_count",
    "KernelStackViewer": "kernel_stack_viewer",
    "LiveFilter": "live_filter",
    "MixedKernels": "mixed_kernels",
    "Quiz": "quiz",
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
