"""The convolution arithmetic: on 1,000 random layers its module and its Python agree with torch, refusals included."""

import functools
import random

import pytest
import torch
import torch.nn.functional as F
from support.javascript import call
from torch import nn

from convnotes.measure import cost
from convnotes.widgets import ConvArithmetic

MODULE = "conv_arithmetic"
PAIRS = ("size", "kernel", "stride", "padding", "dilation", "output_padding")


def random_layer(draw: random.Random) -> dict:
    def both(least, most):
        return [draw.randint(least, most), draw.randint(least, most)]

    groups = draw.choice([1, 1, 2, 3, 4])
    channels = [groups * draw.randint(1, 3), groups * draw.randint(1, 3)]
    if draw.random() < 0.05:
        channels[draw.randrange(2)] += 1  # often no multiple of the groups
    layer = {"size": both(1, 9), "kernel": both(1, 5), "stride": both(1, 4), "padding": both(0, 4)}
    layer |= {"dilation": both(1, 3), "transposed": draw.random() < 0.5, "channels": channels, "groups": groups}
    return layer | {"output_padding": both(0, 2) if layer["transposed"] else [0, 0]}


LAYERS = [random_layer(random.Random(seed)) for seed in range(1000)]


def torchs(layer) -> nn.Module:
    """torch's own module; raises where torch refuses the channels."""
    more = {"output_padding": layer["output_padding"]} if layer["transposed"] else {}
    kind = nn.ConvTranspose2d if layer["transposed"] else nn.Conv2d
    options = {name: tuple(layer[name]) for name in ("stride", "padding", "dilation")}
    options |= {name: tuple(value) for name, value in more.items()}
    return kind(*layer["channels"], tuple(layer["kernel"]), groups=layer["groups"], dtype=torch.float64, **options)


def run(layer, x, w):
    """The layer with one channel in and out, and the kernel w [KH, KW]."""
    options = {name: layer[name] for name in ("stride", "padding", "dilation")}
    if layer["transposed"]:
        return F.conv_transpose2d(x[None, None], w[None, None], output_padding=layer["output_padding"], **options)[0, 0]
    return F.conv2d(x[None, None], w[None, None], **options)[0, 0]


def chosen(layer, size, seed):
    draw = random.Random(seed)
    return [draw.randrange(size[0]), draw.randrange(size[1])]


@functools.cache
def answers() -> list[dict]:
    """What torch says of each layer: the size or None, the shape of the weight, and two places to ask about."""
    found = []
    for seed, layer in enumerate(LAYERS):
        answer = {"size": None, "weight": None, "input": chosen(layer, layer["size"], seed), "output": None}
        try:
            module = torchs(layer)
            y = module(torch.zeros(1, layer["channels"][0], *layer["size"], dtype=torch.float64))
            answer |= {"size": list(y.shape[2:]), "weight": list(module.weight.shape)}
            answer |= {"params": sum(p.numel() for p in module.parameters()), "channels": y.shape[1]}
            answer["output"] = chosen(layer, answer["size"], seed)
        except (ValueError, RuntimeError):
            pass
        found.append(answer)
    return found


@functools.cache
def pages() -> list[dict]:
    """What the module says of each layer, in one run of node."""
    ask = """layers.map((layer, n) => {
        const size = outputSize(layer), says = refusal(layer);
        if (!size) return { size, says };
        return { size, says, weight: weightShape(layer), ...counts(layer), visits: visits(layer),
            untouched: untouched(layer), lines: [0, 1].map((a) => formula(layer, a)),
            left: [0, 1].map((a) => remainder(layer, a)), code: torchCode(layer),
            input: taps(layer, "input", places[n].input), output: taps(layer, "output", places[n].output) };
    })"""
    return call(MODULE, ask, layers=LAYERS, places=answers())


def accepted():
    for layer, answer, page in zip(LAYERS, answers(), pages(), strict=True):
        if answer["size"] is not None:
            yield layer, answer, page


def test_the_layers_are_of_all_kinds_and_many_are_refused():
    refused = [layer for layer, answer in zip(LAYERS, answers(), strict=True) if answer["size"] is None]
    assert 100 < len(refused) < 500
    assert {layer["transposed"] for layer in refused} == {True, False}
    taken = [layer for layer, _, _ in accepted()]
    for transposed in (True, False):
        assert sum(layer["transposed"] is transposed and layer["groups"] > 1 for layer in taken) > 100


def test_sizes_weights_and_parameters_are_torch_s_and_both_refuse_the_same_layers():
    for layer, answer, page in zip(LAYERS, answers(), pages(), strict=True):
        assert page["size"] == answer["size"], layer
        assert bool(page["says"]) == (answer["size"] is None), layer
        if answer["size"]:
            assert (page["weight"], page["params"]) == (answer["weight"], answer["params"]), layer


def test_python_and_the_page_agree_on_every_layer():
    for n, (layer, answer, page) in enumerate(zip(LAYERS, answers(), pages(), strict=True)):
        widget = ConvArithmetic(**layer)
        size = widget.output_size()
        assert (size and list(size)) == answer["size"], layer
        if size and n < 200:
            for side in ("input", "output"):
                widget.side, widget.probe = side, answer[side]
                assert [list(place) for place in widget.taps()] == [one["place"] for one in page[side]], layer


def numbered(layer) -> torch.Tensor:
    height, width = layer["kernel"]
    return torch.arange(1.0, height * width + 1, dtype=torch.float64).view(height, width)


def as_map(found, layer, size) -> torch.Tensor:
    """The number of the tap at each place inside a grid, 0 where there is none."""
    map_, width = torch.zeros(*size, dtype=torch.float64), layer["kernel"][1]
    for one in found:
        if one["inside"]:
            i, j = one["place"]
            assert map_[i, j] == 0
            map_[i, j] = one["tap"][0] * width + one["tap"][1] + 1
    return map_


def test_the_taps_of_an_output_place_are_those_of_its_gradient():
    for layer, answer, page in accepted():
        x = torch.zeros(*layer["size"], dtype=torch.float64, requires_grad=True)
        i, j = answer["output"]
        (expected,) = torch.autograd.grad(run(layer, x, numbered(layer))[i, j], x)
        assert torch.equal(as_map(page["output"], layer, layer["size"]), expected), layer


def test_the_taps_of_an_input_pixel_are_the_answer_to_that_pixel_alone():
    for layer, answer, page in accepted():
        x = torch.zeros(*layer["size"], dtype=torch.float64)
        x[tuple(answer["input"])] = 1
        expected = run(layer, x, numbered(layer))
        assert torch.equal(as_map(page["input"], layer, answer["size"]), expected), layer


def test_taps_outside_are_those_in_the_padding_and_no_tap_is_missing():
    for layer, answer, page in accepted():
        whole = layer["kernel"][0] * layer["kernel"][1]
        assert len(page["input" if layer["transposed"] else "output"]) == whole
        if not layer["transposed"]:
            padded = [n + 2 * p for n, p in zip(layer["size"], layer["padding"], strict=True)]
            index = torch.arange(1.0, padded[0] * padded[1] + 1, dtype=torch.float64).view(1, 1, *padded)
            columns = F.unfold(index, layer["kernel"], layer["dilation"], 0, layer["stride"])[0]
            i, j = answer["output"]
            expected = (columns[:, i * answer["size"][1] + j].long() - 1).tolist()
            (top, left), width = layer["padding"], padded[1]
            assert [(a + top) * width + b + left for a, b in (one["place"] for one in page["output"])] == expected


def test_visits_and_untouched_places_are_those_of_kernels_of_ones():
    for layer, _answer, page in accepted():
        ones = torch.ones(*layer["kernel"], dtype=torch.float64)
        x = torch.ones(*layer["size"], dtype=torch.float64, requires_grad=True)
        y = run(layer, x, ones)
        expected = y.detach() if layer["transposed"] else torch.autograd.grad(y.sum(), x)[0]
        rows, columns = (torch.tensor(line, dtype=torch.float64) for line in page["visits"])
        assert torch.equal(torch.outer(rows, columns), expected), layer
        assert page["untouched"] == int((expected == 0).sum()), layer


def test_parameters_and_multiply_adds_are_those_of_measure():
    for layer, _, page in list(accepted())[:60]:
        c = cost(torchs(layer), (1, layer["channels"][0], *layer["size"]))
        assert (page["params"], page["macs"]) == (c.params, c.macs), layer


def test_the_printed_formula_ends_in_the_size_and_its_numbers_give_it():
    for _, answer, page in accepted():
        for line, size in zip(page["lines"], answer["size"], strict=True):
            first, *_, last = line.replace("−", "-").replace("·", "*").replace("⌊", "(").split(" = ")
            assert int(last.replace(",", "")) == size
            assert eval(first.replace(" / ", " // ").replace("⌋", ")")) == size


def test_the_remainder_is_what_could_be_cut_off_the_end_of_the_padded_input_without_a_change():
    for layer, answer, page in accepted():
        for a, left in enumerate(page["left"]):
            n, k, s, p, d = (layer[name][a] for name in PAIRS[:5])
            if layer["transposed"]:
                assert left == 0
            else:
                last = (answer["size"][a] - 1) * s + d * (k - 1)  # the last place that a tap reaches
                assert left == n + 2 * p - 1 - last


def test_the_copied_code_is_the_layer_and_says_its_shape():
    for _, answer, page in list(accepted())[:200]:
        scope = {}
        exec(page["code"], scope)
        assert list(scope["y"].shape) == [1, answer["channels"], *answer["size"]]
        assert page["code"].endswith(f"# [1, {answer['channels']}, {', '.join(map(str, answer['size']))}]")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": [4, 9], "dilation": [2, 2]}, "Along the height a kernel of 3 with dilation 2 spans 5 positions, and"),
        ({"groups": 2}, "2 groups do not divide the 3 input channels"),
        ({"channels": [4, 9], "groups": 2}, "2 groups do not divide the 9 output channels"),
        ({"transposed": True, "output_padding": [0, 2]}, "along the width it is 2, the stride 2, the dilation 1"),
        ({"transposed": True, "size": [1, 1], "padding": [2, 2]}, "padding of 2 at both ends cuts off all 3 positions"),
    ],
    ids=str,
)
def test_a_refusal_says_what_does_not_fit(change, says):
    ask = "[refusal({ ...preset('halve'), ...other }), torchCode({ ...preset('halve'), ...other }), "
    ask += "outputSize({ ...preset('halve'), ...other })]"
    text, code, size = call(MODULE, ask, other=change)
    assert says in text
    assert text in code
    assert size is None
    assert ConvArithmetic(**change).output_size() is None


def test_every_preset_is_taken_by_torch_and_the_first_is_the_state_that_the_widget_starts_in():
    presets = call(MODULE, "Object.fromEntries(Object.keys(PRESETS).map((name) => [name, preset(name)]))")
    for name, layer in presets.items():
        widget = ConvArithmetic(**layer)
        y = torchs(layer)(torch.zeros(1, layer["channels"][0], *layer["size"], dtype=torch.float64))
        assert widget.output_size() == tuple(y.shape[2:]), name
    start = ConvArithmetic()
    assert {name: getattr(start, name) for name in presets["halve"]} == presets["halve"]
    assert call(MODULE, "untouched(preset('halve'))") == 15


def test_a_stride_above_the_kernel_skips_and_a_kernel_that_the_stride_divides_is_even():
    names = ("skipping", "uneven", "even", "twice")
    seen = {name: call(MODULE, "visits(preset(name))[0]", name=name) for name in names}
    assert seen["skipping"] == [1, 0] * 4
    assert set(seen["uneven"]) == {1, 2}
    assert seen["even"] == [1, *[2] * 6, 1]
    assert set(seen["twice"]) == {1}


@pytest.mark.parametrize(
    ("side", "place", "other", "says"),
    [
        ("output", [1, 1], {}, "Output (1, 1) reads rows 2, 3, 4 and columns 2, 3, 4: 9 input pixels."),
        ("output", [1, 1], {"kernel": [1, 1]}, "Output (1, 1) reads row 2 and column 2: 1 input pixel."),
        ("input", [2, 2], {}, "Input pixel (2, 2) is read by 4 output positions, each through another tap."),
        ("input", [7, 2], {}, "Input pixel (7, 2) is never read."),
        ("output", [0, 0], {"padding": [1, 1]}, "reads rows −1, 0, 1 and columns −1, 0, 1: 4 input pixels and 5 zeros"),
        ("input", [0, 1], {"transposed": True}, "spreads the kernel over rows 0, 1, 2 and columns 2, 3, 4: 9 outputs."),
        ("output", [2, 1], {"transposed": True}, "Output (2, 1) is the sum of 2 input pixels"),
        ("output", [17, 0], {"transposed": True, "output_padding": [1, 0]}, "No tap reaches output (17, 0)"),
    ],
    ids=str,
)
def test_the_sentence_says_what_a_place_does(side, place, other, says):
    ask = "sentence({ ...preset('halve'), ...other }, side, place)"
    text = call(MODULE, ask, side=side, place=place, other=other)
    assert says in text


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"size": [17, 8]}, r"size\[0\] must be from 1 to 16, got 17"),
        ({"kernel": [3]}, r"kernel must hold 2 ints, got \(3,\)"),
        ({"stride": [1, True]}, r"stride\[1\] must be an int, got True"),
        ({"padding": [0, -1]}, r"padding\[1\] must be from 0 to 6, got -1"),
        ({"groups": 0}, "groups must be from 1 to 512, got 0"),
        ({"probe": [1, -1]}, r"probe\[1\] must be at least 0, got -1"),
        ({"side": "middle"}, "side"),
    ],
    ids=str,
)
def test_bad_state_is_refused(state, says):
    with pytest.raises(Exception, match=says):
        ConvArithmetic(**state)


def test_every_pair_of_python_is_a_slider_of_the_page():
    assert set(PAIRS) == set(call(MODULE, "FIELDS"))
