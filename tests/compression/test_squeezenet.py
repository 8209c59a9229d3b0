import pytest
import torch
from support.close import assert_close

from convnotes import Fire, SqueezeNet, squeezenet1_0, squeezenet1_1
from convnotes.measure import cost


def test_only_the_squeezed_channels_meet_a_3x3_kernel():
    block = Fire(96, 16, 64, 64, device="meta")
    assert block.expand3x3.weight.shape == (64, 16, 3, 3)
    assert sum(p.numel() for p in block.parameters()) == 96 * 16 + 16 + 16 * 64 + 64 + 9 * 16 * 64 + 64


def test_the_channels_of_1x1_come_before_those_of_3x3():
    block = Fire(3, 2, 4, 5).eval()
    x = torch.randn(1, 3, 9, 7)
    s = block.squeeze(x).relu()
    assert_close(block(x)[:, :4], block.expand1x1(s).relu())
    assert_close(block(x)[:, 4:], block.expand3x3(s).relu())


def test_version_1_1_takes_2_4_times_fewer_multiply_adds():
    old, new = (cost(build(device="meta"), (1, 3, 224, 224)).macs for build in (squeezenet1_0, squeezenet1_1))
    assert 2.3 < old / new < 2.4


@pytest.mark.parametrize(("version", "least"), [("1_0", 21), ("1_1", 17)])
def test_it_runs_from_its_least_size_on_and_refuses_less(version, least):
    net = SqueezeNet(version, 6).eval()
    assert net(torch.randn(2, 3, least, least + 3)).shape == (2, 6)
    with pytest.raises(ValueError, match=f"at least {least}×{least} pixels, got {least - 1}×{least}"):
        net(torch.randn(1, 3, least - 1, least))


def test_weights_start_as_the_authors_start_them():
    torch.manual_seed(0)
    net = SqueezeNet()
    assert abs(net.classifier[1].weight.std().item() - 0.01) < 1e-4
    assert all(not m.bias.any() for m in net.modules() if isinstance(m, torch.nn.Conv2d))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Fire(3, 0, 4, 4), "squeeze_channels must be at least 1, got 0"),
        (lambda: SqueezeNet("2_0"), "'2_0'"),
        (lambda: squeezenet1_0(0), "num_classes must be at least 1"),
    ],
)
def test_bad_arguments_are_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()
