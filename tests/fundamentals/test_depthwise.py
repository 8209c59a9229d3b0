"""The layers inside a depthwise design are torch's own convolutions, to whoever looks at them, and train fast."""

import copy
import gc
import io
import pickle
import weakref

import pytest
import torch
from support.close import assert_close
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn.utils import fusion, parametrizations, prune

from convnotes import MixedConv2d, MobileNetV1, SeparableConv2d, Xception
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.kernels import rules
from convnotes.kernels.depthwise import operator
from convnotes.measure import receptive_field

LARGE = dict(kernel_size=5, padding=2)
MADE = {
    "large": lambda: DepthwiseConv2d(4, 4, **LARGE, groups=4, dtype=torch.float64),
    "dilated": lambda: DepthwiseConv2d(4, 4, 3, padding=2, dilation=2, groups=4, dtype=torch.float64),
    "separable": lambda: SeparableConv2d(4, 3, **LARGE, dtype=torch.float64),
    "mixed": lambda: MixedConv2d(4, 4, (3, 5), depthwise=True, dtype=torch.float64),
}
every_layer = pytest.mark.parametrize("make", MADE.values(), ids=MADE)


@pytest.fixture
def taken(monkeypatch):
    """Whether the own backward was taken since this list was last empty."""
    calls, own = [], operator._operator
    for least in ("TAPS_PAY_FROM", "COLUMNS_PAY_FROM"):
        monkeypatch.setattr(rules, least, 0)  # the maps of the tests are small
    monkeypatch.setattr(operator, "_operator", lambda *inputs: (calls.append(1), own(*inputs))[1])
    return calls


def image(**kw):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 11, 7, dtype=torch.float64, generator=generator, **kw)


def plain(layer):
    """A copy in which torch convolves."""
    twin = copy.deepcopy(layer)
    for module in twin.modules():
        vars(module).pop("_conv_forward", None)
    return twin


def assert_trained_alike(layer, expected):
    """The same values and gradients in training."""
    x = image(requires_grad=True)
    found = layer(x)
    assert_close(found, expected(x))
    g = torch.randn_like(found)
    ours = torch.autograd.grad(found, (x, *layer.parameters()), g)
    theirs = torch.autograd.grad(expected(x), (x, *expected.parameters()), g)
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b)


def settled(network):
    """In eval mode, with norms that have seen something."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


@every_layer
@pytest.mark.parametrize("mode", [True, False], ids=["training", "eval"])
def test_every_convolution_is_of_torch_s_exact_class(make, mode):
    convs = [m for m in make().train(mode).modules() if isinstance(m, nn.Conv2d)]
    assert convs
    assert {type(m) for m in convs} == {nn.Conv2d}


def test_where_torch_is_fast_nothing_is_added():
    own = vars(nn.Conv2d(4, 4, 3)).keys()
    for options in (dict(), dict(dilation=2, stride=2), dict(padding_mode="reflect", padding=1)):
        assert vars(DepthwiseConv2d(4, 4, 3, groups=4, **options)).keys() == own
    assert all(vars(m).keys() == own for m in MobileNetV1(5, 0.1).modules() if isinstance(m, nn.Conv2d))
    assert vars(DepthwiseConv2d(4, 4, 5, groups=4)).keys() != own


def test_a_counter_by_exact_classes_counts_every_parameter():
    counted = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    for network in (MobileNetV1(7, 0.1), Xception(7, device="meta")):
        found = sum(p.numel() for m in network.modules() if type(m) in counted for p in m.parameters(recurse=False))
        assert found == sum(p.numel() for p in network.parameters())


def test_fusion_by_fx_takes_every_norm_of_mobilenet():
    network, x = settled(MobileNetV1(7, 0.1, dtype=torch.float64)), torch.randn(2, 3, 33, 18, dtype=torch.float64)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 27
    fused = fuse(network)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    assert_close(fused(x), network(x))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.filterwarnings("ignore:torch.ao.quantization")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fusion_for_quantisation_takes_a_depthwise_pair(kernel):
    layer = SeparableConv2d(4, 3, kernel, padding=kernel // 2, between=nn.BatchNorm2d(4), dtype=torch.float64)
    layer = settled(layer.to(torch.float64))
    fused = torch.ao.quantization.fuse_modules(layer, [["depthwise", "between"]])
    assert isinstance(fused.between, nn.Identity)
    assert_close(fused(image()), layer(image()))


def test_fused_with_its_norm_it_goes_on_training_fast(taken):
    conv, norm = MADE["large"]().eval(), settled(nn.BatchNorm2d(4, dtype=torch.float64))
    fused = fusion.fuse_conv_bn_eval(conv, norm)
    assert type(fused) is nn.Conv2d
    assert_close(fused(image()), norm(conv(image())))
    assert_trained_alike(fused.train(), plain(fused))
    assert taken


@every_layer
def test_after_eval_it_trains_right_and_by_its_own_backward(make, taken):
    layer = make()
    for _ in range(2):
        taken.clear()
        layer.eval()
        with torch.no_grad():
            assert_close(layer(image()), plain(layer)(image()))
        assert not taken
        assert_trained_alike(layer.train(), plain(layer))
        assert taken


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "torch.save": lambda layer: saved(layer),
}


def saved(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@every_layer
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_stands_alone_and_trains_fast(make, copied, taken):
    layer = make()
    twin = copied(layer)
    for conv in twin.modules():
        if isinstance(conv, nn.Conv2d) and conv.kernel_size == (5, 5):
            conv.dilation, conv.padding = (2, 2), (4, 4)  # of the copy alone
    assert_trained_alike(twin, plain(twin))
    assert taken
    assert_trained_alike(layer, plain(layer))


def test_what_is_set_on_it_later_holds(taken):
    layer = MADE["large"]()
    layer.stride, layer.padding = (2, 1), (0, 3)
    assert_trained_alike(layer, plain(layer))
    layer.groups, layer.weight = 2, nn.Parameter(torch.randn(4, 2, 5, 5, dtype=torch.float64))
    assert_trained_alike(layer, plain(layer))
    assert not taken
    circular = DepthwiseConv2d(4, 4, **LARGE, groups=4, padding_mode="circular", dtype=torch.float64)
    assert_trained_alike(circular, plain(circular))
    zeros = nn.functional.conv2d(image(), circular.weight, circular.bias, padding=2, groups=4)
    assert not torch.equal(circular(image()), zeros)


HOW = {
    "pruned": lambda m: prune.l1_unstructured(m, "weight", 0.5),
    "weight norm": parametrizations.weight_norm,
    "with a hook": lambda m: m.register_forward_hook(lambda *_: None),
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_tools_that_change_its_weight_or_watch_it_work_and_it_stays_fast(how, taken):
    layer = MADE["large"]()
    expected = plain(layer)
    how(layer), how(expected)  # a pruned layer cannot be copied
    assert_trained_alike(layer, expected)
    assert taken


def test_channels_last_and_one_image_are_torch_s(taken):
    layer, x = MADE["large"](), image()
    last = layer(x.contiguous(memory_format=torch.channels_last).requires_grad_())
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert_close(last, layer(x))
    taken.clear()
    assert_close(layer(x[0].clone().requires_grad_()), layer(x)[0])


@every_layer
@pytest.mark.filterwarnings("ignore")  # that tracing and scripting are going out of use
def test_graphs_of_it_are_those_of_a_convolution(make):
    layer, x = make().eval(), image()
    expected = plain(layer)(x)
    assert_close(torch.jit.trace(layer, x)(x), expected)
    assert_close(torch.export.export(layer, (x,), strict=True).module()(x), expected)
    torch.compiler.reset()
    assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), expected)
    assert_trained_alike(torch.compile(layer.train(), fullgraph=True, backend="aot_eager"), plain(layer))
    graph = torch.fx.symbolic_trace(layer)
    assert not any(n.op == "call_function" and "depthwise" in str(n.target) for n in graph.graph.nodes)
    assert_close(graph(x), expected)


@pytest.mark.filterwarnings("ignore")  # that scripting is going out of use
def test_it_can_be_scripted():
    layer = MADE["large"]()
    assert_close(torch.jit.script(layer)(image()), layer(image()))


def test_its_receptive_field_is_that_of_a_convolution():
    assert receptive_field(MADE["dilated"]()) == receptive_field(nn.Conv2d(4, 4, 3, padding=2, dilation=2))


def test_without_torch_s_private_name_it_is_torch_s_convolution():
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(nn.Conv2d, "_conv_forward")
        layer = MADE["large"]()
    assert "_conv_forward" not in vars(layer)
    assert_trained_alike(layer, plain(layer))


def test_what_is_deleted_leaves_no_memory_behind():
    layer = MADE["large"]()
    kept = weakref.ref(layer.weight)
    del layer
    gc.collect()
    assert kept() is None
