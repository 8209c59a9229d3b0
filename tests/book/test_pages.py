"""The built pages as a reader meets them: in Chromium, without a network, over http and from the disk, and by axe."""

import gzip
import re

import pytest
from support.visits import PAGES, Visit, browser_test, every_page, serious_violations


def test_the_book_builds_without_a_warning(built):
    for name in PAGES:
        assert (built / name).exists()
    assert (built / "search.html").exists()


@every_page
def test_pages_name_themselves_and_every_image_has_a_text(built, name):
    html = (built / name).read_text()
    assert re.search(r'<html[^>]* lang="en"', html)
    assert re.search(r'<meta name="description" content="[^"]{40,}"', html)
    for image in re.findall(r"<img [^>]*>", html):
        alt = re.search(r'alt="([^"]*)"', image)
        assert alt, image
        assert len(alt[1]) > 20, image
        assert not re.search(r"[0-9a-f]{20}|_images/", alt[1]), image


@pytest.fixture(scope="module")
def from_disk(chromium, built, name):
    """A page as `opened`, from the disk and in the dark theme: two things that have nothing to do with each other."""
    with Visit(chromium, built.as_uri() + "/", name, theme="dark") as visit:
        visit.settle()
        yield visit


def assert_whole(visit: Visit) -> None:
    page = visit.page
    if page.locator(".math").count():
        assert page.locator("mjx-container").count() >= page.locator(".math").count()
        assert page.locator("mjx-merror").count() == 0
    assert page.locator(".widget-failed").count() == 0
    page.evaluate("() => document.querySelectorAll('img').forEach(i => { i.loading = 'eager'; })")
    page.wait_for_function("() => [...document.images].every(i => i.complete)", timeout=60_000)
    dead = page.evaluate("() => [...document.images].filter(i => !i.naturalWidth).map(i => i.src)")
    assert not dead
    assert not visit.wrong


@browser_test
@every_page
def test_a_page_is_whole_without_a_network(opened):
    assert_whole(opened)


@browser_test
@every_page
def test_a_page_is_whole_from_the_disk(from_disk):
    assert_whole(from_disk)


@browser_test
@every_page
def test_axe_finds_no_serious_violation(opened):
    assert opened.page.evaluate("() => document.documentElement.dataset.theme") == "light"
    assert not serious_violations(opened.page)


@browser_test
@every_page
def test_axe_finds_no_serious_violation_in_the_dark(from_disk):
    """On the colours, which are all that the theme changes."""
    assert from_disk.page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    assert not serious_violations(from_disk.page, runOnly=["color-contrast"])


@browser_test
@pytest.mark.parametrize("over", ["http", "file"])
def test_the_search_finds_a_word(chromium, built, address, over):
    with Visit(chromium, address if over == "http" else built.as_uri() + "/", "search.html?q=bottleneck") as visit:
        visit.page.wait_for_selector("#search-results li a", timeout=60_000)
        assert any("pointwise" in a.get_attribute("href") for a in visit.page.locator("#search-results li a").all())
        assert not [w for w in visit.wrong if "outside" in w]


@browser_test
@every_page
def test_a_page_weighs_less_than_900_kb_on_the_wire(opened, built, address):
    files = {re.sub(r"[?#].*", "", url.removeprefix(address)) for url in opened.needed if url.startswith(address)}
    weights = {}
    for file in files:
        content = (built / file).read_bytes()
        packed = file.endswith((".woff", ".woff2", ".png", ".jpg"))
        weights[file] = len(content) if packed else len(gzip.compress(content, 6))
    assert sum(weights.values()) < 900_000, sorted(weights.items(), key=lambda pair: -pair[1])[:8]
