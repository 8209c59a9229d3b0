"""A call of every operator, for `test_cases.py`: a line is the file, what `define` gave there, and its arguments."""

import torch


def leaf(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def between_pixels(*shape):
    return (torch.randint(-2, 3, shape) + 0.1 + 0.8 * torch.rand(shape, dtype=torch.float64)).requires_grad_()


MOVES = torch.tensor([[0, 0], [1, 0], [0, -1], [-9, 2]])  # the last one is out of the picture

# operator → (file, name in it, its tensors and options, made by that file)
CASES = {
    "adder": (
        "adder",
        "contract",
        lambda at: (
            leaf(2, 4, 7, 6),
            leaf(6, 2, 3, 2),
            *[None] * 3,
            at.Contraction("output", "distance", (2, 1), (1, 0, 1, 1), (1, 2), 2, True),
        ),
    ),
    "deform_aggregate2d": (
        "aggregate",
        "_operator",
        lambda at: (
            leaf(2, 4, 7, 6),
            between_pixels(2, 12, 4, 5),
            leaf(2, 6, 4, 5),
            at.Taps((3, 1), (2, 2), (1, 2), (1, 1)),
        ),
    ),
    "deform_conv2d": (
        "deform",
        "_operator",
        lambda at: (
            leaf(2, 4, 7, 6),
            between_pixels(2, 12, 4, 5),
            leaf(6, 2, 3, 1),
            leaf(2, 6, 4, 5),
            at.Sampling((2, 2), (1, 2), (1, 1)),
        ),
    ),
    "depthwise_conv2d": (
        "depthwise",
        "_operator",
        lambda at: (leaf(2, 4, 7, 6), leaf(4, 1, 3, 2), leaf(4), at.Plane((2, 1, 0, 1), (2, 1))),
    ),
    "gather_shift": ("shift", "_gather", lambda at: (leaf(2, 4, 7, 6), MOVES[:, 0], at.Axis(2))),
    "shift": ("shift", "_move", lambda at: (leaf(2, 4, 7, 6), at.Moves((1, -1, 0, 3, 2, 0, -9, 1, 4, 2)))),
    "shift_pointwise": (
        "shift_pointwise",
        "_operator",
        lambda at: (leaf(2, 4, 7, 6), leaf(5, 4), None, MOVES, at.Mixing((7, 6), 2)),
    ),
}
