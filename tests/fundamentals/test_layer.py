"""The base classes of layers and networks."""

import pytest
import torch
from torch import nn

from convnotes.fundamentals.layer import Block, Classifier, Composite, ConvBlock, draw_as_conv


class Plain(Block):
    pass


class Strided(Block, shown="in_channels out_channels stride mode"):
    stride, mode = (1, 2), "dot"


class Kernel(ConvBlock, shown="groups"):
    pass


def test_the_repr_names_all_but_the_channels():
    assert Composite().extra_repr() == ""
    assert Plain(3, 4).extra_repr() == "3, 4"
    assert Strided(3, 4).extra_repr() == "3, 4, stride=(1, 2), mode='dot'"
    kernel = Kernel(4, 6, 3, (1, 2), "valid", 1, groups=2)
    assert kernel.extra_repr() == "4, 6, kernel_size=(3, 3), stride=(1, 2), padding=valid, dilation=(1, 1), groups=2"


def test_a_subclass_shows_what_its_base_shows_unless_it_says_more():
    class Same(Strided):
        pass

    assert Same(3, 4).extra_repr() == Strided(3, 4).extra_repr()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Plain(0, 4), "in_channels must be at least 1, got 0"),
        (lambda: Classifier(0), "num_classes must be at least 1, got 0"),
        (lambda: Kernel(4, 6, 3, 1, 0, 1, groups=4), "groups must divide in_channels=4 and out_channels=6, got 4"),
        (lambda: Kernel(4, 6, 3, 2, "same", 1), 'padding="same" needs stride 1'),
        (lambda: Kernel(4, 6, 3, 1, 0, 1)._check(torch.zeros(1, 3, 9, 9), torch.zeros(6, 4, 3, 3)), r"input of Kernel"),
        (lambda: Kernel(4, 6, 3, 1, 0, 1)._check(torch.zeros(1, 4, 2, 9), torch.zeros(6, 4, 3, 3)), "Kernel: a kernel"),
        (lambda: Classifier(2, least=7)._check(torch.zeros(1, 3, 6, 9), nn.Conv2d(3, 4, 3)), "at least 7×7 pixels"),
    ],
)
def test_what_does_not_fit_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize("bias", [True, False])
def test_weights_are_drawn_as_torch_draws_those_of_a_convolution(bias):
    conv, other = (nn.Conv2d(3, 4, (3, 2), bias=bias) for _ in range(2))
    torch.manual_seed(0)
    conv.reset_parameters()
    torch.manual_seed(0)
    draw_as_conv(other.weight, other.bias)
    for one, two in zip(conv.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
