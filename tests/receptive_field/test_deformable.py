import importlib.util

import pytest
import torch
import torch.nn.functional as F
from conftest import assert_close
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convnotes import DeformConv2d, definitions, deform_conv2d
from convnotes.geometry import output_size
from convnotes.kernels import backend
from convnotes.measure import cost, receptive_field

# kernel, outputs, groups of the weight, offset groups, and the options of the convolution; 4 channels, 11×7 pixels
CASES = {
    "plain": ((3, 3), 6, 1, 1, dict()),
    "strided-padded-rectangular": ((3, 2), 6, 1, 1, dict(stride=(2, 1), padding=(0, 2))),
    "dilated": ((3, 3), 6, 1, 1, dict(dilation=(1, 2), padding=2)),
    "grouped": ((3, 3), 6, 2, 1, dict(padding=1)),
    "depthwise": ((1, 3), 8, 4, 1, dict(padding=(0, 1))),
    "offset-groups": ((3, 3), 6, 1, 2, dict(padding=1)),
    "every-group": ((2, 3), 6, 2, 4, dict(stride=2, padding=(1, 2), dilation=(2, 1))),
    "same": ((2, 4), 6, 1, 1, dict(padding="same", dilation=(2, 1))),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
both_versions = pytest.mark.parametrize("modulated", [False, True], ids=["v1", "v2"])


@pytest.fixture(autouse=True, params=["torch", "numba"])
def _each_backend(request):
    if request.param not in backend.available():
        pytest.skip(f"{request.param} is not installed")
    with backend.use(request.param):
        yield


# what the offsets are, from normal numbers
OFFSETS = {
    "between-pixels": lambda normal: normal * 2,
    "far-outside": lambda normal: normal * 100,
    "on-pixels": lambda normal: (normal * 2).round(),
    "on-pixels-and-halves": lambda normal: (normal * 8).round() / 2,
}


def tensors(case, modulated=True, offsets=OFFSETS["between-pixels"], dtype=torch.float64, batch=2):
    """input, offset, weight, bias and mask (None in v1), and the options."""
    kernel, outputs, groups, offset_groups, options = case
    places = output_size((11, 7), kernel, **options)
    taps = kernel[0] * kernel[1] * offset_groups
    made = [
        torch.randn(batch, 4, 11, 7, dtype=torch.float64),
        offsets(torch.randn(batch, 2 * taps, *places, dtype=torch.float64)),
        torch.randn(outputs, 4 // groups, *kernel, dtype=torch.float64),
        torch.randn(outputs, dtype=torch.float64),
        torch.rand(batch, taps, *places, dtype=torch.float64) if modulated else None,
    ]
    return [None if t is None else t.to(dtype).requires_grad_() for t in made], options


def called(function, inputs, options):
    *inputs, mask = inputs
    return function(*inputs, **options, mask=mask)


def gradients(output, inputs, g):
    return torch.autograd.grad(output, [t for t in inputs if t is not None], g)


def torchvision_ops():
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision cannot be imported here: it is one more reference where it is installed")
    import torchvision

    if not torchvision.extension._has_ops():
        pytest.skip("torchvision is here without its compiled operators, of which deform_conv2d is one")
    return torchvision.ops


@every_case
@both_versions
@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
def test_forward_and_gradient_match_the_definition(case, modulated, offsets):
    inputs, options = tensors(case, modulated, offsets)
    ours, expected = called(deform_conv2d, inputs, options), called(definitions.deform_conv2d, inputs, options)
    assert_close(ours, expected)
    g = torch.randn_like(expected)
    for a, b in zip(gradients(ours, inputs, g), gradients(expected, inputs, g), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("case", [c for n, c in CASES.items() if n != "same"], ids=[n for n in CASES if n != "same"])
@both_versions
@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
def test_it_is_torchvision_s_but_for_the_gradient_at_minus_1(case, modulated, offsets):
    ops = torchvision_ops()
    inputs, options = tensors(case, modulated, offsets)
    ours, theirs = called(deform_conv2d, inputs, options), called(ops.deform_conv2d, inputs, options)
    assert_close(ours, theirs)
    g = torch.randn_like(theirs)
    (x, offset, *others), (x_theirs, offset_theirs, *others_theirs) = (gradients(y, inputs, g) for y in (ours, theirs))
    for a, b in zip((x, *others), (x_theirs, *others_theirs), strict=True):
        assert_close(a, b)
    at_the_edge = edge(case, inputs[1])
    assert_close(offset.masked_fill(at_the_edge, 0), offset_theirs.masked_fill(at_the_edge, 0))


def edge(case, offset):
    """Whether the sample that an offset belongs to lies at −1 exactly on either axis."""
    (KH, KW), _, _, G, options = case
    (sy, sx), (dy, dx), (py, px) = (
        v if isinstance(v, tuple) else (v, v)
        for v in (options.get("stride", 1), options.get("dilation", 1), options.get("padding", 0))
    )
    moves = offset.detach().unflatten(1, (G, KH, KW, 2))
    h, w = offset.shape[2:]
    y = moves[:, :, :, :, 0] + torch.arange(KH).view(-1, 1, 1, 1) * dy + torch.arange(h).view(-1, 1) * sy - py
    x = moves[:, :, :, :, 1] + torch.arange(KW).view(-1, 1, 1) * dx + torch.arange(w) * sx - px
    at = (y == -1) | (x == -1)
    return at.unsqueeze(4).expand_as(moves).flatten(1, 4)


@every_case
def test_without_movement_it_is_the_plain_convolution(case):
    (x, offset, weight, bias, mask), options = tensors(case)
    zero, one = torch.zeros_like(offset), torch.ones_like(mask)
    expected = F.conv2d(x, weight, bias, **options, groups=4 // weight.shape[1])
    assert_close(deform_conv2d(x, zero, weight, bias, **options), expected)
    assert_close(deform_conv2d(x, zero, weight, bias, **options, mask=one), expected)
    assert_close(deform_conv2d(x, zero, weight, **options, mask=one / 4) * 4, expected - bias.view(-1, 1, 1))


def test_the_same_whole_step_everywhere_is_a_convolution_of_the_moved_picture():
    x, weight = torch.randn(1, 2, 8, 9, dtype=torch.float64), torch.randn(3, 2, 3, 3, dtype=torch.float64)
    offset = torch.tensor([2.0, -1.0], dtype=torch.float64).repeat(9).view(1, 18, 1, 1).expand(1, 18, 6, 7)
    moved = F.pad(x, (1, -1, -2, 2))  # what was 2 rows below and 1 column to the left
    assert_close(deform_conv2d(x, offset, weight), F.conv2d(moved, weight))


def test_the_first_offset_is_vertical_and_each_tap_has_its_own():
    x = torch.arange(20.0).view(1, 1, 4, 5)
    weight = torch.tensor([1.0, 100.0]).view(1, 1, 1, 2)
    offset = torch.zeros(1, 4, 4, 4)
    offset[0, 0], offset[0, 3] = 1, 0.5  # the first tap one row down, the second half a pixel to the right
    y = deform_conv2d(x, offset, weight)
    assert y[0, 0, 0, 0] == x[0, 0, 1, 0] + 100 * (x[0, 0, 0, 1] + x[0, 0, 0, 2]) / 2


def test_each_offset_group_moves_its_own_channels():
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64)
    offset = torch.zeros(1, 4, 5, 5, dtype=torch.float64)
    offset[:, 2] = 1  # the second group of two reads one row further down
    y = deform_conv2d(x, offset, torch.eye(4, dtype=torch.float64).view(4, 4, 1, 1))
    assert_close(y[:, :2], x[:, :2])
    assert_close(y[:, 2:], F.pad(x[:, 2:], (0, 0, -1, 1)))


@pytest.mark.parametrize(
    ("place", "value", "slope"),
    [
        (-1.5, 0, 0), (-1.0, 0, 0), (-0.75, 0.5, 2), (-0.25, 1.5, 2), (0.0, 2, 6), (0.5, 5, 6), (1.0, 8, -8),
        (1.25, 6, -8), (1.75, 2, -8), (2.0, 0, 0), (2.5, 0, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("axis", [0, 1], ids=["vertical", "horizontal"])
def test_the_border_fades_over_one_pixel_and_outside_there_is_no_gradient(place, value, slope, axis):
    """Two pixels, 2 and 8: the value between them and around them, and the derivative to the right."""
    x = torch.tensor([2.0, 8.0]).view(1, 1, 2, 1) if axis == 0 else torch.tensor([2.0, 8.0]).view(1, 1, 1, 2)
    offset = torch.zeros(1, 2, *x.shape[2:])
    offset[0, axis, 0, 0] = place
    for function in (deform_conv2d, definitions.deform_conv2d):
        moved = offset.clone().requires_grad_()
        y = function(x, moved, torch.ones(1, 1, 1, 1))[0, 0, 0, 0]
        assert y == value
        assert torch.autograd.grad(y, moved)[0][0, axis, 0, 0] == slope


def away_from_pixels(normal):
    """Fractions between 0.1 and 0.9: numerical derivatives must not step over a kink."""
    return normal.floor() + 0.1 + 0.8 * torch.rand_like(normal)


@pytest.mark.parametrize("name", ["strided-padded-rectangular", "every-group"])
@both_versions
def test_derivatives_in_every_argument_are_the_numerical_ones_in_both_modes_and_orders(name, modulated):
    inputs, options = tensors(CASES[name], modulated, away_from_pixels, batch=1)
    present = [t for t in inputs if t is not None]

    def call(*given):
        return called(deform_conv2d, [*given, None] if not modulated else given, options)

    assert torch.autograd.gradcheck(call, present, fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, present, fast_mode=True, check_fwd_over_rev=True)


def test_each_tangent_alone_is_what_the_definition_s_gradient_says():
    inputs, options = tensors(CASES["every-group"])
    values = [t.detach() for t in inputs]
    g = torch.randn_like(called(deform_conv2d, values, options))
    expected = gradients(called(definitions.deform_conv2d, inputs, options), inputs, g)
    for n, gradient in enumerate(expected):
        direction = torch.randn_like(values[n])

        def along(value, n=n):
            return called(deform_conv2d, [value if m == n else v for m, v in enumerate(values)], options)

        _, tangent = torch.func.jvp(along, (values[n],), (direction,))
        assert_close((tangent * g).sum(), (gradient * direction).sum())


@every_case
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_low_precision_errs_at_most_twice_as_much_as_the_definition(case, dtype):
    inputs, options = tensors(case, dtype=dtype)
    inputs = [t.detach() for t in inputs]
    exact = called(definitions.deform_conv2d, [t.double() for t in inputs], options)
    ours = called(deform_conv2d, inputs, options)
    assert ours.dtype == dtype
    error = (ours.double() - exact).abs().max()
    assert error <= 2 * (called(definitions.deform_conv2d, inputs, options).double() - exact).abs().max()


def test_low_precision_trains():
    inputs, options = tensors(CASES["every-group"], dtype=torch.bfloat16)
    y = called(deform_conv2d, inputs, options)
    g = torch.randn_like(y)
    doubles = [t.detach().double().requires_grad_() for t in inputs]
    exact = gradients(called(definitions.deform_conv2d, doubles, options), doubles, g.double())
    for ours, expected in zip(gradients(y, inputs, g), exact, strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours.double() - expected).abs().max() <= 0.02 * expected.abs().max()


def test_low_precision_tells_places_past_256_apart():
    """bfloat16 has 8 bits: 257 is no number of it, and a place must be one."""
    x = torch.randn(1, 1, 300, 2, dtype=torch.bfloat16)
    offset = torch.zeros(1, 2, 300, 2, dtype=torch.bfloat16)
    assert torch.equal(deform_conv2d(x, offset, torch.ones(1, 1, 1, 1, dtype=torch.bfloat16)), x)


def test_a_far_place_is_as_exact_as_a_near_one():
    """In float32 a place near 8000 would keep 11 bits of its fraction; here place and fraction are never added."""
    x, weight = torch.randn(1, 1, 1, 8192), torch.ones(1, 1, 1, 1)
    offset = torch.zeros(1, 2, 1, 8192)
    offset[0, 1] = torch.rand(8192) * 4 - 2
    exact = deform_conv2d(x.double(), offset.double(), weight.double())
    assert_close(deform_conv2d(x, offset, weight), exact.float())


def test_the_same_bits_come_out_every_time_and_on_any_number_of_threads():
    torch.manual_seed(3)
    x = torch.randn(2, 16, 28, 30, requires_grad=True)
    weight = torch.randn(8, 16, 3, 3)
    offset = (torch.randn(2, 36, 28, 30) * 3).requires_grad_()
    mask = torch.rand(2, 18, 28, 30, requires_grad=True)
    g = torch.randn(2, 8, 28, 30)

    def run(threads):
        torch.set_num_threads(threads)
        y = deform_conv2d(x, offset, weight, None, 1, 1, mask=mask)
        return (y, *torch.autograd.grad(y, (x, offset, mask), g))

    first = run(1)
    for threads in (1, 2, 2):
        for a, b in zip(first, run(threads), strict=True):
            assert torch.equal(a, b)


def test_the_weight_gradient_is_the_same_every_time():
    inputs, options = tensors(CASES["plain"], dtype=torch.float32)
    y = called(deform_conv2d, inputs, options)
    g = torch.randn_like(y)
    once, again = (torch.autograd.grad(y, inputs[2], g, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(once, again)


def test_a_nan_offset_gives_nan_where_it_is_used_and_nowhere_else():
    (x, offset, weight, bias, mask), options = tensors(CASES["offset-groups"])
    offset = offset.detach().clone()
    offset[1, 5, 2, 3] = torch.nan
    y = deform_conv2d(x, offset, weight, bias, **options, mask=mask)
    assert y[1, :, 2, 3].isnan().all()
    assert y.isnan().sum() == y.shape[1]


@pytest.mark.parametrize("far", [torch.inf, -torch.inf, 1e30, -1e30, 3e38, 2.0**31, -(2.0**63)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_an_offset_beyond_all_bounds_reads_zero(far, dtype):
    inputs, options = tensors(CASES["plain"], dtype=dtype)
    x, offset, weight, bias, mask = (t.detach() for t in inputs)
    offset[0, 7] = far
    offset.requires_grad_()
    y = deform_conv2d(x, offset, weight, bias, **options, mask=mask)
    harmless, without = offset.detach().clone(), mask.clone()
    harmless[0, 7], without[0, 3] = 0, 0  # offset channel 7 moves tap 3
    assert_close(y, deform_conv2d(x, harmless, weight, bias, **options, mask=without))
    (gradient,) = torch.autograd.grad(y.sum(), offset)
    assert gradient.isfinite().all()
    assert (gradient[0, 6:8] == 0).all()


def test_what_lies_outside_reads_no_pixel_not_even_one_that_is_nan():
    x = torch.full((2, 1, 3, 4), torch.nan, requires_grad=True)
    offset = torch.zeros(2, 2, 3, 4)
    offset[:, 0], offset[0, 1] = -3, 1.5
    y = deform_conv2d(x, offset, torch.ones(1, 1, 1, 1))
    assert torch.equal(y, torch.zeros(2, 1, 3, 4))
    y.sum().backward()
    assert torch.equal(x.grad, torch.zeros(2, 1, 3, 4))


@both_versions
def test_channels_last_comes_out_as_it_went_in(modulated):
    (x, offset, weight, bias, mask), options = tensors(CASES["every-group"], modulated)
    y = deform_conv2d(x, offset, weight, bias, **options, mask=mask)
    assert y.is_contiguous()
    last = torch.channels_last
    z = deform_conv2d(
        x.to(memory_format=last), offset.to(memory_format=last), weight.to(memory_format=last), bias, **options,
        mask=None if mask is None else mask.to(memory_format=last),
    )  # fmt: skip
    assert z.is_contiguous(memory_format=last)
    assert_close(z, y)


@pytest.mark.parametrize("batched", range(5), ids=["input", "offset", "weight", "bias", "mask"])
def test_vmap_over_each_argument_is_a_loop(batched):
    inputs, options = tensors(CASES["every-group"])
    values = [t.detach() for t in inputs]
    values[batched] = torch.stack([values[batched], values[batched] * 0.5])

    def call(*given):
        return called(deform_conv2d, given, options)

    dims = tuple(0 if n == batched else None for n in range(5))
    loop = [call(*(v[i] if n == batched else v for n, v in enumerate(values))) for i in range(2)]
    assert_close(torch.vmap(call, dims)(*values), torch.stack(loop))


def test_compiled_it_has_the_same_gradient():
    inputs, options = tensors(CASES["every-group"])
    torch.compiler.reset()
    compiled = torch.compile(lambda *given: called(deform_conv2d, given, options), fullgraph=True, backend="aot_eager")
    y = called(deform_conv2d, inputs, options)
    g = torch.randn_like(y)
    for a, b in zip(gradients(compiled(*inputs), inputs, g), gradients(y, inputs, g), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@every_case
def test_the_multiply_adds_of_the_convolution_are_counted(case, device):
    inputs, options = tensors(case)
    weight = inputs[2]
    with FlopCounterMode(display=False) as counter:
        y = called(deform_conv2d, [t.detach().to(device) for t in inputs], options)
    assert counter.get_total_flops() == 2 * y.numel() * weight[0].numel()


def test_cost_tells_the_offsets_from_the_convolution():
    layer = DeformConv2d(4, 6, 3, padding=1)
    rows = {row.name: row for row in cost(layer, (1, 4, 8, 9)).layers}
    assert rows["(itself)"].macs == 72 * 9 * 4 * 6
    assert rows["conv_offset"].macs == 72 * 9 * 4 * 27


def test_a_symbolic_trace_keeps_it_as_one_step_and_its_field_has_no_closed_form():
    layer = DeformConv2d(2, 3, 3, dtype=torch.float64)
    x = torch.randn(1, 2, 7, 6, dtype=torch.float64)
    traced = torch.fx.symbolic_trace(layer)
    assert sum(node.target is deform_conv2d for node in traced.graph.nodes) == 1
    assert_close(traced(x), layer(x))
    with pytest.raises(ValueError, match="does not know what deform_conv2d does to a place"):
        receptive_field(layer)


def plain_and_deformable(modulated, **options):
    torch.manual_seed(5)
    plain = nn.Conv2d(4, 6, (3, 2), dtype=torch.float64, **options)
    torch.manual_seed(5)
    layer = DeformConv2d(4, 6, (3, 2), modulated=modulated, offset_groups=2, dtype=torch.float64, **options)
    return plain, layer


OPTIONS = {
    "plain": dict(),
    "strided-dilated-grouped": dict(stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=2),
    "same": dict(padding="same"),
    "no-bias": dict(bias=False),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_v1_starts_as_the_plain_convolution_of_the_same_seed(options):
    plain, layer = plain_and_deformable(False, **options)
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    assert torch.equal(layer.weight, plain.weight)
    assert_close(layer(x), plain(x))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_v2_starts_as_half_of_it(options):
    plain, layer = plain_and_deformable(True, **options)
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    bias = 0 if plain.bias is None else plain.bias.view(-1, 1, 1)
    assert_close(layer(x) - bias, (plain(x) - bias) / 2)


@both_versions
def test_offsets_learn_from_the_first_step(modulated):
    layer = DeformConv2d(3, 4, 3, padding=1, modulated=modulated)
    layer(torch.randn(1, 3, 6, 5)).square().sum().backward()
    gradient = layer.conv_offset.weight.grad.flatten(1).abs().amax(1)
    assert (gradient > 0).all()
    assert set(layer.state_dict()) == {"weight", "bias", "conv_offset.weight", "conv_offset.bias"}


def test_what_is_predicted_is_what_is_used():
    layer = DeformConv2d(4, 6, 3, padding=1, offset_groups=2)
    nn.init.normal_(layer.conv_offset.weight, std=0.1)
    x = torch.randn(2, 4, 5, 7)
    offset, mask = layer.predict(x)
    assert offset.shape == (2, 36, 5, 7)
    assert mask.shape == (2, 18, 5, 7)
    assert mask.min() > 0
    assert mask.max() < 1
    assert_close(layer(x), deform_conv2d(x, offset, layer.weight, layer.bias, padding=1, mask=mask))


def test_autocast_gives_low_precision_and_a_default_device_is_followed():
    with torch.device("meta"):
        layer = DeformConv2d(3, 4, 3)
    assert {p.device.type for p in layer.parameters()} == {"meta"}
    with torch.autocast("cpu", torch.bfloat16):
        assert DeformConv2d(3, 4, 3)(torch.randn(1, 3, 6, 5)).dtype == torch.bfloat16


x, offset, weight = torch.zeros(2, 4, 8, 9), torch.zeros(2, 18, 6, 7), torch.zeros(6, 4, 3, 3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: deform_conv2d(x[0], offset, weight),
            r"input of deform_conv2d must be \[B, C, H, W\], got shape \(4, 8, 9\)",
        ),
        (
            lambda: deform_conv2d(x, offset[:, :17], weight),
            r"offset of deform_conv2d must be \[2, 18·G, 6, 7\].*got shape \(2, 17, 6, 7\)",
        ),
        (
            lambda: deform_conv2d(x, offset[:, :0], weight),
            r"offset of deform_conv2d must be \[2, 18·G, 6, 7\].*got shape \(2, 0, 6, 7\)",
        ),
        (
            lambda: deform_conv2d(x, offset[:1], weight),
            r"offset of deform_conv2d must be \[2, .*got shape \(1, 18, 6, 7\)",
        ),
        (
            lambda: deform_conv2d(x, offset, weight, padding=1),
            r"offset of deform_conv2d must be \[2, 18·G, 8, 9\], got shape \(2, 18, 6, 7\)",
        ),
        (
            lambda: deform_conv2d(x, offset.repeat(1, 3, 1, 1), weight),
            r"G of offset groups that divides the 4 channels",
        ),
        (
            lambda: deform_conv2d(x, offset, weight, mask=offset),
            r"mask of deform_conv2d must be \[2, 9, 6, 7\].*got shape \(2, 18, 6, 7\)",
        ),
        (
            lambda: deform_conv2d(x, offset, weight, mask=offset[:, :9, 1:]),
            r"mask of deform_conv2d must be .*got shape \(2, 9, 5, 7\)",
        ),
        (
            lambda: deform_conv2d(x, offset, weight, x[0, 0, 0]),
            r"bias of deform_conv2d must be \[6\], got shape \(9,\)",
        ),
        (lambda: deform_conv2d(x, offset, weight[:, :3]), r"6 outputs and takes 3 channels a group.*4 channels"),
        (lambda: deform_conv2d(x, offset, weight[:5, :2]), r"5 outputs and takes 2 channels a group.*4 channels"),
        (
            lambda: deform_conv2d(x, offset.double(), weight),
            "offset of deform_conv2d must be of torch.float32 like the rest, got torch.float64",
        ),
        (
            lambda: deform_conv2d(x, offset, weight.half()),
            "weight of deform_conv2d must be of torch.float32 like the rest, got torch.float16",
        ),
        (
            lambda: deform_conv2d(x, offset.to("meta"), weight),
            "offset of deform_conv2d must be on cpu like the rest, got a tensor on meta",
        ),
        (
            lambda: deform_conv2d(x, offset, weight, mask=offset[:, :9].to("meta")),
            "mask of deform_conv2d must be on cpu like the rest, got a tensor on meta",
        ),
        (lambda: deform_conv2d(x, offset, weight, dilation=4), "deform_conv2d: a kernel of 3×3 with dilation"),
        (lambda: deform_conv2d(x, offset, weight, stride=2, padding="same"), 'padding="same" needs stride 1'),
        (lambda: deform_conv2d(x, offset, weight, stride=0), "stride must be at least 1, got 0"),
        (lambda: DeformConv2d(4, 6, 3, groups=3), "^groups must divide in_channels=4 and out_channels=6, got 3"),
        (lambda: DeformConv2d(4, 6, 3, offset_groups=3), "offset_groups must divide in_channels=4, got 3"),
        (lambda: DeformConv2d(4, 6, 0), "kernel_size must be at least 1"),
        (lambda: DeformConv2d(4, 6, 3, offset_groups=0), "offset_groups must be at least 1, got 0"),
        (lambda: DeformConv2d(4, 6, 9)(x), "DeformConv2d: a kernel of 9×9"),
    ],
)
def test_bad_arguments_are_refused_in_words(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_what_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match=r"offset of deform_conv2d must be a tensor \[2, 18·G, 6, 7\], got NoneType"):
        deform_conv2d(x, None, weight)
    with pytest.raises(TypeError, match=r"mask of deform_conv2d must be a tensor \[2, 9, 6, 7\], got float"):
        deform_conv2d(x, offset, weight, mask=0.5)
