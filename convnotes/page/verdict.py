"""The verdicts on the sixteen claims of the source, and those of part 4: stated once, shown by all pages."""

from __future__ import annotations

import html
from typing import NamedTuple

from convnotes import checks

HOLDS, CONDITION, MISLEADING = "Holds", "Holds with a condition", "Misleading"


class Verdict(NamedTuple):
    """A claim in our words, with the verdict of this book on it. `verdict` gives those of the book."""

    number: int
    claim: str
    verdict: str

    def __repr__(self) -> str:
        return f"C{self.number} · {self.claim}. {self.verdict}."

    def _repr_html_(self) -> str:
        text = html.escape(f"C{self.number} · {self.claim}.")
        return f"<p class='cn-verdict'>{text} <strong>{self.verdict}.</strong></p>"


CLAIMS = {
    number: Verdict(number, claim, verdict)
    for number, (claim, verdict) in enumerate(
        [
            ("Size sets the receptive field", CONDITION),
            ("Small kernels catch detail, large ones larger structure", CONDITION),
            ("More kernels, more features, more cost", CONDITION),
            ("Channels grow with depth", CONDITION),
            ("Stride shrinks output and cost, and can replace pooling", CONDITION),
            ("Padding keeps size and edge information", CONDITION),
            ("Initialisation decides convergence", CONDITION),
            ("Kernels of several sizes help with several scales", CONDITION),
            ("Transfer trains faster and better", CONDITION),
            ("1×1 compresses and mixes channels", CONDITION),
            ("Small kernels are favourable", CONDITION),
            ("Dilation enlarges the receptive field at no more computation", CONDITION),
            ("Deformable sampling fits objects' shapes", MISLEADING),
            ("Non-local sees everything", CONDITION),
            ("Shift replaces spatial convolution at far less computation", CONDITION),
            ("Adders can do without multiplication", CONDITION),
            # Part 4
            ("Branches train better, and one kernel does the same work", CONDITION),
            ("Large depthwise kernels see farther than stacks of small ones", CONDITION),
            ("Kernels that follow the input gain accuracy at little cost", CONDITION),
            ("Sampling needs no kernel weights of its own", CONDITION),
            ("Cheap features can replace a share of a convolution", CONDITION),
        ],
        start=1,
    )
}
SOURCE = range(1, 17)  # the numbers of the claims that the source makes; those after them are of the papers of part 4


def verdict(number: int) -> Verdict:
    """The verdict on one of the sixteen claims of the source, or of those of part 4.

    Args:
        number: of the claim, from 1.

    Raises:
        ValueError: for a number without a claim.

    Example:
        >>> from convnotes import page
        >>> page.verdict(13)
        C13 · Deformable sampling fits objects' shapes. Misleading.
    """
    return CLAIMS[checks.whole("number", number, most=len(CLAIMS))]
