"""Every public layer once, as data: how it is made, what it takes and gives, and its definition.

`tests/contract` holds each of them to the same promises, and `test_wheel.py` calls them in an environment without
pytest: nothing is imported here but torch and the package. A layer joins by one line of `LAYERS`, or of
`beyond_cases.BEYOND` where it is of part 4, a network by one of `network_cases.NETWORKS`. Sizes are small, odd and
rectangular.
"""

from dataclasses import replace

import support.layer_definitions as defined
from support.beyond_cases import BEYOND
from support.layer_definitions import Layer
from support.network_cases import NETWORKS

import convnotes
from convnotes import definitions
from convnotes.compression.inception import FactorisedConv2d
from convnotes.operations.cifar_resnet import BasicBlock

SYNAPSES = ((0.0, 0.0), (0.4, 1.7), (-1.3, 0.8), (1.6, -2.2), (-0.7, -0.3))  # no whole position: it has a kink


def shifted(make, channels, definition, *words):
    """A layer that moves channels by its `displacements`."""
    size = (2, channels, 11, 7)
    return Layer(make, size, size, lambda layer, x: definition(x, layer.displacements), flops=0, words=words)


LAYERS = {
    "MLPConv": Layer(
        lambda **kw: convnotes.MLPConv(3, 4, (3, 5), stride=(2, 1), padding=(1, 2), hidden_channels=(6, 5), **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 6, 7),
        definition=defined.mlpconv_definition,
        flops=2 * 2 * 6 * 7 * (3 * 5 * 3 * 6 + 6 * 5 + 5 * 4),
        words=("3 → 6 → 5 → 4", "kernel_size=(3, 5)", "stride=(2, 1)"),
    ),
    "MixedConv2d": Layer(
        lambda **kw: convnotes.MixedConv2d(8, 5, (3, 5, 1), stride=(2, 1), dilation=(1, 2), **kw),
        input=(2, 8, 11, 7),
        output=(2, 5, 6, 7),
        definition=defined.mixed_definition,
        flops=2 * 2 * 42 * (9 * 4 * 3 + 25 * 2 * 1 + 1 * 2 * 1),
        words=("8, 5", "kernel_sizes=(3, 5, 1)", "stride=(2, 1)", "dilation=(1, 2)", "depthwise=False"),
    ),
    "MixedConv2d, depthwise": Layer(
        lambda **kw: convnotes.MixedConv2d(4, 8, depthwise=True, **kw),
        input=(2, 4, 11, 7),
        output=(2, 8, 11, 7),
        definition=defined.mixed_definition,
        flops=2 * 2 * 77 * (9 * 4 + 25 * 2 + 49 * 2),
        words=("4, 8", "kernel_sizes=(3, 5, 7)", "depthwise=True"),
    ),
    "MixedConv2d, even kernels": Layer(
        lambda **kw: convnotes.MixedConv2d(5, 6, (4, 3), stride=3, padding="same", **kw),
        input=(2, 5, 11, 7),
        output=(2, 6, 4, 3),
        definition=defined.mixed_as_tensorflow_definition,
        flops=2 * 2 * 12 * (16 * 3 * 3 + 9 * 2 * 3),
        words=("kernel_sizes=(4, 3)", "padding='same'"),
    ),
    "Inception": Layer(
        lambda **kw: convnotes.Inception(3, 2, 3, 4, 2, 3, 2, **kw),
        input=(2, 3, 11, 7),
        output=(2, 11, 11, 7),
        definition=defined.inception_definition,
        flops=2 * 2 * 77 * (3 * 2 + 3 * 3 + 9 * 3 * 4 + 3 * 2 + 25 * 2 * 3 + 3 * 2),
        words=("3, 11", "true_5x5=True"),
    ),
    "FactorisedConv2d": Layer(
        lambda **kw: FactorisedConv2d(3, 4, 5, hidden_channels=2, **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 11, 7),
        definition=defined.factorised_definition,
        flops=2 * 2 * 77 * (5 * 3 * 2 + 5 * 2 * 4),
        words=("3, 4", "kernel_size=5"),
    ),
    "SeparableConv2d": Layer(
        lambda **kw: convnotes.SeparableConv2d(3, 4, (3, 5), (2, 1), (1, 2), (2, 1), depth_multiplier=2, **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 5, 7),
        definition=defined.separable_definition,
        flops=2 * 2 * 35 * (15 * 6 + 6 * 4),
        words=("3, 4", "kernel_size=(3, 5)", "depth_multiplier=2"),
    ),
    "Fire": Layer(
        lambda **kw: convnotes.Fire(3, 2, 4, 5, **kw),
        input=(2, 3, 11, 7),
        output=(2, 9, 11, 7),
        definition=defined.fire_definition,
        flops=2 * 2 * 77 * (3 * 2 + 2 * 4 + 9 * 2 * 5),
        words=("3 → 2 → 9",),
    ),
    "Bottleneck": Layer(
        lambda **kw: convnotes.Bottleneck(3, 4, stride=2, groups=2, width_per_group=32, **kw),
        input=(2, 3, 11, 7),
        output=(2, 16, 6, 4),
        definition=defined.bottleneck_definition,
        flops=2 * 2 * (77 * 3 * 4 + 24 * (9 * 4 * 2 + 4 * 16 + 3 * 16)),
        words=("3 → 4 → 16", "stride=2 on the 3x3", "groups=2"),
    ),
    "Bottleneck, stride on the 1x1": Layer(
        lambda **kw: convnotes.Bottleneck(3, 4, stride=2, stride_on="1x1", **kw),
        input=(2, 3, 11, 7),
        output=(2, 16, 6, 4),
        definition=defined.bottleneck_definition,
        flops=2 * 2 * 24 * (3 * 4 + 9 * 4 * 4 + 4 * 16 + 3 * 16),
        words=("stride=2 on the 1x1",),
    ),
    "KernelStack": Layer(
        lambda **kw: convnotes.KernelStack(3, 4, 5, padding="valid", **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 7, 3),
        definition=defined.stack_definition,
        flops=2 * 2 * (9 * 5 * 9 * 3 * 4 + 7 * 3 * 9 * 4 * 4),
        words=("3, 4", "kernel_size=5", "padding='valid'"),
    ),
    "ASPP": Layer(
        lambda **kw: convnotes.ASPP(3, 4, rates=(1, 3, 8), **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 11, 7),
        definition=defined.aspp_definition,
        flops=2 * 2 * (77 * (3 * 4 + 3 * 9 * 3 * 4 + 5 * 4 * 4) + 3 * 4),
        words=("3, 4", "rates=(1, 3, 8)", "image_pooling=True"),
    ),
    "AtrousCascade": Layer(
        # wide enough that no place has all its units off: there the ReLU after the sum would sit on its kink
        lambda **kw: convnotes.AtrousCascade(3, 8, blocks=2, multi_grid=(1,), **kw),
        input=(2, 3, 7, 5),
        output=(2, 32, 7, 5),
        definition=defined.cascade_definition,
        flops=2 * 2 * 35 * (3 * 8 + 32 * 8 + 2 * (9 * 8 * 8 + 8 * 32) + 3 * 32),
        words=("3, 32", "rates=((2,), (4,))"),
    ),
    "ActiveConv2d": Layer(
        lambda **kw: convnotes.ActiveConv2d(3, 4, SYNAPSES, stride=(2, 1), padding=(1, 2), max_reach=(2, 3), **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 7, 11),
        definition=defined.active_definition,
        flops=2 * 4 * 3 * 5 * 7 * (5 + 2 * 77),  # the kernel is splatted once a call
        words=("3, 4", "synapses=5", "stride=(2, 1)", "padding=(1, 2)", "max_reach=(2, 3)"),
    ),
    "ActiveConv2d, in groups": Layer(
        lambda **kw: convnotes.ActiveConv2d(3, 4, SYNAPSES, 2, (-1, -2), max_reach=3, position_group=2, **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 5, 2),
        definition=defined.active_definition,
        flops=2 * 4 * 3 * 49 * (5 + 2 * 10),
        words=("padding=(-1, -2)", "position_group=2"),
        wake=defined.part_groups,
    ),
    "NonLocal2d": Layer(
        lambda **kw: convnotes.NonLocal2d(4, 3, scale=0.7, **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 11, 7),
        definition=defined.non_local_definition,
        flops=2 * 2 * (77 * 4 * 3 * 4 + 77 * 77 * (3 + 3)),
        words=("4, inner_channels=3", "mode='embedded'", "subsample=(1, 1)", "scale=0.7"),
        wake=defined.wake_non_local,
    ),
    "NonLocal2d, Gaussian": Layer(
        lambda **kw: convnotes.NonLocal2d(4, 3, "gaussian", subsample=2, **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 11, 7),
        definition=defined.non_local_definition,
        flops=2 * 2 * (15 * 4 * 3 + 77 * 3 * 4 + 77 * 15 * (4 + 3)),
        words=("mode='gaussian'", "subsample=(2, 2)", "scale=None"),
        wake=defined.wake_non_local,
    ),
    "NonLocal2d, dot product": Layer(
        lambda **kw: convnotes.NonLocal2d(4, 3, "dot", norm=False, **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 11, 7),
        definition=defined.non_local_definition,
        flops=2 * 2 * (77 * 4 * 3 * 4 + (77 + 77) * 3 * 3),
        words=("mode='dot'", "norm=False"),
        wake=defined.wake_non_local,
    ),
    "NonLocal2d, concatenation": Layer(
        lambda **kw: convnotes.NonLocal2d(4, 3, "concat", subsample=(2, 1), **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 11, 7),
        definition=defined.non_local_definition,
        flops=2 * 2 * (77 * 4 * 3 * 2 + 35 * 4 * 3 * 2 + (77 + 35) * 3),
        words=("mode='concat'", "subsample=(2, 1)", "norm=True"),
        wake=defined.wake_non_local,
    ),
    "NonLocal2d, pooled after": Layer(
        lambda **kw: convnotes.NonLocal2d(4, 3, subsample=(2, 3), pool="after", **kw),
        input=(2, 4, 11, 7),
        output=(2, 4, 11, 7),
        definition=defined.non_local_definition,
        flops=2 * 2 * (77 * 4 * 3 * 4 + 77 * 10 * (3 + 3)),
        words=("subsample=(2, 3)", "pool='after'"),
        wake=defined.wake_non_local,
    ),
    "DeformConv2d": Layer(
        lambda **kw: convnotes.DeformConv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, offset_groups=2, **kw),
        input=(2, 4, 11, 7),
        output=(2, 6, 6, 9),
        definition=defined.deform_definition,
        flops=2 * 2 * 54 * (6 * 4 * 36 + 6 * 2 * 6),
        words=("4, 6", "kernel_size=(3, 2)", "stride=(2, 1)", "groups=2", "offset_groups=2", "modulated=True"),
        wake=defined.let_it_move,
    ),
    "DeformConv2d, v1": Layer(
        lambda **kw: convnotes.DeformConv2d(3, 4, 3, padding="same", bias=False, modulated=False, **kw),
        input=(2, 3, 11, 7),
        output=(2, 4, 11, 7),
        definition=defined.deform_definition,
        flops=2 * 2 * 77 * (9 * 3 * 18 + 9 * 3 * 4),
        words=("3, 4", "padding=same", "modulated=False"),
        wake=defined.let_it_move,
    ),
    "Shift2d": shifted(
        lambda **kw: convnotes.Shift2d(11, dilation=2, **kw),
        *(11, definitions.shift2d, "11, kernel_size=3, dilation=2", "order='contiguous'"),
    ),
    "ActiveShift2d": shifted(
        lambda **kw: convnotes.ActiveShift2d(3, radius=4.5, **kw), 3, definitions.active_shift2d, "3, radius=4.5"
    ),
    "ShiftBlock": Layer(
        lambda **kw: convnotes.ShiftBlock(3, 5, stride=2, expansion=4, order="interleaved", **kw),
        input=(2, 3, 11, 7),
        output=(2, 5, 6, 4),
        definition=defined.shift_block_definition,
        flops=2 * 2 * (77 * 3 * 20 + 24 * (20 * 5 + 3 * 5)),
        words=("3, 5, stride=2, expansion=4",),
    ),
    "BasicBlock": Layer(
        lambda **kw: BasicBlock(3, 5, stride=2, **kw),
        input=(2, 3, 11, 7),
        output=(2, 5, 6, 4),
        definition=defined.basic_block_definition,
        flops=2 * 2 * 24 * (9 * 3 * 5 + 9 * 5 * 5 + 3 * 5),
        words=("3, 5, stride=2",),
    ),
    "Adder2d": Layer(
        lambda **kw: convnotes.Adder2d(4, 6, (3, 5), (2, 1), (1, 2), (2, 1), groups=2, **kw),
        input=(2, 4, 11, 7),
        output=(2, 6, 5, 7),
        definition=defined.paper_adder_definition,
        flops=0,
        words=("4, 6, kernel_size=(3, 5)", "groups=2", "gradient='paper'"),
        backend="torch",
        surrogate=True,
    ),
    "Adder2d, exact gradient": Layer(
        lambda **kw: convnotes.Adder2d(4, 6, (3, 5), (2, 1), (1, 2), (2, 1), groups=2, gradient="exact", **kw),
        input=(2, 4, 11, 7),
        output=(2, 6, 5, 7),
        definition=defined.adder_definition,
        flops=0,
        words=("4, 6, kernel_size=(3, 5)", "stride=(2, 1)", "dilation=(2, 1)", "gradient='exact'"),
        backend="torch",
    ),
}

for name in ("Adder2d", "Adder2d, exact gradient"):
    LAYERS[f"{name}, in numba"] = replace(LAYERS[name], backend="numba")

LAYERS |= BEYOND
ALL = LAYERS | NETWORKS
