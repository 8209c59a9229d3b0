"""Pages of the book on paper, as `make pdf` prints them all: open, numbered, joined, and without what is folded."""

import html
import io
import re
from pathlib import Path

import pytest
from support.scripts import script
from support.visits import FILES, browser_test

BOOK = Path(__file__).parents[2] / "book"
PAGES = ["book/map", "book/receptive_field/deformable"]


@pytest.fixture(scope="module")
def pdf():
    return script("pdf")


@pytest.fixture(scope="module")
def paper(pdf, chromium, built):
    """Two pages of the book, printed."""
    pypdf = pytest.importorskip("pypdf")
    pages = [entry for entry in pdf.contents() if entry[1] in PAGES]
    return pypdf.PdfReader(io.BytesIO(pdf.book(chromium, built, pages)))


def words(page) -> str:
    return " ".join(page.extract_text().split())


def test_the_contents_are_those_of_the_table_of_contents(pdf):
    assert [file for _, file, _ in pdf.contents()] == FILES


@browser_test
def test_every_page_has_its_number_and_the_contents_name_the_first_of_each_chapter(paper):
    assert paper.metadata.title == "Convolution kernel design"
    front = words(paper.pages[0])
    for n, page in enumerate(paper.pages[1:], 2):
        assert words(page).endswith(str(n)), n
    starts = {item.title: paper.get_destination_page_number(item) for item in flat(paper.outline)}
    assert list(starts) == ["Start here", "The map of operators", "2 Receptive field", "Deformable convolution"]
    for title in ("The map of operators", "Deformable convolution"):
        assert f"{title} {starts[title] + 1}" in front
    assert words(paper.pages[starts["Deformable convolution"]]).startswith("Can a kernel choose where it looks?")


def flat(outline) -> list:
    return [leaf for item in outline for leaf in (flat(item) if isinstance(item, list) else [item])]


@browser_test
def test_folded_answers_and_quizzes_are_printed_and_folded_code_is_not(paper):
    whole = " ".join(map(words, paper.pages))
    for seen in ("The upper row gives", "The gradient of an offset, in full", "rot90 turns to the left", "75"):
        assert seen in whole
    assert "They lined up along the strokes of the digit" in whole  # an answer to choose in the quiz
    for hidden in ("Show the code", "page.card(", "DeformSampler(", "Copy as torch", "I have read this page", "↻"):
        assert hidden not in whole, hidden


@browser_test
def test_no_title_of_a_table_is_parted_or_left_at_the_foot_of_a_page(pdf, chromium, built):
    pypdf = pytest.importorskip("pypdf")
    address = built / "book/reference/ledger.html"  # tables one after the other
    found = re.findall("<p class='cn-title'>(.*?)</p>", address.read_text(encoding="utf-8"))
    titles = ["".join(html.unescape(title).split()) for title in found]
    assert len(titles) > 5
    with chromium.new_page() as tab:
        paper = pypdf.PdfReader(io.BytesIO(pdf.printed(tab, address.as_uri())))
    pages = ["".join(page.extract_text().split()) for page in paper.pages]
    for title in titles:
        assert any(title in page for page in pages), title
        assert not any(page.endswith(title) for page in pages), title


@browser_test
def test_links_lead_to_pages_of_the_pdf_or_to_the_web(paper):
    actions = [
        (n, action)
        for n, page in enumerate(paper.pages)
        for one in page.get("/Annots", [])
        if (action := one.get_object().get("/A", {}))
    ]
    addresses = [action["/URI"] for _, action in actions if "/URI" in action]
    assert all(address.startswith(("http:", "https:")) for address in addresses)
    inner = [(n, action["/D"][0]) for n, action in actions if action.get("/S") == "/GoTo"]
    starts = [paper.pages[paper.get_destination_page_number(item)] for item in flat(paper.outline)]
    contents = [target for n, target in inner if n == 0]
    assert [starts.index(target.get_object()) for target in contents] == [0, 2]  # each part begins with its chapter
    assert any(n > 0 for n, _ in inner), "the map leads to the chapter"
