"""Scaled steps under a loss scale and in half precision: the same step whoever divides by the scale."""

import pytest
import torch
from torch import nn

from convnotes import ActiveConv2d, ActiveShift2d, Adder2d
from convnotes.operations.active_shift import scale_active_shift_steps
from convnotes.operations.adder import scale_adder_steps
from convnotes.receptive_field.active import scale_active_steps

ADDER = (lambda: Adder2d(3, 4, 3), scale_adder_steps, "weight")
BACKWARD = (lambda: Adder2d(3, 4, 3), lambda m, o: scale_adder_steps(m, o, when="backward"), "weight")
SHIFT = (lambda: ActiveShift2d(3), scale_active_shift_steps, "displacements")
ACTIVE = (lambda: ActiveConv2d(3, 4, 5), scale_active_steps, "positions")
KEPT = (lambda: ActiveConv2d(3, 4, 5), lambda m, o: scale_active_steps(m, o, normalise=False), "positions")
hooks = pytest.mark.parametrize(
    ("make", "hook", "name"), [ADDER, SHIFT, ACTIVE, KEPT], ids=["adder", "shift", "active", "not normalised"]
)
optimizers = pytest.mark.parametrize(
    "optimizer",
    [lambda p, **kw: torch.optim.SGD(p, lr=0.1, **kw), lambda p, **kw: torch.optim.AdamW(p, lr=0.1, **kw)],
    ids=["SGD", "AdamW"],
)


def step(make, hook, name, optimizer, scaler=None, unscale_first=False, spoil=False, **options):
    """How far the scaled parameter and all others move in two steps."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 3, 1), make())
    stepper = optimizer(net.parameters(), **options)
    hook(net, stepper)
    before = {key: p.detach().clone() for key, p in net.named_parameters()}
    for x in torch.rand(2, 2, 3, 8, 8):
        stepper.zero_grad()
        loss = (net(x) ** 2).mean()
        (loss if scaler is None else scaler.scale(loss)).backward()
        if spoil:
            net[0].bias.grad[0] = torch.inf
        if unscale_first:
            scaler.unscale_(stepper)
        stepper.step() if scaler is None else scaler.step(stepper)
        if scaler is not None:
            scaler.update()
    moved = {key: p.detach() - before[key] for key, p in net.named_parameters()}
    assert moved[f"1.{name}"].norm() > 0 or spoil
    return moved


@hooks
@optimizers
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("unscale_first", [False, True])
def test_a_loss_scale_changes_no_step_whoever_divides_by_it(make, hook, name, optimizer, fused, unscale_first):
    plain = step(make, hook, name, optimizer)
    for scale in (2.0**16, 3.0):
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        scaled = step(make, hook, name, optimizer, scaler, unscale_first, fused=fused)
        torch.testing.assert_close(scaled, plain, rtol=2e-4, atol=2e-6)


@hooks
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_an_infinite_gradient_skips_the_whole_step_and_lowers_the_scale(make, hook, name, fused):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    moved = step(make, hook, name, lambda p, **kw: torch.optim.SGD(p, lr=0.1, **kw), scaler, spoil=True, fused=fused)
    assert all(distance.abs().max() == 0 for key, distance in moved.items())
    assert scaler.get_scale() == 256


def test_the_step_of_the_report():
    def length(fused):
        torch.manual_seed(0)
        net = nn.Sequential(Adder2d(3, 4, 3))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, fused=fused)
        scale_adder_steps(net, optimizer)
        scaler = torch.amp.GradScaler("cpu")
        before = net[0].weight.detach().clone()
        scaler.scale(net(torch.rand(2, 3, 8, 8)).mean()).backward()
        scaler.step(optimizer)
        return (net[0].weight.detach() - before).norm().item()

    assert length(False) == pytest.approx(0.1 * 0.2 * 108**0.5, rel=1e-5)
    assert length(True) == pytest.approx(0.1 * 0.2 * 108**0.5, rel=1e-5)


def test_an_optimiser_that_takes_the_scaler_itself_is_refused():
    class Own(torch.optim.SGD):
        _step_supports_amp_scaling = True

        def step(self, closure=None, *, grad_scaler=None):
            return super().step(closure)

    net = Adder2d(3, 4, 3)
    optimizer = Own(net.parameters(), lr=0.1)
    scale_adder_steps(net, optimizer)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(net(torch.rand(2, 3, 8, 8)).mean()).backward()
    with (
        pytest.warns(FutureWarning, match="going to stop passing itself"),
        pytest.raises(ValueError, match="the steps of Own cannot be scaled: it takes the GradScaler itself"),
    ):
        scaler.step(optimizer)


def test_float16_holds_what_a_fused_optimiser_divides():
    """Times a loss scale of 65536 a step of length η·√k would be infinite in float16."""
    net = nn.Sequential(Adder2d(3, 4, 3, dtype=torch.float16))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.125, fused=True)
    scale_adder_steps(net, optimizer, eta=4.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
    scaler.scale(torch.zeros(()))  # begins its scale
    net[0].weight.grad = torch.full_like(net[0].weight, 1000.0)
    net[0].bias.grad = torch.full_like(net[0].bias, 8192.0)
    scaler.step(optimizer)  # leaves what it has divided
    torch.testing.assert_close(net[0].weight.grad, torch.full_like(net[0].weight, 4.0))
    torch.testing.assert_close(net[0].bias.grad, torch.full_like(net[0].bias, 0.125))
    assert scaler.get_scale() == 65536


HALF = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", [*HALF, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [0.0, 1e-30, 6e-8, 1e-3, 500.0, 3e4, 1e30], ids=str)
@pytest.mark.parametrize("when", ["step", "backward"])
def test_an_adder_s_step_has_its_length_for_every_size_of_gradient_in_every_precision(dtype, size, when):
    net = Adder2d(3, 4, 3, bias=False, dtype=dtype)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    scale_adder_steps(net, optimizer, when=when)
    nn.init.zeros_(net.weight)
    wanted = torch.full(net.weight.shape, min(size, torch.finfo(dtype).max / 2), dtype=dtype)
    wanted[0] *= -1
    (net.weight * wanted).sum().backward()
    optimizer.step()
    expected = -0.2 * wanted.sign() if wanted.any() else torch.zeros_like(wanted)
    torch.testing.assert_close(net.weight.detach(), expected)


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("size", [0.0, 6e-8, 500.0, 4e4], ids=str)
@pytest.mark.parametrize(("make", "hook", "name"), [SHIFT, ACTIVE], ids=["shift", "active"])
def test_places_move_by_one_in_half_precision_and_stay_without_a_gradient(make, hook, name, dtype, size):
    net = make().to(dtype)
    places = getattr(net, name)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    hook(net, optimizer)
    nn.init.zeros_(places)
    places.grad = torch.zeros_like(places)
    places.grad[1] = torch.tensor([size, size])
    optimizer.step()
    expected = torch.zeros_like(places)
    expected[1] = -0.5 * 0.5**0.5 * bool(places.grad[1].any())
    torch.testing.assert_close(places.detach(), expected)
