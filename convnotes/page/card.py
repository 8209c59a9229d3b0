"""The fact card at the head of a chapter: an operator in ten seconds."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

import convnotes
from convnotes.lattice import CHANNELS, SIZE
from convnotes.measure import cost, receptive_field
from convnotes.page.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STANDARD = (1, CHANNELS, SIZE, SIZE)  # the input that every card counts for


class Card:
    """What `card` returns: a drawing beside named facts."""

    def __init__(self, drawing: str, facts: Mapping[str, tuple[str, str]]) -> None:
        self.drawing, self.facts = drawing, dict(facts)

    def __repr__(self) -> str:
        width = max(map(len, self.facts))
        return "\n".join(f"{name:{width}}  {text}" for name, (text, _) in self.facts.items())

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row' class='cn-fact-name'>{name}</th><td class='cn-fact'>{shown}</td></tr>"
            for name, (_, shown) in self.facts.items()
        )
        return (
            f"<div class='cn-card'><div>{self.drawing}</div>"
            f"<table class='cn-facts' aria-label='In ten seconds'><tbody>{rows}</tbody></table></div>"
        )


def card(
    code: str,
    what: str,
    formula: str,
    use: str,
    avoid: str,
    paper: str,
    drawing: Axes,
    alt: str,
    beside: Mapping[str, nn.Module] | None = None,
    field: str | None = None,
    uncounted: Mapping[str, int] | None = None,
) -> Card:
    """The fact card of an operator. Its costs are counted for an input of 64 channels and 56×56 positions.

    Multiply-adds are those that `convnotes.measure.cost` counts, of convolutions and matrix products.

    Args:
        code: one line that makes the layer, as a reader would write it after `from convnotes import …`.
        what: what the operator is, in one sentence.
        formula: its equation, in TeX.
        use, avoid: when to use it and when not.
        paper: authors and year.
        drawing: which input positions one output position reads, as `convnotes.plots.reads` draws it.
        alt: what the drawing shows.
        beside: one layer by its name, with which the costs are compared.
        field: the receptive field in words, where it is not a fixed number of pixels; None counts it.
        uncounted: other multiply-adds of the layer for that input by their names; the card adds their total.

    Raises:
        ValueError: where `code` does not make a layer that takes the input.

    Example:
        >>> from convnotes import page, plots
        >>> ax = plots.reads((3, 3), (3, 3), (1, 1), [[1, 1]])
        >>> words = dict(what="A sum over channels.", formula="y = wx", use="to mix channels", avoid="to see more")
        >>> page.card("nn.Conv2d(64, 64, 1, bias=False)", **words, paper="Lin et al. 2014", drawing=ax, alt="One tap.")
        What it is       A sum over channels.
        Formula          y = wx
        Parameters       4,096
        Multiply-adds    12.8 M at 56×56
        Receptive field  1×1
        Use it           to mix channels
        Avoid it         to see more
        In code          nn.Conv2d(64, 64, 1, bias=False)
        Paper            Lin et al. 2014
    """
    layer = eval(code, {name: getattr(convnotes, name) for name in convnotes.__all__} | {"nn": nn})  # the line shown
    if not isinstance(layer, nn.Module):
        raise ValueError(f"code must make a layer, got {code!r}, which makes a {type(layer).__name__}")
    counted = cost(layer, STANDARD)
    (name, other), *_ = [*(beside or {}).items(), ("", None)]
    base = cost(other, STANDARD) if other is not None else counted

    additions = f", and {counted.adds / 1e6:.1f} M additions" if counted.adds else ""

    def ratio(own: int, others: int) -> str:
        return f" ({own / others:.2f} times {name})" if other is not None else ""

    macs = f"{counted.macs / 1e6:.1f} M at {SIZE}×{SIZE}{ratio(counted.macs, base.macs)}{additions}"
    if uncounted:
        total = counted.macs + sum(uncounted.values())
        macs += f"; with {' and '.join(uncounted)} {total / 1e6:.1f} M{ratio(total, base.macs)}"
    texts = {
        "What it is": what,
        "Formula": formula,
        "Parameters": f"{counted.params:,}{ratio(counted.params, base.params)}",
        "Multiply-adds": macs,
        "Receptive field": field or receptive_field(layer, input_shape=STANDARD).words,
        "Use it": use,
        "Avoid it": avoid,
        "In code": code,
        "Paper": paper,
    }
    facts = {name: (text, html.escape(text)) for name, text in texts.items()}
    facts["Formula"] = (formula, f"<span class='math notranslate nohighlight'>\\({html.escape(formula)}\\)</span>")
    facts["In code"] = (code, f"<code>{html.escape(code)}</code>")
    return Card(Figure([drawing], what, alt).svg(), facts)
