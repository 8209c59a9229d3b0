"""What makes a page slow to appear, deaf while it starts, or wider than a phone: the causes, not the time.

The phone opens the page from the disk and in the dark theme: three things that have nothing to do with each other.
"""

import gzip
import re
from types import SimpleNamespace

import pytest
from support import editions
from support.visits import PAGES, Visit, browser_test, every_page, serious_violations

CHAPTERS = [name for name in PAGES if not name.startswith("book/reference/")]
WHOLE_TABLES = [f"book/{name}.html" for name in editions.PAGES + editions.TEXTS]  # those of a chapter may scroll
VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]'
SCRIPT = re.compile(r"<script([^>]*)>(.*?)</script>", flags=re.DOTALL)


def packed(text: str) -> int:
    return len(gzip.compress(text.encode(), 6))


@every_page
def test_a_page_waits_for_one_small_style_sheet_and_no_script(built, name):
    html = (built / name).read_text()
    (sheet,) = re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="([^"]*)"', html)
    assert packed((built / name).parent.joinpath(sheet).read_text()) < 35_000
    assert not re.search(r'<link[^>]*rel="preload"[^>]*as="script"', html)
    for attributes, content in SCRIPT.findall(html):
        if "src=" in attributes:
            assert "defer" in attributes, attributes
        elif "json" in attributes:
            assert "widget-view" in attributes or html.index(content) > html.index("</article>")
        else:
            assert len(content) < 1_000, content[:100]


@every_page
def test_the_text_of_a_page_is_light(built, name):
    html = (built / name).read_text()
    without_states = SCRIPT.sub("", html)
    if name in CHAPTERS:
        assert packed(without_states) < 60_000
        assert len(re.findall(r"<[a-z]", without_states)) < 6_000
    assert "<g>" not in without_states, "a group without attributes"
    assert not re.search(
        r'<span class="[np]">', "".join(re.findall(r'<div class="highlight">.*?</pre>', html, re.DOTALL))
    )


@every_page
def test_the_text_comes_before_the_pictures(built, name):
    """A page opens with words. A picture that is fetched with them, or before them, delays the first screen."""
    html = (built / name).read_text()
    assert "fetchpriority" not in html
    pictures = re.findall(r"<img [^>]*>", html[html.index("<article") : html.index("</article>")])
    assert all('loading="lazy"' in image for image in pictures if "cn-still" not in image and "width=" in image)


@pytest.fixture(scope="module")
def phone(chromium, built, name):
    """A page on a phone, settled, and what was there before the reader moved."""
    tops = "all => all.map(e => e.getBoundingClientRect().top)"
    with Visit(chromium, built.as_uri() + "/", name, width=390, theme="dark") as visit:
        visit.page.wait_for_timeout(500)
        views = visit.page.locator(f"{VIEW}:first-child").locator("..")
        early = SimpleNamespace(
            far=views.evaluate_all("all => all.map(e => e.getBoundingClientRect().top > 1.5 * innerHeight)"),
            drawn=visit.page.locator("[data-widget]").count(),
            maths=visit.page.locator(".math").evaluate_all(tops),
            pictures=visit.page.locator('article img[loading="lazy"]').evaluate_all(tops),
            requested=list(visit.requested),
        )
        visit.settle()
        yield visit, early


@browser_test
@every_page
def test_what_is_far_below_is_made_only_once_the_reader_moves(phone):
    visit, early = phone
    assert early.drawn <= early.far.count(False)
    if all(top > 1.5 * 900 for top in early.maths):
        assert not [url for url in early.requested if "mathjax" in url]
    assert all(top > 800 for top in early.pictures), "a picture of the first screen must not wait"
    assert visit.page.locator("[data-widget]").count() == len(early.far)


@browser_test
@every_page
def test_a_phone_scrolls_down_and_never_sideways(phone, name):
    visit, _ = phone
    assert visit.page.evaluate("() => document.documentElement.scrollWidth") <= 390
    if name in WHOLE_TABLES:
        tables = visit.page.locator("article :is(.cn-scroll, .pst-scrollable-table-container)")
        wide = """all => all.filter(t => t.checkVisibility() && t.scrollWidth > t.clientWidth + 1)
            .map(t => t.textContent.slice(0, 80))"""
        assert tables.evaluate_all(wide) == []
    assert not visit.wrong


@browser_test
@every_page
def test_a_page_is_whole_from_the_disk(phone):
    visit, _ = phone
    visit.assert_whole()


@browser_test
@every_page
def test_axe_finds_no_serious_violation_in_the_dark(phone):
    """On the colours, which are all that the theme changes, and on a wide screen, where more of them are seen."""
    visit, _ = phone
    assert visit.page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    visit.page.set_viewport_size({"width": 1280, "height": 900})
    assert not serious_violations(visit.page, runOnly=["color-contrast"])
