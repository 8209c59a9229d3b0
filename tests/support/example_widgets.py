"""One widget of each kind, small."""

import torch

from convnotes import Bottleneck, widgets
from convnotes.designs import Row
from convnotes.lattice import INCLUSIONS, OPERATORS

WHY = ["It leaves 1.", "0 and 2 are even, 1 lies between."]
QUESTION = {"question": "Is `1` odd?", "options": ["yes", "no"], "answer": 0, "why": WHY}
ROW = Row(
    **{"data": "noise", "budget": 100, "design": "plain", "seeds": 2, "epochs": 1, "batch": 2, "dtype": "float64"},
    **{"device": "cpu", "picture": "1×8×8", "widths": (2, 4, 4), "params": 98, "off": -0.02, "macs": 900, "adds": 0},
    **{"activation_bytes": 1, "moved_bytes": 0, "step_bytes": 9, "receptive_field": 25.0, "field": "fixed"},
    **{"lr": 0.1, "accuracies": (0.5, 0.75), "trained_on": "a CPU", "inference_ms": 1.0, "step_ms": 2.0},
)
EXAMPLES = {
    "ActiveSynapses": lambda: widgets.ActiveSynapses(torch.rand(3, 5, 7), alt="Seven by five pixels of noise"),
    "AggregationSampler": lambda: widgets.AggregationSampler(torch.linspace(0, 1, 35).view(1, 5, 7), alt="A grey ramp"),
    "AttentionViewer": lambda: widgets.AttentionViewer(
        torch.rand(2, 1, 8, 12), torch.ones(2, 3, 4, 6), torch.ones(2, 3, 4, 6), ["noise", "more noise"]
    ),
    "BranchDiagram": widgets.BranchDiagram,
    "BranchFuser": lambda: widgets.BranchFuser(torch.rand(3, 5, 7), alt="Seven by five pixels of noise"),
    "ChannelMixer": lambda: widgets.ChannelMixer(torch.rand(3, 5, 7), alt="Seven by five pixels of noise"),
    "ConvAlgorithms": widgets.ConvAlgorithms,
    "ConvArithmetic": widgets.ConvArithmetic,
    "DeformSampler": lambda: widgets.DeformSampler(torch.rand(1, 5, 7), torch.zeros(18, 5, 7), torch.ones(3, 3)),
    "DesignExplorer": lambda: widgets.DesignExplorer([ROW]),
    "EffectiveField": lambda: widgets.EffectiveField(torch.rand(3, 9, 11), alt="Nine by eleven pixels of noise"),
    "DynamicKernel": lambda: widgets.DynamicKernel(torch.rand(2, 3, 5, 7), ["noise", "more noise"]),
    "FieldGrower": widgets.FieldGrower,
    "KernelCount": lambda: widgets.KernelCount(torch.linspace(0, 1, 231).view(3, 7, 11), alt="A grey ramp"),
    "KernelStackViewer": lambda: widgets.KernelStackViewer(),
    "LiveFilter": lambda: widgets.LiveFilter(torch.rand(3, 5, 7), alt="Seven by five pixels of noise"),
    "MixedKernels": lambda: widgets.MixedKernels(torch.rand(35, 35), alt="Noise"),
    "OperatorMap": lambda: widgets.OperatorMap(OPERATORS, INCLUSIONS),
    "PoolPlacer": widgets.PoolPlacer,
    "Quiz": lambda: widgets.Quiz([QUESTION]),
    "ReadBack": lambda: widgets.ReadBack(
        torch.rand(3, 5, 7), torch.nn.Conv2d(3, 4, 3, padding=1), [Bottleneck(4, 1), Bottleneck(4, 1)]
    ),
    "Roofline": widgets.Roofline,
    "SeparableViewer": lambda: widgets.SeparableViewer(torch.rand(3, 5, 7), alt="Seven by five pixels of noise"),
    "ShiftViewer": lambda: widgets.ShiftViewer(torch.rand(3, 5, 7), alt="Seven by five pixels of noise"),
    "SignalDepth": widgets.SignalDepth,
    "TemplateMatch": lambda: widgets.TemplateMatch(torch.linspace(0, 1, 391).view(17, 23), (8, 9), alt="A grey ramp"),
    "TransferViewer": lambda: widgets.TransferViewer(
        [
            {"start": s, "freeze": f, "examples": n, "curves": [[0.25, 0.5], [0.5, 0.75]]}
            for s in ("scratch", "digits")
            for f in ("none", "stem", "all")
            for n in (5, 10)
        ],
    ),
}
