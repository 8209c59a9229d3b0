"""The built pages as a reader meets them: in Chromium, without a network, over http and from the disk."""

import functools
import gzip
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
FILES = [TOC["root"]] + [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]
PAGES = [f"{file}.html" for file in FILES]
WITH_WIDGETS = [
    f"{file}.html"
    for file in FILES
    if (ROOT / f"{file}.ipynb").exists() and "widgets" in json.loads((ROOT / f"{file}.ipynb").read_text())["metadata"]
]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

browser_test = pytest.mark.browser
every_page = pytest.mark.parametrize("name", PAGES)
every_widget_page = pytest.mark.parametrize("name", WITH_WIDGETS)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The book, built as `make book` builds it; a warning fails."""
    out = tmp_path_factory.mktemp("built")
    run = subprocess.run(
        [Path(sys.executable).with_name("jupyter-book"), "build", ROOT, "--path-output", out, "-W", "--keep-going"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return out / "_build" / "html"


@pytest.fixture(scope="module")
def address(built):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(built))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


class Visit:
    """A page open in the browser, and whatever went wrong on the way: outside requests, errors, failures."""

    def __init__(self, chromium, base: str, name: str, width: int = 1280, theme: str = "light", scripts: bool = True):
        self.base, self.wrong, self.requested = base, [], []
        self.context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=scripts
        )
        self.page = self.context.new_page()
        self.page.route("**/*", self._route)
        self.page.on("console", lambda m: m.type == "error" and self.wrong.append(f"console: {m.text}"))
        self.page.on("pageerror", lambda e: self.wrong.append(f"error: {e}"))
        self.page.on("requestfailed", lambda r: self.wrong.append(f"failed: {r.url}"))
        self.page.on("response", lambda r: r.status >= 400 and self.wrong.append(f"{r.status}: {r.url}"))
        self.page.goto(base + name, wait_until="load")

    def _route(self, route):
        url = route.request.url
        if url.startswith(self.base) or url.startswith(("data:", "blob:")):
            self.requested.append(url)
            route.continue_()
        else:
            self.wrong.append(f"outside: {url}")
            route.abort()

    def settle(self) -> None:
        """Wait until the maths is set and the widgets are drawn."""
        if self.page.locator(".math").count():
            self.page.wait_for_function("() => window.MathJax?.startup?.promise && true", timeout=20_000)
            self.page.evaluate("() => MathJax.startup.promise.then(() => new Promise(done => setTimeout(done, 0)))")
            self.page.keyboard.press("Shift")  # the reader's first move sets all that is not in sight
            self.page.wait_for_function(
                """() => document.querySelector('mjx-container') && !document.querySelector('mjx-lazy')""",
                timeout=20_000,
            )
        self.page.wait_for_function(
            """() => document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]').length
                <= document.querySelectorAll('[data-widget], .widget-failed, .widget-needs-kernel').length""",
            timeout=20_000,
        )

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.context.close()


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
        page.wait_for_function("() => [...document.images].every(i => i.complete)", timeout=10_000)
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
        visit.page.wait_for_selector("#search-results li a", timeout=20_000)
        assert any("pointwise" in a.get_attribute("href") for a in visit.page.locator("#search-results li a").all())
        assert not [w for w in visit.wrong if "outside" in w]


def seen(widget) -> str:
    """All that a widget shows: its numbers, its pictures, its drawing."""
    return widget.evaluate(
        """w => JSON.stringify([
            [...w.querySelectorAll('[data-shown]')].map(e => e.textContent),
            [...w.querySelectorAll('canvas')].filter(c => c.offsetParent).map(c => c.toDataURL()),
            [...w.querySelectorAll('svg')].map(s => s.outerHTML),
            [...w.querySelectorAll('[data-control]')].map(
                e => e.getAttribute('aria-valuetext') ?? e.getAttribute('aria-label')),
        ])"""
    )


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
        page.wait_for_function("e => e.dataset.copied?.includes('torch')", arg=control.element_handle(), timeout=5_000)
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
            names = widget.locator("[data-control]").evaluate_all("all => all.map(e => e.dataset.control)")
            assert names
            first = seen(widget)
            for k in range(len(names)):
                move(page, widget.locator("[data-control]").nth(k))
                if "reset" in names:
                    widget.locator('[data-control="reset"]').first.click()
                    assert seen(widget) == first, f"reset after {names[k]} does not bring the first state back"
        assert not visit.wrong


@browser_test
@pytest.mark.parametrize("theme", ["light", "dark"])
@every_page
def test_axe_finds_no_serious_violation(chromium, address, name, theme):
    from axe_playwright_python.sync_playwright import Axe

    with Visit(chromium, address, name, theme=theme) as visit:
        visit.settle()
        assert visit.page.evaluate("() => document.documentElement.dataset.theme") == theme
        colours = {"runOnly": ["color-contrast"]}  # all that the theme changes
        found = Axe().run(visit.page, options=colours if theme == "dark" else None).response["violations"]
        serious = {
            v["id"]: [node["html"][:160] for node in v["nodes"][:3]]
            for v in found
            if v["impact"] in ("serious", "critical")
        }
        assert not serious


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


@browser_test
@every_widget_page
def test_a_reader_without_scripts_sees_each_widget_s_first_picture(chromium, address, name):
    with Visit(chromium, address, name, scripts=False) as visit:
        stills = visit.page.locator("img.cn-still")
        assert stills.count() >= 1
        for n in range(stills.count()):
            assert stills.nth(n).is_visible()
            assert len(stills.nth(n).get_attribute("alt")) > 40
