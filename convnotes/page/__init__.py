"""What the pages of the book are made of: each of these stands at the end of a notebook cell.

card         the fact card of an operator: what it is, what it costs, when to use it
figure       panels with one numbered caption, which re-flow on a narrow page and follow its theme
definition   the code that defines an operator, highlighted, with its docstring cut to the equation
verdict      what the book finds of a claim: one datum for all pages
checked      one quiet line that says what the cell has asserted

Tables are `convnotes.measure.Table`, and what is drawn comes from `convnotes.plots`. Each object has a text as well,
which the tests of the notebooks compare. Needs pip install "convnotes[viz]".
"""

from convnotes.page.card import Card, card
from convnotes.page.figure import Figure, figure
from convnotes.page.listing import Definition, definition
from convnotes.page.notes import Checked, checked
from convnotes.page.verdict import CLAIMS, SOURCE, Verdict, verdict

__all__ = [
    "CLAIMS",
    "SOURCE",
    "Card",
    "Checked",
    "Definition",
    "Figure",
    "Verdict",
    "card",
    "checked",
    "definition",
    "figure",
    "verdict",
]
