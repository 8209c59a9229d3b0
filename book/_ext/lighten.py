"""Make a built page light: one style sheet, no script before the first paint, the icon font cut to the icons in use.

What a reader does not see at first is loaded and made when it comes near (assets/near.js).
Works on the finished HTML, so that it holds for whatever themes and extensions put there. Nothing is fetched.
"""

import hashlib
import html
import os
import re
from pathlib import Path

import pydata_sphinx_theme
from fontTools import subset
from prune import (
    plain_classes,
    without_bare_groups,
    without_parts_of_signatures,
    without_plain_spans,
    without_unused,
)

FONT = "vendor/fontawesome/webfonts/fa-solid-900.woff2"
STYLE = re.compile(
    r'\s*<link[^>]*href="([^"?]*_static/[^"?]+\.css)[^"]*"[^>]*rel="stylesheet"[^>]*>'
    r'|\s*<link rel="stylesheet"[^>]*href="([^"?]*_static/[^"?]+\.css)[^"]*"[^>]*>'
)
DROPPED = re.compile(
    r'\s*<script[^>]*src="[^"]*(?:fontawesome|searchtools|language_data|searchindex)\.js[^"]*"[^>]*></script>'
    r'|\s*<link[^>]*rel="preload"[^>]*(?:fontawesome|as="script")[^>]*>'
)
OPTIONS = re.compile(
    r'<script src="[^"]*documentation_options\.js[^"]*"></script>'
)
MATHS = re.compile(
    r'<script[^>]* src="([^"]*mathjax/startup\.js)[^"]*"></script>'
)
SCRIPT = re.compile(r"<script(?=[^>]* src=)(?![^>]*\b(?:defer|async)\b)")
STATE = re.compile(
    r'\s*<script type="application/vnd\.jupyter\.widget-state\+json">.*?</script>',
    re.DOTALL,
)
SIZE = re.compile(r'style="width: (\d+)px; height: (\d+)px;"')


def lighten(out, files):
    """The pages `files` below the folder `out`; the search page keeps its scripts as they are."""
    pages = {page: page.read_text("utf-8") for page in files}
    options = (out / "_static/documentation_options.js").read_text("utf-8")
    plain = plain_classes((out / "_static/pygments.css").read_text("utf-8"))
    words = "".join(pages.values())
    scripts = "".join(
        file.read_text("utf-8")
        for file in (out / "_static").rglob("*.js")
        if "mathjax" not in file.parts and file.name != "fontawesome.js"
    )
    bundles = {}
    for page, text in pages.items():
        if page.name != "search.html":
            text = DROPPED.sub("", text)
            text = OPTIONS.sub(
                lambda _: f"<script>{options.strip()}</script>", text
            )
            text = MATHS.sub(_when_near, text)
            text = SCRIPT.sub("<script defer", text)
        text = _last(text, STATE)
        text = without_bare_groups(without_plain_spans(text, plain))
        text = without_parts_of_signatures(text)
        text = SIZE.sub(r'width="\1" height="\2" loading="lazy"', text)
        text = text.replace(
            '<div role="list" class="citation-list">',
            '<div class="citation-list">',
        )  # its children are no list items
        text = _one_style_sheet(page, text, out, bundles, words, scripts)
        page.write_text(text, "utf-8")
    icons = set()
    for sheet in (out / "_static").glob("book-*.css"):
        if sheet.name in bundles.values():
            icons |= {
                sign for sign in sheet.read_text("utf-8") if ord(sign) > 127
            }
        else:
            sheet.unlink()
    _subset(out / "_static" / FONT, icons)


def _when_near(match):
    """Maths is set once a formula is near: what is in sight at once, the rest with the reader's first move."""
    source = html.escape(match[1], quote=True)
    return f"""<script>
addEventListener("load", () => {{
  const {{ near, moved }} = window.reader;
  Promise.race([...document.querySelectorAll(".math")].map(near)).then(() =>
    document.head.append(Object.assign(document.createElement("script"), {{
      src: "{source}",
      onload: () => MathJax.startup.promise.then(() => moved).then(() => MathJax.startup.document.lazyTypesetAll()),
    }})));
}});
</script>"""


def _last(text, part):
    """The parts of a page that its text need not wait for, at the end of its body."""
    found = "".join(match[0] for match in part.finditer(text))
    head, end, tail = part.sub("", text).rpartition("</body>")
    return head + found + end + tail


def _one_style_sheet(page, text, out, bundles, words, scripts):
    """Replace the links to style sheets by one link to all of them together, in their order."""
    links = [match[1] or match[2] for match in STYLE.finditer(text)]
    files = tuple((page.parent / link).resolve() for link in links)
    if not files or not all(file.exists() for file in files):
        return text
    if files not in bundles:
        css = "\n".join(_read(file, out) for file in files)
        css = without_unused(css, words, scripts)
        name = f"book-{hashlib.sha256(css.encode()).hexdigest()[:12]}.css"
        (out / "_static" / name).write_text(css, "utf-8")
        bundles[files] = name
    up = os.path.relpath(out / "_static" / bundles[files], page.parent)
    once = iter([f'\n<link rel="stylesheet" href="{Path(up).as_posix()}" />'])
    return STYLE.sub(lambda _: next(once, ""), text)


def _read(file, out):
    """A style sheet with its imports put in and its addresses as seen from _static/."""

    def imported(match):
        return _read((file.parent / match[1]).resolve(), out)

    def moved(match):
        address = match[1].strip("\"'")
        if re.match(r"data:|https?:|#|/", address):
            return match[0]
        path, mark, rest = re.match(r"([^?#]*)([?#]?)(.*)", address).groups()
        new = os.path.relpath((file.parent / path).resolve(), out / "_static")
        return f"url({Path(new).as_posix()}{mark}{rest})"

    css = file.read_text("utf-8")
    css = re.sub(r"/\*# sourceMappingURL=.*?\*/", "", css)
    css = re.sub(r'@charset "[^"]*";', "", css)
    own = re.sub(r"url\(([^)]*)\)(?![^;{}]*\.css)", moved, css)
    return re.sub(
        r'@import\s+(?:url\()?["\']?([^"\')]+\.css)["\']?\)?;', imported, own
    )


def _subset(font, signs):
    options = subset.Options(flavor="woff2")
    theme = Path(pydata_sphinx_theme.__file__).parent
    whole = theme / "theme/pydata_sphinx_theme/static" / FONT
    full = subset.load_font(whole, options)
    keeper = subset.Subsetter(options)
    keeper.populate(text="".join(signs))
    keeper.subset(full)
    subset.save_font(full, font, options)
