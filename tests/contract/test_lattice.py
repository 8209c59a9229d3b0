"""The lattice of operators: each is a special case of the next one, in its values and in its gradients.

Every line below has the special case as its definition and the general operator as the library computes it. The general
one is given the letters of the special case, put into its own arguments, and something more that is 0 here: with it at
0 both agree, gradients with respect to all letters included, and away from 0 they do not. The lines are those of
`convnotes.lattice`, which the map of the book draws.
"""

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_same
from support.inclusions import PART_4, B, C, H, O, W, normal
from torch.func import functional_call

from convnotes import NonLocal2d, active_conv2d, active_shift2d, definitions, deform_conv2d, shift2d
from convnotes.lattice import INCLUSIONS


def taps(dilation: float = 1.0) -> torch.Tensor:
    """The places of a 3×3 kernel from its middle, (y, x), in raster order."""
    k = torch.arange(9)
    return torch.stack([k // 3 - 1, k % 3 - 1], 1).double() * dilation


def everywhere(positions: torch.Tensor) -> torch.Tensor:
    """Positions [9, 2] from the output place as the offsets of a 3×3 kernel, the same at every place."""
    return (positions - taps()).reshape(1, 18, 1, 1).expand(B, 18, H, W)


def block_diagonal(weight: torch.Tensor, blocks: int) -> torch.Tensor:
    """A grouped kernel with `blocks` times fewer groups: zeros between the inputs and outputs of different groups."""
    outputs = len(weight) // blocks
    own = torch.eye(blocks, dtype=weight.dtype).repeat_interleave(outputs, 0)  # [O, blocks]
    return torch.einsum("og,oikl->ogikl", own, weight).flatten(1, 2)


def embedded(x, g, out, theta):
    """The embedded block with θ = φ, a square matrix, and no norm."""
    block = NonLocal2d(C, C, "embedded", norm=False, dtype=x.dtype)
    none = x.new_zeros(C)
    weights = {"theta": theta, "phi": torch.eye(C, dtype=x.dtype), "g": g, "out": out}
    state = {f"{name}.weight": matrix[:, :, None, None] for name, matrix in weights.items()}
    return functional_call(block, state | {f"{name}.bias": none for name in weights}, x)


def gaussian(x, g, out):
    y = definitions.non_local(x, x, definitions.pointwise(x, g), "gaussian")
    return x + definitions.pointwise(y, out)


STEPS = [(0, 0), (1, -2), (-1, 0), (2, 1)]  # (dy, dx) of each channel
x, weight = (B, C, H, W), (O, C, 3, 3)

# the inclusion → the letters' shapes, the special case of them, the general operator of them and of something more,
# and the something more
LATTICE = {
    "convolution ⊂ dilated": (
        [x, weight],
        lambda x, w: definitions.conv2d(x, w, padding=1),
        lambda x, w, more: F.conv2d(x, w, padding=1 + more, dilation=1 + more),
        lambda: 1,
    ),
    "dilated ⊂ active": (
        [x, weight],
        lambda x, w: definitions.conv2d(x, w, padding=2, dilation=2),
        lambda x, w, more: active_conv2d(x, w.flatten(2), taps(2) + more),
        lambda: 0.3 * normal(9, 2),
    ),
    "active ⊂ deformable v1": (
        [x, (O, C, 9), (9, 2)],
        lambda x, w, p: definitions.active_conv2d(x, w, p),
        lambda x, w, p, more: deform_conv2d(x, everywhere(p) + more, w.unflatten(2, (3, 3)), padding=1),
        lambda: normal(B, 18, H, W),
    ),
    "convolution ⊂ deformable v1": (
        [x, weight],
        lambda x, w: definitions.conv2d(x, w, padding=1),
        lambda x, w, more: deform_conv2d(x, x.new_zeros(B, 18, H, W) + more, w, padding=1),
        lambda: normal(B, 18, H, W),
    ),
    "deformable v1 ⊂ deformable v2": (
        [x, weight, (B, 18, H, W)],
        lambda x, w, offset: definitions.deform_conv2d(x, offset, w, padding=1),
        lambda x, w, offset, more: deform_conv2d(x, offset, w, padding=1, mask=x.new_ones(B, 9, H, W) + more),
        lambda: normal(B, 9, H, W),
    ),
    "deformable v1 ⊂ offset groups": (
        [x, weight, (B, 18, H, W)],
        lambda x, w, offset: definitions.deform_conv2d(x, offset, w, padding=1),
        lambda x, w, offset, more: deform_conv2d(x, torch.cat([offset, offset + more], 1), w, padding=1),
        lambda: normal(B, 18, H, W),
    ),
    "depthwise ⊂ grouped": (
        [x, (C, 1, 3, 3)],
        lambda x, w: definitions.conv2d(x, w, padding=1, groups=C),
        lambda x, w, more: F.conv2d(
            x, torch.cat([block_diagonal(half, 2) for half in w.split(2)]) + more, padding=1, groups=2
        ),
        lambda: normal(C, 2, 3, 3),
    ),
    "grouped ⊂ convolution": (
        [x, (O, C // 2, 3, 3)],
        lambda x, w: definitions.conv2d(x, w, padding=1, groups=2),
        lambda x, w, more: F.conv2d(x, block_diagonal(w, 2) + more, padding=1),
        lambda: normal(*weight),
    ),
    "separable ⊂ convolution": (
        [x, (C, 1, 3, 3), (O, C)],
        lambda x, d, w: definitions.separable(x, d, w, padding=1),
        lambda x, d, w, more: F.conv2d(x, torch.einsum("oc,cuv->ocuv", w, d[:, 0]) + more, padding=1),
        lambda: normal(*weight),
    ),
    "Gaussian non-local ⊂ embedded non-local": (
        [x, (C, C), (C, C)],
        gaussian,
        lambda x, g, out, more: embedded(x, g, out, torch.eye(C, dtype=x.dtype) + more),
        lambda: normal(C, C),
    ),
    "active shift ⊂ offset groups": (
        [x, (C, 2)],
        lambda x, steps: definitions.active_shift2d(x, steps),
        lambda x, steps, more: deform_conv2d(
            x, steps.reshape(1, 2 * C, 1, 1).expand(B, 2 * C, H, W) + more, x.new_ones(C, 1, 1, 1)
        ),
        lambda: normal(B, 2 * C, H, W),
    ),
    "1×1 ⊂ convolution": (
        [x, (O, C)],
        lambda x, w: definitions.pointwise(x, w),
        lambda x, w, more: F.conv2d(x, F.pad(w[:, :, None, None], [1] * 4) + more, padding=1),
        lambda: normal(*weight),
    ),
    "small kernels ⊂ convolution": (
        [x, (3, C, 3, 3), (O, 3, 3, 3)],
        lambda x, a, b: definitions.kernel_stack(x, [a, b], [None, None], activation=False),
        lambda x, a, b, more: F.conv2d(x, composed(a, b) + more),
        lambda: normal(O, C, 5, 5),
    ),
    "thin kernels ⊂ convolution": (
        [x, (3, C, 3, 1), (O, 3, 1, 3)],
        lambda x, a, b: definitions.conv2d(definitions.conv2d(x, a, padding=(1, 0)), b, padding=(0, 1)),
        lambda x, a, b, more: F.conv2d(x, composed(a, b) + more, padding=1),
        lambda: normal(*weight),
    ),
    "mixed sizes ⊂ depthwise": (
        [x, (2, 1, 3, 3), (2, 1, 5, 5)],
        lambda x, a, b: definitions.mixed_conv2d(x, [a, b]),
        lambda x, a, b, more: F.conv2d(x, torch.cat([F.pad(a, [1] * 4), b]) + more, padding=2, groups=C),
        lambda: normal(C, 1, 5, 5),
    ),
    "shift ⊂ depthwise": (
        [x],
        lambda x: definitions.shift2d(x, torch.tensor(STEPS)),
        lambda x, more: F.conv2d(x, one_tap(x.dtype)[:, None] + more, padding=2, groups=C),
        lambda: normal(C, 1, 5, 5),
    ),
    "1×1 ⊂ shift and 1×1": (
        [x, (O, C)],
        lambda x, w: definitions.pointwise(x, w),
        lambda x, w, more: F.conv2d(shift2d(x, [(more, 0)] * C), w[:, :, None, None]),
        lambda: 1,
    ),
    "shift and 1×1 ⊂ separable": (
        [x, (O, C)],
        lambda x, w: definitions.pointwise(definitions.shift2d(x, torch.tensor(STEPS)), w),
        lambda x, w, more: F.conv2d(
            F.conv2d(x, one_tap(x.dtype)[:, None] + more, padding=2, groups=C), w[:, :, None, None]
        ),
        lambda: normal(C, 1, 5, 5),
    ),
    "shift ⊂ active shift": (
        [x],
        lambda x: definitions.shift2d(x, torch.tensor(STEPS)),
        lambda x, more: active_shift2d(x, torch.tensor(STEPS).double() + more),
        lambda: normal(C, 2),
    ),
    "shift and 1×1 ⊂ convolution": (
        [x, (O, C)],
        lambda x, w: definitions.pointwise(shift2d(x, STEPS), w),
        lambda x, w, more: F.conv2d(x, one_hot(w) + more, padding=2),
        lambda: normal(O, C, 5, 5),
    ),
    **PART_4,
}


def one_tap(dtype: torch.dtype) -> torch.Tensor:
    """A 5×5 kernel for each channel, 1 where its shift reads and 0 elsewhere: `[C, 5, 5]`."""
    kernel = torch.zeros(C, 5, 5, dtype=dtype)
    for c, (dy, dx) in enumerate(STEPS):
        kernel[c, 2 + dy, 2 + dx] = 1
    return kernel


def one_hot(pointwise: torch.Tensor) -> torch.Tensor:
    """The 5×5 kernel with one tap for each input channel, where its shift reads."""
    return torch.einsum("oc,cuv->ocuv", pointwise, one_tap(pointwise.dtype))


def composed(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The one kernel that two kernels in a row are, `[M, C, …]` and `[O, M, …]`."""
    border = [side for size in second.shape[:1:-1] for side in (size - 1, size - 1)]
    spread = F.conv2d(F.pad(first.transpose(0, 1), border), second.flip(2, 3))  # [C, O, …]
    return spread.transpose(0, 1)


def test_each_inclusion_of_the_package_is_proven_here_and_no_other():
    assert set(LATTICE) == {f"{one.special} ⊂ {one.general}" for one in INCLUSIONS}
    assert len(LATTICE) == len(INCLUSIONS)


@pytest.mark.parametrize("name", LATTICE)
def test_it_is_a_special_case_in_its_values_and_gradients_and_not_the_whole(name):
    shapes, special, general, more = LATTICE[name]
    letters = [normal(*shape).requires_grad_() for shape in shapes]
    expected = special(*letters)
    assert_same(general(*letters, 0), expected, letters)
    assert not torch.allclose(general(*letters, more()), expected, atol=1e-3)


def test_constant_offsets_and_active_positions_agree_to_1e_14():
    """The one convolution with a splatted kernel, and the gather of four pixels a sample: two ways, one operator."""
    image, kernel, positions = torch.rand(B, C, H, W, dtype=torch.float64), normal(O, C, 9) / 6, taps() + normal(9, 2)
    splatted = active_conv2d(image, kernel, positions)
    gathered = deform_conv2d(image, everywhere(positions), kernel.unflatten(2, (3, 3)), padding=1)
    assert (splatted - gathered).abs().max() < 1e-14
