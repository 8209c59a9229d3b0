"""The built pages as a reader meets them: on a phone, whole without a network, by axe, by keyboard, by links.

A page is loaded once for all tests of it: from the disk, on a phone and in the dark theme, three things that have
nothing to do with each other. Then the same page becomes wide, and then light.
"""

import gzip
import re
from types import SimpleNamespace

import pytest
from support import editions
from support.visits import PAGES, WITH_WIDGETS, Visit, browser_test, every_page, seen, serious_violations

VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]'
WHOLE_TABLES = [f"book/{name}.html" for name in editions.PAGES + editions.TEXTS]  # those of a chapter may scroll
LINKED = {f"book/{page}.html": page for page in editions.WITH_LINKS}


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
def test_a_page_is_whole_from_the_disk_and_without_a_network(phone):
    visit, _ = phone
    visit.assert_whole()


@browser_test
@every_page
def test_a_page_weighs_less_than_900_kb_on_the_wire(phone, built):
    visit, _ = phone
    files = {re.sub(r"[?#].*", "", url.removeprefix(visit.base)) for url in visit.needed if url.startswith(visit.base)}
    weights = {}
    for file in files:
        content = (built / file).read_bytes()
        packed = file.endswith((".woff", ".woff2", ".png", ".jpg"))
        weights[file] = len(content) if packed else len(gzip.compress(content, 6))
    assert sum(weights.values()) < 900_000, sorted(weights.items(), key=lambda pair: -pair[1])[:8]


@browser_test
@every_page
def test_axe_finds_no_serious_violation_in_the_dark(phone):
    """On the colours, which are all that the theme changes, and on a wide screen, where more of them are seen."""
    visit, _ = phone
    assert visit.page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    visit.page.set_viewport_size({"width": 1280, "height": 900})
    assert not serious_violations(visit.page, runOnly=["color-contrast"])


@pytest.fixture(scope="module")
def opened(phone):
    """The same page on a wide screen in the light theme, the settings of its widgets unfolded."""
    visit, _ = phone
    visit.page.set_viewport_size({"width": 1280, "height": 900})
    visit.page.emulate_media(color_scheme="light")
    visit.page.wait_for_function("() => document.documentElement.dataset.theme === 'light'")
    visit.page.wait_for_function("() => !document.getAnimations().some(a => a instanceof CSSTransition)")
    visit.page.evaluate("() => { for (const d of document.querySelectorAll('.cn-more')) d.open = true; }")
    return visit


@browser_test
@every_page
def test_axe_finds_no_serious_violation(opened):
    assert not serious_violations(opened.page)


def move(page, widget, control) -> None:
    """Move one control to its ends, by keyboard alone; every move must change what the widget shows."""
    kind = control.evaluate("e => e.tagName === 'INPUT' ? e.type : e.tagName.toLowerCase()")
    name = control.get_attribute("data-control")

    def step(act):
        before = seen(widget)
        act()
        assert seen(widget) != before, f"{name}: nothing changed"

    def press(*keys):
        control.focus()
        for key in keys:
            page.keyboard.press(key)

    if kind in ("range", "text"):
        start = control.evaluate("e => [e.value, e.min || e.getAttribute('aria-valuemin')]")
        first, second = ("End", "Home") if start[0].replace("−", "-") == start[1] else ("Home", "End")
        step(lambda: press(first))
        step(lambda: press(second))
    elif kind == "select":
        values = control.evaluate("e => [...e.options].map(o => o.value)")
        start = control.input_value()
        moved = 0
        for value in [v for v in values if v != start] + [start]:
            before = seen(widget)
            control.select_option(value)
            moved += seen(widget) != before
        assert moved >= 1, f"{name}: no option changed anything"
    elif kind in ("checkbox",):
        step(lambda: press("Space"))
        step(lambda: press("Space"))
    elif kind == "radio":
        step(lambda: press("Space"))
    elif name == "copy":
        press("Enter")
        page.wait_for_function("e => e.dataset.copied?.includes('torch')", arg=control, timeout=60_000)
    elif kind == "button":
        press("Enter")
    else:  # something drawn that takes the arrow keys
        before = seen(widget)
        press("ArrowUp", "ArrowLeft", "ArrowLeft")
        assert seen(widget) != before, f"{name}: the arrow keys change nothing"
        press("ArrowDown", "ArrowRight")


@browser_test
@every_page
def test_every_control_of_every_widget_moves_what_is_shown_by_keyboard_alone(opened, name):
    """By handles of the elements, which answer ten times as fast as locators."""
    if name not in WITH_WIDGETS:
        pytest.skip("no widget on this page")
    page = opened.page
    widgets = page.query_selector_all("[data-widget]")
    assert widgets
    for widget in widgets:
        for summary in widget.query_selector_all("details:not([open]) > summary"):
            summary.focus()
            page.keyboard.press("Enter")
        names = [control.get_attribute("data-control") for control in widget.query_selector_all("[data-control]")]
        assert names
        first = seen(widget)
        for k in range(len(names)):
            alike = widget.query_selector_all(f'[data-control="{names[k]}"]')  # others come and go while it moves
            move(page, widget, alike[names[:k].count(names[k])])
            if "reset" in names:
                widget.query_selector('[data-control="reset"]').press("Enter")
                assert seen(widget) == first, f"reset after {names[k]} does not bring the first state back"
    assert not opened.wrong


@pytest.fixture
def page_with_links(opened, name):
    if name not in LINKED:
        pytest.skip("no link of this page sets a widget")
    return opened


@browser_test
@every_page
def test_a_widget_stands_within_the_first_2000_pixels(page_with_links):
    top = page_with_links.page.locator("[data-widget]").first.evaluate("w => w.getBoundingClientRect().top + scrollY")
    assert top <= 2000


@browser_test
@every_page
def test_every_link_sets_its_widget_by_keyboard_and_says_so(page_with_links, name):
    stored = list(editions.links(editions.read(LINKED[name])))
    tab = page_with_links.page
    anchors = tab.query_selector_all('a[href^="set:"]')
    assert len(anchors) == len(stored)
    shown = tab.query_selector_all('[data-widget]:has([data-control="reset"])')
    for n, (anchor, (words, state, widget)) in enumerate(zip(anchors, stored, strict=True)):
        kind = widget["_anywidget_id"].rsplit(".", 1)[1]
        tab.evaluate("() => document.querySelectorAll('[data-control=reset]').forEach(b => b.click())")
        before = list(map(seen, shown))
        anchor.focus()
        tab.keyboard.press("Enter" if n % 2 else "Space")
        expected = f"The figure now shows: {words}."
        tab.wait_for_function("text => document.querySelector('.cn-status').textContent === text", arg=expected)
        if any(widget[trait] != value for trait, value in state.items()):
            assert list(map(seen, shown)) != before, f"{words} changes nothing in {kind}"
        back = tab.query_selector(".cn-back")
        if back:
            back.click()
            assert anchor.evaluate("a => document.activeElement === a")
    assert not page_with_links.wrong


@browser_test
@pytest.mark.parametrize("name", WITH_WIDGETS)
def test_a_reader_without_scripts_sees_each_widget_s_first_picture_or_its_words(chromium, address, name):
    with Visit(chromium, address, name, scripts=False) as visit:
        views = visit.page.locator(VIEW)
        stills = visit.page.locator(".cn-still")
        assert stills.count() == views.count() >= 1
        for n in range(stills.count()):
            assert stills.nth(n).is_visible()
            words = stills.nth(n).get_attribute("alt") or stills.nth(n).text_content()
            assert len(words) > 40


@browser_test
def test_a_link_that_chooses_a_tap_opens_how_it_is_read_and_reset_opens_nothing(chromium, address):
    with Visit(chromium, address, "book/receptive_field/deformable.html") as visit:
        visit.settle()
        fold = visit.page.locator("details", has_text="How the chosen tap is read")
        shown = "d => d.open"
        visit.page.locator("a.cn-set", has_text="the learned offsets").click()
        assert not fold.evaluate(shown)
        visit.page.locator("a.cn-set", has_text="one tap of the large digit").click()
        assert fold.evaluate(shown)
        fold.evaluate("d => { d.open = false; }")
        visit.page.locator('[data-widget="deform-sampler"] [data-control="reset"]').click()
        assert not fold.evaluate(shown)
        assert not visit.wrong


@browser_test
@pytest.mark.parametrize("over", ["http", "file"])
def test_the_search_finds_a_word(chromium, built, address, over):
    with Visit(chromium, address if over == "http" else built.as_uri() + "/", "search.html?q=bottleneck") as visit:
        visit.page.wait_for_selector("#search-results li a", timeout=60_000)
        assert any("pointwise" in a.get_attribute("href") for a in visit.page.locator("#search-results li a").all())
        assert not [w for w in visit.wrong if "outside" in w]
