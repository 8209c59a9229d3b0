"""Panels with one numbered caption: sharp, in the inks of the page, side by side where there is room."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from convnotes import checks, plots
from convnotes.checks import optional

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDEST = 3.6  # inches: a panel is as wide as the text of a phone of 390 pixels, so that its letters are not shrunk
GAP = 12  # pixels between panels where the page does not arrange them
_UNUSED = re.compile(r' id="(?:figure|axes|patch|text|line2d|matplotlib\.axis|[xy]tick|legend|[A-Z]\w*)_\d+"')


class Figure:
    """What `figure` returns: shown as SVG, with a PNG for whatever shows no SVG, then the caption."""

    def __init__(self, panels: Sequence[Axes], caption: str, alt: str) -> None:
        self.panels, self.caption, self.alt = list(panels), caption, alt

    def __repr__(self) -> str:
        return f"{self.caption}\n{self.alt}"

    def svg(self) -> str:
        """The panels as one drawing. Each is an `<svg>` of its own inside it, so that a page can arrange them."""
        inner, x, tallest = [], 0.0, 0.0
        for ax in self.panels:
            drawing = _drawing(ax)
            width, height = (float(drawing.partition(f'{side}="')[2].partition('"')[0]) for side in ("width", "height"))
            inner.append(drawing.replace("<svg ", f'<svg x="{x:g}" y="0" class="cn-part" ', 1))
            x, tallest = x + width + GAP, max(tallest, height)
        size = f'width="{x - GAP:g}" height="{tallest:g}" viewBox="0 0 {x - GAP:g} {tallest:g}"'
        head = f'{size} role="img" aria-label="{html.escape(self.alt, quote=True)}"'
        names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        return f'<svg {names} {head} stroke-linejoin="round">\n{"".join(inner)}</svg>'

    def png(self) -> bytes:
        """The panels side by side, at one and a half times the page's resolution."""
        pil = optional("PIL.Image")
        pictures = [pil.open(io.BytesIO(plots.save(ax, dpi=144))) for ax in self.panels]
        gap = GAP * 3 // 2
        width = sum(picture.width + gap for picture in pictures) - gap
        whole = pil.new("RGBA", (width, max(picture.height for picture in pictures)))
        x = 0
        for picture in pictures:
            whole.paste(picture, (x, 0))
            x += picture.width + gap
        buffer = io.BytesIO()
        whole.save(buffer, format="png", optimize=True)
        return buffer.getvalue()

    def _ipython_display_(self) -> None:
        display = optional("IPython.display").display
        background = {"needs_background": "light"}
        data = {"image/svg+xml": self.svg(), "image/png": base64.b64encode(self.png()).decode(), "text/plain": self.alt}
        display(data, metadata={"image/svg+xml": background, "image/png": background}, raw=True)
        caption = f"<p class='cn-caption'>{html.escape(self.caption)}</p>"
        display({"text/html": caption, "text/plain": self.caption}, raw=True)


def figure(panels: Axes | Sequence[Axes], caption: str, alt: str) -> Figure:
    """A figure of the book: panels that stand side by side where there is room, and a caption with a number.

    The number comes from the page. Text stays text, and its ink follows the theme of the page.

    Args:
        panels: Axes, each of a figure of its own, as the functions of `convnotes.plots` make them. Several Axes of one
            figure are one panel. A panel is at most 3.6 inches wide, which a phone shows without shrinking it.
        caption: the message of the figure, in one to three sentences. Numbers are put in by the cell.
        alt: what is to be seen, for those who do not see it.

    Raises:
        ValueError: for no panels, a wider panel, and a caption or a text that says next to nothing.

    Example:
        >>> from convnotes import page, plots
        >>> ax = plots.bars({"plain": 36_864, "separable": 4_672}, label="parameters")
        >>> page.figure(ax, "An eighth of the parameters is left.", "Two bars: plain 36,864, separable 4,672")
        An eighth of the parameters is left.
        Two bars: plain 36,864, separable 4,672
    """
    axes = panels if isinstance(panels, Sequence) else [panels]
    checks.some("panels", axes, "Axes")
    whole = list({id(ax.figure.figure): ax for ax in axes}.values())
    for ax in whole:
        width = ax.figure.figure.get_figwidth()
        if width > WIDEST:
            raise ValueError(
                f"a panel must be at most {WIDEST} inches wide, so that a phone can show it, got {width:g}"
            )
    for name, text in (("caption", caption), ("alt", alt)):
        if len(text) < 20:
            raise ValueError(f"{name} must say what the figure shows, got {text!r}")
    return Figure(whole, caption, alt)


def _drawing(ax: Axes) -> str:
    """One panel as `<svg>`, its width and height in pixels, its inks variables of the page with a fallback."""
    text = plots.save(ax, format="svg").decode()
    text = text[text.index("<svg ") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:xmlns:xlink|xmlns|version)="[^"]*"', "", text)
    text = re.sub(
        r'\b(width|height)="([\d.]+)pt"', lambda side: f'{side[1]}="{float(side[2]) * 4 / 3:g}"', text, count=2
    )
    for name, ink in plots.INK["light"].items():
        text = re.sub(f"{ink}\\b", f"var(--cn-{name}-ink, {ink.lower()})", text, flags=re.IGNORECASE)
    return _UNUSED.sub("", text).replace("'DejaVu Sans'", "var(--cn-font, 'DejaVu Sans')")
