"""What the authors' operators and layers compute, in their layouts, and here of what the converters give."""

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same
from support.dcn_references import dcnv3, dcnv4, packed

from convnotes import DCNv3, DCNv4, DeformableAggregation2d, deform_aggregate2d, from_dcn_state, from_dcnv3, from_dcnv4
from convnotes.geometry import output_size

# kernel, stride, padding, dilation, offset_scale, remove_center
WINDOWS = {
    "plain": ((3, 3), (1, 1), (1, 1), (1, 1), 1.0, False),
    "scaled": ((3, 3), (1, 1), (1, 1), (1, 1), 2.0, False),
    "rectangular": ((3, 5), (2, 1), (1, 2), (1, 2), 0.7, False),
    "even": ((2, 4), (1, 2), (2, 1), (2, 1), 1.3, False),
    "no-middle": ((3, 3), (1, 1), (0, 2), (1, 1), 1.0, True),
    "scaled-no-middle": ((5, 5), (2, 2), (3, 2), (1, 1), 1.5, True),
}
every_window = pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
GROUPS, CHANNELS = 3, 6


def noise(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def tensors(window):
    """The image, the offsets and the masks that DCNv3 is given, and the arguments of `deform_aggregate2d`."""
    kernel, stride, padding, dilation, scale, removed = window
    size, K = output_size((11, 8), kernel, stride, padding, dilation), kernel[0] * kernel[1] - removed
    x, offset, mask = noise(2, 11, 8, CHANNELS), noise(2, *size, GROUPS * K * 2), noise(2, *size, GROUPS * K)
    options = dict(stride=stride, padding=padding, dilation=dilation, groups=GROUPS)
    return (x, offset, mask), kernel, options | dict(offset_scale=scale, remove_center=removed)


@every_window
def test_version_3_with_its_paddings_the_other_way_round(window):
    given, kernel, options = tensors(window)
    stride, padding, dilation, groups, scale, removed = options.values()
    expected = dcnv3(*given, kernel, stride, padding[::-1], dilation, groups, scale, removed)
    x, offset, mask = given
    converted = from_dcnv3(offset, mask, kernel, groups, removed)
    ours = deform_aggregate2d(x.permute(0, 3, 1, 2), *converted, kernel, **options).permute(0, 2, 3, 1)
    assert ours.is_contiguous()
    assert_same(ours, expected, given)


@every_window
def test_version_4_with_all_in_one_tensor(window):
    (x, offset, mask), kernel, options = tensors(window)
    stride, padding, dilation, groups, scale, removed = options.values()
    together = packed(offset, mask, groups).detach().requires_grad_()
    assert together.shape[3] % 8 == 0
    expected = dcnv4(x, together, kernel, stride, padding, dilation, groups, scale, removed)
    converted = from_dcnv4(together, kernel, groups, removed)
    ours = deform_aggregate2d(x.permute(0, 3, 1, 2), *converted, kernel, **options).permute(0, 2, 3, 1)
    assert_same(ours, expected, (x, together))


@every_window
def test_both_versions_of_the_authors_are_one_operator(window):
    given, kernel, options = tensors(window)
    stride, padding, dilation, groups, scale, removed = options.values()
    three = dcnv3(*given, kernel, stride, padding[::-1], dilation, groups, scale, removed)
    x, offset, mask = given
    together = packed(offset, mask, groups)
    assert_close(dcnv4(x, together, kernel, stride, padding, dilation, groups, scale, removed), three)


def linear(state, name, x):
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


@pytest.mark.parametrize("removed", [False, True])
def test_a_layer_with_the_weights_of_the_authors_version_3_is_theirs(removed):
    K, C = 9 - removed, CHANNELS
    shapes = {"dw_conv.0": (C, 1, 3, 3), "offset": (2 * GROUPS * K, C), "mask": (GROUPS * K, C), "dw_conv.1.1": (C,)}
    shapes |= {"input_proj": (C, C), "output_proj": (C, C)}
    state = {f"{name}.weight": noise(*shape).detach() for name, shape in shapes.items()}
    state |= {f"{name}.bias": noise(shape[0]).detach() for name, shape in shapes.items()}
    x = noise(2, 11, 8, C)
    y = F.conv2d(x.permute(0, 3, 1, 2), state["dw_conv.0.weight"], state["dw_conv.0.bias"], padding=1, groups=C)
    y = F.layer_norm(y.permute(0, 2, 3, 1), (C,), state["dw_conv.1.1.weight"], state["dw_conv.1.1.bias"], 1e-6)
    y = F.gelu(y)
    mask = linear(state, "mask", y).unflatten(3, (GROUPS, K)).softmax(4).flatten(3)
    window = ((3, 3), (1, 1), (1, 1), (1, 1), GROUPS, 1.4, removed)
    summed = dcnv3(linear(state, "input_proj", x), linear(state, "offset", y), mask, *window)
    layer = DCNv3(C, groups=GROUPS, offset_scale=1.4, remove_center=removed, dtype=torch.float64)
    layer.load_state_dict(from_dcn_state(state, 3, GROUPS, removed))
    ours = layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    assert_same(ours, linear(state, "output_proj", summed), [x])


@pytest.mark.parametrize("looks", [None, 3])
def test_a_layer_with_the_weights_of_the_authors_version_4_is_theirs(looks):
    C, channels = CHANNELS, -(-27 * GROUPS // 8) * 8
    shapes = {"offset_mask": (channels, C), "value_proj": (C, C), "output_proj": (C, C)}
    shapes |= {} if looks is None else {"offset_mask_dw": (C, 1, 3, 3)}
    state = {f"{name}.weight": noise(*shape).detach() for name, shape in shapes.items()}
    state |= {f"{name}.bias": noise(shape[0]).detach() for name, shape in shapes.items()}
    x = y = noise(2, 11, 8, C)
    if looks is not None:
        depthwise = state["offset_mask_dw.weight"], state["offset_mask_dw.bias"]
        y = F.conv2d(x.permute(0, 3, 1, 2), *depthwise, padding=1, groups=C).permute(0, 2, 3, 1)
    window = ((3, 3), (1, 1), (1, 1), (1, 1), GROUPS, 0.6)
    summed = dcnv4(linear(state, "value_proj", x), linear(state, "offset_mask", y), *window)
    layer = DCNv4(C, groups=GROUPS, offset_scale=0.6, predictor_size=looks, dtype=torch.float64)
    layer.load_state_dict(from_dcn_state(state, 3, GROUPS))
    ours = layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    assert_same(ours, linear(state, "output_proj", summed), [x])


def test_the_names_are_those_of_the_layer_and_no_others():
    state = {"center_feature_scale_proj.weight": torch.zeros(4, 8)}
    with pytest.raises(ValueError, match=r"a name of state must be .*offset.*, got 'center_feature_scale_proj'"):
        from_dcn_state(state, 3, 4)
    layer = DeformableAggregation2d(8, predictor_size=None, projections=False)
    state = {"offset_mask.weight": torch.zeros(112, 8), "offset_mask.bias": torch.zeros(112)}
    assert from_dcn_state(state, 3, 4).keys() == layer.state_dict().keys()


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: from_dcnv3(maps(18), maps(18), 3, 2), ValueError, r"offset of from_dcnv3 .*W_out, 36\], got shape"),
        (lambda: from_dcnv3(maps(36), maps(9), 3, 2), ValueError, r"mask of from_dcnv3 must be \[1, 5, 7, 18\]"),
        (lambda: from_dcnv4(maps(54), 3, 2), ValueError, r"offset_mask .*W_out, 56\], got shape"),
        (lambda: from_dcnv4(None, 3, 2), TypeError, "offset_mask of from_dcnv4 must be a tensor"),
        (lambda: from_dcnv4(maps(56), (2, 3), 2, True), ValueError, "remove_center needs"),
    ],
)
def test_bad_arguments_are_refused(build, error, says):
    with pytest.raises(error, match=says):
        build()


def maps(channels):
    return torch.zeros(1, 5, 7, channels)
