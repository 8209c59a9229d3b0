"""The built pages as a reader meets them: in Chromium, without a network, over http and from the disk."""

import gzip
import re

import pytest
from support.visits import PAGES, Visit, browser_test, every_page


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


@browser_test
@pytest.mark.parametrize("over", ["http", "file"])
@every_page
def test_a_page_is_whole_without_a_network(chromium, built, address, name, over):
    with Visit(chromium, address if over == "http" else built.as_uri() + "/", name) as visit:
        visit.settle()
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
def test_a_phone_scrolls_down_and_never_sideways(chromium, address, name):
    with Visit(chromium, address, name, width=390) as visit:
        visit.settle()
        assert visit.page.evaluate("() => document.documentElement.scrollWidth") <= 390
        assert not visit.wrong


@browser_test
@pytest.mark.parametrize("over", ["http", "file"])
def test_the_search_finds_a_word(chromium, built, address, over):
    with Visit(chromium, address if over == "http" else built.as_uri() + "/", "search.html?q=bottleneck") as visit:
        visit.page.wait_for_selector("#search-results li a", timeout=60_000)
        assert any("pointwise" in a.get_attribute("href") for a in visit.page.locator("#search-results li a").all())
        assert not [w for w in visit.wrong if "outside" in w]


@browser_test
@every_page
def test_a_page_weighs_less_than_900_kb_on_the_wire(chromium, built, address, name):
    with Visit(chromium, address, name) as visit:
        visit.settle()
        files = {re.sub(r"[?#].*", "", url.removeprefix(address)) for url in visit.requested if url.startswith(address)}
        weights = {}
        for file in files:
            content = (built / file).read_bytes()
            packed = file.endswith((".woff", ".woff2", ".png", ".jpg"))
            weights[file] = len(content) if packed else len(gzip.compress(content, 6))
        assert sum(weights.values()) < 900_000, sorted(weights.items(), key=lambda pair: -pair[1])[:8]
