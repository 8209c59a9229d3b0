"""The map of operators: its costs are counted, its lines are the inclusions that follow from no others, keys move."""

import re

import pytest
import torch
from support.javascript import call

from convnotes.lattice import INCLUSIONS, OPERATORS, Inclusion
from convnotes.widgets import OperatorMap
from convnotes.widgets.operator_map import direct


@pytest.fixture(scope="module")
def shown() -> OperatorMap:
    return OperatorMap(OPERATORS, INCLUSIONS, chosen="convolution")


def test_the_page_gets_the_counts_of_every_operator(shown):
    for one in shown.operators:
        cost = OPERATORS[one["name"]].cost()
        assert (one["params"], one["macs"], one["adds"]) == (cost.params, cost.macs, cost.adds)
        assert one["moved_bytes"] == cost.moved_bytes
        assert one["field"] == OPERATORS[one["name"]].field()


def test_an_inclusion_that_follows_from_others_is_not_drawn(shown):
    left_out = {(one["special"], one["general"]) for one in shown.inclusions if not one["drawn"]}
    assert left_out == {
        ("convolution", "deformable v1"),
        ("1×1", "convolution"),
        ("shift and 1×1", "convolution"),
    }
    chain = [Inclusion("a", "b"), Inclusion("b", "c"), Inclusion("c", "d"), Inclusion("a", "d"), Inclusion("a", "e")]
    assert direct(chain) == [*chain[:3], chain[4]]


def test_what_an_operator_contains_over_any_number_of_steps(shown):
    for name in OPERATORS:
        for towards, away in (("special", "general"), ("general", "special")):
            expected, waiting = set(), [name]
            while waiting:
                now = waiting.pop()
                new = {getattr(one, towards) for one in INCLUSIONS if getattr(one, away) == now} - expected
                expected |= new
                waiting += new
            values = {"inclusions": shown.inclusions, "name": name, "towards": towards}
            assert set(call("operator_map", "[...reached(inclusions, name, towards)]", **values)) == expected


def corners(path: str) -> list[tuple[float, float]]:
    """The points of a path of horizontal and vertical lines."""
    start, *turns = re.findall(r"([MHV])([\d. ]+)", path)
    points = [tuple(map(float, start[1].split()))]
    for way, to in turns:
        x, y = points[-1]
        points.append((float(to), y) if way == "H" else (x, float(to)))
    return points


@pytest.mark.parametrize("width", [300, 340, 520])
def test_boxes_lie_apart_inside_the_drawing_and_lines_leave_no_box_they_do_not_join(shown, width):
    found = call("operator_map", "boxes(operators, width)", operators=shown.operators, width=width)
    boxes = found["places"]
    assert set(boxes) == set(OPERATORS)
    for name, box in boxes.items():
        assert box["x"] >= 0
        assert box["x"] + box["width"] < width
        assert box["y"] + box["height"] <= found["height"]
        assert box["width"] >= 84
        assert box["height"] >= 24
        for other, second in boxes.items():
            apart = abs(second["x"] - box["x"]) >= box["width"] or abs(second["y"] - box["y"]) >= box["height"]
            assert apart or name == other
    for one in shown.inclusions:
        if one["drawn"]:
            values = {
                "operators": shown.operators,
                "places": boxes,
                "special": one["special"],
                "general": one["general"],
            }
            path = call("operator_map", "line(operators, special, general, places)", **values)
            if "q" not in path:  # it does not go round by the margin
                points = [corners(path)[0]]
                for corner in corners(path)[1:]:
                    (x0, y0), (x1, y1) = points[-1], corner
                    points += [(x0 + t * (x1 - x0) / 50, y0 + t * (y1 - y0) / 50) for t in range(1, 51)]
                for name in set(boxes) - {one["special"], one["general"]}:
                    box = boxes[name]
                    hit = [
                        p for p in points if 0 < p[0] - box["x"] < box["width"] and 0 < p[1] - box["y"] < box["height"]
                    ]
                    assert not hit, f"the line from {one['special']} to {one['general']} crosses {name}"


@pytest.mark.parametrize("width", [300, 520])
def test_the_head_of_an_arrow_lies_on_the_border_of_the_restricted_operator_and_outside_of_both(shown, width):
    places = call("operator_map", "boxes(operators, width).places", operators=shown.operators, width=width)
    for one in [one for one in shown.inclusions if one["drawn"]]:
        ends = {name: one[name] for name in ("special", "general")}
        path = call(
            "operator_map",
            "head(operators, special, general, places)",
            operators=shown.operators,
            places=places,
            **ends,
        )
        (tip_x, tip_y), *base = [tuple(map(float, corner.split())) for corner in path[1:-1].split("L")]
        box = places[one["special"]]
        right, bottom = box["x"] + box["width"], box["y"] + box["height"]
        assert tip_x in (box["x"], right) or tip_y in (box["y"], bottom)
        assert box["x"] <= tip_x <= right
        assert box["y"] <= tip_y <= bottom
        middle = [sum(values) / 2 for values in zip(*base, strict=True)]
        for name in ends.values():
            box = places[name]
            inside = [0 < middle[0] - box["x"] < box["width"], 0 < middle[1] - box["y"] < box["height"]]
            assert not all(inside)


def test_arrow_keys_reach_every_operator_and_stay_at_the_border(shown):
    def step(name, down, right):
        values = {"operators": shown.operators, "name": name, "step": [down, right]}
        return call("operator_map", "neighbour(operators, name, step)", **values)

    assert step("convolution", -1, 0) == "dilated"
    assert step("convolution", 1, 0) == "thin kernels"
    assert step("convolution", 0, -1) == "small kernels"
    assert step("deformable v2", -1, 0) == "deformable v2"
    assert step("offset groups", 0, -1) == "offset groups"
    every = """operators.map(({name}) =>
        [[-1, 0], [1, 0], [0, -1], [0, 1]].map((step) => neighbour(operators, name, step)))"""
    leads = dict(zip(OPERATORS, call("operator_map", every, operators=shown.operators), strict=True))
    reached, waiting = set(), ["convolution"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += leads[name]
    assert reached == set(OPERATORS)


def test_labels_are_broken_where_they_are_long():
    assert call("operator_map", "lines('convolution', 12)") == ["convolution"]
    assert call("operator_map", "lines('embedded non-local', 12)") == ["embedded", "non-local"]
    assert call("operator_map", "lines('shift and 1×1', 9)") == ["shift", "and 1×1"]
    assert call("operator_map", "lines('可变形聚合', 9)") == ["可变形聚合"]
    assert call("operator_map", "lines('嵌入高斯非局部', 9)") == ["嵌入高斯", "非局部"]
    assert call("operator_map", "lines('移位与 1×1', 7)") == ["移位与", "1×1"]


def test_counts_are_short_and_stand_beside_those_of_the_convolution():
    counts = [0, 950, 36864, 115_605_504, 1_605_632]
    assert call("operator_map", "counts.map(short)", counts=counts) == ["0", "950", "36,864", "115.6 M", "1.61 M"]
    assert call("operator_map", "beside(36864, 36864)") == "as the convolution"
    assert call("operator_map", "beside(4672, 36864)") == "13% of the convolution's"
    assert call("operator_map", "beside(576, 36864)") == "1.6% of the convolution's"
    assert call("operator_map", "beside(73728, 36864)") == "2 times the convolution's"
    assert call("operator_map", "beside(0, 36864)") == ""


def test_a_setting_and_an_address_as_the_page_writes_them():
    inclusion = {"set": {"offset": "one for each channel", "weight": "1"}}
    assert call("operator_map", "setting(one)", one=inclusion) == "offset = one for each channel; weight = 1"
    assert call("operator_map", "address('compression/pointwise', true)") == "compression/pointwise.html"
    assert call("operator_map", "address('compression/pointwise', false)") == "compression/pointwise.ipynb"


@pytest.mark.parametrize("name", ["separable", "shift and 1×1", "Gaussian non-local", "dilated"])
def test_the_copied_code_runs(shown, name):
    scope: dict = {}
    (operator,) = [one for one in shown.operators if one["name"] == name]
    code = call("operator_map", "torchCode(operator)", operator=operator)
    exec(code.replace("56, 56", "8, 8"), scope)
    assert scope["y"].shape == (1, 64, 8, 8)
    assert sum(p.numel() for p in scope["layer"].parameters()) == operator["params"]
    assert isinstance(scope["y"], torch.Tensor)


def test_its_words_and_its_picture(shown):
    assert repr(shown) == "OperatorMap(31 operators, 29 inclusions, convolution chosen)"
    assert "dilated above convolution" in shown._alt()
    assert shown._picture()[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("operators", "inclusions", "state", "says"),
    [
        ({}, [], {}, "at least one operator"),
        (OPERATORS, [Inclusion("convolution", "cubic")], {}, "an operator of an inclusion must be .*'cubic'"),
        (OPERATORS, [], {"chosen": "cubic"}, "chosen must be .*got 'cubic'"),
    ],
)
def test_a_map_of_what_is_not_there_is_refused(operators, inclusions, state, says):
    with pytest.raises(ValueError, match=says):
        OperatorMap(operators, inclusions, **state)
