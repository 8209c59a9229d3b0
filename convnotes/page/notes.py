"""One quiet line about what a folded cell has asserted."""

from __future__ import annotations

import html


class Checked:
    """What `checked` returns: a line of text, small on the page."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __repr__(self) -> str:
        return f"checked: {self.what}"

    def _repr_html_(self) -> str:
        return f"<p class='cn-checked'>checked: {html.escape(self.what)}</p>"


def checked(what: str) -> Checked:
    """Say in one line what the cell has asserted. It asserts nothing itself, so it stands after the asserts.

    Args:
        what: the statement that the asserts above have shown.

    Example:
        >>> from convnotes import page
        >>> assert 2 + 2 == 4
        >>> page.checked("two and two are four")
        checked: two and two are four
    """
    return Checked(what)
