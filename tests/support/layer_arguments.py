"""Random legal arguments of the layers, by the name of the case in `layer_cases` that has their definition."""

from hypothesis import strategies as st

import convnotes
from convnotes.compression.inception import FactorisedConv2d

CLASSES = {"FactorisedConv2d": FactorisedConv2d}


def whole(low: int, high: int) -> st.SearchStrategy:
    return st.integers(low, high)


def pairs(numbers: st.SearchStrategy) -> st.SearchStrategy:
    """One number for both axes, or one for each."""
    return numbers | st.tuples(numbers, numbers)


def odd(high: int, low: int = 1) -> st.SearchStrategy:
    return st.sampled_from(range(low, high + 1, 2))


SOME, FEW = whole(1, 4), whole(1, 3)
PLACED = {"kernel_size": pairs(whole(1, 4)), "stride": pairs(FEW), "padding": pairs(whole(0, 2))}
WINDOW = PLACED | {"dilation": pairs(FEW)}
BIAS = {"bias": st.booleans()}


def named(**strategies: st.SearchStrategy) -> st.SearchStrategy:
    return st.fixed_dictionaries(strategies)


def channels(**more: st.SearchStrategy) -> st.SearchStrategy:
    return named(in_channels=SOME, out_channels=SOME, **more)


def grouped(names: tuple[str, ...], divisor: str, **more: st.SearchStrategy) -> st.SearchStrategy:
    """Arguments `names` that are multiples of the one called `divisor`, which is drawn first."""

    def multiples(arguments: dict) -> st.SearchStrategy:
        number = arguments[divisor]
        return named(**{name: FEW.map(lambda times: times * number) for name in names}).map(lambda m: arguments | m)

    return named(**{divisor: FEW}, **more).flatmap(multiples)


def convolution(**more: st.SearchStrategy) -> st.SearchStrategy:
    return grouped(("in_channels", "out_channels"), "groups", **WINDOW, **BIAS, **more)


def deformable(arguments: dict) -> st.SearchStrategy:
    """Groups of offsets that divide the input's channels."""
    sizes = [n for n in (1, 2, 3) if arguments["in_channels"] % n == 0]
    return st.sampled_from(sizes).map(lambda n: arguments | {"offset_groups": n})


# The first synapse stays on the pixel.
SYNAPSES = st.lists(st.tuples(*[st.floats(-1.9, 1.9)] * 2), max_size=4).map(lambda others: [(0.0, 0.0), *others])

LEGAL = {
    "MLPConv": channels(**WINDOW, hidden_channels=st.none() | st.lists(FEW, min_size=1, max_size=2)),
    "MixedConv2d": named(
        in_channels=whole(3, 6), out_channels=whole(3, 6), kernel_sizes=st.lists(odd(5), min_size=1, max_size=3),
        stride=pairs(FEW), dilation=pairs(FEW), **BIAS,
    ),
    "FactorisedConv2d": channels(kernel_size=odd(5), hidden_channels=st.none() | FEW),
    "SeparableConv2d": channels(**WINDOW, depth_multiplier=FEW),
    "Fire": named(in_channels=SOME, squeeze_channels=FEW, expand1x1_channels=FEW, expand3x3_channels=FEW),
    "KernelStack": channels(kernel_size=odd(7, 3), padding=st.sampled_from(["same", "valid"]), **BIAS),
    "NonLocal2d": named(
        channels=SOME, inner_channels=FEW, mode=st.sampled_from(["gaussian", "embedded", "dot", "concat"]),
        subsample=pairs(whole(1, 2)), norm=st.booleans(), pool=st.sampled_from(["before", "after"]),
    ),
    "ActiveConv2d": channels(
        synapses=SYNAPSES, stride=pairs(FEW), padding=pairs(whole(0, 2)), max_reach=whole(2, 3), **BIAS
    ),
    "DeformConv2d": convolution(modulated=st.booleans()).flatmap(deformable),
    "Shift2d": named(channels=whole(9, 12), dilation=FEW, order=st.sampled_from(["contiguous", "interleaved"])),
    "ActiveShift2d": named(channels=SOME, radius=st.floats(0.5, 4.0)),
    "ShiftBlock": named(in_channels=SOME, out_channels=SOME, stride=FEW, expansion=whole(3, 5)),
    "Adder2d": convolution(),
    "Adder2d, exact gradient": convolution(gradient=st.just("exact")),
    "RepConv2d": grouped(
        ("in_channels", "out_channels"), "groups", kernel_size=odd(5), stride=FEW,
        branches=st.lists(st.sampled_from(["kxk", "1x1", "1xk", "kx1"]), min_size=1, max_size=4, unique=True),
    ),
    "CondConv2d": convolution(num_experts=FEW),
    "DynamicConv2d": convolution(num_experts=FEW, temperature=st.floats(0.5, 5.0), reduction=FEW),
    "Involution2d": grouped(
        ("channels",), "groups", kernel_size=pairs(odd(5)), stride=pairs(FEW), dilation=pairs(FEW), reduction=FEW
    ),
    "DeformableAggregation2d": grouped(
        ("channels",), "groups", kernel_size=pairs(odd(3)), stride=pairs(FEW), dilation=pairs(FEW),
        offset_scale=st.floats(0.2, 2.0), softmax=st.booleans(),
    ),
    "GhostConv2d": named(
        in_channels=SOME, out_channels=whole(3, 7), kernel_size=odd(3), stride=FEW, ratio=whole(2, 4),
        cheap_kernel_size=odd(5),
    ),
    "PartialConv2d": named(channels=whole(4, 7), kernel_size=odd(5), n_div=whole(1, 4)),
    "PowerOfTwoConv2d": convolution(weight_bits=whole(2, 6)),
    "ShiftAdd2d": channels(**PLACED | {"kernel_size": pairs(odd(5))}, weight_bits=whole(2, 6), **BIAS),
}  # fmt: skip


def layer_class(name: str) -> type:
    kind = name.partition(",")[0]
    return CLASSES.get(kind) or getattr(convnotes, kind)
