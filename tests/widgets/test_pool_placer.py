"""The poolings that move: maps and counts are those of the real network, in Python and in node."""

import itertools

import pytest
import torch
from support.javascript import call, refused_by_both
from torch import nn

from convnotes import Fire, SqueezeNet
from convnotes.measure import cost
from convnotes.widgets import PoolPlacer
from convnotes.widgets.pool_placer import FIRST

PLACES = [[1, 4, 8], [1, 3, 5], [7, 8, 9], [1, 2, 3], [2, 5, 6], [4, 8, 9]]
every_place = pytest.mark.parametrize("pools", PLACES, ids=str)
ROWS = "placed(layers, side, pools)"


def state(widget: PoolPlacer) -> dict:
    return {"layers": widget.layers, "side": widget.side, "pools": widget.pools}


def counted(net: SqueezeNet, pixels: int) -> tuple[int, int, int]:
    """Parameters, multiply-adds, and what the convolutions write, as `cost` finds them."""
    c = cost(net, (1, 3, pixels, pixels))
    return c.params, c.macs, sum(row.activation_bytes for row in c.layers if row.type == "Conv2d") // 4


@every_place
@pytest.mark.parametrize("pixels", [224, 97])
def test_the_counts_of_python_and_of_the_page_are_those_of_the_network(pools, pixels):
    widget = PoolPlacer(pixels, pools=pools)
    params, macs, values = counted(widget.network(), pixels)
    assert (widget.macs(), widget.values()) == (macs, values)
    assert call("pool_placer", f"totals({ROWS})", **state(widget)) == {
        "parameters": params,
        "macs": macs,
        "written": values,
    }


@every_place
def test_the_sides_are_those_of_the_maps(pools):
    widget = PoolPlacer(pools=pools)
    found, x = [], torch.empty(1, 3, 224, 224, device="meta")
    for part in widget.network().features:
        x = part(x)
        if isinstance(part, Fire | nn.Conv2d):
            found.append(x.shape[-1])
    assert [*found, x.shape[-1]] == widget.sides()
    rows = call("pool_placer", ROWS, **state(widget))
    assert [row["side"] for row in rows] == widget.sides()
    assert [row["positions"] for row in rows] == [side**2 for side in widget.sides()]


def test_a_map_is_pooled_as_torch_pools_it():
    pool, sides = nn.MaxPool2d(3, 2, ceil_mode=True), list(range(3, 130))
    expected = [pool(torch.empty(1, 1, side, 3)).shape[2] for side in sides]
    assert call("pool_placer", "sides.map(pooled)", sides=sides) == expected


def test_the_first_state_is_version_1_0():
    net, published = PoolPlacer().network(), SqueezeNet("1_0", device="meta")
    assert [type(part) for part in net.features] == [type(part) for part in published.features]
    assert counted(net, 224) == counted(published, 224)
    assert call("pool_placer", "PUBLISHED") == list(FIRST) == PoolPlacer().pools


def test_the_parameters_never_change_and_later_poolings_are_never_less_work():
    totals = {}
    for pools in itertools.combinations(range(1, 10), 3):
        widget = PoolPlacer(pools=list(pools))
        totals[pools] = widget.macs(), widget.values()
        assert sum(layer["parameters"] for layer in widget.layers) == 1_248_424
    for pools, found in totals.items():
        for n in range(3):
            later = tuple(number + (k == n) for k, number in enumerate(pools))
            if later in totals:
                assert all(a < b for a, b in zip(found, totals[later], strict=True))
    assert max(totals) == max(totals, key=lambda pools: totals[pools]) == (7, 8, 9)


@every_place
@pytest.mark.parametrize("n", range(3))
def test_a_pooling_goes_where_it_is_put_and_pushes_the_others(pools, n):
    least, most = 1 + n, 7 + n
    assert call("pool_placer", "limits(n, 10)", n=n) == [least, most]
    ways = list(range(least - 1, most + 2))
    every = call("pool_placer", "ways.map((to) => moved(pools, n, to, 10))", pools=pools, n=n, ways=ways)
    for to, found in zip(ways, every, strict=True):
        PoolPlacer(pools=found)  # rising, and in range
        assert found[n] == min(max(to, least), most)
        for k in range(3):
            bound = found[n] + k - n
            assert found[k] == (max if k > n else min)(pools[k] if k != n else bound, bound)


@every_place
def test_the_copied_code_makes_the_network(pools):
    scope: dict = {}
    exec(call("pool_placer", "torchCode(pools)", pools=pools), scope)
    assert counted(scope["net"].to("meta"), 224) == counted(PoolPlacer(pools=pools).network(), 224)


@pytest.mark.parametrize(
    ("pools", "says"),
    [
        ([1, 4], "pools must hold 3 ints"),
        ([4, 1, 8], r"pools must rise, got \[4, 1, 8\]"),
        ([1, 1, 8], "pools must rise"),
        ([0, 4, 8], r"pools\[0\] must be from 1 to 9, got 0"),
        ([1, 4, 10], r"pools\[2\] must be from 1 to 9, got 10"),
    ],
)
def test_python_and_the_page_refuse_the_same(pools, says):
    refused_by_both(PoolPlacer, {"pools": pools}, says, layers=PoolPlacer().layers)


def test_an_image_out_of_range_is_refused():
    with pytest.raises(ValueError, match="pixels must be from 64 to 512, got 32"):
        PoolPlacer(32)


def test_it_says_what_it_shows():
    widget = PoolPlacer(pools=[1, 3, 5])
    assert repr(widget) == "PoolPlacer(SqueezeNet 1.0, poolings after conv 1, fire 3, fire 5)"
    assert "494 million multiply-adds" in widget._alt()
