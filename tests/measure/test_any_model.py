"""Measures of models that others made: what their functions, hooks, copies, modes and devices may be."""

import pytest
import torch
import torch.nn.functional as F
from support.fields import Net, conv
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import convnotes
from convnotes.measure import cost, effective_receptive_field, measured_receptive_field, receptive_field, time_call

NORMS = [
    nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm([4, 40, 40]), nn.BatchNorm2d(4), nn.LocalResponseNorm(3),
    nn.Softmax2d(), nn.Hardshrink(), nn.Threshold(1, 0), nn.Hardtanh(0.1, 0.2), nn.RReLU(), nn.Hardswish(),
    nn.ReLU(inplace=True),
]  # fmt: skip


@pytest.mark.parametrize("layer", NORMS, ids=lambda layer: type(layer).__name__)
def test_what_goes_place_by_place_is_the_identity_in_the_twin(layer):
    assert measured_receptive_field(nn.Sequential(conv(1, 4, 3), layer, conv(4, 1, 3)), (1, 1, 40, 40)) == 5


def test_functional_and_adaptive_maximum_pooling_are_averaged():
    net = Net(lambda s, x: s.d(F.max_pool2d(torch.relu(s.c(x)), 2)), c=conv(1, 2, 3), d=conv(2, 2, 3))
    assert receptive_field(net).size == measured_receptive_field(net, (1, 1, 40, 40)) == 8
    assert measured_receptive_field(nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveMaxPool2d(3)), (1, 1, 20, 20)) == 8
    assert measured_receptive_field(nn.MaxPool2d(3, 2, dilation=2, ceil_mode=True), (1, 3, 20, 20)) == 5
    assert measured_receptive_field(nn.LPPool2d(2, 2), (1, 3, 20, 20)) == 2


def test_reductions_over_channels_and_gates_one_after_another_stay_visible():
    def heads(s, x):
        return s.c(torch.cat([x.max(1, True)[0], x.amax(1, keepdim=True), x.norm(2, 1, True), x.std(1, True, True)], 1))

    assert measured_receptive_field(Net(heads, c=conv(4, 1, 3)), (1, 3, 20, 20)) == 3
    gates = [Net(lambda s, x: x * torch.sigmoid(s.c(x)), c=conv(1, 1, 3)) for _ in range(12)]
    assert measured_receptive_field(nn.Sequential(*gates), (1, 1, 60, 60)) == 25


@pytest.mark.parametrize(
    ("net", "name"),
    [
        (nn.FractionalMaxPool2d(2, output_ratio=0.5), "fractional_max_pool2d"),
        (Net(lambda s, x: x * x.argmax(1, True)), "argmax"),
    ],
)
def test_a_function_without_a_linear_one_is_refused_by_name(net, name):
    with pytest.raises(ValueError, match=f"no linear stand-in for {name}"):
        measured_receptive_field(net, (1, 3, 20, 20))


def test_a_layer_in_place_changes_nothing_that_was_kept():
    def net(inplace):
        torch.manual_seed(1)
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=inplace), nn.Conv2d(8, 8, 3))

    for at in ("0", "1"):
        first, second = (effective_receptive_field(net(inplace), (1, 3, 9, 9), at=at) for inplace in (True, False))
        assert torch.equal(first, second)
    assert measured_receptive_field(nn.Sequential(nn.ReLU(True), nn.Conv2d(1, 1, 3)), (1, 1, 9, 9)) == 3


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu")])
def test_gradients_do_not_hang_on_the_caller_s_mode(mode):
    layer = nn.Conv2d(1, 1, 3)
    expected = effective_receptive_field(layer, (1, 1, 9, 9))
    with mode():
        assert measured_receptive_field(layer, (1, 1, 9, 9)) == 3
        assert torch.equal(effective_receptive_field(layer, (1, 1, 9, 9)), expected)


def test_gradients_do_not_hang_on_the_default_dtype_and_constants_of_a_forward_fit():
    edges = Net(lambda s, x: F.conv2d(x, torch.tensor([[[[-1.0, 0, 1]]]])))
    default = torch.get_default_dtype()
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            assert measured_receptive_field(edges, (1, 1, 9, 9)) == (1, 3)
            assert measured_receptive_field(nn.Conv2d(1, 1, 3, dtype=torch.float16), (1, 1, 9, 9)) == 3
        finally:
            torch.set_default_dtype(default)
    assert torch.get_default_dtype() == default


@pytest.mark.parametrize("measure", [effective_receptive_field, measured_receptive_field])
def test_a_model_without_values_is_refused(measure):
    with pytest.raises(ValueError, match="meta device"):
        measure(nn.Conv2d(1, 1, 3, device="meta"), (1, 1, 9, 9))


def base():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1))


def changed(change):
    net = base()
    change(net[0])
    return net


def trained():
    net = changed(weight_norm)
    spectral_norm(net[1])
    net.train()(torch.rand(1, 3, 9, 9)).sum().backward()
    return net


MODELS = {
    "pruned": lambda: changed(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),
    "weight norm": lambda: changed(weight_norm),
    "spectral norm": lambda: changed(spectral_norm),
    "parametrised weight norm": lambda: changed(parametrizations.weight_norm),
    "parametrised spectral norm": lambda: changed(parametrizations.spectral_norm),
    "orthogonal": lambda: changed(parametrizations.orthogonal),
    "trained": trained,
    "data parallel": lambda: nn.DataParallel(base()),
    "compiled": lambda: torch.compile(base()),
    "compiled inside": lambda: nn.Sequential(torch.compile(base())),
    "scripted": lambda: torch.jit.script(base()),
    "scripted inside": lambda: nn.Sequential(torch.jit.script(base()), nn.ReLU()),
    "traced": lambda: torch.jit.trace(base(), torch.rand(1, 3, 9, 9)),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", MODELS)
def test_whatever_holds_a_model_s_weights_it_is_counted_and_followed(name):
    net = MODELS[name]()
    assert cost(net, (1, 3, 9, 9)).macs == 49 * 4 * 27 + 49 * 2 * 4 == 5684
    assert receptive_field(net).size == 3
    if "script" not in name and name != "traced":
        assert measured_receptive_field(net, (1, 3, 9, 9)) == 3


def test_plain_tensors_and_constants_beside_the_model_go_with_it():
    outside = torch.rand(3, 3)

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean, self.more = torch.full((1, 3, 1, 1), 0.5), [torch.ones(3)]
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv((x - self.mean) * self.more[0].view(1, 3, 1, 1))

    assert cost(Plain(), (1, 3, 9, 9)).macs == 49 * 4 * 27
    assert receptive_field(Plain()).size == measured_receptive_field(Plain(), (1, 3, 9, 9)) == 3
    assert cost(Net(lambda s, x: x @ outside), torch.rand(2, 3)).macs == 18


@pytest.mark.parametrize(
    ("run", "shape", "macs"),
    [
        (lambda s, x: x @ x.new_ones(64), (2, 10, 64), 1280),
        (lambda s, x: torch.addbmm(x[0], x, x), (2, 3, 3), 54),
        (lambda s, x: torch.baddbmm(x, x, x), (2, 3, 3), 54),
        (lambda s, x: x.clone().baddbmm_(x, x), (2, 3, 3), 54),
        (lambda s, x: x.clone().addmm_(x, x), (3, 3), 27),
        (lambda s, x: x[0].clone().addmv_(x, x[0]), (3, 3), 9),
        (lambda s, x: torch.addr(x, x[0], x[0]), (5, 5), 25),
        (lambda s, x: torch.dot(x[0], x[0]), (1, 5), 5),
        (lambda s, x: torch.addmv(x[:, 0], x, x[0]), (3, 4), 12),
        (lambda s, x: torch.einsum("ij,kj->ik", x, torch.ones(2, 4)), (3, 4), 24),
        (lambda s, x: F.scaled_dot_product_attention(x, x, x), (1, 2, 8, 4), 2 * 2 * 8 * 8 * 4),
        (lambda s, x: F.conv_tbc(x, torch.ones(3, 4, 2), torch.ones(2)), (5, 1, 4), 3 * 2 * 3 * 4),
    ],
    ids=[
        "mv",
        "addbmm",
        "baddbmm",
        "baddbmm_",
        "addmm_",
        "addmv_",
        "addr",
        "dot",
        "addmv",
        "einsum",
        "attention",
        "conv_tbc",
    ],
)
def test_every_matrix_product_is_counted(run, shape, macs):
    assert cost(Net(run), torch.rand(shape)).macs == macs


def test_bilinear_and_recurrent_layers_are_counted():
    assert cost(nn.Bilinear(3, 4, 5), [torch.rand(2, 3), torch.rand(2, 4)]).macs == 2 * 5 * 3 * 4
    for layer, gates in ((nn.LSTM(4, 4), 4), (nn.GRU(4, 4), 3), (nn.RNN(4, 4), 1)):
        assert cost(layer, torch.rand(5, 1, 4)).macs == 5 * 2 * gates * 16
    assert cost(nn.LSTMCell(4, 4), torch.rand(1, 4)).macs == 2 * 4 * 16


def test_layers_that_are_called_by_keyword_are_counted():
    for layer in (convnotes.Adder2d(3, 4, 3), nn.Conv2d(3, 4, 3)):
        net = Net(lambda s, x: s.layer(input=x), layer=layer)
        found, alone = cost(net, (1, 3, 9, 9)), cost(layer, (1, 3, 9, 9))
        assert (found.adds, found.macs, found.activation_bytes) == (alone.adds, alone.macs, alone.activation_bytes)
        assert receptive_field(net).size == 3


def test_a_time_on_a_device_waits_for_that_device(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    time_call(lambda: None, rounds=1, warmup=0, min_seconds=0, device="cuda:1")
    assert set(waited) == {torch.device("cuda:1")}


def test_masks_detached_maps_and_modes_inside_a_forward_hide_nothing():
    def layers():
        return {"a": conv(3, 3, 3), "b": conv(3, 3, 5)}

    runs = [
        lambda s, x: torch.where(s.b(x) > 0.5, x, torch.zeros_like(x)),
        lambda s, x: s.a(x).masked_fill(s.b(x) < 0, 0),
        lambda s, x: s.a(x) * (s.b(x) > 0).float(),
        lambda s, x: s.a(x) * s.b(x).detach().sigmoid(),
        lambda s, x: s.a(x) + torch.no_grad()(s.b)(x),
        torch.inference_mode()(lambda s, x: s.a(x) + s.b(x)),
        lambda s, x: (s.a(x).add_(1), s.b(x))[1].relu_(),
    ]
    for run in runs:
        net = Net(run, **layers())
        assert receptive_field(net).size == measured_receptive_field(net, (1, 3, 20, 20)) == 5


def test_a_parametrised_model_stays_whole():
    net = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.Conv2d(4, 2, 3))
    before = net(torch.ones(1, 3, 9, 9))
    assert measured_receptive_field(net, (1, 3, 20, 20)) == 5
    assert torch.equal(net(torch.ones(1, 3, 9, 9)), before)


def test_a_kernel_whose_mean_is_taken_away_is_seen():
    net = Net(
        lambda s, x: F.conv2d(x, s.weight - s.weight.mean((1, 2, 3), True)), weight=nn.Parameter(torch.rand(1, 1, 3, 3))
    )
    assert measured_receptive_field(net, (1, 1, 9, 9)) == 3


@pytest.mark.parametrize("measure", [effective_receptive_field, measured_receptive_field])
def test_a_model_that_does_not_run_is_refused_with_the_shape(measure):
    with pytest.raises(ValueError, match=r"does not run with gradients on an image of shape \(\d, 2, 9, 9\)"):
        measure(nn.Conv2d(1, 1, 3), (1, 2, 9, 9))


def test_the_input_may_be_written_after_a_convolution_has_read_it():
    def before_activation(s, x):
        y = s.a(x)
        return s.b(y) + s.a(F.relu(y, inplace=True))

    assert measured_receptive_field(Net(before_activation, a=conv(3, 3, 3), b=conv(3, 3, 3)), (1, 3, 20, 20)) == 5
