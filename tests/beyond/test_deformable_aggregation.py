import pytest
import torch
import torch.nn.functional as F
from support.aggregate_calls import CASES, every_case, tensors
from support.close import assert_close, assert_same

from convnotes import DCNv3, DCNv4, DeformableAggregation2d, definitions, deform_aggregate2d, deform_conv2d
from convnotes.measure import cost


def noise(*shape, **kw):
    return torch.randn(shape, dtype=torch.float64, **kw)


@every_case
def test_the_function_is_its_definition(case):
    inputs, options = tensors(case)
    assert_same(deform_aggregate2d(*inputs, **options), definitions.deform_aggregate2d(*inputs, **options), inputs)


@pytest.mark.parametrize("name", ["plain", "whole-vectors", "groups", "same"])
def test_it_is_a_deformable_convolution_whose_kernels_pass_each_channel_on(name):
    C, G, kernel, window = CASES[name]
    (x, offset, mask), options = tensors(CASES[name])
    one_hot = torch.eye(C, dtype=x.dtype)[:, :, None, None].expand(C, C, *kernel)
    per_channel = torch.ones(C, 1, *kernel, dtype=x.dtype)
    y = deform_aggregate2d(x, offset, mask, **options)
    for weight in (one_hot, per_channel):
        assert_same(y, deform_conv2d(x, offset, weight, mask=mask, **window), (x, offset, mask))
        y = deform_aggregate2d(x, offset, mask, **options)
    assert mask.shape[1] == G * kernel[0] * kernel[1]


def test_on_the_grid_with_equal_masks_it_is_the_mean():
    x = noise(2, 4, 9, 8)
    offset, mask = x.new_zeros(2, 36, 5, 4), x.new_full((2, 18, 5, 4), 1 / 9)
    y = deform_aggregate2d(x, offset, mask, 3, stride=2, padding=1, groups=2)
    assert_close(y, F.avg_pool2d(x, 3, 2, 1))


def test_the_scale_spreads_grid_and_offsets_around_the_middle():
    x, offset, mask = noise(1, 2, 9, 8), noise(1, 18, 9, 8), noise(1, 9, 9, 8)
    wide = deform_aggregate2d(x, offset, mask, 3, padding=1, offset_scale=2.0)
    assert_close(wide, deform_aggregate2d(x, 2 * offset, mask, 3, padding=2, dilation=2))


def test_without_the_middle_it_is_the_whole_with_a_mask_of_0_there():
    x, offset, mask = noise(1, 2, 9, 8), noise(1, 9, 2, 7, 6), noise(1, 9, 7, 6)
    mask[:, 4] = 0
    kept = [0, 1, 2, 3, 5, 6, 7, 8]
    y = deform_aggregate2d(x, offset[:, kept].flatten(1, 2), mask[:, kept], 3, remove_center=True)
    assert_close(y, deform_aggregate2d(x, offset.flatten(1, 2), mask, 3))


def test_an_offset_in_half_precision_is_placed_in_float32():
    x, offset, mask = (noise(1, n, 9, 8).bfloat16() for n in (2, 16, 8))
    options = dict(kernel_size=3, padding=1, offset_scale=1.1, remove_center=True)
    y = deform_aggregate2d(x, offset, mask, **options)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, deform_aggregate2d(x.float(), offset.float(), mask.float(), **options).bfloat16())


def test_there_are_no_weights_but_those_of_the_projections_and_of_the_prediction():
    """Counts of InternImage-T's first stage: 64 channels, 4 groups."""
    parts = dict(value=64 * 64 + 64, output=64 * 64 + 64, predicted=108 * 64 + 108, depthwise=9 * 64 + 64, norm=2 * 64)
    three, four = DCNv3(64, device="meta"), DCNv4(64, device="meta")
    assert sum(p.numel() for p in three.parameters()) == sum(parts.values())
    assert sum(p.numel() for p in four.parameters()) == parts["value"] + parts["output"] + parts["predicted"]
    assert cost(four, (1, 64, 56, 56)).macs == 56**2 * (2 * 64 * 64 + 108 * 64)


@pytest.mark.parametrize("make", [DCNv3, DCNv4])
def test_at_the_start_samples_lie_on_the_grid(make):
    layer, x = make(8, groups=2, dtype=torch.float64), noise(1, 8, 9, 7)
    offset, mask = layer.predict(x)
    assert offset.abs().max() == 0
    assert_close(mask, torch.full_like(mask, 1 / 9 if make is DCNv3 else 0))
    mean = F.avg_pool2d(layer.value_proj(x), 3, 1, 1)
    expected = layer.output_proj(mean if make is DCNv3 else 0 * mean)
    assert_close(layer(x), expected)


def test_the_masks_of_version_3_are_shares_and_those_of_version_4_are_not():
    x = noise(1, 8, 9, 7)
    for make, bounded in ((DCNv3, True), (DCNv4, False)):
        layer = make(8, groups=2, dtype=torch.float64)
        torch.nn.init.normal_(layer.conv_offset.weight)
        sums = layer.predict(x)[1].unflatten(1, (2, 9)).sum(2)
        assert torch.allclose(sums, torch.ones_like(sums)) is bounded


def test_it_learns_to_move_what_it_reads():
    """The target is the input, moved by a pixel and a half: offsets of a bias alone find it, without a kernel."""
    torch.manual_seed(0)
    x = F.avg_pool2d(torch.randn(4, 2, 24, 22), 5, 1)
    target = definitions.active_shift2d(x, torch.tensor([[1.5, -0.5]] * 2))
    layer = DeformableAggregation2d(2, groups=1, projections=False, predictor_size=None)
    layer.conv_offset.weight.requires_grad_(False)
    optimizer = torch.optim.Adam([layer.conv_offset.bias], lr=0.05)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = F.mse_loss(layer(x)[..., 3:-3, 3:-3], target[..., 3:-3, 3:-3])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: DeformableAggregation2d(8, 4), ValueError, "kernel_size must be odd, got 4"),
        (lambda: DeformableAggregation2d(8, predictor_size=2), ValueError, "predictor_size must be odd, got 2"),
        (lambda: DeformableAggregation2d(8, groups=3), ValueError, "groups must divide channels=8, got 3"),
        (lambda: DCNv3(8, offset_scale=0), ValueError, r"offset_scale must lie in \(0, inf\), got 0"),
        (lambda: DCNv4(8, 1, remove_center=True), ValueError, "remove_center needs .* larger than 1×1, got 1×1"),
        (lambda: DCNv4(8)(torch.zeros(1, 5, 9, 9)), ValueError, r"input of DCNv4 must be \[B, 8, H, W\]"),
        (lambda: call(kernel_size=(2, 3), remove_center=True), ValueError, "remove_center needs .* got 2×3"),
        (lambda: call(groups=3), ValueError, "groups must divide channels=4, got 3"),
        (lambda: call(offset=noise(2, 18, 5, 5)), ValueError, r"offset .* must be \[2, 36, 5, 5\], got .* \(2, 18,"),
        (lambda: call(mask=noise(2, 9, 5, 5)), ValueError, r"mask .* must be \[2, 18, 5, 5\], got .* \(2, 9, 5, 5\)"),
        (lambda: call(stride=2), ValueError, r"offset .* must be \[2, 36, 3, 3\]"),
        (lambda: call(remove_center=True), ValueError, r"offset .* must be \[2, 32, 5, 5\]"),
        (lambda: call(mask=None), TypeError, "mask of deform_aggregate2d must be a tensor"),
        (lambda: call(mask=noise(2, 18, 5, 5).float()), ValueError, "mask .* must be of torch.float64 like the rest"),
        (lambda: call(kernel_size=9), ValueError, "deform_aggregate2d: a kernel of 9×9"),
        (lambda: call(offset_scale="2"), TypeError, "offset_scale must be a number, got '2'"),
    ],
)
def test_bad_arguments_are_refused(build, error, says):
    with pytest.raises(error, match=says):
        build()


def call(**changed):
    given = dict(input=noise(2, 4, 5, 5), offset=noise(2, 36, 5, 5), mask=noise(2, 18, 5, 5), kernel_size=3, groups=2)
    return deform_aggregate2d(**given | dict(padding=1) | changed)
