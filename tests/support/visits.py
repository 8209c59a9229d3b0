"""A page of the built book, open in a browser: what the tests of the pages share."""

import json
import shutil
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
# For a whole module, so that its tests of one page follow each other and a fixture may open the page once for them.
every_page = pytest.mark.parametrize("name", PAGES, scope="module")


def seen(widget) -> str:
    """All that a widget shows (its numbers, its pictures, its drawing), as a checksum: the whole is slow to send."""
    return widget.evaluate(
        """w => {
            const shown = JSON.stringify([
                [...w.querySelectorAll('[data-shown]')].map(e => e.textContent),
                [...w.querySelectorAll('svg')].map(s => s.outerHTML),
                [...w.querySelectorAll('[data-control]')].map(
                    e => e.getAttribute('aria-valuetext') ?? e.getAttribute('aria-label')),
            ]);
            const sums = [0, 0];  // of two multipliers, modulo 2³²
            const add = number => {
                sums[0] = Math.imul(sums[0], 31) + number | 0;
                sums[1] = Math.imul(sums[1], 0x01000193) ^ number;
            };
            for (let k = 0; k < shown.length; k++) add(shown.charCodeAt(k));
            for (const canvas of w.querySelectorAll('canvas')) {
                if (!canvas.offsetParent) continue;
                const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                new Uint32Array(data.buffer).forEach(add);
            }
            return `${shown.length} ${sums}`;
        }"""
    )


def serious_violations(page, **options) -> dict[str, list[str]]:
    """What axe finds in a page as it is now, with the elements; what passes is counted and not described."""
    from axe_playwright_python.sync_playwright import Axe

    # Style sheets are not asked for once more: of a page from the disk no script may read them.
    settings = {"resultTypes": ["violations"], "preload": False, **options}
    found = Axe().run(page, options=settings).response["violations"]
    return {
        violation["id"]: [node["html"][:160] for node in violation["nodes"][:3]]
        for violation in found
        if violation["impact"] in ("serious", "critical")
    }


class Visit:
    """A page open in the browser, and whatever went wrong on the way: outside requests, errors, failures."""

    def __init__(self, chromium, base: str, name: str, width: int = 1280, theme: str = "light", scripts: bool = True):
        self.base, self.wrong = base, []
        self.requested, self.needed = [], []  # so far, and until it was settled
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
        """Wait until the maths is set and the widgets are drawn, which the reader's first move asks for."""
        self.page.keyboard.press("Shift")
        if self.page.locator(".math").count():
            self.page.wait_for_function(
                """() => document.querySelector('mjx-container') && !document.querySelector('mjx-lazy')""",
                timeout=120_000,
            )
        self.page.wait_for_function(
            """() => document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]').length
                <= document.querySelectorAll('[data-widget], .widget-failed, .widget-needs-kernel').length""",
            timeout=120_000,
        )
        self.needed = list(self.requested)

    def assert_whole(self) -> None:
        """All maths set, every widget and every picture there, and nothing gone wrong on the way."""
        page = self.page
        if page.locator(".math").count():
            assert page.locator("mjx-container").count() >= page.locator(".math").count()
            assert page.locator("mjx-merror").count() == 0
        assert page.locator(".widget-failed").count() == 0
        page.evaluate("() => document.querySelectorAll('img').forEach(i => { i.loading = 'eager'; })")
        page.wait_for_function("() => [...document.images].every(i => i.complete)", timeout=60_000)
        dead = page.evaluate("() => [...document.images].filter(i => !i.naturalWidth).map(i => i.src)")
        assert not dead
        assert not self.wrong

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.context.close()
