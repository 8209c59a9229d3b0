import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convnotes import MixedConv2d, SeparableConv2d
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.kernels import backend, rules
from convnotes.kernels.depthwise import operator as depthwise
from convnotes.kernels.depthwise.operator import depthwise_conv2d
from convnotes.measure import cost, receptive_field

# kernel, padding, dilation; all with a backward of their own
CASES = {
    "dilated": ((3, 3), (2, 2), (2, 2)),
    "dilated-rectangular": ((3, 2), (1, 0), (1, 3)),
    "large": ((5, 5), (2, 2), (1, 1)),
    "large-unpadded": ((7, 3), (0, 0), (1, 1)),
    "same": ((4, 5), "same", (3, 1)),
    "wider-than-the-picture": ((1, 5), (0, 8), (1, 4)),
}
DENSE = {  # in plain torch and with many channels by columns of the kernel
    "even-width": ((5, 6), (1, 4), (1, 1)),
    "one-row": ((1, 7), (0, 3), (1, 1)),
    "same-and-even": ((6, 4), "same", (1, 1)),
    "wide": ((5, 15), (2, 7), (1, 1)),
    "wide-same-and-even": ((2, 14), "same", (1, 1)),
    "much-wider-than-the-image": ((5, 81), (2, 40), (1, 1)),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture(autouse=True, params=["torch", "numba"])
def _each_backend(request, monkeypatch):
    if request.param not in backend.available():
        pytest.skip(f"{request.param} is not installed")
    for least in ("TAPS_PAY_FROM", "COLUMNS_PAY_FROM"):
        monkeypatch.setattr(rules, least, 0)  # the maps of the tests are small
    with backend.use(request.param):
        yield


@pytest.fixture
def taken(monkeypatch):
    """Whether the own backward was taken since this list was last empty."""
    calls = []
    own = depthwise._operator

    def watched(*inputs):
        calls.append(1)
        return own(*inputs)

    monkeypatch.setattr(depthwise, "_operator", watched)
    return calls


def tensors(kernel, dtype=torch.float64, batch=2, channels=5, size=(11, 7)):
    x = torch.randn(batch, channels, *size, dtype=dtype, requires_grad=True)
    weight = torch.randn(channels, 1, *kernel, dtype=dtype, requires_grad=True)
    return x, weight, torch.randn(channels, dtype=dtype, requires_grad=True)


def by_definition(x, weight, bias, padding, dilation):
    """Tap by tap, of the padded picture."""
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(weight.shape[2:], dilation, strict=True)]
        pads = (total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2)
    else:
        pads = (padding[1], padding[1], padding[0], padding[0])
    padded = F.pad(x, pads)
    (KH, KW), (dy, dx) = weight.shape[2:], dilation
    h, w = padded.shape[2] - dy * (KH - 1), padded.shape[3] - dx * (KW - 1)
    y = bias.view(-1, 1, 1)
    for u in range(KH):
        for v in range(KW):
            y = y + weight[:, 0, u, v, None, None] * padded[:, :, u * dy : u * dy + h, v * dx : v * dx + w]
    return y


@every_case
@pytest.mark.parametrize("size", [(11, 7), (5, 40), (33, 1)], ids=str)
def test_forward_and_gradient_match_the_definition(case, size, taken):
    kernel, padding, dilation = case
    smallest = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding != "same" and any(n + 2 * p < s for n, p, s in zip(size, padding, smallest, strict=True)):
        size = (11, 7)
    inputs = tensors(kernel, size=size)
    y = depthwise_conv2d(*inputs, (1, 1), padding, dilation)
    assert taken
    expected = by_definition(*inputs, padding, dilation)
    assert_close(y, expected)
    g = torch.randn_like(y)
    for a, b in zip(torch.autograd.grad(y, inputs, g), torch.autograd.grad(expected, inputs, g), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("channels", [5, 33], ids=["few-channels", "many-channels"])
@pytest.mark.parametrize("case", (CASES | DENSE).values(), ids=CASES | DENSE)
def test_float32_errs_no_more_than_twice_as_much_as_torch(case, channels):
    kernel, padding, dilation = case
    inputs = tensors(kernel, torch.float32, channels=channels, size=(20, 37))
    doubles = [t.detach().double().requires_grad_() for t in inputs]
    y = depthwise_conv2d(*inputs, (1, 1), padding, dilation)
    g = torch.randn_like(y)
    ours = torch.autograd.grad(y, inputs, g)
    torchs = torch.autograd.grad(F.conv2d(*inputs, 1, padding, dilation, channels), inputs, g)
    exact = torch.autograd.grad(F.conv2d(*doubles, 1, padding, dilation, channels), doubles, g.double())
    for a, b, true in zip(ours, torchs, exact, strict=True):
        assert (a - true).abs().max() <= 2 * (b - true).abs().max() + 1e-6 * true.abs().max()


@pytest.mark.parametrize("needed", [(True, False), (False, True)], ids=["input", "weight"])
def test_either_gradient_comes_alone(needed):
    x, weight, _ = tensors((3, 3))
    y = depthwise_conv2d(x, weight, None, (1, 1), (2, 2), (2, 2))
    g = torch.randn_like(y)
    expected = torch.autograd.grad(y, (x, weight), g)
    one = [t.detach().requires_grad_(n) for t, n in zip((x, weight), needed, strict=True)]
    y = depthwise_conv2d(*one, None, (1, 1), (2, 2), (2, 2))
    (found,) = torch.autograd.grad(y, [t for t in one if t.requires_grad], g)
    assert_close(found, expected[0 if needed[0] else 1])


@pytest.mark.parametrize("kernel", [(5, 5), (3, 15)], ids=str)
@pytest.mark.parametrize("channels", [7, 32, 45])
def test_the_same_bits_come_out_on_one_thread_and_on_two(channels, kernel):
    x, weight, _ = tensors(kernel, torch.float32, channels=channels, size=(30, 31))
    padding = (kernel[0] // 2, kernel[1] // 2)
    g = torch.randn(2, channels, 30, 31)

    def run(threads):
        torch.set_num_threads(threads)
        y = depthwise_conv2d(x, weight, None, (1, 1), padding, (1, 1))
        return y, *torch.autograd.grad(y, (x, weight), g)

    first = run(1)
    for threads in (2, 2, 3):
        for a, b in zip(first, run(threads), strict=True):
            assert torch.equal(a, b)


def test_derivatives_of_both_modes_and_of_second_order_are_the_numerical_ones(taken):
    inputs = tensors((3, 2), batch=1, channels=2, size=(6, 5))

    def call(*given):
        return depthwise_conv2d(*given, (1, 1), (1, 2), (1, 2))

    assert torch.autograd.gradcheck(call, inputs, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs, check_fwd_over_rev=True, fast_mode=True)
    assert taken


def test_an_empty_batch_and_strided_gradients_are_taken():
    x, weight, bias = tensors((3, 3), batch=0)
    y = depthwise_conv2d(x, weight, bias, (1, 1), (2, 2), (2, 2))
    y.sum().backward()
    assert x.grad.shape == (0, 5, 11, 7)
    assert torch.equal(weight.grad, torch.zeros_like(weight))
    x, weight, _ = tensors((3, 3))
    y = depthwise_conv2d(x, weight, None, (1, 1), (2, 2), (2, 2))
    y.sum().backward()  # its gradient is one number, expanded
    expected = torch.autograd.grad(F.conv2d(x, weight, None, 1, 2, 2, 5).sum(), (x, weight))
    for a, b in zip((x.grad, weight.grad), expected, strict=True):
        assert_close(a, b)


OTHERS = {
    "not in training": (dict(), lambda x, w: (x.detach(), w.detach())),
    "strided": (dict(stride=(2, 2)), lambda x, w: (x, w)),
    "small": (dict(dilation=(1, 1), padding=(1, 1)), lambda x, w: (x, w)),
    "padded beyond the kernel": (dict(padding=(5, 5)), lambda x, w: (x, w)),
    "two kernels a channel": (dict(), lambda x, w: (x, torch.cat([w, w]))),
    "channels last": (dict(), lambda x, w: (x.contiguous(memory_format=torch.channels_last), w)),
    "bfloat16": (dict(), lambda x, w: (x.bfloat16(), w.bfloat16())),
}


@pytest.mark.parametrize(("options", "change"), OTHERS.values(), ids=OTHERS)
def test_the_rest_is_torch_s(options, change, taken):
    x, weight, _ = tensors((3, 3))
    x, weight = change(x, weight)
    geometry = dict(stride=(1, 1), padding=(2, 2), dilation=(2, 2)) | options
    y = depthwise_conv2d(x, weight, None, **geometry)
    assert not taken
    assert torch.equal(y, F.conv2d(x, weight, None, **geometry, groups=5))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SeparableConv2d(4, 3, 3, padding=2, dilation=2, dtype=torch.float64),
        lambda: MixedConv2d(4, 4, (3, 5), depthwise=True, dtype=torch.float64),
    ],
    ids=["SeparableConv2d", "MixedConv2d"],
)
def test_layers_use_it_and_stay_what_they_were(make, taken):
    layer = make()
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    assert taken
    y.square().sum().backward()
    for module in layer.modules():
        vars(module).pop("_conv_forward", None)  # what makes it more than torch's
    taken.clear()
    expected = torch.autograd.grad(layer(x).square().sum(), (x, *layer.parameters()))
    assert not taken
    for a, b in zip((x.grad, *(p.grad for p in layer.parameters())), expected, strict=True):
        assert_close(a, b)


def test_a_trace_its_cost_and_its_receptive_field_are_those_of_a_convolution():
    ours = DepthwiseConv2d(4, 4, (3, 5), (2, 1), (1, 2), (2, 1), groups=4)
    theirs = nn.Conv2d(4, 4, (3, 5), (2, 1), (1, 2), (2, 1), groups=4)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 4, 9, 8)
    assert torch.equal(torch.fx.symbolic_trace(ours)(x), theirs(x))
    assert cost(ours, x).macs == cost(theirs, x).macs
    assert receptive_field(nn.Sequential(ours)) == receptive_field(nn.Sequential(theirs))


def test_on_small_maps_plain_torch_keeps_to_torch_s_own(taken, monkeypatch):
    monkeypatch.setattr(rules, "TAPS_PAY_FROM", 5 * 11 * 7 + 1)
    x, weight, bias = tensors((5, 5))
    depthwise.depthwise_conv2d(x, weight, bias, (1, 1), (2, 2), (1, 1))
    compiled = backend.chosen("depthwise_conv2d", (x, weight)) == "numba"
    assert bool(taken) == compiled
    taken.clear()
    monkeypatch.setattr(rules, "TAPS_PAY_FROM", 5 * 11 * 7)
    depthwise.depthwise_conv2d(x, weight, bias, (1, 1), (2, 2), (1, 1))
    assert taken


def test_the_numbers_of_all_pictures_count_where_no_call_is_made_for_each(taken, monkeypatch):
    x, weight, bias = tensors((5, 5), torch.float32, channels=32)
    compiled = backend.chosen("depthwise_conv2d", (x, weight)) == "numba"
    for least, dilation, numbers in (("COLUMNS_PAY_FROM", 1, x.numel()), ("TAPS_PAY_FROM", 2, x[0].numel())):
        for smallest, pays in ((numbers, True), (numbers + 1, compiled)):
            monkeypatch.setattr(rules, least, smallest)
            taken.clear()
            depthwise_conv2d(x, weight, bias, (1, 1), (2, 2), (dilation, dilation))
            assert bool(taken) == pays


def test_the_bias_alone_has_derivatives_of_both_orders(taken):
    x, weight, bias = tensors((5, 5))
    y = depthwise_conv2d(x.detach(), weight, bias, (1, 1), (2, 2), (1, 1))
    (first,) = torch.autograd.grad(y.square().sum(), bias, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), bias)
    assert taken
    assert_close(first, 2 * y.sum((0, 2, 3)))
    assert_close(second, torch.full_like(bias, 2 * y.shape[0] * y.shape[2] * y.shape[3]))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_the_operator_and_its_gradient_keep_torch_s_rules(bias):
    x, weight, b = tensors((3, 5))
    arguments = (x, weight, b if bias else None, [2, 1, 4, 3], [2, 1])
    torch.library.opcheck(torch.ops.convnotes.depthwise_conv2d, arguments)
    detached = [x.detach(), weight.detach(), b.detach() if bias else None]
    grad = torch.randn_like(torch.ops.convnotes.depthwise_conv2d(*detached, *arguments[3:]))
    for needed in ([True, True, bias], [True, False, False], [False, True, bias]):
        inputs = (grad, *detached, *arguments[3:], needed)
        torch.library.opcheck(torch.ops.convnotes.depthwise_conv2d_backward, inputs)


@pytest.mark.parametrize("mapped", range(3), ids=["input", "weight", "bias"])
def test_vmap_of_the_operator_and_of_its_gradient_is_a_loop(mapped):
    values, geometry = [t.detach() for t in tensors((3, 5))], ([2, 1, 4, 3], [2, 1])
    values[mapped] = torch.stack([values[mapped], values[mapped] * 0.5, values[mapped] * 0.7])
    dims = tuple(0 if n == mapped else None for n in range(3))
    needed = [True, mapped != 1, mapped != 2]

    def slices(n):
        return [v[n] if m == mapped else v for m, v in enumerate(values)]

    def forward(*tensors):
        return torch.ops.convnotes.depthwise_conv2d(*tensors, *geometry)

    grad = torch.randn_like(forward(*slices(0)))

    def backward(*tensors):
        found = torch.ops.convnotes.depthwise_conv2d_backward(grad, *tensors, *geometry, needed)
        return [t for t, n in zip(found, needed, strict=True) if n]

    assert_close(torch.vmap(forward, dims)(*values), torch.stack([forward(*slices(n)) for n in range(3)]))
    found = torch.vmap(backward, dims)(*values)
    for t, expected in zip(found, zip(*(backward(*slices(n)) for n in range(3)), strict=True), strict=True):
        assert_close(t, torch.stack(expected))


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)], ids=["both", "input", "weight"])
def test_each_gradient_takes_as_many_multiply_adds_as_the_forward_pass(wanted):
    """torch's own count of a grouped weight's gradient is too large by the number of groups (torch 2.13)."""
    x, weight, _ = tensors((5, 5))
    x.requires_grad_(wanted[0]), weight.requires_grad_(wanted[1])
    with FlopCounterMode(display=False) as counter:
        depthwise_conv2d(x, weight, None, (1, 1), (2, 2), (1, 1)).sum().backward()
    assert counter.get_total_flops() == (1 + sum(wanted)) * 2 * x.numel() * 25
