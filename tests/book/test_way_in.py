"""The way into the book: paths that lead to pages, parts that name their chapters, one meaning per letter, the map."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml
from support.visits import Visit, browser_test

from convnotes.lattice import INCLUSIONS, OPERATORS

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
PARTS = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
OPENED = {
    part["caption"]: [ROOT / chapter["file"] for chapter in part["chapters"]]
    for part in PARTS
    if part["chapters"][0]["file"].startswith("book/parts/")
}
every_part = pytest.mark.parametrize("caption", OPENED)


def text(page: Path) -> str:
    if page.with_suffix(".ipynb").exists():
        cells = nbformat.read(page.with_suffix(".ipynb"), as_version=4).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return page.with_suffix(".md").read_text(encoding="utf-8")


def links(page: Path) -> list[Path]:
    """The pages of the book that a page leads to, without their suffixes."""
    targets = re.findall(r"\]\(([\w./-]+\.(?:ipynb|md))\)", text(page))
    found = [(page.parent / target).resolve() for target in targets]
    for target in found:
        assert target.exists(), target
    return [target.with_suffix("") for target in found]


def test_the_landing_page_has_three_paths_and_the_short_one_has_eight_chapters():
    intro = text(BOOK / "intro")
    cards = re.findall(r":::\{grid-item-card\} (.+)\n:link: (.+)\n", intro)
    assert [title for title, _ in cards] == ["In two hours", "In thirty minutes, to choose", "Everything"]
    for _, label in cards:
        assert f"({label})=\n## " in intro
    (eight,) = re.findall(r"## In two hours.*?(?=\n\()", intro, flags=re.DOTALL)
    assert len(re.findall(r"^\d\. \[", eight, flags=re.MULTILINE)) == 8


def test_every_page_is_two_links_from_the_landing_page_at_most():
    near = set(links(BOOK / "intro"))
    for page in list(near):
        near |= set(links(page))
    for part in PARTS:
        for chapter in part["chapters"]:
            assert (ROOT / chapter["file"]).resolve() in near, chapter["file"]


def test_the_five_parts_of_operators_open_with_a_page_of_their_own():
    assert [caption.lstrip("1234 ") for caption in OPENED] == [
        "Fundamentals",
        "Parameter compression",
        "Receptive field",
        "Operation optimisation",
        "After the source",
    ]


@every_part
def test_a_part_opens_with_a_question_an_idea_and_one_figure_and_names_its_chapters(caption):
    page, *chapters = OPENED[caption]
    cells = nbformat.read(page.with_suffix(".ipynb"), as_version=4).cells
    title, _, idea = cells[0].source.partition("\n")
    assert title.endswith("?")
    assert len(re.sub(r"\{term\}|<[^>]*>", "", idea).split()) <= 150
    captions = [
        o for c in cells for o in c.get("outputs", []) if "cn-caption" in o.get("data", {}).get("text/html", "")
    ]
    assert len(captions) == 1
    answers = [target for target in links(page) if target in chapters]
    assert answers == chapters


def test_a_letter_has_one_meaning():
    tables = re.findall(r"^\| ([^|]+) \|", text(BOOK / "notation"), flags=re.MULTILINE)
    letters = [letter for cell in tables for letter in re.findall(r"\$([^$]+)\$|`([^`]+)`", cell)]
    names = ["".join(letter) for letter in letters]
    assert len(names) == len(set(names)) >= 20


def test_a_term_has_its_chinese_word_a_definition_and_a_page():
    glossary = text(BOOK / "reference" / "glossary")
    entries = re.findall(r"^(\S.*)\n  (.+)$", "\n".join(re.findall(r":::\{glossary\}\n(.*?):::", glossary, re.S)), re.M)
    assert len(entries) >= 60
    for term, definition in entries:
        chinese, _, rest = definition.partition(". ")
        assert re.search(r"[\u4e00-\u9fff]", chinese), term
        assert len(rest.split()) >= 7, term
        assert re.search(r"\]\(\.\./[\w/]+\.ipynb\)$", rest), term
    terms = [term for term, _ in entries]
    assert len(set(terms)) == len(terms)
    links(BOOK / "reference" / "glossary")


def test_the_map_page_leads_to_the_chapter_of_every_operator():
    rows = re.findall(r"^\| \[[^\]]+\]\((.+)\.ipynb\) \| (.+) \|$", text(BOOK / "map"), flags=re.MULTILINE)
    named = {name: chapter for chapter, names in rows for name in names.split(", ")}
    assert named == {name: operator.chapter for name, operator in OPERATORS.items()}


@browser_test
@pytest.mark.parametrize("width", [390, 1280])
def test_the_boxes_of_the_map_are_links_and_can_be_read_and_touched(chromium, built, address, width):
    with Visit(chromium, address, "book/map.html", width=width) as visit:
        visit.settle()
        page = visit.page
        boxes = page.locator(".cn-map a")
        assert boxes.count() == len(OPERATORS)
        for target in boxes.evaluate_all("all => all.map(a => a.getAttribute('href'))"):
            assert (built / "book" / target).exists(), target
        drawn = page.evaluate(
            """() => {
                const map = document.querySelector(".cn-map");
                const scale = map.getBoundingClientRect().width / map.viewBox.baseVal.width;
                const sides = [...map.querySelectorAll("rect")].map((r) => r.getBoundingClientRect().height);
                const letters = [...map.querySelectorAll("text")].map((t) => parseFloat(getComputedStyle(t).fontSize));
                const wide = [...map.querySelectorAll("a")].filter((a) => {
                    const box = a.querySelector("rect").getBoundingClientRect();
                    return [...a.querySelectorAll("text")].some((t) => t.getBoundingClientRect().width > box.width - 4);
                });
                return [scale * Math.min(...letters), Math.min(...sides), wide.map((a) => a.textContent)];
            }"""
        )
        assert drawn[0] >= 12
        assert drawn[1] >= 24
        assert not drawn[2], "a name is wider than its box"
        assert not visit.wrong


@browser_test
def test_a_click_chooses_an_operator_and_enter_opens_its_chapter(chromium, address):
    with Visit(chromium, address, "book/map.html") as visit:
        visit.settle()
        page = visit.page
        page.locator('.cn-map a[href="receptive_field/dilated.html"]').click()
        assert page.locator('[data-shown="title"]').text_content() == "dilated"
        assert page.url.endswith("book/map.html")
        page.wait_for_function("() => document.querySelector('.cn-widget .cn-live').textContent.startsWith('dilated:')")
        page.locator('[data-control="operators"]').focus()
        page.keyboard.press("ArrowUp")
        assert page.locator('[data-shown="title"]').text_content() == "active"
        shown = page.locator('[data-shown="relations"]').text_content()
        for one in INCLUSIONS:
            if "active" in (one.special, one.general):
                assert all(f"{name} = {value}" in shown for name, value in one.set.items())
        page.keyboard.press("Enter")
        page.wait_for_url("**/receptive_field/active.html")
