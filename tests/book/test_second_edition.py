"""The shape of a chapter or page of the second edition. One can pass this and be bad; a reader decides."""

import re

import pytest
from support import editions

from convnotes import page

every_chapter = pytest.mark.parametrize("chapter", editions.SECOND)
every_page = pytest.mark.parametrize("name", editions.SECOND + editions.PAGES)


@every_page
def test_code_is_shown_where_it_is_the_lesson(name):
    notebook = editions.read(name)
    listings = list(editions.listings(notebook))
    code = editions.visible_code(notebook)
    assert sum(len(source.splitlines()) for source in code) <= 90
    assert not [source for source in code if len(source.splitlines()) > 20 and source not in listings]
    assert max((len(line) for source in code for line in source.splitlines()), default=0) <= 80, "wider than the column"


@every_chapter
def test_the_definition_is_shown(chapter):
    assert len(list(editions.listings(editions.read(chapter)))) >= 1


@every_page
def test_numbers_stand_in_tables_and_figures_and_each_figure_has_a_caption(name):
    notebook = editions.read(name)
    assert len(editions.printed_lines(notebook)) <= 20
    captions = editions.captions(notebook)
    assert len(captions) >= (6 if name in editions.SECOND else 1)
    assert all(len(caption.split()) >= 8 and caption.endswith(".") for caption in captions)
    drawings = [data for data in editions.shown(notebook) if "image/svg+xml" in data]
    assert len(drawings) == len(captions)
    pictures = [data for data in editions.shown(notebook) if "image/png" in data]
    assert all({"image/svg+xml", editions.VIEW} & data.keys() for data in pictures), "a picture without a caption"


@every_page
def test_the_text_comes_in_portions(name):
    for paragraph in editions.paragraphs(editions.read(name)):
        assert len(paragraph.split()) <= 100, paragraph


@pytest.mark.parametrize("name", editions.PAGES)
def test_a_page_opens_with_its_purpose_and_folds_its_imports(name):
    """At most 150 words stand before the first cell, which shows no code."""
    opening, first, *_ = editions.read(name).cells
    assert re.match(r"# \S.+\n\n\S", opening.source)
    assert first.cell_type == "code"
    assert "import " in first.source
    assert "hide-input" in editions.tags(first)
    assert len(opening.source.split()) <= 150


@pytest.mark.parametrize("name", editions.PAGES)
def test_a_quiz_of_a_page_gives_a_reason_per_option(name):
    notebook = editions.read(name)
    if any("quiz" in editions.tags(cell) for cell in notebook.cells):
        assert all(isinstance(question["why"], list) for question in editions.quiz(notebook))


@every_chapter
def test_the_chapter_has_its_parts(chapter):
    notebook = editions.read(chapter)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    first, *_, last = notebook.cells
    assert re.match(r"# .+\?\n", first.source)
    assert len(re.findall(r"^- ", first.source, flags=re.M)) == 3
    cards = [data for data in editions.shown(notebook) if "cn-card" in data.get("text/html", "")]
    assert len(cards) == 1
    headings = re.findall(r"^## (.+)$", text, flags=re.M)
    assert headings[-3:] == ["Exercises", "Quiz", "Summary"]
    assert headings[-4].startswith("Verdict")
    assert not {"Derivation", "The definition", "The layer", "What it costs", "Where it fails"} & set(headings)
    verdicts = [data["text/plain"] for data in editions.shown(notebook) if "cn-verdict" in data.get("text/html", "")]
    claimed = set(map(int, re.findall(r"\(C(\d+)\)", text)))
    assert verdicts == [repr(page.verdict(number)) for number in sorted(claimed)]
    assert ":::{dropdown} Answer" in text
    assert len(re.findall(r"```\{exercise\}", text)) == len(re.findall(r"```\{solution-start\}", text)) == 3
    quizzes = [cell for cell in notebook.cells if "quiz" in editions.tags(cell)]
    assert [cell.source.count('"question"') for cell in quizzes] == [5]
    assert all(isinstance(question["why"], list) for question in editions.quiz(notebook)), "a reason per option"
    assert len(re.findall(r"^- ", last.source, flags=re.M)) == 3
    for needed in ("Code: `convnotes/", "tests: `tests/", "{cite"):
        assert needed in last.source


@pytest.mark.parametrize("name", editions.TEXTS)
def test_a_page_without_cells_has_a_purpose_short_paragraphs_and_narrow_code(name):
    text = (editions.BOOK / f"{name}.md").read_text(encoding="utf-8")
    assert re.match(r"# \S.+\n\n\S", text)
    code = "\n".join(re.findall(r"^```(?:python|bash)\n(.*?)^```", text, flags=re.M | re.S))
    assert max(map(len, code.splitlines()), default=0) <= 80
    for paragraph in editions.portions(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        table = paragraph.lstrip().startswith("|")
        assert table or len(paragraph.split()) <= 100, paragraph


@pytest.mark.parametrize("chapter", editions.WITH_LINKS)
def test_every_link_sets_what_its_widget_accepts_and_has_a_button_elsewhere(chapter):
    """The widget has tried each of its `links` when the notebook ran."""
    found = list(editions.links(editions.read(chapter)))
    assert len(found) >= 5
    for words, state, widget in found:
        assert widget, f"no widget of the page has the traits {', '.join(state)}"
        assert widget["links"].get(words) == state, words
