"""Every operator as its definition: tap by tap, slow and obvious.

These pages are what the book shows and what the tests compare with. Nothing
else imports them, and nothing here is optimised: each function is its equation,
so that it can be checked by reading. Gradients come from autograd.

Letters: b image of the batch · c, o input and output channel · i, j output row
and column · u, v kernel row and column · s stride · p padding · d dilation · g
group.
"""

from convnotes.definitions.algorithms import (
    conv2d_by_fft,
    conv2d_by_matrix,
    conv2d_by_winograd,
    winograd_matrices,
)
from convnotes.definitions.beyond import (
    branches,
    convnext_block,
    deform_aggregate2d,
    ghost_conv2d,
    involution2d,
    mixture_conv2d,
    partial_conv2d,
    power_of_two,
)
from convnotes.definitions.compression import (
    bottleneck,
    factorised,
    fire,
    inception,
    kernel_stack,
    mlpconv,
    pointwise,
    separable,
)
from convnotes.definitions.fundamentals import mixed_conv2d
from convnotes.definitions.operations import (
    active_shift2d,
    adder2d,
    quantized_adder2d,
    shift2d,
)
from convnotes.definitions.plain import (
    batch_norm,
    batch_norm_in_training,
    conv2d,
    conv_norm_relu,
    conv_transpose2d,
    max_pool3,
)
from convnotes.definitions.receptive_field import (
    active_conv2d,
    deform_conv2d,
    hat,
    non_local,
)

__all__ = [
    "active_conv2d",
    "active_shift2d",
    "adder2d",
    "batch_norm",
    "batch_norm_in_training",
    "bottleneck",
    "branches",
    "conv2d",
    "conv2d_by_fft",
    "conv2d_by_matrix",
    "conv2d_by_winograd",
    "conv_norm_relu",
    "conv_transpose2d",
    "convnext_block",
    "deform_aggregate2d",
    "deform_conv2d",
    "factorised",
    "fire",
    "ghost_conv2d",
    "hat",
    "inception",
    "involution2d",
    "kernel_stack",
    "max_pool3",
    "mixed_conv2d",
    "mixture_conv2d",
    "mlpconv",
    "non_local",
    "partial_conv2d",
    "pointwise",
    "power_of_two",
    "quantized_adder2d",
    "separable",
    "shift2d",
    "winograd_matrices",
]
