"""The length of an adder's step: the paper's, whatever scales, splits or clips the loss."""

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close
from torch import nn

from convnotes import Adder2d, scale_adder_steps

pytestmark = pytest.mark.usefixtures("each_backend")


class Small(nn.Module):
    """An adder between a convolution and a classifier, without a norm, so that a batch is the sum of its parts."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        self.conv, self.adder = nn.Conv2d(2, 4, 3, dtype=dtype), Adder2d(4, 5, 3, bias=False, dtype=dtype)
        self.fc = nn.Linear(5, 3, dtype=dtype)

    def forward(self, x):
        return self.fc(self.adder(self.conv(x)).mean((2, 3)) / 10)


def batch(dtype=torch.float64):
    return torch.randn(8, 2, 8, 7, dtype=dtype), torch.randint(3, (8,))


def steps(train, when, dtype=torch.float64):
    """How far each parameter moves in one step of `train(model, optimizer, x, y)`, from the same start."""
    torch.manual_seed(1)
    model, (x, y) = Small(dtype), batch(dtype)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scale_adder_steps(model, optimizer, when=when)
    train(model, optimizer, x, y)
    return {name: p.detach() - before[name] for name, p in model.named_parameters()}


def plainly(model, optimizer, x, y):
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def with_loss_scale(model, optimizer, x, y):
    scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
    scaler.scale(F.cross_entropy(model(x), y)).backward()
    scaler.step(optimizer)


def in_four_micro_batches(model, optimizer, x, y):
    for part, labels in zip(x.chunk(4), y.chunk(4), strict=True):
        (F.cross_entropy(model(part), labels) / 4).backward()
    optimizer.step()


def clipped(model, optimizer, x, y):
    F.cross_entropy(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    optimizer.step()


def test_an_adder_s_step_has_the_paper_s_length_and_the_gradient_s_direction():
    moved = steps(plainly, "step")["adder.weight"]
    torch.manual_seed(1)
    model, (x, y) = Small(), batch()
    (g,) = torch.autograd.grad(F.cross_entropy(model(x), y), model.adder.weight)
    assert_close(moved, -0.1 * 0.2 * g.numel() ** 0.5 * g / g.norm())


def test_a_loss_scale_of_65536_leaves_the_step_unchanged():
    for dtype in (torch.float64, torch.float32):
        plain, scaled = steps(plainly, "step", dtype), steps(with_loss_scale, "step", dtype)
        for name in plain:
            assert_close(scaled[name], plain[name])


def test_four_micro_batches_equal_the_full_batch():
    plain, accumulated = steps(plainly, "step"), steps(in_four_micro_batches, "step")
    for name in plain:
        assert_close(accumulated[name], plain[name])


def test_clipping_acts_on_the_others_and_leaves_an_adder_s_step_its_length():
    plain, short = steps(plainly, "step"), steps(clipped, "step")
    assert_close(short["adder.weight"], plain["adder.weight"])
    for name in ("conv.weight", "fc.weight"):
        assert short[name].norm() < 0.05 * plain[name].norm()


def test_inside_backward_the_scale_the_parts_and_clipping_all_change_the_step():
    """What the authors' code does, and why it is not the default."""
    plain = steps(plainly, "backward")
    assert_close(plain["adder.weight"], steps(plainly, "step")["adder.weight"])
    scaled = steps(with_loss_scale, "backward")
    assert_close(scaled["adder.weight"] * 65536, plain["adder.weight"])  # unscaled although it never was scaled
    assert_close(scaled["conv.weight"], plain["conv.weight"])
    parts = steps(in_four_micro_batches, "backward")["adder.weight"]
    assert not torch.allclose(parts, plain["adder.weight"], rtol=0.1)
    assert steps(clipped, "backward")["adder.weight"].norm() < 0.05 * plain["adder.weight"].norm()


@pytest.mark.parametrize("when", ["step", "backward"])
def test_scaling_ends_when_its_handle_is_removed_and_a_zero_gradient_stays_zero(when):
    model, (x, _) = Small(), batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    handle = scale_adder_steps(model, optimizer, eta=0.5, when=when)
    (model(x).sum() * 0).backward()
    optimizer.step()
    assert model.adder.weight.grad.abs().max() == 0
    handle.remove()
    optimizer.zero_grad()
    model(x).sum().backward()
    g = model.adder.weight.grad.clone()
    optimizer.step()
    assert torch.equal(model.adder.weight.grad, g)


@pytest.mark.parametrize(
    ("build", "problem", "says"),
    [
        (lambda: scale_adder_steps(nn.Linear(2, 3), None), ValueError, "Linear holds no Adder2d"),
        (lambda: scale_adder_steps(Adder2d(3, 4, 3), None, eta=0), ValueError, r"eta must lie in \(0, inf\), got 0"),
        (lambda: scale_adder_steps(Adder2d(3, 4, 3), None, when="never"), ValueError, "when must be"),
        (
            lambda: scale_adder_steps(Adder2d(3, 4, 3), torch.optim.SGD(nn.Linear(2, 3).parameters(), lr=1.0)),
            ValueError,
            "the optimizer must step the parameters that are scaled",
        ),
    ],
)
def test_bad_arguments_are_refused(build, problem, says):
    with pytest.raises(problem, match=says):
        build()
