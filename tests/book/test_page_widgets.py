"""The widgets of the built pages: by keyboard, by the links of the text, and without scripts."""

import pytest
from support import editions
from support.visits import Visit, browser_test, every_widget_page, seen

LINKED = {f"book/{page}.html": page for page in editions.WITH_LINKS}


def move(page, control) -> None:
    """Move one control to its ends, by keyboard alone; every move must change what the widget shows."""
    widget = control.locator("xpath=ancestor::*[@data-widget][1]")
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
        step(lambda: (control.focus(), page.keyboard.press("Space")))
    elif name == "copy":
        press("Enter")
        page.wait_for_function("e => e.dataset.copied?.includes('torch')", arg=control.element_handle(), timeout=60_000)
    elif kind == "button":
        press("Enter")
    else:  # something drawn that takes the arrow keys
        before = seen(widget)
        press("ArrowUp", "ArrowLeft", "ArrowLeft")
        assert seen(widget) != before, f"{name}: the arrow keys change nothing"
        press("ArrowDown", "ArrowRight")


@browser_test
@every_widget_page
def test_every_control_of_every_widget_moves_what_is_shown_by_keyboard_alone(opened):
    page = opened.page
    widgets = page.locator("[data-widget]")
    assert widgets.count()
    for n in range(widgets.count()):
        widget = widgets.nth(n)
        for summary in widget.locator("details:not([open]) > summary").all():
            summary.focus()
            page.keyboard.press("Enter")
        names = widget.locator("[data-control]").evaluate_all("all => all.map(e => e.dataset.control)")
        assert names
        first = seen(widget)
        for k in range(len(names)):
            alike = widget.locator(f'[data-control="{names[k]}"]')  # others may come and go while it moves
            move(page, alike.nth(names[:k].count(names[k])))
            if "reset" in names:
                widget.locator('[data-control="reset"]').first.click()
                assert seen(widget) == first, f"reset after {names[k]} does not bring the first state back"
    assert not opened.wrong


@pytest.fixture
def page_with_links(opened, name):
    if name not in LINKED:
        pytest.skip("no link of this page sets a widget")
    return opened


@browser_test
@every_widget_page
def test_a_widget_stands_within_the_first_2000_pixels(page_with_links):
    top = page_with_links.page.locator("[data-widget]").first.evaluate("w => w.getBoundingClientRect().top + scrollY")
    assert top <= 2000


@browser_test
@every_widget_page
def test_every_link_sets_its_widget_by_keyboard_and_says_so(page_with_links, name):
    stored = list(editions.links(editions.read(LINKED[name])))
    tab = page_with_links.page
    anchors = tab.locator('a[href^="set:"]')
    assert anchors.count() == len(stored)
    for n, (words, state, widget) in enumerate(stored):
        kind = widget["_anywidget_id"].rsplit(".", 1)[1]
        tab.evaluate("() => document.querySelectorAll('[data-control=reset]').forEach(b => b.click())")
        shown = tab.locator("[data-widget]").filter(has=tab.locator('[data-control="reset"]'))
        before = [seen(shown.nth(k)) for k in range(shown.count())]
        anchors.nth(n).focus()
        tab.keyboard.press("Enter" if n % 2 else "Space")
        expected = f"The figure now shows: {words}."
        tab.wait_for_function("text => document.querySelector('.cn-status').textContent === text", arg=expected)
        if any(widget[trait] != value for trait, value in state.items()):
            assert [seen(shown.nth(k)) for k in range(shown.count())] != before, f"{words} changes nothing in {kind}"
        if tab.locator(".cn-back").count():
            tab.locator(".cn-back").click()
            assert anchors.nth(n).evaluate("a => document.activeElement === a")
    assert not page_with_links.wrong


@browser_test
@every_widget_page
def test_a_reader_without_scripts_sees_each_widget_s_first_picture_or_its_words(chromium, address, name):
    with Visit(chromium, address, name, scripts=False) as visit:
        views = visit.page.locator('script[type="application/vnd.jupyter.widget-view+json"]')
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
