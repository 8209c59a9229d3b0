"""Make each page whole: nothing is loaded from elsewhere, nothing heavy is loaded that the page does not use.

- MathJax and its fonts are copied out of the pip package sphinx-mathjax-offline (only what TeX to HTML needs).
- The theme's icon script (1.5 MB) goes, and its icon font keeps the few icons that the pages show (156 kB become 3).
  So does the search index on pages other than the search page. Scripts do not block the first paint.
- A list of citations is no `role="list"`, since its children are no list items.
- A figure's size stands in its attributes, so that a page that is narrower keeps its proportions and does not jump.
- Each page says in its head what it is about, in the words of its first paragraph.
- A widget's picture of its first state stands in a <noscript>, for readers without JavaScript.
"""

import html
import importlib.metadata
import json
import re
import shutil
from base64 import b64decode
from pathlib import Path

from docutils import nodes
from fontTools import subset

VIEW = "application/vnd.jupyter.widget-view+json"
DROPPED = re.compile(
    r'\s*<script[^>]*src="[^"]*(?:fontawesome|searchtools|language_data|searchindex)\.js[^"]*"[^>]*></script>'
    r'|\s*<link[^>]*rel="preload"[^>]*fontawesome[^>]*>'
)
SIZE = re.compile(r'style="width: (\d+)px; height: (\d+)px;"')
SCRIPT = re.compile(
    r"<script(?=[^>]* src=)(?![^>]*\b(?:defer|async|documentation_options)\b)"
)


def copy_mathjax(app):
    if app.builder.format != "html":
        return
    target = Path(app.outdir) / "_static" / "mathjax"
    for file in importlib.metadata.files("sphinx-mathjax-offline"):
        inside = str(file).partition("static/mathjax/")[2]
        if inside == "tex-chtml.js" or inside.startswith(
            ("output/chtml/fonts/woff-v2/", "input/tex/extensions/")
        ):
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target / inside)


def subset_icons(out):
    """Keep of the icon font what the pages and the theme's own rules name."""
    font = out / "_static/vendor/fontawesome/webfonts/fa-solid-900.woff2"
    styles = {
        f.name: f.read_text() for f in (out / "_static/styles").glob("*.css")
    }
    theme = styles["pydata-sphinx-theme.css"]
    named = set()
    for page in out.rglob("*.html"):
        named |= set(re.findall(r"\bfa-[a-z0-9-]+", page.read_text("utf-8")))
    points = set(re.findall(r'--pst-icon-[\w-]+:\s*"\\(f[0-9a-f]+)"', theme))
    points |= set(
        re.findall(r'"\\(f[0-9a-f]{3})"', styles["sphinx-book-theme.css"])
    )
    for names, point in re.findall(
        r'((?:\.fa-[a-z0-9-]+:before,?)+)\{content:"\\(f[0-9a-f]+)"\}', theme
    ):
        if named & set(re.findall(r"fa-[a-z0-9-]+", names)):
            points.add(point)
    options = subset.Options(flavor="woff2")
    full = subset.load_font(font, options)
    keeper = subset.Subsetter(options)
    keeper.populate(unicodes=[int(point, 16) for point in points])
    keeper.subset(full)
    subset.save_font(full, font, options)


def describe(app, pagename, templatename, context, doctree):
    """<meta name="description"> from the first paragraph of some length."""
    if doctree is None:
        return
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if len(text) > 40 and isinstance(paragraph.parent, nodes.section):
            words = (
                text
                if len(text) <= 155
                else text[:155].rsplit(" ", 1)[0] + " …"
            )
            context["metatags"] += (
                f'\n<meta name="description" content="{html.escape(words)}" />'
            )
            return


def finish(app, exception):
    if exception or app.builder.format != "html":
        return
    copy_mathjax(app)
    subset_icons(Path(app.outdir))
    for page in app.env.found_docs | {"search", "genindex"}:
        file = Path(app.outdir) / f"{page}.html"
        if file.exists():
            text = file.read_text(encoding="utf-8")
            changed = lighten(text, page) if page != "search" else text
            changed = with_pictures(
                changed,
                Path(app.srcdir) / f"{page}.ipynb",
                Path(app.outdir) / "_images",
                file,
            )
            if changed != text:
                file.write_text(changed, encoding="utf-8")


def lighten(text, page):
    text = text.replace(
        '<div role="list" class="citation-list">', '<div class="citation-list">'
    )
    text = SIZE.sub(r'width="\1" height="\2" loading="lazy"', text)
    return SCRIPT.sub("<script defer", DROPPED.sub("", text))


def with_pictures(text, notebook, images, page):
    """After each widget's view, its stored picture for those who run no JavaScript."""
    if not notebook.exists():
        return text
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if VIEW not in data or "image/png" not in data:
                continue
            model = data[VIEW]["model_id"]
            picture = images / f"{model}.png"
            images.mkdir(exist_ok=True)
            picture.write_bytes(b64decode("".join(data["image/png"])))
            alt = html.escape("".join(data.get("text/plain", "")), quote=True)
            up = "../" * (len(page.relative_to(images.parent).parts) - 1)
            still = f'<noscript><img class="cn-still" src="{up}_images/{picture.name}" alt="{alt}"></noscript>'
            view = re.compile(
                r'(<script type="application/vnd\.jupyter\.widget-view\+json">[^<]*'
                + re.escape(model)
                + r"[^<]*</script>)(?!<noscript>)"
            )
            text = view.sub(lambda match, still=still: match[1] + still, text)
    return text


def setup(app):
    app.connect("html-page-context", describe)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True}
