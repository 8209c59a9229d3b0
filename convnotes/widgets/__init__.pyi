# What `__init__.py` loads on first use, for type checkers and editors; tests/test_types.py compares the two.

from convnotes.widgets.active_synapses import ActiveSynapses
from convnotes.widgets.attention_viewer import AttentionViewer
from convnotes.widgets.budget_bench import BudgetBench
from convnotes.widgets.channel_mixer import ChannelMixer
from convnotes.widgets.conv_arithmetic import ConvArithmetic
from convnotes.widgets.deform_sampler import DeformSampler
from convnotes.widgets.design_explorer import DesignExplorer
from convnotes.widgets.field_grower import FieldGrower
from convnotes.widgets.kernel_count import KernelCount
from convnotes.widgets.kernel_stack_viewer import KernelStackViewer
from convnotes.widgets.live_filter import LiveFilter
from convnotes.widgets.mixed_kernels import MixedKernels
from convnotes.widgets.quiz import Quiz
from convnotes.widgets.separable_viewer import SeparableViewer
from convnotes.widgets.shift_viewer import ShiftViewer
from convnotes.widgets.signal_depth import SignalDepth
from convnotes.widgets.template_match import TemplateMatch
from convnotes.widgets.transfer_viewer import TransferViewer

__all__ = [
    "ActiveSynapses",
    "AttentionViewer",
    "BudgetBench",
    "ChannelMixer",
    "ConvArithmetic",
    "DeformSampler",
    "DesignExplorer",
    "FieldGrower",
    "KernelCount",
    "KernelStackViewer",
    "LiveFilter",
    "MixedKernels",
    "Quiz",
    "SeparableViewer",
    "ShiftViewer",
    "SignalDepth",
    "TemplateMatch",
    "TransferViewer",
]
