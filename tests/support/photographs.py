"""What a widget of a colour photograph refuses, as cases (build, words) of a parametrised test."""

import torch


def no_photographs(widget, shape=(5, 7)):
    wrong, sides = torch.zeros(1, *shape), ", ".join(map(str, shape))
    needed = r"image must hold finite floats of shape \[3, H, W\], got "
    return (
        (lambda: widget(wrong), rf"{needed}shape \(1, {sides}\)"),
        (lambda: widget(torch.zeros(3, *shape, dtype=torch.uint8)), rf"{needed}torch\.uint8 \(3, {sides}\)"),
        (lambda: widget(torch.full((3, *shape), 2.0)), r"must lie in \[0, 1\], got 2 to 2"),
    )
