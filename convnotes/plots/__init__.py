"""Array in, Axes out: one look for every figure of the book.

Kernels are orange, inputs blue, outputs green, what matters most vermilion, the rest grey (Okabe & Ito's
colour-blind-safe set), and no colour stands alone: there is always a number, a marker or a label as well. The
background is transparent. No single ink reaches a contrast of 4.5:1 on white and on a dark page at once, so text has a
pair of inks, "light" and "dark" named after the page. The light one also holds on the light background that the book's
theme puts under figures in its dark mode.

No function touches pyplot's state: a figure lives as long as its Axes. Needs pip install "convnotes[viz]".
"""

from convnotes.plots.curves import bars, history, name_points, spread, trade
from convnotes.plots.look import INK, MARKS, PALETTE, number, panel, save, show, style
from convnotes.plots.pictures import feature_maps, heat, image, kernel, signed, signed_scale
from convnotes.plots.taps import film, reads

__all__ = [
    "INK",
    "MARKS",
    "PALETTE",
    "bars",
    "feature_maps",
    "film",
    "heat",
    "history",
    "image",
    "kernel",
    "name_points",
    "number",
    "panel",
    "reads",
    "save",
    "show",
    "signed",
    "signed_scale",
    "spread",
    "style",
    "trade",
]
