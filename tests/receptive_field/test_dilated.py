import itertools
import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close
from torch import nn

import convnotes
from convnotes import ASPP, AtrousCascade, DeepLabV3, deeplabv3_resnet50, definitions
from convnotes.measure import cost, measured_receptive_field, receptive_field
from convnotes.receptive_field.dilated import coverage, gridding_holes, hdc_distance

(NAMES,) = json.loads((Path(__file__).parent / "torchvision_names.json").read_text()).values()


def small_deeplab(**options) -> DeepLabV3:
    return DeepLabV3((1, 1, 1, 1), 5, aspp_channels=4, **options)


# What a stack of rates sees


@pytest.mark.parametrize(("rates", "kernel_size"), [((1, 2, 5), 3), ((2, 2, 2), 3), ((3, 1), 2), ((1,), 1)])
def test_coverage_counts_what_a_stack_of_ones_adds_up(rates, kernel_size):
    """Kernels of ones: the gradient of an output with respect to a pixel is the number of paths between them."""
    side = 1 + (kernel_size - 1) * sum(rates)
    x = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    y = x
    for rate in rates:
        y = F.conv2d(y, torch.ones(1, 1, kernel_size, kernel_size, dtype=torch.float64), dilation=rate)
    (paths,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(coverage(rates, kernel_size).double(), paths[0, 0])


def test_equal_rates_leave_a_grid_and_hybrid_rates_cure_it():
    assert gridding_holes((2, 2, 2)) == 13**2 - 7**2
    assert gridding_holes((1, 2, 5)) == 0  # Wang et al. 2018, section 3.2
    assert coverage((1, 2, 5)).shape == (17, 17)
    assert gridding_holes((1, 2, 9)) > 0


def test_rates_that_double_see_exponentially_far_without_holes():
    """Yu & Koltun 2016, section 2: after rates 1, 2, …, 2^i the field is 2^(i+2) − 1 pixels a side."""
    for i in range(6):
        rates = [2**n for n in range(i + 1)]
        assert coverage(rates).shape == (2 ** (i + 2) - 1,) * 2
        assert gridding_holes(rates) == 0


def test_the_hybrid_criterion_is_enough_after_a_first_rate_of_one_and_not_needed():
    assert hdc_distance((1, 2, 5)) == 2
    assert hdc_distance((1, 2, 9)) == 5
    assert hdc_distance((1, 5, 1)) == 9
    for kernel_size, layers in itertools.product((3, 5), (2, 3, 4)):
        for rest in itertools.product(range(1, 8), repeat=layers - 1):
            if hdc_distance((1, *rest)) <= kernel_size:
                assert gridding_holes((1, *rest), kernel_size) == 0
    assert hdc_distance((2, 2, 2)) <= 3
    assert gridding_holes((2, 2, 2)) > 0
    assert hdc_distance((1, 1, 8)) > 5
    assert gridding_holes((1, 1, 8), kernel_size=5) == 0


# ASPP


def test_the_branches_are_the_rates_between_a_pointwise_kernel_and_the_picture():
    layer = ASPP(3, 2, rates=(2, 5))
    assert [(b[0].kernel_size, b[0].dilation) for b in layer.convs[:-1]] == [
        ((1, 1), (1, 1)),
        ((3, 3), (2, 2)),
        ((3, 3), (5, 5)),
    ]
    x = torch.randn(2, 3, 9, 6)
    pooled = layer.eval().convs[-1](x)
    assert pooled.shape == (2, 2, 9, 6)
    assert torch.equal(pooled, pooled[..., :1, :1].expand_as(pooled))


def test_a_rate_as_large_as_the_map_is_a_pointwise_kernel():
    """Chen et al. 2017, section 3.3: only the middle tap is left inside."""
    conv = ASPP(3, 4, rates=(9,), dtype=torch.float64).convs[1][0]
    x = torch.randn(1, 3, 9, 8, dtype=torch.float64)
    assert_close(conv(x), F.conv2d(x, conv.weight[:, :, 1:2, 1:2]))


def test_a_branch_sees_nothing_between_its_taps():
    x = torch.randn(1, 2, 21, 21, dtype=torch.float64, requires_grad=True)
    branch = ASPP(2, 1, rates=(6,), dtype=torch.float64).convs[1][0]
    (g,) = torch.autograd.grad(branch(x)[0, 0, 10, 10], x)
    assert g[0, 0].nonzero().tolist() == [[i, j] for i in (4, 10, 16) for j in (4, 10, 16)]


def test_in_training_with_image_pooling_a_batch_of_one_is_refused():
    with pytest.raises(ValueError, match="ASPP in training needs a batch of at least 2, got 1: image pooling"):
        ASPP(3, 4).train()(torch.randn(1, 3, 9, 9))
    with pytest.raises(ValueError, match="ASPP in training needs a batch of at least 2"):
        small_deeplab().train()(torch.randn(1, 3, 33, 33))
    assert ASPP(3, 4).eval()(torch.randn(1, 3, 9, 9)).shape == (1, 4, 9, 9)
    assert ASPP(3, 4, image_pooling=False).train()(torch.randn(1, 3, 9, 9)).shape == (1, 4, 9, 9)


def test_without_image_pooling_the_field_is_that_of_the_largest_rate():
    layer = ASPP(2, 3, rates=(2, 5, 3), image_pooling=False)
    assert receptive_field(layer) == (11, 1, 5)
    assert measured_receptive_field(layer, (1, 2, 31, 31)) == 11


def test_with_image_pooling_the_field_is_the_whole_picture_and_the_closed_form_says_so():
    assert receptive_field(ASPP(2, 3)) == (math.inf, 1, math.inf)
    with pytest.raises(ValueError, match="reaches the border of an image of 31×31"):
        measured_receptive_field(ASPP(2, 3, rates=(1,)), (1, 2, 31, 31))


def test_dropout_acts_on_the_projection_in_training():
    x = torch.randn(2, 3, 32, 32)
    torch.manual_seed(0)
    share = (ASPP(3, 64, rates=(1,), dropout=0.9).train()(x) == 0).double().mean()
    torch.manual_seed(0)
    assert share > (ASPP(3, 64, rates=(1,), dropout=0.0).train()(x) == 0).double().mean() + 0.3


# The cascade


def test_rates_of_the_cascade_are_the_paper_s():
    assert AtrousCascade(8, 2, device="meta").rates == ((2, 4, 2), (4, 8, 4), (8, 16, 8), (16, 32, 16))
    first = AtrousCascade(8, 2, blocks=1, multi_grid=(1, 2, 4), output_stride=16, device="meta")
    assert first.rates == ((2, 4, 8),)  # the example of Chen et al. 2017, section 3.2.1
    deep = AtrousCascade(8, 2, multi_grid=(1, 1, 1), output_stride=8, device="meta")
    assert [rates[0] for rates in deep.rates] == [4, 8, 16, 32]
    for block, rates in zip(deep.blocks, deep.rates, strict=True):
        assert tuple(bottleneck.conv2.dilation[0] for bottleneck in block) == rates


def test_the_cascade_keeps_the_size_and_its_field_is_the_sum_of_its_rates():
    layer = AtrousCascade(4, 1, blocks=2, multi_grid=(1, 2))
    assert layer.rates == ((2, 4), (4, 8))
    assert layer.eval()(torch.randn(1, 4, 11, 7)).shape == (1, 4, 11, 7)
    assert receptive_field(layer) == (1 + 2 * (2 + 4 + 4 + 8), 1, 18)
    assert measured_receptive_field(layer, (1, 4, 61, 61)) == 37


def test_the_first_block_of_the_cascade_is_the_last_stage_of_a_dilated_resnet():
    """Without the multi-grid, and but for the stage's first bottleneck, which torchvision leaves at the old rate."""
    net = convnotes.ResNet((1, 1, 1, 3), replace_stride_with_dilation=(False, False, True), device="meta")
    cascade = AtrousCascade(1024, 512, blocks=1, multi_grid=(1, 1, 1), output_stride=16, device="meta")
    assert {k: v.shape for k, v in cascade.blocks[0].state_dict().items()} == {
        k: v.shape for k, v in net.layer4.state_dict().items()
    }
    assert [b.conv2.dilation for b in cascade.blocks[0]][1:] == [b.conv2.dilation for b in net.layer4][1:]


# DeepLabV3


def test_the_published_number_of_parameters_with_and_without_the_side_classifier():
    assert sum(p.numel() for p in deeplabv3_resnet50(device="meta").parameters()) == 39_638_869
    assert sum(p.numel() for p in deeplabv3_resnet50(aux_loss=True, device="meta").parameters()) == 42_004_074


def test_multiply_adds_are_the_published_ones():
    """178.722 GMAC at 520×520 in torchvision's list: there the side classifier works in inference too, here not."""
    side = 65 * 65 * (9 * 1024 * 256 + 256 * 21)
    macs = cost(deeplabv3_resnet50(aux_loss=True, device="meta"), (1, 3, 520, 520)).macs
    assert round((macs + side) / 1e9, 3) == 178.722


def test_names_and_shapes_are_torchvision_s_in_its_order():
    ours = deeplabv3_resnet50(aux_loss=True, device="meta").state_dict()
    assert {key: list(value.shape) for key, value in ours.items()} == NAMES
    assert list(ours) == list(NAMES)
    plain = deeplabv3_resnet50(device="meta").state_dict()
    assert list(plain) == [key for key in NAMES if not key.startswith("aux_classifier.")]


def test_the_same_weights_give_torchvision_s_output():
    try:
        from torchvision.models.segmentation import deeplabv3_resnet50 as reference
    except Exception as problem:  # no build of torchvision for this torch, or none at all
        pytest.skip(f"torchvision cannot be imported here: {problem}")
    theirs = reference(weights=None, weights_backbone=None, aux_loss=True).eval()
    ours = deeplabv3_resnet50(aux_loss=True).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 97, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x)["out"])


@pytest.mark.parametrize("stride", [8, 16])
def test_the_map_of_logits_has_the_output_stride_and_is_enlarged_to_the_picture(stride):
    net = small_deeplab(output_stride=stride).eval()
    assert net.classifier[0].rates == ((12, 24, 36) if stride == 8 else (6, 12, 18))
    x = torch.randn(1, 3, 65, 33)
    _, fourth = net.backbone(x)
    assert fourth.shape[2:] == (-(-65 // stride), -(-33 // stride))
    coarse, logits = net.classifier(fourth), net(x)
    assert logits.shape == (1, 5, 65, 33)
    assert_close(logits, F.interpolate(coarse, size=(65, 33), mode="bilinear", align_corners=False))


def test_side_logits_come_out_in_training_only():
    net = small_deeplab(aux_loss=True)
    x = torch.randn(2, 3, 33, 18)
    logits, side = net.train()(x)
    assert logits.shape == side.shape == (2, 5, 33, 18)
    assert net.eval()(x).shape == (2, 5, 33, 18)
    assert small_deeplab().train()(x).shape == (2, 5, 33, 18)


def test_the_field_of_the_backbone_has_a_closed_form_and_that_of_the_network_is_the_picture():
    net = small_deeplab()
    field = receptive_field(net.backbone)
    assert field.stride == 8
    assert measured_receptive_field(net, (1, 3, 301, 301), at="backbone.layer4") == field.size
    assert receptive_field(net) == (math.inf, 1, math.inf)


@pytest.mark.parametrize("size", [(1, 1), (7, 50)], ids=str)
def test_any_size_runs(size):
    assert small_deeplab().eval()(torch.randn(1, 3, *size)).shape == (1, 5, *size)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: ASPP(0, 4), "in_channels must be at least 1, got 0"),
        (lambda: ASPP(3, 4, rates=()), r"rates must hold at least 1, got \(\)"),
        (lambda: ASPP(3, 4, rates=(6, 0)), r"rates\[1\] must be at least 1, got 0"),
        (lambda: ASPP(3, 4, dropout=1.0), r"dropout must lie in \[0, 1\), got 1.0"),
        (lambda: AtrousCascade(3, 4, blocks=0), "blocks must be at least 1, got 0"),
        (lambda: AtrousCascade(3, 4, multi_grid=()), "multi_grid must hold at least 1"),
        (lambda: AtrousCascade(3, 4, output_stride=32), "output_stride must be 8 or 16, got 32"),
        (lambda: DeepLabV3(output_stride=4, device="meta"), "output_stride must be 8 or 16, got 4"),
        (lambda: DeepLabV3(num_classes=0, device="meta"), "num_classes must be at least 1"),
        (lambda: hdc_distance((2,)), r"rates must hold at least 2, got \(2,\)"),
        (lambda: coverage((1,) * 20), "20 layers of 3×3 have more paths than an int64 can count"),
        (lambda: coverage((1, 2), kernel_size=0), "kernel_size must be at least 1"),
    ],
)
def test_bad_arguments_are_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: ASPP(3, 4, rates=6), "rates must be a sequence of ints, got 6"),
        (lambda: ASPP(3, 4, rates=(1.5,)), r"rates\[0\] must be an int, got 1.5"),
        (lambda: coverage("12"), "rates must be a sequence of ints, got '12'"),
    ],
)
def test_arguments_of_a_wrong_type_are_refused(build, says):
    with pytest.raises(TypeError, match=says):
        build()


def test_a_dilated_convolution_is_torch_s_with_a_spread_kernel():
    conv = nn.Conv2d(2, 3, 3, dilation=(2, 3), padding=(2, 3), dtype=torch.float64)
    x = torch.randn(1, 2, 11, 7, dtype=torch.float64)
    spread = torch.zeros(3, 2, 5, 7, dtype=torch.float64)
    spread[..., ::2, ::3] = conv.weight
    assert_close(conv(x), F.conv2d(x, spread, conv.bias, padding=(2, 3)))
    assert_close(conv(x), definitions.conv2d(x, conv.weight, conv.bias, 1, conv.padding, conv.dilation))
