import functools
import math

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close

from convnotes import PowerOfTwoConv2d, ShiftAdd2d, adder2d, scale_adder_steps
from convnotes.beyond.shift_add import power_of_two
from convnotes.measure import cost, receptive_field
from convnotes.operations.cifar_resnet import BasicBlock, CifarResNet


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_the_powers_are_exact(bits, dtype):
    torch.manual_seed(0)
    weight = (torch.randn(2000).sign() * torch.exp2(torch.empty(2000).uniform_(-130, 3))).to(dtype)
    lowest = 1 - 2 ** (bits - 1)
    mantissas, exponents = torch.frexp(power_of_two(weight, bits).double())
    assert set(mantissas.abs().tolist()) == {0.5}  # 2^(exponent − 1), to the bit
    assert {int(n) - 1 for n in exponents} == set(range(lowest, 1))
    assert torch.equal(mantissas.sign(), weight.double().sign())


def test_the_nearest_power_is_that_by_the_logarithm():
    near = 1 / math.sqrt(2)
    weight = torch.tensor([near + 1e-6, near - 1e-6, -0.3, 3.0, 0.0, -0.0])
    assert power_of_two(weight).tolist() == [1, 0.5, -0.25, 1, 0, 0]
    assert power_of_two(torch.tensor([math.nan])).isnan().all()


def test_the_gradient_goes_straight_through():
    weight = torch.tensor([0.3, -7.0, 1e-9, 0.0], requires_grad=True)
    g = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert torch.equal(torch.autograd.grad(power_of_two(weight), weight, g)[0], g)
    layer, x = PowerOfTwoConv2d(3, 4, 3, dtype=torch.float64), torch.randn(2, 3, 9, 7, dtype=torch.float64)
    plain = layer.rounded_weight().detach().requires_grad_()
    found = torch.autograd.grad(layer(x).square().sum(), layer.weight)[0]
    assert_close(found, torch.autograd.grad(F.conv2d(x, plain, layer.bias).square().sum(), plain)[0])


def test_a_weight_that_steps_far_enough_becomes_the_next_power():
    layer = PowerOfTwoConv2d(1, 1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(0.3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.02)
    seen = []
    for _ in range(8):
        seen.append(layer.rounded_weight().item())
        optimizer.zero_grad()
        (-layer(torch.ones(1, 1, 1, 1))).sum().backward()
        optimizer.step()
    assert seen == [0.25] * 3 + [0.5] * 5


def test_shift_and_add_is_one_after_the_other():
    layer, x = ShiftAdd2d(3, 5, 3, 2, 1, dtype=torch.float64), torch.randn(2, 3, 9, 7, dtype=torch.float64)
    z = F.conv2d(x, power_of_two(layer.shift.weight), None, 2, 1)
    assert_close(layer(x), adder2d(z, layer.add.weight, layer.add.bias, padding=1))
    assert receptive_field(PowerOfTwoConv2d(3, 5, (3, 5))).words == "3×5"
    assert receptive_field(ShiftAdd2d(3, 5, 3)).words == "5×5"
    counted = cost(ShiftAdd2d(3, 5, 3, padding=1, bias=False), (1, 3, 9, 7))
    assert (counted.macs, counted.adds) == (63 * 9 * 3 * 5, 2 * 63 * 9 * 5 * 5)


def test_a_residual_network_is_made_of_it_and_learns():
    torch.manual_seed(0)
    block = functools.partial(BasicBlock, conv=ShiftAdd2d)
    net = CifarResNet(8, 3, block)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    handle = scale_adder_steps(net, optimizer)
    x, labels, losses = torch.randn(12, 3, 9, 9), torch.arange(12) % 3, []
    for _ in range(15):
        loss = F.cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    handle.remove()
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: PowerOfTwoConv2d(4, 6, 3, weight_bits=1), ValueError, "weight_bits must be from 2 to 8, got 1"),
        (lambda: PowerOfTwoConv2d(4, 6, 3, weight_bits=5.0), TypeError, "weight_bits must be an int"),
        (lambda: PowerOfTwoConv2d(4, 6, 3, groups=4), ValueError, "groups must divide"),
        (lambda: PowerOfTwoConv2d(4, 6, 3)(torch.zeros(1, 3, 9, 9)), ValueError, "input of PowerOfTwoConv2d"),
        (lambda: ShiftAdd2d(4, 6, (3, 2)), ValueError, r"kernel_size must be odd, got \(3, 2\)"),
        (lambda: ShiftAdd2d(4, 6, 3, gradient="sign"), ValueError, "gradient must be"),
        (lambda: ShiftAdd2d(4, 6, 3)(torch.zeros(1, 3, 9, 9)), ValueError, "input of ShiftAdd2d"),
        (lambda: power_of_two(torch.ones(3), 9), ValueError, "weight_bits must be from 2 to 8"),
    ],
)
def test_bad_arguments_are_refused(build, error, says):
    with pytest.raises(error, match=says):
        build()
