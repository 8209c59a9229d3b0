"""The same operators in inference engines, onnxruntime and OpenVINO, which have no derivatives.

Each gets one operator as a model whose weight is a constant, as a trained network has it, and as many threads as torch
has. They read the tensors of torch in place, and compute in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from convnotes.bench.parts import Call
from convnotes.checks import naming_extras, obstacle

Run = Callable[..., Tensor]
_MODULES = {"onnxruntime": ("onnx", "onnxruntime"), "OpenVINO": ("openvino",)}


def engines(
    operator: str, inputs: Mapping[str, Tensor], order: Sequence[str], **attributes: Any
) -> dict[str, Call | str]:
    """A call by each engine, or why there is none, by the name of the engine.

    Args:
        operator: of ONNX, "Conv" or "DeformConv".
        inputs: the tensors of the call by name, the "weight" among them.
        order: the names of the operator's inputs, "" for one that is left out.
        attributes: of the ONNX operator, beside the size of the kernel.
    """
    made: dict[str, Call | str] = {}
    if inputs["weight"].device.type != "cpu":
        return made
    for name, build in {"onnxruntime": _onnxruntime, "OpenVINO": _openvino}.items():
        made[name] = missing(name) or Call(build(operator, inputs, order, attributes), dict(inputs), trains=False)
    return made


def missing(engine: str) -> str | None:
    """Why an engine cannot be called here, or None."""
    return next(filter(None, map(obstacle, _MODULES[engine])), None)


def _onnxruntime(operator: str, inputs: Mapping[str, Tensor], order: Sequence[str], attributes: dict[str, Any]) -> Run:
    with naming_extras():
        import onnx
        import onnxruntime
        from onnx import helper, numpy_helper

    weight = inputs["weight"].detach()
    given = [name for name in order if name and name != "weight"]
    node = helper.make_node(operator, [*order], ["y"], kernel_shape=[*weight.shape[2:]], **attributes)
    graph = helper.make_graph(
        [node],
        operator,
        [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [*inputs[n].shape]) for n in given],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight.contiguous().numpy(), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads leave the next call alone
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(**tensors: Tensor) -> Tensor:
        fed = {name: tensors[name].detach().numpy() for name in given}
        return torch.from_numpy(session.run(None, fed)[0])

    return run


def _openvino(operator: str, inputs: Mapping[str, Tensor], order: Sequence[str], attributes: dict[str, Any]) -> Run:
    with naming_extras():
        import openvino
        from openvino import opset8, opset15

    weight = inputs["weight"].detach()
    given = [name for name in order if name and name != "weight"]
    nodes = {n: opset15.parameter([*inputs[n].shape], openvino.Type.f32, name=n) for n in given}
    groups = attributes.get("group", 1)
    placed = (attributes["strides"], attributes["pads"][:2], attributes["pads"][2:], attributes["dilations"])
    if operator == "DeformConv":
        kernel = opset15.constant(weight.contiguous().numpy())
        how = {"group": groups, "deformable_group": attributes["offset_group"], "bilinear_interpolation_pad": True}
        data = nodes["x"], nodes["offset"], kernel
        out = opset8.deformable_convolution(*data, *placed, mask=nodes["mask"], **how)
    elif groups == 1:
        out = opset15.convolution(nodes["x"], opset15.constant(weight.contiguous().numpy()), *placed)
    else:
        kernel = opset15.constant(weight.unflatten(0, (groups, -1)).contiguous().numpy())
        out = opset15.group_convolution(nodes["x"], kernel, *placed)
    model = openvino.Model([out], list(nodes.values()), operator)
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.compile_model(model, "CPU", settings | {"INFERENCE_PRECISION_HINT": "f32"})

    def run(**tensors: Tensor) -> Tensor:
        fed = [tensors[name].detach().numpy() for name in given]
        found = compiled(fed, share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0])

    return run
