import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same
from torch import nn

from convnotes import (
    ActiveShift2d,
    active_shift2d,
    active_shift_groups,
    definitions,
    scale_active_shift_steps,
    shift2d,
)
from convnotes.measure import measured_receptive_field, receptive_field


def images(channels=3, height=11, width=7, **kw):
    return torch.randn(2, channels, height, width, dtype=torch.float64, **kw)


def test_whole_displacements_make_active_shift_the_shift():
    x, d = images(8, requires_grad=True), torch.randint(-3, 4, (8, 2))
    assert_same(active_shift2d(x, d.double()), shift2d(x, d), (x,))


@pytest.mark.parametrize("radius", [0.7, 3.3, 30.0])
def test_active_shift_matches_the_definition_forward_and_gradient(radius):
    x = images(6, requires_grad=True)
    d = ((2 * torch.rand(6, 2, dtype=torch.float64) - 1) * radius).requires_grad_()
    assert_same(active_shift2d(x, d), definitions.active_shift2d(x, d), (x, d))


def test_active_shift_passes_double_gradcheck_forwards_and_backwards():
    x = images(3, 4, 5, requires_grad=True)
    d = (torch.randint(-2, 3, (3, 2)) + 0.1 + 0.8 * torch.rand(3, 2, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(active_shift2d, (x, d), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(active_shift2d, (x, d))


def test_half_a_pixel_is_the_mean_of_two():
    x = torch.tensor([[[[1.0, 3.0, 7.0]]]])
    assert active_shift2d(x, torch.tensor([[0.0, 0.5]])).tolist() == [[[[2.0, 5.0, 3.5]]]]
    assert active_shift2d(x, torch.tensor([[0.0, -0.25]])).tolist() == [[[[0.75, 2.5, 6.0]]]]


def test_on_a_whole_displacement_the_derivative_is_the_one_to_the_right():
    x = torch.tensor([[[[1.0, 3.0, 7.0]]]])
    d = torch.zeros(1, 2, requires_grad=True)
    active_shift2d(x, d)[0, 0, 0, 1].backward()
    assert d.grad.tolist() == [[-3.0, 4.0]]  # down: 0 − 3; right: 7 − 3


def test_vmap_of_active_shift_maps_displacements_too():
    x, d = images(4), torch.randn(3, 4, 2, dtype=torch.float64)
    mapped = torch.vmap(active_shift2d, in_dims=(None, 0))(x, d)
    assert_close(mapped, torch.stack([active_shift2d(x, one) for one in d]))


def test_active_displacements_start_within_their_radius():
    d = ActiveShift2d(500, radius=2.5).displacements
    assert d.abs().max() < 2.5
    assert 1.3 < d.std() < 1.6  # 2.5 / √3 = 1.44


def test_displacements_get_a_slower_group_without_decay():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), ActiveShift2d(4), nn.Conv2d(4, 5, 1), ActiveShift2d(5))
    rest, slow = active_shift_groups(model, lr=0.1)
    assert [p.shape for p in slow["params"]] == [(4, 2), (5, 2)]
    assert slow["lr"] == pytest.approx(1e-4)
    assert slow["weight_decay"] == 0
    assert len(rest["params"]) == 4
    assert rest["lr"] == 0.1
    torch.optim.SGD([rest, slow], lr=1.0, weight_decay=1e-4)


@pytest.mark.parametrize("scale", [1.0, 65536.0])
def test_normalised_steps_have_length_one_whatever_the_scale_of_the_loss(scale):
    layer, x = ActiveShift2d(4, dtype=torch.float64), images(4)
    before = layer.displacements.detach().clone()
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    handle = scale_active_shift_steps(layer, optimizer)
    (layer(x).square().mean() * scale).backward()
    direction = F.normalize(layer.displacements.grad, dim=1)
    optimizer.step()
    assert_close(before - layer.displacements.detach(), direction)
    handle.remove()
    layer.displacements.grad.fill_(3.0)
    optimizer.step()
    assert_close(before - layer.displacements.detach(), direction + 3)


def test_the_reach_of_an_active_shift_is_that_of_what_it_has_learned():
    layer = ActiveShift2d(3)
    with torch.no_grad():
        layer.displacements.copy_(torch.tensor([[-1.5, 0.0], [0.2, 0.0], [0.0, 2.1]]))
    assert layer.reach() == ((2, 1, 1), (0, 3, 1))


def test_the_measured_field_of_active_shift_is_where_its_displacements_reach():
    layer = ActiveShift2d(2).double()
    with torch.no_grad():
        layer.displacements.copy_(torch.tensor([[1.5, -2.0], [-1.0, 1.25]]))
    assert measured_receptive_field(nn.Sequential(layer), (1, 2, 15, 15)) == (4, 5)


@pytest.mark.parametrize(
    ("build", "problem", "says"),
    [
        (lambda: active_shift2d(images(3), torch.zeros(3, 2).long()), TypeError, "real numbers .* got torch.int64"),
        (lambda: active_shift2d(images(3), [[0.0, 1.0]] * 3), TypeError, "real numbers .* got list"),
        (
            lambda: active_shift2d(images(3), torch.zeros(3, 2)),
            ValueError,
            r"input of active_shift2d must be of torch\.float32 like the rest, got torch\.float64",
        ),
        (
            lambda: active_shift2d(images(3), torch.zeros(4, 2).double()),
            ValueError,
            r"input of active_shift2d must be \[B, 4, H, W\], got shape \(2, 3, 11, 7\)",
        ),
        (lambda: ActiveShift2d(3, radius=-1), ValueError, r"radius must lie in \[0, inf\), got -1"),
        (lambda: active_shift_groups(nn.Conv2d(3, 4, 1), 0.1), ValueError, "Conv2d holds no ActiveShift2d"),
        (lambda: receptive_field(ActiveShift2d(3)), ValueError, "learned"),
    ],
)
def test_bad_arguments_are_refused(build, problem, says):
    with pytest.raises(problem, match=says):
        build()
