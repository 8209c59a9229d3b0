"""The operator: its definition, torchvision's, its derivatives and what torch makes of it."""

import importlib.util

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same
from support.deform_calls import CASES, OFFSETS, both_versions, called, every_case, gradients, tensors
from torch.utils.flop_counter import FlopCounterMode

from convnotes import definitions, deform_conv2d

pytestmark = pytest.mark.usefixtures("each_backend")


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
    assert_same(ours, expected, inputs)


@pytest.mark.parametrize("case", [c for n, c in CASES.items() if n != "same"], ids=[n for n in CASES if n != "same"])
@both_versions
@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
def test_it_is_torchvision_s_but_for_the_gradient_at_minus_1(case, modulated, offsets):
    ops = torchvision_ops()
    inputs, options = tensors(case, modulated, offsets)
    ours, theirs = called(deform_conv2d, inputs, options), called(ops.deform_conv2d, inputs, options)
    assert_close(ours, theirs)
    g = torch.randn_like(theirs)
    for a, b in zip(gradients(ours, inputs, g), gradients(theirs, inputs, g), strict=True):
        assert_close(a, b)


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


@pytest.mark.parametrize("axis", [0, 1], ids=["vertical", "horizontal"])
def test_from_zero_offsets_on_the_border_the_derivative_is_that_of_a_step_to_the_right(axis):
    """With padding 1 the outer samples lie at −1 and at H or W: a drop-in trains alike from the first step."""
    x, weight = torch.randn(2, 3, 5, 4, dtype=torch.float64), torch.randn(4, 3, 3, 3, dtype=torch.float64)
    offset, g = torch.zeros(2, 18, 5, 4, dtype=torch.float64, requires_grad=True), torch.randn(2, 4, 5, 4).double()
    (found,) = torch.autograd.grad(deform_conv2d(x, offset, weight, padding=1), offset, g)
    step = 2.0**-10
    expected, still = torch.zeros(9, 2, 5, 4, dtype=torch.float64), deform_conv2d(x, offset.detach(), weight, padding=1)
    for tap in range(9):
        moved = torch.zeros_like(offset)
        moved[:, 2 * tap + axis] = step  # the sum is linear in it as far as the next pixel
        expected[tap] = ((deform_conv2d(x, moved, weight, padding=1) - still) * g).sum(1) / step
    assert_close(found[:, axis::2].movedim(1, 0), expected)
    assert expected[(0, slice(None), *((0, 1) if axis == 0 else (1, 0)))].abs().min() > 0


@pytest.mark.parametrize(
    ("place", "value", "slope"),
    [
        (-1.5, 0, 0), (-1.0, 0, 2), (-0.75, 0.5, 2), (-0.25, 1.5, 2), (0.0, 2, 6), (0.5, 5, 6), (1.0, 8, -8),
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
            r"offset of deform_conv2d must be \[2, 18·G, 6, 7\].*, got ",
        ),
        (
            lambda: deform_conv2d(x, offset[:, :0], weight),
            r"offset of deform_conv2d must be \[2, 18·G, 6, 7\].*, got ",
        ),
        (
            lambda: deform_conv2d(x, offset[:1], weight),
            r"offset of deform_conv2d must be \[2, 18·G, 6, 7\], got shape \(1, 18, 6, 7\)",
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
            r"mask of deform_conv2d must be \[2, 9, 6, 7\], got shape \(2, 18, 6, 7\)",
        ),
        (
            lambda: deform_conv2d(x, offset, weight, mask=offset[:, :9, 1:]),
            r"mask of deform_conv2d must be \[2, 9, 6, 7\], got shape \(2, 9, 5, 7\)",
        ),
        (
            lambda: deform_conv2d(x, offset, weight, x[0, 0, 0]),
            r"bias of deform_conv2d must be \[6\], got shape \(9,\)",
        ),
        (lambda: deform_conv2d(x, offset, weight[:, :3]), r"6 outputs and takes 3 channels per group.*4 channels"),
        (lambda: deform_conv2d(x, offset, weight[:5, :2]), r"5 outputs and takes 2 channels per group.*4 channels"),
        (
            lambda: deform_conv2d(x, offset.double(), weight),
            r"offset of deform_conv2d must be of torch\.float32 like the rest, got torch\.float64",
        ),
        (
            lambda: deform_conv2d(x, offset, weight.half()),
            r"weight of deform_conv2d must be of torch\.float32 like the rest, got torch\.float16",
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
