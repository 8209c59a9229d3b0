"""What a reader or a link of the page may set: Python and the page refuse the same values."""

import copy
import json

import pytest
from support.example_widgets import EXAMPLES
from support.javascript import call

from convnotes import widgets

BAD = {
    "ActiveSynapses": {
        "weights": [[], [None], ["one"]],
        "positions": [[[1, 0]], [[0, 0], [4, 0]], []],
        "chosen": [-1, 16],
    },
    "AttentionViewer": {
        "picture": [2, -1, "noise"],
        "factor": [-1, 4097, "2"],
        "window": [0, 4],
        "probe": [[4, 0], [0]],
    },
    "BranchDiagram": {
        "kept": [[0, 16, 32], [96, 16], [96, 16, 193], [96, 16, "32"]],
        "narrowed": ["yes"],
        "branch": ["1×1", 2],
        "true_5x5": ["no"],
    },
    "BranchFuser": {
        "on": [[], ["5x5"], ["kxk", "kxk"]],
        "scales": [[1] * 6, [3] * 7, ["one"] * 7],
        "shifts": [[0] * 8, [-1.5] * 7],
        "bias": [2, "0"],
        "padding": ["reflect", 0],
        "melt": [-0.1, 3.5],
        "branch": ["3×3"],
    },
    "ChannelMixer": {
        "weight": [[[1, 2]], [], [[1, 2, 3]] * 5],
        "bias": [[], ["a"]],
        "scramble": ["yes"],
        "probe": [[5, 0]],
        "row": [-1, 4],
    },
    "ConvAlgorithms": {
        "kernel": [4, 17],
        "size": [3, 225],
        "channels": [3, 1024],
        "images": [0, 128],
        "prepared": ["yes"],
    },
    "ConvArithmetic": {
        "size": [[0, 8], [8], 8, [8, 17]],
        "stride": [[0, 1]],
        "padding": [[-1, 0]],
        "groups": [0, "2"],
        "side": ["left"],
        "probe": [[-1, 0]],
        "transposed": ["no"],
    },
    "DesignExplorer": {"x": ["cost"], "gain": ["best"], "budget": [101], "design": ["ours"]},
    "EffectiveField": {
        "kernel_sizes": [[4, 3], [1, 3], [53, 3], [3], [3, "3"]],
        "depths": [[0, 1], [1, 73], [1]],
        "dilations": [[1, 16], [0, 1]],
        "channels": [65, "64"],
        "residual": ["yes"],
        "probe": [[9, 0], [0]],
    },
    "FieldGrower": {
        "layers": [[], [[3, 1]], [[8, 1, 1]], [[3, 3, 1]], [[3, 1, 9]], [[3, 1, 1]] * 5],
        "position": [[0], [0, 3], [-3, 0], [0.5, 0]],
    },
    "KernelCount": {"size": [4], "count": [0, 50], "shown": [0], "overlap": ["yes"]},
    "KernelStackViewer": {
        "kernels": [[], [[[1, 2], [3, 4]]]],
        "in_channels": [0, 513],
        "out_channels": [0, 513],
        "edited": [-1, 6],
    },
    "MixedKernels": {
        "side": [31, 34, 131],
        "probe": [[33, 0]],
        "parts": [[0, 0, 0], [5, 0, 0], [1, 1]],
        "depthwise": ["no"],
    },
    "PoolPlacer": {"pools": [[1, 4], [0, 1, 2], [1, 1, 2], [4, 1, 8], [1, 4, 10], [1, 4, "8"]]},
    "Quiz": {"chosen": [[2], [0, 0], [-2]]},
    "ReadBack": {"depth": [3, -1], "shortcut": ["yes"]},
    "Roofline": {
        "channels": [0, 12, 520],
        "size": [3, 57, 116],
        "kernel": [2, 13],
        "batch": [0, 65],
        "peak": [5, "100"],
        "bandwidth": [0, 20000],
        "operator": ["1×1", "adder"],
    },
    "SeparableViewer": {
        "target": ["sharpen", 1],
        "layers": [0, 4],
        "stencil": ["worst"],
        "taps": [[[0]], [[0, 0, 0], [0, 3, 0], [0, 0, 0]]],
        "channel": [3, -1],
    },
    "ShiftViewer": {
        "sources": [[0, 1, 4], [0]],
        "displacements": [[[0, 3]] * 3, [[0, 0]]],
        "weight": [[1]],
        "probe": [[0, 7]],
    },
    "SignalDepth": {
        "scheme": ["zero"],
        "std": [0, 0.5],
        "depth": [1, 31],
        "width": [15, 97],
        "nonlinearity": ["gelu"],
        "norm": ["yes"],
        "draw": [0, 10],
    },
    "TemplateMatch": {"place": [[17, 9], [8, 3]], "window": [3, 19, 8.5], "light": [0.5], "centred": ["yes"]},
    "TransferViewer": {"start": ["scratch", "ours"], "freeze": ["head"], "examples": [6, "5"]},
}


@pytest.mark.parametrize("name", BAD)
def test_what_python_refuses_is_put_back_by_the_page_and_the_present_state_is_kept(name):
    widget = EXAMPLES[name]()
    state = {
        key: value for key, value in widget.get_state().items() if isinstance(value, str | int | float | list | dict)
    }
    state = json.loads(json.dumps({key: value for key, value in state.items() if not key.startswith("_")}))
    before = copy.deepcopy(state)
    for trait, values in BAD[name].items():
        for value in values:
            with pytest.raises(Exception, match=trait.split("_")[0][:4]):
                setattr(widget, trait, value)
    after = {key: value for key, value in widget.get_state().items() if key in before}
    assert json.loads(json.dumps(after)) == before
    found = call(
        widget.module,
        "[Object.entries(accepts((name) => state[name])).map(([name, fits]) => [name, Boolean(fits(state[name]))]), "
        "Object.entries(bad).flatMap(([name, values]) => "
        "values.map((v) => [name, v, Boolean(accepts((name) => state[name])[name](v))]))]",
        state=state,
        bad=BAD[name],
    )
    kept, refused = found
    assert [one for one in kept if not one[1]] == []
    assert [one for one in refused if one[2]] == []


def test_every_widget_says_what_its_traits_take():
    tested = {"AggregationSampler", "DeformSampler", "DynamicKernel", "LiveFilter", "OperatorMap"}  # in their own files
    assert {*BAD} | tested == {*widgets.__all__}
