"""What torch makes of every public layer: a map, a graph, an exported program, low precision by autocast."""

import copy
import gc

import pytest
import torch
from support.close import assert_close
from support.contract import everything, images, made

import convnotes


@everything
def test_vmap_is_a_loop(layer):
    module, x = made(layer, dtype=torch.float64), images(layer).unsqueeze(0).repeat(3, 1, 1, 1, 1)
    x = x * torch.arange(1, 4, dtype=x.dtype).view(3, 1, 1, 1, 1)
    assert_close(torch.vmap(module)(x), torch.stack([module(one) for one in x]))


@everything
def test_it_compiles_to_one_graph(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    torch.compiler.reset()
    assert_close(torch.compile(module, fullgraph=True, backend="aot_eager")(x), module(x))


@everything
def test_it_exports_with_any_batch(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},))
    more = torch.cat([x, x, x])
    assert_close(program.module()(more), module(more))
    del program
    if layer.definition is None:
        gc.collect()  # a program is a cycle, and this one holds a copy of a network's weights


@everything
def test_autocast_computes_in_low_precision(layer):
    module, x = made(layer, dtype=torch.float32), images(layer, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x)
    assert y.isfinite().all()
    torch.testing.assert_close(y.float(), module(x), rtol=0.1, atol=0.1)


@everything
@pytest.mark.filterwarnings("ignore")  # that checks of sizes become constants, and that tracing is going out of use
def test_a_trace_by_jit_serves_other_sizes(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    traced = torch.jit.trace(module, x, check_trace=False)
    assert_close(traced(x), module(x))
    B, C, H, W = layer.input
    other = torch.randn(B + 1, C, H + 2, W + 3, dtype=torch.float64)
    assert_close(traced(other), module(other))


@everything
def test_it_is_traced_by_fx(layer):
    module, x = made(layer, dtype=torch.float64), images(layer)
    graph = torch.fx.symbolic_trace(module)
    assert_close(graph(x), module(x))
    assert_close(copy.deepcopy(graph)(x), module(x))


def of_user(x, offset, weight):
    """As somebody may call our functions in a module of their own."""
    moved = convnotes.shift2d(x, [(0, 1), (1, 0), (0, 0), (-1, 0)])
    active = convnotes.active_shift2d(moved, 0.3 * torch.ones(4, 2, dtype=x.dtype))
    tapped = convnotes.active_conv2d(active, weight.flatten(2), 0.4 * torch.ones(9, 2, dtype=x.dtype), reach=1)
    seen = convnotes.non_local2d(tapped, tapped, tapped)
    return seen + convnotes.adder2d(x, weight, padding=1) + convnotes.deform_conv2d(x, offset, weight, padding=1)


def test_in_anybody_s_module_a_function_is_one_node():
    x, offset = torch.randn(2, 4, 5, 6).double(), torch.rand(2, 18, 5, 6).double()
    weight = torch.randn(4, 4, 3, 3).double()
    graph = torch.fx.symbolic_trace(of_user)
    targets = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    names = ("shift2d", "active_shift2d", "active_conv2d", "non_local2d", "adder2d", "deform_conv2d")
    assert [targets.count(getattr(convnotes, name)) for name in names] == [1] * 6
    assert_close(graph(x, offset, weight), of_user(x, offset, weight))
