"""Where the taps of an active convolution start.

Jeon & Kim, "Active convolution: learning the shape of convolution for image classification", CVPR 2017,
arXiv:1703.09076 · chapter receptive_field/active.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from convnotes import checks
from convnotes.geometry import Pair


def ring(synapses: int, radius: float = 1.0) -> tuple[tuple[float, float], ...]:
    """The paper's initial positions: the first synapse at (0, 0), the others on a circle, rounded to whole pixels::

        (Δy_k, Δx_k) = ( [radius · sin θ_k], [radius · cos θ_k] ),   θ_k = 2π · (k − 1)/(synapses − 1),   k ≥ 1

    Nine synapses of radius 1 are a 3×3 kernel, not in raster order: after the middle come (0, 1), (1, 1), (1, 0), (1,
    −1), (0, −1), (−1, −1), (−1, 0), (−1, 1), clockwise from the right; in the authors' (x, y) that is (1, 0), (1, 1),
    (0, 1), …. Halves are rounded away from 0. With more synapses than pixels on the circle some coincide.

    Args:
        synapses: number of taps.
        radius: of the circle in pixels.

    Raises:
        TypeError, ValueError: for a bad argument.

    Example:
        >>> from convnotes.receptive_field.active import ring
        >>> ring(5)
        ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0))
    """
    checks.positive(synapses=synapses)
    checks.number("radius", radius, "[0, inf)")

    def rounded(value: float) -> float:
        return float(math.copysign(math.floor(abs(value) + 0.5 + 1e-9), value)) + 0.0  # no −0

    angles = [2 * math.pi * k / (synapses - 1) for k in range(synapses - 1)]
    return (0.0, 0.0), *((rounded(radius * math.sin(a)), rounded(radius * math.cos(a))) for a in angles)


def checked_start(synapses: int | Sequence[Sequence[float]], reach: Pair) -> tuple[tuple[float, float], ...]:
    """The (y, x) of each tap from a number of taps or from positions; refuses what lies beyond `reach`."""
    if isinstance(synapses, Sequence) and not isinstance(synapses, str):
        if not synapses or any(not isinstance(position, Sequence) or len(position) != 2 for position in synapses):
            raise ValueError(f"synapses must hold at least one (y, x), got {synapses!r}")
        start = tuple((y, x) for y, x in checks.numbers("synapses", synapses, ("N", 2)).tolist())
    else:
        start = ring(synapses)
    if start[0] != (0, 0):
        raise ValueError(f"the first synapse is pinned at (0, 0), got {start[0]}")
    for position in start:
        if not all(abs(at) <= most for at, most in zip(position, reach, strict=True)):
            raise ValueError(f"synapses must start within max_reach={reach}, got {position}")
    return start
