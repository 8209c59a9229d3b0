"""The Chinese edition: nothing is English or out of date, nothing is lost in translation, and its pages work."""

import re
import sys

import pytest
from support.chinese import faults
from support.editions import BOOK
from support.visits import FILES, WITH_WIDGETS, Visit, browser_test, every_page, serious_violations

sys.path[:0] = [str(BOOK), str(BOOK / "_ext")]

import translate  # noqa: E402

FILES_OF_MESSAGES = translate.CATALOGUES.rglob("*.po")
STORED = sorted(file.relative_to(translate.CATALOGUES).with_suffix("").as_posix() for file in FILES_OF_MESSAGES)
every_catalogue = pytest.mark.parametrize("name", STORED)

# The texts of a page that hold several English words and no Chinese one, code and formulas and what is marked as
# English aside.
ENGLISH = """root => {
    const left = 'code, pre, kbd, mjx-container, .math, script, style, noscript, .cn-formula, [lang=en], [hidden]';
    const english = text => /[a-z]{2,} [a-z]{2,}/.test(text) && !/[\\u3000-\\u9fff\\uff00-\\uffef]/.test(text);
    const found = new Set();
    const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const { data, parentElement } = walk.currentNode;
        if (english(data) && !parentElement.closest(left)) found.add(data.trim());
    }
    for (const e of root.querySelectorAll('[aria-label], [alt], [title]'))
        for (const name of ['aria-label', 'alt', 'title'])
            if (english(e.getAttribute(name) ?? '') && !e.closest(left)) found.add(e.getAttribute(name));
    return [...found];
}"""


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("messages")
    assert translate.build.build("en", folder, "gettext") == 0
    return translate.wanted(folder / "gettext")


def stored(name):
    with (translate.CATALOGUES / f"{name}.po").open("rb") as stream:
        return translate.read_po(stream, locale="zh_CN")


def test_every_message_is_translated_and_none_is_stale(extracted):
    lacking = {}
    for name, messages in extracted.items():
        catalogue = stored(name) if name in STORED else translate.Catalog()
        translated = {entry.id for entry in catalogue if entry.id and entry.string and not entry.fuzzy}
        if found := [text[:80] for text in messages if text not in translated]:
            lacking[name] = found
    assert not lacking, "run `make translate`, and translate these"
    assert {name for name in STORED if name not in extracted} <= {"sphinx"}
    stale = {name for name, messages in extracted.items() if {e.id for e in stored(name) if e.id} != set(messages)}
    assert not stale, "run `make translate`"


@every_catalogue
def test_nothing_is_lost_and_the_words_are_those_of_the_book(name):
    found = {e.id[:80]: what for e in stored(name) if e.id and e.string and (what := faults(e.id, e.string))}
    assert not found


def test_a_text_of_scripts_has_one_translation():
    """A page puts the dictionaries of its widgets together."""
    known = {}
    for name in STORED:
        if name.startswith("widgets/") or name == "site":
            for entry in stored(name):
                if entry.id:
                    assert known.setdefault(entry.id, entry.string) == entry.string, (name, entry.id)


@every_page
def test_a_page_and_its_translation_lead_to_each_other_and_have_the_same_sections(built, name):
    pages = {"en": built / name, "zh-CN": built / "zh" / name}
    ids = {}
    for language, page in pages.items():
        text = page.read_text()
        assert re.search(rf'<html[^>]* lang="{language}"', text)
        ((other, there),) = re.findall(r'class="btn btn-sm cn-language" href="([^"]+)" hreflang="([^"]+)"', text)
        assert there != language
        assert (page.parent / other).resolve() == pages[there].resolve()
        ids[language] = re.findall(r'<section[^>]* id="([^"]+)"', text)
    assert ids["en"] == ids["zh-CN"]


@pytest.fixture(scope="module")
def opened(chromium, built, name):
    with Visit(chromium, built.as_uri() + "/", f"zh/{name}", width=390, theme="dark") as visit:
        visit.settle()
        yield visit


@browser_test
@every_page
def test_a_page_is_whole_on_a_dark_phone_from_the_disk(opened):
    opened.assert_whole()
    assert opened.page.evaluate("() => document.documentElement.scrollWidth") <= 390


@browser_test
@every_page
def test_axe_finds_no_serious_violation(opened):
    assert not serious_violations(opened.page)


@browser_test
@every_page
def test_no_words_are_left_in_english_whatever_is_moved(opened, name):
    page = opened.page
    left = set(page.evaluate(f"() => ({ENGLISH})(document.body)"))
    if name in WITH_WIDGETS:
        for widget in page.query_selector_all("[data-widget]"):
            for control in widget.query_selector_all("[data-control]"):
                left |= set(moved(widget, control))
    assert not left - {"Network in Network", "import convnotes"}  # a name, and code
    assert not opened.wrong


def moved(widget, control):
    """The English words that a widget shows after a control was put to its ends, to each option, or pressed."""
    return control.evaluate(
        """(e, widget) => {
            const found = [];
            const look = () => found.push(...english(widget));
            const english = ENGLISH;
            const tell = (type) => e.dispatchEvent(new Event(type, { bubbles: true }));
            if (!e.isConnected) return found;
            if (e.tagName === "SELECT")
                for (const { value } of [...e.options]) { e.value = value; tell("change"); look(); }
            else if (e.type === "range")
                for (const value of [e.min, e.max]) { e.value = value; tell("input"); look(); }
            else if (e.tagName === "BUTTON" || e.type === "checkbox" || e.type === "radio") { e.click(); look(); }
            return found;
        }""".replace("ENGLISH", ENGLISH),
        widget,
    )


@browser_test
def test_the_switch_leads_to_the_same_section_and_the_choice_is_kept(chromium, address):
    name = "book/receptive_field/dilated.html"
    with Visit(chromium, address, f"{name}#quiz") as visit:
        page = visit.page
        page.get_by_role("link", name="中文", exact=True).click()
        page.wait_for_url(f"{address}zh/{name}#quiz")
        page.goto(f"{address}book/intro.html")
        page.wait_for_url(f"{address}zh/book/intro.html")
        page.goto(address + name)  # an address that somebody gave
        assert page.url == address + name
        page.goto(f"{address}zh/book/intro.html")
        page.get_by_role("link", name="English", exact=True).click()
        page.wait_for_url(f"{address}book/intro.html")


@browser_test
@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("膨胀卷积", "receptive_field/dilated"),
        ("深度可分离卷积", "compression/separable"),
        ("结构重参数化", "beyond/reparameterise"),
        ("迁移学习 微调", "fundamentals/transfer_learning"),
        ("ResNet 瓶颈", "compression/residual"),
        ("秩", "compression/small_kernels"),
    ],
)
def test_the_search_finds_chinese_words_without_a_network(chromium, address, query, page):
    with Visit(chromium, address, f"zh/search.html?q={query}") as visit:
        results = visit.page.locator("ul.search li a")
        results.first.wait_for(timeout=30_000)
        visit.page.wait_for_function(
            "() => { const all = document.querySelectorAll('ul.search li').length; "
            "const same = all === window.before; window.before = all; return same; }",
            polling=300,
        )
        found = results.evaluate_all("all => all.map(a => a.getAttribute('href'))")
        assert any(target.startswith(f"book/{page}.html") for target in found), found
        assert not visit.wrong


def test_every_page_of_the_table_of_contents_has_a_catalogue():
    assert {name for name in FILES if name in STORED} == set(FILES)
