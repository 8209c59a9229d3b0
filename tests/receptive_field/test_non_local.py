import json
import math

import pytest
import torch
import torch.nn.functional as F
from conftest import assert_close
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from convnotes import NonLocal2d, definitions, non_local2d
from convnotes.measure import cost, measured_receptive_field, receptive_field

MODES = ("gaussian", "embedded", "dot", "concat")
every_mode = pytest.mark.parametrize("mode", MODES)
SIZES = {  # (channels of query and key, channels of value, query's places, key's places)
    "rectangular": (5, 3, (11, 7), (5, 3)),
    "wide-values": (3, 6, (11, 7), (11, 7)),
    "few-places-many-channels": (13, 11, (2, 3), (1, 3)),
    "one-key": (4, 4, (5, 3), (1, 1)),
}
every_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


def tensors(mode: str, size: tuple, batch: int = 2, dtype=torch.float64) -> list[Tensor]:
    """Query, key, value, and for "concat" the relation, all asking for gradients."""
    D, C, places, keys = size
    shapes = [(batch, D, *places), (batch, D, *keys), (batch, C, *keys)] + [(2 * D,)] * (mode == "concat")
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]


def ours(mode: str, *given: Tensor, **options) -> Tensor:
    return non_local2d(*given[:3], mode, relation=given[3] if mode == "concat" else None, **options)


def defined(mode: str, *given: Tensor, scale: float = 1.0) -> Tensor:
    return definitions.non_local(*given[:3], mode, scale, given[3] if mode == "concat" else None)


def compare(actual: Tensor, expected: Tensor, given: list[Tensor]) -> None:
    """The values, and the gradients for one random direction."""
    assert_close(actual, expected)
    g = torch.randn_like(expected)
    for one, other in zip(torch.autograd.grad(actual, given, g), torch.autograd.grad(expected, given, g), strict=True):
        assert_close(one, other)


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
    compare(ours(mode, *given), defined(mode, *given), given)


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
    compare(compiled(*given), defined(mode, *given), given)


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
    compare(gaussian(x), embedded(x), [x])


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


@pytest.mark.parametrize("case", ["ties", "all equal", "on the edge", "all seen", "none seen"])
def test_concatenation_is_exact_where_sorting_has_nothing_to_go_by(case):
    """Small integers make ties in b, and pairs with a + b = 0 exactly, where ReLU and its derivative are 0."""
    D, C, places, keys = 2, 3, (11, 7), (5, 4)
    q, k = (torch.randint(-2, 3, (2, D, *size)).double() for size in (places, keys))
    if case == "all equal":
        k = torch.ones_like(k)
    if case == "on the edge":
        q, k = torch.ones_like(q), -torch.ones_like(k)
    q = q + {"all seen": 9, "none seen": -9}.get(case, 0)
    value, relation = torch.randn(2, C, *keys, dtype=torch.float64), torch.ones(2 * D, dtype=torch.float64)
    given = [t.requires_grad_() for t in (q, k, value, relation)]
    actual = ours("concat", *given)
    compare(actual, defined("concat", *given), given)
    assert bool(actual.any()) == (case not in ("on the edge", "none seen"))


# Float32 products of torch 2.6 lose more digits in a sum of 1,600 terms: all pairs err by 1.3 millionths with it.
OF_A_PRODUCT = 2e-6 if torch.__version__ < "2.7" else 1e-6


@pytest.mark.parametrize(("mode", "error"), [("dot", OF_A_PRODUCT), ("concat", 1e-6), ("gaussian", 5e-6)])
def test_float32_agrees_with_all_pairs_to_a_millionth_of_the_output_at_40x40(mode, error):
    """The maps are multiples of 1/64, so that a + b of "concat" is exact and no pair lies on the wrong side of 0.

    Torch's fused softmax takes its exponentials to fewer digits than torch.softmax, and gets more room.
    """
    given = tensors(mode, (4, 6, (40, 40), (40, 40)), batch=1, dtype=torch.float32)
    given = [t.detach().mul(64).round().div(64).requires_grad_() for t in given]
    exact = [t.detach().double().requires_grad_() for t in given]
    actual, expected = ours(mode, *given), defined(mode, *exact)
    g = torch.randn_like(expected)
    both = [(actual, expected)]
    both += zip(torch.autograd.grad(actual, given, g.float()), torch.autograd.grad(expected, exact, g), strict=True)
    for one, other in both:
        assert (one - other).abs().max() <= error * other.abs().max()


def test_running_sums_keep_their_digits_over_many_keys_with_a_large_mean():
    """A running sum of 128² values near 100 ends at 1.6 million, where float32 counts in eighths."""
    q, k = torch.randn(1, 1, 1, 64), torch.randn(1, 1, 128, 128)
    g, relation = 100 + torch.randn(1, 1, 128, 128), torch.ones(2)
    exact = definitions.non_local(q.double(), k.double(), g.double(), "concat", relation=relation.double())
    actual = non_local2d(q, k, g, "concat", relation=relation)
    assert ((actual - exact) / exact).abs().max() <= 1e-6


@every_mode
@pytest.mark.parametrize("where", ["query", "key", "value"])
def test_nan_reaches_what_it_reaches_in_the_definition(mode, where):
    given = [t.detach() for t in tensors(mode, SIZES["rectangular"])]
    given[("query", "key", "value").index(where)][0, 1, 2, 1] = torch.nan
    assert torch.equal(ours(mode, *given).isnan(), defined(mode, *given).isnan())


@every_mode
def test_nothing_is_lost_in_half_precision_over_many_keys(mode):
    """A sum of 128² products near 10 is above the largest half-precision number; their mean is not."""
    given = [t.detach().abs() + 3 for t in tensors(mode, (2, 2, (4, 4), (128, 128)), batch=1, dtype=torch.float16)]
    exact = defined(mode, *(t.double() for t in given))
    torch.testing.assert_close(ours(mode, *given).double(), exact, rtol=4e-3, atol=0)


@every_mode
def test_an_empty_batch_gives_an_empty_map_and_empty_gradients(mode):
    given = tensors(mode, SIZES["rectangular"], batch=0)
    y = ours(mode, *given)
    assert y.shape == (0, 3, 11, 7)
    y.sum().backward()
    assert all(t.grad.shape == t.shape for t in given)


@every_mode
def test_the_block_keeps_the_memory_format_of_its_input(mode):
    block, x = awake(4, 3, mode), torch.randn(2, 4, 11, 7, dtype=torch.float64)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        y = block(x.contiguous(memory_format=memory_format))
        assert y.is_contiguous(memory_format=memory_format)
        assert_close(y, block(x))


class Largest(TorchDispatchMode):
    """Records how many elements the largest tensor has that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("widths", [(6, 6), (6, 4), (4, 6)], ids=str)
@every_mode
def test_no_tensor_of_all_pairs_is_made_forward_or_backward(mode, widths, dtype):
    """All pairs would be 1,584² elements, 264 times the largest map."""
    given = tensors(mode, (*widths, (44, 36), (44, 36)), batch=1, dtype=dtype)
    with Largest() as largest:
        ours(mode, *given).sum().backward()
    assert 0 < largest.elements <= 3 * 6 * 44 * 36
    with Largest() as largest, torch.no_grad():
        ours(mode, *given)
    assert 0 < largest.elements <= 3 * 6 * 44 * 36


def peak_bytes(call, path) -> int:
    """The most memory that torch holds at once during `call`, the kernels' own scratch memory included."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    profiler.export_chrome_trace(str(path))
    events = [e for e in json.loads(path.read_text())["traceEvents"] if e.get("name") == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e["ts"]):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most


@every_mode
def test_the_peak_of_training_memory_grows_as_the_number_of_places(mode, tmp_path):
    def peak(side):
        given = tensors(mode, (8, 8, (side, side), (side, side)), batch=1, dtype=torch.float32)
        return peak_bytes(lambda: ours(mode, *given).sum().backward(), tmp_path / "trace.json")

    peak(8)
    small, large = peak(32), peak(64)
    assert large <= 4.2 * small
    assert large < 64**4 * 4 / 8, "an eighth of all pairs"


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
    with pytest.raises(ValueError, match="unless some layer sees any picture whole"):
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
        (lambda: non_local2d(q, k, g[..., :1]), ValueError, "the same places in key and value"),
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
