"""The widgets of the built pages: by keyboard, and without scripts."""

from support.visits import Visit, browser_test, every_widget_page, seen


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
def test_every_control_of_every_widget_moves_what_is_shown_by_keyboard_alone(chromium, address, name):
    with Visit(chromium, address, name) as visit:
        visit.settle()
        page = visit.page
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
        assert not visit.wrong


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
