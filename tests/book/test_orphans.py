"""Every number in the text of a chapter comes from somewhere: a cell of its page, a formula or a source."""

import nbformat
import pytest
from support import editions
from support.orphans import orphans


@pytest.mark.parametrize("chapter", editions.SECOND + editions.PAGES)
def test_no_number_stands_in_the_text_alone(chapter):
    assert list(orphans(editions.read(chapter))) == []


def test_what_gives_a_number_and_what_does_not():
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                "width = 640", outputs=[nbformat.v4.new_output("stream", text="0.7134 of 1,234,567\n")]
            ),
            nbformat.v4.new_markdown_cell(
                "Of 1,234,567 values 71 % pass at 640 channels, 0.71 of all, $2^5 = 32$ times."
            ),
            nbformat.v4.new_markdown_cell(
                "Others count 41.17 {cite:p}`who`.\n\nHere it is 41.18, or 0.72, or 33 of 12."
            ),
            nbformat.v4.new_markdown_cell("A turn by 180° of about 650 pixels, about 700, 650 in all."),
            nbformat.v4.new_markdown_cell("*Sections 2.1 and 2.2.* There is 2.3 as well, and arXiv:1704.04861."),
        ]
    )
    assert [number for number, _ in orphans(notebook)] == ["41.18", "0.72", "33", "700", "650", "2.3"]
