"""Both of torch's exporters to ONNX take every layer, and onnxruntime computes the same for another batch and size."""

import io

import pytest
import torch
from support.contract import images, made
from support.layer_cases import LAYERS

runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

OPSET = 19  # the first with DeformConv


def by_dynamo(module, x):
    axes = {n: torch.export.Dim(name, min=1, max=64) for n, name in ((0, "batch"), (2, "height"), (3, "width"))}
    return torch.onnx.export(module, (x,), dynamo=True, dynamic_shapes=(axes,), opset_version=OPSET, verbose=False)


def by_tracing(module, x, file):
    axes = {"x": {0: "batch", 2: "height", 3: "width"}}
    torch.onnx.export(module, (x,), file, dynamo=False, opset_version=OPSET, input_names=["x"], dynamic_axes=axes)


@pytest.mark.parametrize("way", ["dynamo", "tracing"])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.filterwarnings("ignore")  # those of the exporters about themselves
def test_onnxruntime_computes_the_same_for_any_batch_and_size(layer, way):
    module, x, file = made(layer, dtype=torch.float32), images(layer, torch.float32), io.BytesIO()
    if way == "dynamo":
        by_dynamo(module, x).save(file)
    else:
        by_tracing(module, x, file)
    session = runtime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    B, C, H, W = layer.input
    for given in (x, torch.randn(B + 1, C, H + 2, W + 3)):
        (found,) = session.run(None, {session.get_inputs()[0].name: given.numpy()})
        expected = module(given)
        size = max(1.0, expected.abs().max().item())  # both round in float32
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-5, atol=2e-6 * size)
