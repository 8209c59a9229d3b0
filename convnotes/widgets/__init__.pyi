# What `__init__.py` loads on first use, for type checkers and editors; tests/test_types.py compares the two.
# `as` says that a name is there to be imported: jedi, which completes in Jupyter, does not look at `__all__`.

from convnotes.widgets.active_synapses import ActiveSynapses as ActiveSynapses
from convnotes.widgets.aggregation_sampler import AggregationSampler as AggregationSampler
from convnotes.widgets.attention_viewer import AttentionViewer as AttentionViewer
from convnotes.widgets.branch_diagram import BranchDiagram as BranchDiagram
from convnotes.widgets.branch_fuser import BranchFuser as BranchFuser
from convnotes.widgets.channel_mixer import ChannelMixer as ChannelMixer
from convnotes.widgets.conv_algorithms import ConvAlgorithms as ConvAlgorithms
from convnotes.widgets.conv_arithmetic import ConvArithmetic as ConvArithmetic
from convnotes.widgets.deform_sampler import DeformSampler as DeformSampler
from convnotes.widgets.design_explorer import DesignExplorer as DesignExplorer
from convnotes.widgets.dynamic_kernel import DynamicKernel as DynamicKernel
from convnotes.widgets.effective_field import EffectiveField as EffectiveField
from convnotes.widgets.field_grower import FieldGrower as FieldGrower
from convnotes.widgets.kernel_count import KernelCount as KernelCount
from convnotes.widgets.kernel_stack_viewer import KernelStackViewer as KernelStackViewer
from convnotes.widgets.live_filter import LiveFilter as LiveFilter
from convnotes.widgets.mixed_kernels import MixedKernels as MixedKernels
from convnotes.widgets.operator_map import OperatorMap as OperatorMap
from convnotes.widgets.pool_placer import PoolPlacer as PoolPlacer
from convnotes.widgets.quiz import Quiz as Quiz
from convnotes.widgets.read_back import ReadBack as ReadBack
from convnotes.widgets.roofline import Roofline as Roofline
from convnotes.widgets.separable_viewer import SeparableViewer as SeparableViewer
from convnotes.widgets.shift_viewer import ShiftViewer as ShiftViewer
from convnotes.widgets.signal_depth import SignalDepth as SignalDepth
from convnotes.widgets.template_match import TemplateMatch as TemplateMatch
from convnotes.widgets.transfer_viewer import TransferViewer as TransferViewer

__all__ = [
    "ActiveSynapses",
    "AggregationSampler",
    "AttentionViewer",
    "BranchDiagram",
    "BranchFuser",
    "ChannelMixer",
    "ConvAlgorithms",
    "ConvArithmetic",
    "DeformSampler",
    "DesignExplorer",
    "DynamicKernel",
    "EffectiveField",
    "FieldGrower",
    "KernelCount",
    "KernelStackViewer",
    "LiveFilter",
    "MixedKernels",
    "OperatorMap",
    "PoolPlacer",
    "Quiz",
    "ReadBack",
    "Roofline",
    "SeparableViewer",
    "ShiftViewer",
    "SignalDepth",
    "TemplateMatch",
    "TransferViewer",
]
