"""What "auto" takes beyond device and dtype, as data: a table per operator, whose first rule that holds decides.

Each rule was measured, by `python -m convnotes.bench` or by the same calls in turn; `measured` says on what, and how
much it gains there. `backend.explain` prints the rules. To change a decision, change its rule here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convnotes.geometry import IntOrPair, resolve_padding
from convnotes.kernels.depthwise.plane import WIDEST, wide_and_dilated
from convnotes.kernels.transforms import channels_last, transformed


class Rule(NamedTuple):
    """`way` is taken because of `because`, where `holds(call)`, a call being what the table's `facts` makes."""

    way: str
    because: str
    holds: Callable[[Any], bool]
    measured: str = ""


class Table(NamedTuple):
    facts: Any  # the class of a named tuple
    rules: tuple[Rule, ...]

    def first(self, call: Any) -> Rule:
        """The rule that decides; the last one of a table always holds."""
        return next(rule for rule in self.rules if rule.holds(call))


# Depthwise convolution: whose loops

MANY = 64  # channels of all images together, from which oneDNN gives no thread a part of a channel (up to 7 threads)
# Numbers of a map from which the backward in plain torch beats torch's own: of one image tap by tap, of all by columns.
# On smaller ones the calls take longer than what they save. Compiled loops pay on all.
TAPS_PAY_FROM, COLUMNS_PAY_FROM = 2**15, 2**16
# Taps of a kernel: with fewer, torch is fast by itself in that format. The second is for wide and dilated kernels.
CHANNELS_LAST_PAYS_FROM = 81, 25


class Depthwise(NamedTuple):
    """A depthwise convolution of `input` `[B, C, H, W]` by `weight` `[C, 1, KH, KW]`; `chosen()` is its backend."""

    input: Tensor
    weight: Tensor
    chosen: Callable[[], str]
    stride: Sequence[int] = (1, 1)
    padding: IntOrPair | str = 0
    dilation: Sequence[int] = (1, 1)

    @property
    def kernel(self) -> torch.Size:
        return self.weight.shape[2:]

    @property
    def channels_last(self) -> bool:
        return channels_last(self.input)

    @property
    def trains(self) -> bool:
        return torch.is_grad_enabled() and (self.input.requires_grad or self.weight.requires_grad)

    @property
    def slow(self) -> bool:
        """Is torch slow forwards, too?"""
        return wide_and_dilated(self.kernel, self.dilation)

    @property
    def fewest(self) -> int:
        """Taps from which channels last pay here."""
        return CHANNELS_LAST_PAYS_FROM[self.slow]

    @property
    def overhangs(self) -> bool:
        """Is there more padding than a kernel reaches?"""
        pads = resolve_padding(self.padding, self.kernel, self.dilation, self.stride)
        return any(max(pad) > d * (k - 1) for pad, k, d in zip(pads, self.kernel, self.dilation, strict=True))


def off_the_fast_path(kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> bool:
    """Is it a kernel whose backward torch computes slowly on the CPU, and which has one here?"""
    return (max(dilation) >= 2 or max(kernel) >= 5) and max(stride) == 1


def dense_and_many(map: Tensor, dilation: Sequence[int]) -> bool:
    """Is the gradient of the weight one that oneDNN takes fast, and in an order that no number of threads changes?

    It divides the channels of all images among threads, 16 at a time; where they are few, the rows as well.
    """
    enough = map.shape[:2].numel() >= MANY and map.dtype == torch.float32
    return enough and max(dilation) == 1 and torch.backends.mkldnn.is_available()


def _pays_in_torch(call: Depthwise) -> bool:
    if dense_and_many(call.input, call.dilation):
        return call.input.numel() >= COLUMNS_PAY_FROM
    return call.input.shape[1:].numel() >= TAPS_PAY_FROM


DEPTHWISE = Table(
    Depthwise,
    (
        Rule(
            "torch",
            f"nothing is differentiated, and no dilation reaches over more than {WIDEST} columns",
            lambda call: not call.trains and not call.slow,
            "with such a dilation the loops here take 1/4 to 1/14 of the time (AMD EPYC with AVX-512, one thread)",
        ),
        Rule(
            "torch",
            "its backward is fast: a stride, or kernel sides below 5 and no dilation",
            lambda call: not off_the_fast_path(call.kernel, call.stride, call.dilation),
            "AMD EPYC and Intel Xeon with AVX-512, torch 2.13",
        ),
        Rule(
            "torch",
            "the loops here take images [B, C, H, W] on the CPU, in float32 or float64",
            lambda call: (
                call.input.device.type != "cpu"
                or call.input.dim() != 4
                or call.input.dtype not in (torch.float32, torch.float64)
                or call.input.dtype != call.weight.dtype
            ),
        ),
        Rule("torch", "there is not one kernel per channel", lambda call: len(call.weight) != call.input.shape[1]),
        Rule(
            "torch",
            "channels last, and fewer than {} taps, or {} of a wide and dilated kernel".format(
                *CHANNELS_LAST_PAYS_FROM
            ),
            lambda call: call.channels_last and call.weight[0].numel() < call.fewest,
            "from 81 on the backward here takes 1/6 to 1/10 of the time (AMD EPYC with AVX-512, one thread)",
        ),
        Rule(
            "torch",
            "autocast or torch.func is at work",
            lambda call: torch.is_autocast_enabled("cpu") or transformed(call.input, call.weight),
        ),
        Rule("torch", "there is more padding than the kernel reaches", lambda call: call.overhangs),
        Rule(
            "numba",
            "compiled loops pay for all maps",
            lambda call: call.chosen() == "numba",
            "1/3.5 to 1/9.7 of the time of torch's backward (AMD EPYC with AVX-512, two threads)",
        ),
        Rule("torch", "nothing is differentiated", lambda call: not call.trains),
        Rule(
            "torch, tap by tap or by columns",
            "the map is large enough for calls per tap or per column",
            _pays_in_torch,
            "1/1.1 to 1/3 of the time of torch's backward (AMD EPYC with AVX-512, two threads)",
        ),
        Rule("torch", "the map is small", lambda call: True),
    ),
)


# Shift and 1×1 convolution as one product

# Outputs up to which the fused product is taken: one tile of it. Each further tile reads all channels again, and finds
# their positions again, which costs more instructions than the product itself: on an H100 1,560 of them per warp for
# 32 channels × 128 positions in bfloat16 and 1,040 for 16 × 64 in float32, by which one tile takes some three quarters
# of the time of shift and convolution one after the other, and two take more than all of it.
FUSES_UP_TO = 64
# On the CPU, in channels last: outputs of which a multiple is taken, as they fill whole vectors.
WHOLE = 16
APART = "one after the other"


class Mixing(NamedTuple):
    """Shift of `input`, and a product by `weight` `[O, C, …]`; `chosen()` is the backend for it."""

    input: Tensor
    weight: Tensor
    chosen: Callable[[], str]

    @property
    def channels_last(self) -> bool:
        return channels_last(self.input)


SHIFT_POINTWISE = Table(
    Mixing,
    (
        Rule(APART, "no kernel takes both", lambda call: call.chosen() not in ("numba", "triton")),
        Rule(
            APART,
            f"there are more than {FUSES_UP_TO} outputs, on a GPU",
            lambda call: call.chosen() == "triton" and len(call.weight) > FUSES_UP_TO,
            "counted in instructions for an H100, never timed",
        ),
        Rule("triton", "the kernel for a GPU is chosen", lambda call: call.chosen() == "triton"),
        Rule(APART, "the map is not in channels last", lambda call: not call.channels_last),
        Rule(APART, "the map is not float32", lambda call: call.input.dtype != torch.float32),
        Rule(
            APART,
            f"the outputs are no multiple of {WHOLE}",
            lambda call: len(call.weight) % WHOLE != 0,
            "where they are, one pass takes 0.3 to 0.9 of the time of two (AMD EPYC with AVX-512, one thread, 16 to "
            "384 channels, stride 1 and 2)",
        ),
        Rule("numba", "rows of channels are gathered and multiplied in one pass", lambda call: True),
    ),
)

RULES: dict[str, Table] = {"depthwise_conv2d": DEPTHWISE, "shift_pointwise": SHIFT_POINTWISE}


def explained(op: str, tensors: Sequence[Tensor], backend: str, options: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The way that the table of `op` takes, and a line for each of its rules up to the one that decides."""
    table = RULES[op]
    unknown = set(options) - set(table.facts._fields)
    if unknown:
        known = ", ".join(name for name in table.facts._fields if name not in ("input", "weight", "chosen"))
        raise TypeError(f"the rules of {op} know the options {known or 'none'}, got {', '.join(sorted(unknown))}")
    call = table.facts(*tensors[:2], lambda: backend, **options)
    decides = table.first(call)
    lines = []
    for rule in table.rules[: table.rules.index(decides) + 1]:
        answer = "yes" if rule is decides else "no"
        note = f" ({rule.measured})" if rule.measured else ""
        lines.append(f"{rule.way}, if {rule.because}: {answer}{note}")
    return decides.way, lines
