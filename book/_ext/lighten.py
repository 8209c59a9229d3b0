"""Make a built page light: one style sheet, no script before the first paint, the icon font cut to the icons in use.

Works on the finished HTML, so that it holds for whatever themes and extensions put there. Nothing is fetched.
"""

import hashlib
import html
import os
import re
from pathlib import Path

import pydata_sphinx_theme
from fontTools import subset

FONT = "vendor/fontawesome/webfonts/fa-solid-900.woff2"
STYLE = re.compile(
    r'\s*<link[^>]*href="([^"?]*_static/[^"?]+\.css)[^"]*"[^>]*rel="stylesheet"[^>]*>'
    r'|\s*<link rel="stylesheet"[^>]*href="([^"?]*_static/[^"?]+\.css)[^"]*"[^>]*>'
)
DROPPED = re.compile(
    r'\s*<script[^>]*src="[^"]*(?:fontawesome|searchtools|language_data|searchindex)\.js[^"]*"[^>]*></script>'
    r'|\s*<link[^>]*rel="preload"[^>]*fontawesome[^>]*>'
)
OPTIONS = re.compile(
    r'<script src="[^"]*documentation_options\.js[^"]*"></script>'
)
MATHS = re.compile(
    r'<script[^>]* src="([^"]*mathjax/tex-chtml\.js)[^"]*"></script>'
)
SCRIPT = re.compile(r"<script(?=[^>]* src=)(?![^>]*\b(?:defer|async)\b)")
SIZE = re.compile(r'style="width: (\d+)px; height: (\d+)px;"')
ICON = re.compile(
    r'((?:\.fa-[a-z0-9-]+:before,?)+)\{content:"\\(f[0-9a-f]+)"\}'
)


def lighten(out):
    """All pages below the folder `out`; the search page keeps its scripts as they are."""
    pages = {page: page.read_text("utf-8") for page in out.rglob("*.html")}
    icons = {
        name
        for text in pages.values()
        for name in re.findall(r"\bfa-[a-z0-9-]+", text)
    }
    options = (out / "_static/documentation_options.js").read_text("utf-8")
    bundles, points = {}, set()
    for page, text in pages.items():
        if page.name != "search.html":
            text = DROPPED.sub("", text)
            text = OPTIONS.sub(
                lambda _: f"<script>{options.strip()}</script>", text
            )
            text = MATHS.sub(_after_load, text)
            text = SCRIPT.sub("<script defer", text)
        text = SIZE.sub(r'width="\1" height="\2" loading="lazy"', text)
        text = text.replace(
            '<div role="list" class="citation-list">',
            '<div class="citation-list">',
        )  # its children are no list items
        text = _one_style_sheet(page, text, out, icons, bundles, points)
        page.write_text(text, "utf-8")
    for old in (out / "_static").glob("book-*.css"):
        if old.name not in bundles.values():
            old.unlink()
    _subset(out / "_static" / FONT, points)


def _after_load(match):
    """Maths is set once the page stands: what is in sight at once, the rest with the reader's first move."""
    source = html.escape(match[1], quote=True)
    return f"""<script>
addEventListener("load", () => document.head.append(Object.assign(document.createElement("script"), {{
  src: "{source}",
  onload: () => MathJax.startup.promise.then(() => {{
    const moves = new AbortController();
    const rest = () => {{ moves.abort(); MathJax.startup.document.lazyTypesetAll(); }};
    for (const move of ["scroll", "keydown", "pointerdown"])
      addEventListener(move, rest, {{ signal: moves.signal, passive: true }});
  }}),
}})));
</script>"""


def _one_style_sheet(page, text, out, icons, bundles, points):
    """Replace the links to style sheets by one link to all of them together, in their order."""
    links = [match[1] or match[2] for match in STYLE.finditer(text)]
    files = tuple((page.parent / link).resolve() for link in links)
    if not files or not all(file.exists() for file in files):
        return text
    if files not in bundles:
        css = "\n".join(_read(file, out) for file in files)
        points.update(_points(css, icons))
        css = ICON.sub(
            lambda m: (
                m[0] if icons & set(re.findall(r"fa-[a-z0-9-]+", m[1])) else ""
            ),
            css,
        )
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


def _points(css, icons):
    """Code points of the icons that the pages name, and of those that the theme's own rules use."""
    points = set(re.findall(r'--pst-icon-[\w-]+:\s*"\\(f[0-9a-f]+)"', css))
    points |= set(
        re.findall(r'"\\(f[0-9a-f]{3})"', ICON.sub("", css))
    )  # rules that are no icon classes
    for names, point in ICON.findall(css):
        if icons & set(re.findall(r"fa-[a-z0-9-]+", names)):
            points.add(point)
    return points


def _subset(font, points):
    options = subset.Options(flavor="woff2")
    theme = Path(pydata_sphinx_theme.__file__).parent
    whole = theme / "theme/pydata_sphinx_theme/static" / FONT
    full = subset.load_font(whole, options)
    keeper = subset.Subsetter(options)
    keeper.populate(unicodes=[int(point, 16) for point in points])
    keeper.subset(full)
    subset.save_font(full, font, options)
