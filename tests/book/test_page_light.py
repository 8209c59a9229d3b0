"""What makes a page slow to appear: the causes, not the time. What a phone makes of it stands in test_pages.py."""

import gzip
import re

from support.visits import PAGES, every_page

CHAPTERS = [name for name in PAGES if not name.startswith("book/reference/")]
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
