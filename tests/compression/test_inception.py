import pickle

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close

from convnotes import GoogLeNet, Inception, googlenet
from convnotes.compression.inception import FactorisedConv2d


def test_the_paper_s_branch_has_a_5x5_kernel_and_torchvision_s_a_3x3():
    assert Inception(3, 1, 1, 1, 1, 1, 1).branch3[1].conv.kernel_size == (5, 5)
    assert Inception(3, 1, 1, 1, 1, 1, 1, true_5x5=False).branch3[1].conv.kernel_size == (3, 3)


def test_each_branch_fills_its_own_channels():
    block = Inception(4, 1, 2, 3, 2, 4, 5).eval()
    x = torch.randn(1, 4, 9, 7)
    branches = [block.branch1(x), block.branch2(x), block.branch3(x), block.branch4(x)]
    assert [b.shape[1] for b in branches] == [1, 3, 4, 5]
    assert_close(block(x), torch.cat(branches, 1))


def test_a_network_that_was_pickled_whole_finds_the_pooling_by_its_old_name():
    text = pickle.dumps(Inception(4, 1, 2, 3, 2, 4, 5).branch4[0], protocol=0)
    old = text.replace(b"ChannelsLastMaxPool2d", b"MaxPool2d")
    with pytest.warns(DeprecationWarning, match="MaxPool2d is now ChannelsLastMaxPool2d"):
        pool = pickle.loads(old)
    assert pool.kernel_size == 3


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_block_pools_as_torch_does(memory_format):
    pool = Inception(20, 1, 1, 1, 1, 1, 1).branch4[0]
    x = torch.randint(-3, 4, (2, 20, 9, 7)).float()  # with ties, whose gradient goes to the first
    x[0, 1, 2, 3], x[1, 2, 0, 0] = float("nan"), float("-inf")
    x = x.to(memory_format=memory_format)
    grads = []
    for function in (pool, lambda x: F.max_pool2d(x, 3, 1, 1)):
        leaf = x.clone().requires_grad_()
        y = function(leaf)
        assert y.is_contiguous(memory_format=memory_format)
        y.backward(torch.arange(y.numel()).view(y.shape).float())
        without = function(x)  # where nothing is kept for a backward pass, another way is taken
        assert without.is_contiguous(memory_format=memory_format)
        grads.append((y.detach(), leaf.grad, without))
    for ours, torchs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=0, atol=0, equal_nan=True)


def test_the_block_can_be_traced_compiled_and_exported():
    block, x = Inception(20, 1, 1, 1, 1, 1, 1).eval(), torch.randn(2, 20, 9, 7)
    assert_close(torch.fx.symbolic_trace(block)(x), block(x))
    assert_close(torch.compile(block, fullgraph=True, backend="eager")(x), block(x))
    assert_close(torch.export.export(block, (x,)).module()(x), block(x))


def test_the_narrowing_kernels_make_the_block_cheaper_than_its_naive_form():
    block = Inception(192, 64, 96, 128, 16, 32, 32, device="meta")  # block 3a of the paper
    ours = sum(p.numel() for p in block.parameters() if p.dim() == 4)
    naive = 192 * 64 + 9 * 192 * 128 + 25 * 192 * 32
    assert ours == 163_328
    assert naive == 387_072


@pytest.mark.parametrize("n", [1, 3, 7])
def test_a_factorised_kernel_is_a_full_convolution_with_an_outer_product(n):
    layer = FactorisedConv2d(1, 1, n, dtype=torch.float64)
    x = torch.randn(2, 1, 11, 8, dtype=torch.float64)
    kernel = layer.vertical.weight[0, 0] @ layer.horizontal.weight[0, 0]  # [n, 1] @ [1, n]
    assert torch.linalg.matrix_rank(kernel) == 1
    assert_close(layer(x), F.conv2d(x, kernel[None, None], layer.horizontal.bias, padding=n // 2))


def test_googlenet_gives_its_side_logits_in_training_only():
    net = googlenet(7, aux_logits=True)
    x = torch.randn(2, 3, 65, 64)
    logits, side2, side1 = net.train()(x)
    assert logits.shape == side2.shape == side1.shape == (2, 7)
    assert net.eval()(x).shape == (2, 7)
    assert googlenet(7).train()(x).shape == (2, 7)


def test_transform_input_turns_imagenet_s_normalisation_into_the_range_minus_one_to_one():
    net, plain = GoogLeNet(5, transform_input=True).eval(), GoogLeNet(5).eval()
    plain.load_state_dict(net.state_dict())
    picture = torch.rand(1, 3, 40, 40)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (picture - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    assert_close(net(normalised), plain(2 * picture - 1))


@pytest.mark.parametrize("net", [GoogLeNet(3), GoogLeNet(3, true_5x5=True)], ids=["3x3", "5x5"])
def test_googlenet_runs_from_15_pixels_on(net):
    assert net.eval()(torch.randn(1, 3, 15, 17)).shape == (1, 3)
    with pytest.raises(ValueError, match="input of GoogLeNet must have at least 15×15 pixels, got 17×14"):
        net(torch.randn(1, 3, 17, 14))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: FactorisedConv2d(3, 4, 4), "kernel_size must be odd and at least 1, got 4"),
        (lambda: FactorisedConv2d(3, 4, 0), "kernel_size must be odd and at least 1"),
        (lambda: FactorisedConv2d(3, 4, 3, hidden_channels=0), "hidden_channels must be at least 1"),
        (lambda: Inception(3, 1, 1, 0, 1, 1, 1), "ch3x3 must be at least 1, got 0"),
        (lambda: GoogLeNet(0), "num_classes must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()
