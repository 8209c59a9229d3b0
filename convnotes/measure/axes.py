"""Which pixels the positions of a map see on one axis, position by position, exactly.

Position q·P + p sees the pixels from q·step + low_p to q·step + high_p. P, the period, is 1 until something enlarges
the map: behind an enlarged map neighbouring positions differ, and every P-th is alike. A negative step is a mirrored
axis. An axis whose step is 0 has no positions any more: a mean over all of them, one that was picked, nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import NamedTuple


class Axis(NamedTuple):
    """Pixels a period, and of each position of a period the first and the last pixel; nothing is (inf, −inf)."""

    step: int = 1
    lows: tuple[float, ...] = (0,)
    highs: tuple[float, ...] = (0,)

    @property
    def stride(self) -> Fraction:
        """Pixels a position."""
        return Fraction(self.step, len(self.lows))

    @property
    def size(self) -> float:
        """Pixels that the position with the largest field sees."""
        return max(high - low + 1 for low, high in zip(self.lows, self.highs, strict=True))

    def at(self, position: int) -> tuple[float, float]:
        """First and last pixel of a position."""
        turn, phase = divmod(position, len(self.lows))
        return turn * self.step + self.lows[phase], turn * self.step + self.highs[phase]

    def of(self, sources: Callable[[int], Iterable[int]], moved: Fraction) -> Axis:
        """The axis of a new map, position i of which sees the old positions `sources(i)`, on average `moved`·i."""
        old = len(self.lows)
        period = moved.denominator * old // math.gcd(moved.numerator, old)
        seen = [[self.at(position) for position in sources(i)] or [(math.inf, -math.inf)] for i in range(period)]
        lows, highs = (min(low for low, _ in each) for each in seen), (max(high for _, high in each) for each in seen)
        return Axis(int(moved * period / old) * self.step, tuple(lows), tuple(highs)).shortest()

    def shortest(self) -> Axis:
        """The same with the shortest period."""
        whole = len(self.lows)
        for period in range(1, whole):
            if whole % period == 0 and self.step % (whole // period) == 0:
                short = Axis(self.step // (whole // period), self.lows[:period], self.highs[:period])
                if all(short.at(i) == self.at(i) for i in range(whole)):
                    return short
        return self

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """After a convolution or a pooling."""
        return self.of(lambda i: (i * stride - padding + u * dilation for u in range(kernel)), Fraction(stride))

    def transposed(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """After a transposed convolution: input position q reaches the positions q·stride − padding + u·dilation."""

        def sources(i: int) -> Iterable[int]:
            starts = (i + padding - u * dilation for u in range(kernel))
            return (start // stride for start in starts if start % stride == 0)

        return self.of(sources, Fraction(1, stride))

    def taken(self, start: int, stride: int = 1) -> Axis:
        """The positions from `start` on, one in `stride`; a negative `start` is padding."""
        return self.window(1, stride, -start, 1)

    def resized(self, scale: Fraction, first: Fraction, taps: Iterable[int]) -> Axis:
        """After an interpolation: position i lies at `first` + i·`scale` and is mixed of its neighbours at `taps`."""

        def sources(i: int) -> Iterable[int]:
            at = first + i * scale
            return [math.floor(at)] if at.denominator == 1 else [math.floor(at) + tap for tap in taps]

        return self.of(sources, scale)

    def everything(self) -> Axis:
        """The same positions, each of which sees all there is."""
        period = len(self.lows)
        return Axis(self.step, (-math.inf,) * period, (math.inf,) * period).shortest() if self.step else EVERYTHING

    def interleaved(self, others: tuple[Axis, ...]) -> Axis:
        """The positions of this and of `others` in turn."""
        parts = (self, *others)
        period = math.lcm(*(len(part.lows) for part in parts))
        seen = [part.at(turn) for turn in range(period) for part in parts]
        lows, highs = zip(*seen, strict=True)
        strides = {part.stride for part in parts if part.step}
        if len(strides) > 1:
            raise Apart("maps of different strides are put into one")
        stride = strides.pop() if strides else Fraction(0)
        return Axis(int(stride * period), lows, highs).shortest()

    def mirrored(self, size: int) -> Axis:
        """The `size` positions in the opposite order."""
        seen = [self.at(size - 1 - i) for i in range(len(self.lows))]
        lows, highs = zip(*seen, strict=True)
        return Axis(-self.step, lows, highs)


EVERYTHING = Axis(0, (-math.inf,), (math.inf,))
PICKED = Axis(0, (0,), (0,))
NOTHING = Axis(0, (math.inf,), (-math.inf,))


class Apart(ValueError):
    """Two maps meet whose positions cannot be told of together."""


@functools.lru_cache(4096)
def hull(a: Axis, b: Axis) -> Axis:
    """What either of two sees."""
    if a == b or b == NOTHING:
        return a
    if a == NOTHING:
        return b
    if not a.step or not b.step:
        positioned = a if a.step else b
        if EVERYTHING in (a, b):
            return positioned.everything() if positioned.step else EVERYTHING
        raise Apart("a map meets one position that was picked out of a map: their field is not the same everywhere")
    if a.stride != b.stride:
        strides = sorted((readable(a.stride), readable(b.stride)))
        raise Apart(f"branches of strides {strides} meet: there is no one field")
    period = math.lcm(len(a.lows), len(b.lows))
    pairs = [(a.at(i), b.at(i)) for i in range(period)]
    lows, highs = tuple(min(x[0], y[0]) for x, y in pairs), tuple(max(x[1], y[1]) for x, y in pairs)
    return Axis(a.step * period // len(a.lows), lows, highs).shortest()


def readable(number: float | Fraction) -> float:
    """An int where it is whole."""
    return int(number) if number not in (math.inf, -math.inf) and number == int(number) else float(number)
