"""The geometry of a depthwise convolution of stride 1, and its sizes by their names."""

from __future__ import annotations

from typing import NamedTuple


class Plane(NamedTuple):
    """`padding` is (top, bottom, left, right)."""

    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]


class Sizes(NamedTuple):
    """Of input `[B, C, H, W]`, weight `[C, 1, KH, KW]` and output `[B, C, h, w]`."""

    B: int
    C: int
    H: int
    W: int
    h: int
    w: int
    KH: int
    KW: int
    top: int
    bottom: int
    left: int
    right: int
    dy: int
    dx: int
