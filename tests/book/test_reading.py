"""What a reader has read and answered: marked in the sidebar, kept in this browser only, and forgotten when asked."""

import pytest
from support.visits import Visit, browser_test

PAGE, OTHER = "book/fundamentals/size_and_shape.html", "book/map.html"
BLOCKED = """Object.defineProperty(window, 'localStorage', {
    configurable: true, get() { throw new DOMException('no', 'SecurityError'); } })"""
LINKS = ".bd-sidebar-primary nav a.reference.internal"


def box(visit):
    return visit.page.get_by_role("checkbox", name="I have read this page")


def mark(visit, name: str) -> str:
    """What stands beside a page in the sidebar."""
    target = f"{visit.base}{name}"
    marks = visit.page.locator(LINKS).evaluate_all(
        "(all, url) => all.filter(a => a.href.split('#')[0] === url).map(a => a.querySelector('.cn-mark').textContent)",
        target,
    )
    assert len(marks) == 1
    return marks[0]


def places(visit) -> list[list[float]]:
    """Where each link of the sidebar stands below the first one, and its size."""
    return visit.page.locator(LINKS).evaluate_all(
        """all => all.map(a => a.getBoundingClientRect()).map((box, n, boxes) =>
            [Math.round(box.y - boxes[0].y), box.width, box.height])"""
    )


@browser_test
def test_a_tick_by_keyboard_marks_the_page_everywhere_and_moves_nothing(chromium, address):
    with Visit(chromium, address, PAGE) as visit:
        before = places(visit)
        box(visit).focus()
        visit.page.keyboard.press("Space")
        assert mark(visit, PAGE) == " ✓ read"
        assert places(visit) == before
        visit.page.goto(address + OTHER)
        assert mark(visit, PAGE) == " ✓ read"
        assert mark(visit, OTHER) == ""
        assert not box(visit).is_checked()
        before = places(visit)
        forget = visit.page.get_by_role("button", name="Forget all marks")
        forget.click()
        assert not forget.is_visible()
        assert places(visit) == before
        assert box(visit).evaluate("b => b === document.activeElement")
        visit.page.goto(address + PAGE)
        assert mark(visit, PAGE) == ""
        assert not box(visit).is_checked()
        assert not [w for w in visit.wrong if not w.startswith("failed")]  # what was under way when the page was left


@browser_test
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_quiz_is_scored_once_every_question_has_an_answer(chromium, address, theme):
    from axe_playwright_python.sync_playwright import Axe

    with Visit(chromium, address, OTHER.replace("map", "prerequisites"), theme=theme) as visit:
        visit.settle()
        quiz = visit.page.locator('[data-widget="quiz"]')
        questions = quiz.locator("fieldset")
        for n in range(questions.count()):
            assert mark(visit, "book/prerequisites.html") == ""
            questions.nth(n).locator("input").first.check()
        right, of = quiz.locator("[data-shown=score]").text_content().split(" right")[0].split(" of ")
        box(visit).check()
        assert mark(visit, "book/prerequisites.html") == f", quiz {right}/{of} ✓ read"
        visit.page.reload()
        assert mark(visit, "book/prerequisites.html") == f", quiz {right}/{of} ✓ read"
        assert not Axe().run(visit.page, options={"runOnly": ["color-contrast", "target-size"]}).response["violations"]


@browser_test
def test_where_storage_is_blocked_a_tick_holds_for_the_page_and_the_reader_is_told(chromium, address):
    with Visit(chromium, address, OTHER) as visit:
        visit.context.add_init_script(BLOCKED)
        visit.page.reload()
        box(visit).check()
        assert mark(visit, OTHER) == " ✓ read"
        assert "does not keep the marks" in visit.page.locator(".cn-read-count").text_content()
        assert not [w for w in visit.wrong if not w.startswith("failed")]


@browser_test
def test_a_table_wider_than_a_phone_says_so_and_no_other_does(chromium, address):
    with Visit(chromium, address, "book/operations/shift.html", width=390) as visit:
        visit.settle()
        visit.page.evaluate("() => { for (const d of document.querySelectorAll('details')) d.open = true; }")
        visit.page.wait_for_timeout(500)
        tables = visit.page.locator(".cn-scroll").evaluate_all(
            """all => all.map(t => [
                t.scrollWidth > t.clientWidth + 1,
                getComputedStyle(t.previousElementSibling, "::after").content.includes("Scroll sideways"),
            ])"""
        )
        assert tables
        assert all(wide == said for wide, said in tables)
        assert any(wide for wide, _ in tables)


@browser_test
def test_the_keyboard_reaches_a_formula_wider_than_a_phone_and_no_other(chromium, address):
    with Visit(chromium, address, "book/receptive_field/non_local.html", width=390) as visit:
        visit.settle()
        visit.page.evaluate("() => { for (const d of document.querySelectorAll('details')) d.open = true; }")
        wide = visit.page.locator("mjx-container.cn-overflows")
        wide.nth(1).wait_for()
        formulas = visit.page.locator("mjx-container[display]").evaluate_all(
            """all => all.map(f => [
                f.scrollWidth > f.clientWidth + 1,
                getComputedStyle(f).overflowX === "auto" && f.tabIndex === 0,
            ])"""
        )
        assert all(cut == reached for cut, reached in formulas)
        assert len(formulas) > wide.count()
        wide.first.focus()
        visit.page.keyboard.press("ArrowRight")
        visit.page.wait_for_function("() => document.activeElement.scrollLeft > 0")
