"""What torch makes of every public layer: a map, a graph, an exported program, low precision by autocast."""

import gc

import torch
from support.close import assert_close
from support.contract import everything, images, made


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
