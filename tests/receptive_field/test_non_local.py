"""The non-local operator and its block."""

import math

import pytest
import torch
import torch.nn.functional as F
from support.close import assert_close, assert_same
from support.non_local_calls import SIZES, defined, every_mode, ours, tensors
from torch import nn

from convnotes import NonLocal2d, definitions, non_local2d
from convnotes.measure import cost, measured_receptive_field, receptive_field

every_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


def awake(*arguments, **options) -> NonLocal2d:
    """A block that is no longer the identity, in float64 and inference."""
    block = NonLocal2d(*arguments, **options, dtype=torch.float64).eval()
    for parameter in (*block.out.parameters(), *block.norm.parameters()):
        nn.init.normal_(parameter)
    return block


@every_mode
@every_size
def test_forward_and_gradient_match_the_definition(mode, size):
    given = tensors(mode, size)
    assert_same(ours(mode, *given), defined(mode, *given), given)


@every_mode
@every_size
def test_derivatives_of_both_orders_and_both_directions_are_the_numerical_ones(mode, size):
    given = tensors(mode, size, batch=1)

    def call(*given):
        return ours(mode, *given)

    assert torch.autograd.gradcheck(call, given, fast_mode=True, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(call, given, fast_mode=True, check_fwd_over_rev=True)


@every_mode
def test_only_what_asks_for_a_gradient_gets_one_also_of_second_order(mode):
    given = [t.detach() for t in tensors(mode, SIZES["rectangular"])]
    key = given[1].requires_grad_()
    (first,) = torch.autograd.grad(ours(mode, *given).square().sum(), key, create_graph=True)
    (expected,) = torch.autograd.grad(defined(mode, *given).square().sum(), key, create_graph=True)
    assert_close(first, expected)
    assert_close(*(torch.autograd.grad(g.square().sum(), key)[0] for g in (first, expected)))


@every_mode
def test_a_compiled_gradient_is_the_gradient(mode):
    given = tensors(mode, SIZES["rectangular"])
    torch.compiler.reset()
    compiled = torch.compile(lambda *given: ours(mode, *given), fullgraph=True, backend="aot_eager")
    assert_same(compiled(*given), defined(mode, *given), given)


@every_mode
def test_it_exports_with_any_picture_size(mode):
    block = awake(4, 3, mode)
    sizes = {n: torch.export.Dim(name, min=6, max=64) for n, name in ((2, "height"), (3, "width"))}
    program = torch.export.export(block, (torch.randn(2, 4, 11, 7, dtype=torch.float64),), dynamic_shapes=(sizes,))
    x = torch.randn(2, 4, 9, 16, dtype=torch.float64)
    assert_close(program.module()(x), block(x))


@pytest.mark.parametrize("subsample", [1, 2, (3, 2)], ids=str)
@every_mode
def test_the_block_pools_before_it_makes_keys_and_values(mode, subsample):
    block, x = awake(4, 3, mode, subsample), torch.randn(2, 4, 11, 7, dtype=torch.float64)
    source = F.max_pool2d(x, subsample)
    query, key = (x, source) if mode == "gaussian" else (block.theta(x), block.phi(source))
    y = definitions.non_local(query, key, block.g(source), mode, 1.0, block.relation)
    assert_close(block(x), x + block.norm(block.out(y)))


@pytest.mark.parametrize("norm", [True, False])
@every_mode
def test_it_starts_as_the_identity_and_learns_from_the_first_step(mode, norm):
    block, x = NonLocal2d(6, mode=mode, norm=norm), torch.randn(2, 6, 11, 7)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    first = block.norm.weight if norm else block.out.weight
    assert first.grad.abs().max() > 0
    with torch.no_grad():
        first.add_(1)
    assert not torch.equal(block(x), x)
    block.reset_parameters()
    assert torch.equal(block(x), x)


def test_the_gaussian_is_the_embedded_gaussian_whose_embeddings_are_the_identity():
    gaussian, embedded = awake(5, 5, "gaussian", 2), awake(5, 5, "embedded", 2)
    embedded.load_state_dict(gaussian.state_dict(), strict=False)
    with torch.no_grad():
        for layer in (embedded.theta, embedded.phi):
            layer.weight.copy_(torch.eye(5)[:, :, None, None])
            layer.bias.zero_()
    x = torch.randn(2, 5, 11, 7, dtype=torch.float64, requires_grad=True)
    assert_same(gaussian(x), embedded(x), [x])


def test_the_embedded_gaussian_is_attention_and_concatenation_is_what_published_code_computes():
    q, k, g = (t.detach() for t in tensors("embedded", SIZES["rectangular"]))
    rows = [t.flatten(2).transpose(1, 2) for t in (q, k, g)]
    attention = F.scaled_dot_product_attention(*rows, scale=0.3).transpose(1, 2).unflatten(2, (11, 7))
    assert_close(non_local2d(q, k, g, "embedded", scale=0.3), attention)

    relation = torch.randn(10, dtype=torch.float64)
    of_queries = q.flatten(2)[..., :, None].repeat(1, 1, 1, 15)
    both = torch.cat([of_queries, k.flatten(2)[..., None, :].repeat(1, 1, 77, 1)], 1)
    f = F.conv2d(both, relation.view(1, -1, 1, 1)).relu()[:, 0] / 15
    published = (f @ rows[2]).transpose(1, 2).unflatten(2, (11, 7))
    assert_close(non_local2d(q, k, g, "concat", relation=relation), published)


def test_scale_multiplies_the_products_and_is_1_unless_given():
    q, k, g = (t.detach() for t in tensors("embedded", SIZES["rectangular"]))
    for mode in ("gaussian", "embedded"):
        assert_close(non_local2d(q, k, g, mode), non_local2d(q, k, g, mode, scale=1))
        assert_close(non_local2d(q, k, g, mode, scale=0.25), non_local2d(0.25 * q, k, g, mode))
    assert_close(non_local2d(q, k, g, "embedded", scale=0), g.mean((2, 3), keepdim=True).expand(-1, -1, 11, 7))
    block, x = awake(4, 3, scale=3**-0.5), torch.randn(2, 4, 11, 7, dtype=torch.float64)
    same = awake(4, 3)
    same.load_state_dict(block.state_dict())
    with torch.no_grad():
        for parameter in same.theta.parameters():
            parameter.mul_(3**-0.5)
    assert_close(block(x), same(x))


@every_mode
def test_the_places_of_the_keys_have_no_order(mode):
    given = tensors(mode, SIZES["wide-values"])
    order = torch.randperm(77)
    shuffled = [t.flatten(2)[..., order].unflatten(2, (7, 11)) for t in given[1:3]]
    assert_close(ours(mode, given[0], *shuffled, *given[3:]), ours(mode, *given))


@every_mode
def test_an_empty_batch_gives_an_empty_map_and_empty_gradients(mode):
    given = tensors(mode, SIZES["rectangular"], batch=0)
    y = ours(mode, *given)
    assert y.shape == (0, 3, 11, 7)
    y.sum().backward()
    assert all(t.grad.shape == t.shape for t in given)


@pytest.mark.parametrize(("subsample", "pool"), [(1, "before"), (2, "before"), (2, "after")], ids=str)
@every_mode
def test_the_block_keeps_the_memory_format_of_its_input(mode, subsample, pool):
    block, gradient = awake(4, 3, mode, subsample, pool=pool), torch.randn(2, 4, 11, 7, dtype=torch.float64)
    x, found = torch.randn(2, 4, 11, 7, dtype=torch.float64), []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        given, slope = (t.contiguous(memory_format=memory_format) for t in (x, gradient))
        y = block(given.requires_grad_())
        found.append((y, *torch.autograd.grad(y, (given, *block.parameters()), slope)))
        assert all(t.is_contiguous(memory_format=memory_format) for t in found[-1][:2])
    for one, other in zip(*found, strict=True):
        assert_close(one, other)


@every_mode
@every_size
def test_with_channels_last_it_matches_the_definition_and_keeps_them_last(mode, size):
    maps = [t.detach().contiguous(memory_format=torch.channels_last).requires_grad_() for t in tensors(mode, size)[:3]]
    given = maps + tensors(mode, size)[3:]
    y = ours(mode, *given)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert_same(y, defined(mode, *given), given)
    (by_query,) = torch.autograd.grad(ours(mode, *given), maps[:1], torch.ones_like(y))
    assert by_query.is_contiguous(memory_format=torch.channels_last)


@every_mode
def test_cost_counts_what_the_pencil_says_and_the_dot_product_takes_the_cheaper_order(mode):
    block = NonLocal2d(64, 32, mode)
    pairs, narrow = 196 * 196, 196 * 32
    expected = {
        "gaussian": narrow * 64 * 2 + pairs * (64 + 32),
        "embedded": narrow * 64 * 4 + pairs * (32 + 32),
        "dot": narrow * 64 * 4 + narrow * 32 * 2,
        "concat": narrow * 64 * 4 + narrow * 2,
    }
    assert cost(block, (1, 64, 14, 14)).macs == expected[mode]
    if mode == "dot":
        assert cost(block, (1, 64, 3, 3)).macs == 9 * 32 * 64 * 4 + 9 * 9 * 64


def test_a_place_behind_a_non_local_layer_sees_any_picture_whole():
    assert receptive_field(NonLocal2d(3)) == (math.inf, 1, math.inf)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), NonLocal2d(4), nn.Conv2d(4, 4, 3))
    assert receptive_field(net) == (math.inf, 2, math.inf)
    with pytest.raises(ValueError, match="unless some layer sees any image whole"):
        measured_receptive_field(net, (1, 3, 33, 33))


q, k, g, w = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 3, 2), torch.randn(2, 3, 3, 2), torch.randn(8)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: non_local2d(q, k, g, "cosine"),
            ValueError,
            'mode must be "gaussian", "embedded", "dot" or "concat", got .cosine.',
        ),
        (lambda: non_local2d(q, k, [1]), TypeError, "value of non_local2d must be a tensor, got list"),
        (lambda: non_local2d(q[0], k, g), ValueError, r"needs maps \[B, D, H, W\].*, got query \(4, 5, 6\)"),
        (lambda: non_local2d(q, k[:1], g), ValueError, r"needs one batch in all maps, got .* key \(1, 4, 3, 2\)"),
        (lambda: non_local2d(q, g, g), ValueError, "as many channels in key as in query"),
        (lambda: non_local2d(q, k, g[..., :1]), ValueError, "the same height and width in key and value"),
        (lambda: non_local2d(q, k[..., :0], g[..., :0]), ValueError, "at least one key and one channel"),
        (lambda: non_local2d(q, k, g[:, :0]), ValueError, "at least one key and one channel"),
        (lambda: non_local2d(q, k, g, "concat"), ValueError, 'needs relation in mode "concat" and in no other'),
        (lambda: non_local2d(q, k, g, "dot", relation=w), ValueError, "and in no other, here 'dot'"),
        (
            lambda: non_local2d(q, k, g, "concat", relation=w[1:]),
            ValueError,
            r"needs relation \[8\], .*relation \(7,\)",
        ),
        (lambda: non_local2d(q, k, g.to("meta")), ValueError, "all tensors on one device, .*value .* on meta"),
        (lambda: non_local2d(q, k, g.double()), ValueError, "one floating dtype, .*value .* of torch.float64"),
        (lambda: non_local2d(q.int(), k.int(), g.int()), ValueError, "one floating dtype"),
        (lambda: non_local2d(q, k, g, "dot", scale=0.5), ValueError, "scale belongs to the softmax .* got scale=0.5"),
        (lambda: non_local2d(q, k, g, scale="1"), TypeError, "scale must be a number or None, got str"),
        (lambda: NonLocal2d(0), ValueError, "channels must be at least 1, got 0"),
        (lambda: NonLocal2d(4, 0), ValueError, "inner_channels must be at least 1, got 0"),
        (lambda: NonLocal2d(4, mode="softmax"), ValueError, "mode must be .* got 'softmax'"),
        (lambda: NonLocal2d(4, mode="concat", scale=1.0), ValueError, "scale belongs to the softmax"),
        (lambda: NonLocal2d(4, subsample=0), ValueError, "subsample must be at least 1, got 0"),
        (lambda: NonLocal2d(4, subsample=(2, 3))(q[..., :2]), ValueError, "at least 2×3 pixels, got 5×2"),
    ],
)
def test_bad_arguments_are_refused_in_words(call, error, says):
    with pytest.raises(error, match=says):
        call()
