"""The built pages for readers who see little or differently: axe, in both themes."""

import pytest
from support.visits import Visit, browser_test, every_page


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
