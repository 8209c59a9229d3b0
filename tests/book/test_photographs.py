"""What the summaries of the chapters say of CIFAR-10 is what the stored rows say."""

import re
from pathlib import Path

import nbformat
import pytest

from convnotes import designs

BOOK = Path(__file__).parents[2] / "book"
SAID = re.compile(
    r"has a mean accuracy of (.+), that of plain 3×3 kernels (.+)\. By the rule of that page it is (.+)\."
)
CHAPTERS = {
    "compression/pointwise": "1×1 only",
    "compression/inception": "Inception",
    "compression/separable": "separable",
    "compression/squeezenet": "Fire",
    "compression/residual": "bottleneck",
    "compression/small_kernels": "kernel stack",
    "fundamentals/multi_scale": "mixed",
    "receptive_field/dilated": "dilated",
    "receptive_field/active": "active",
    "receptive_field/deformable": "deformable",
    "receptive_field/non_local": "non-local",
    "operations/shift": "shift",
    "operations/adder": "adder",
    "beyond/reparameterise": "branches",
    "beyond/large_kernels": "large kernel",
    "beyond/dynamic": "dynamic",
    "beyond/cheap_features": "ghost",
}


@pytest.mark.parametrize(("chapter", "design"), CHAPTERS.items())
def test_a_summary_gives_the_accuracy_on_photographs_and_whether_the_difference_is_clear(chapter, design):
    rows = {row.design: row for row in designs.read() if row.data == "cifar10-jpeg"}
    ours, plain = rows[design], rows["plain 3×3"]
    noise = designs.noise(rows.values())
    clear = abs(ours.accuracy - plain.accuracy) > 2 * noise * (2 / plain.seeds) ** 0.5
    word = "better" if ours.accuracy > plain.accuracy else "worse"
    page = nbformat.read(BOOK / f"{chapter}.ipynb", as_version=4)
    (summary,) = (cell.source for cell in page.cells if cell.source.startswith("## Summary"))
    (said,) = SAID.findall(summary)
    assert said == (
        f"{ours.accuracy:.3f}",
        f"{plain.accuracy:.3f}",
        f"clearly {word}" if clear else "not clearly different",
    )
