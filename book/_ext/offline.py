"""Make each page whole: nothing is loaded from elsewhere, nothing heavy is loaded that the page does not use.

- MathJax and its fonts are copied out of the pip package sphinx-mathjax-offline (only what TeX to HTML needs).
- Each page says in its head what it is about, in the words of its first paragraph.
- Figures stand in the page itself (figures.py).
- It works where a browser allows no storage.
- A widget's picture of its first state, or its words, stand in a <noscript>, for readers without JavaScript.
- Texts of outputs and widgets in the language of the page (languages.py).
- Styles, scripts and icons are made light (lighten.py).
"""

import html
import importlib.metadata
import re
import shutil
from base64 import b64decode
from pathlib import Path

import figures
import languages
from docutils import nodes
from lighten import lighten

MATHJAX = (
    "startup.js",
    "core.js",
    "input/tex.js",
    "input/tex/extensions/",
    "output/chtml.js",
    "output/chtml/fonts/",
    "a11y/assistive-mml.js",
    "ui/lazy.js",
)
VIEW = "application/vnd.jupyter.widget-view+json"


def copy_mathjax(app):
    if app.builder.format != "html":
        return
    target = Path(app.outdir) / "_static" / "mathjax"
    for file in importlib.metadata.files("sphinx-mathjax-offline"):
        inside = str(file).partition("static/mathjax/")[2]
        if inside.startswith(MATHJAX):
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target / inside)


# The theme reads what it has stored, and stops where a browser allows no storage: such a reader gets one that is empty.
STORAGE = """
<script>
try { localStorage } catch {
  Object.defineProperty(window, "localStorage", { value: { getItem: () => null, setItem() {}, removeItem() {} } });
}
</script>"""


def without_storage(app, pagename, templatename, context, doctree):
    context["metatags"] = context.get("metatags", "") + STORAGE


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
    out = Path(app.outdir)
    for page in app.env.found_docs:
        file, notebook = out / f"{page}.html", languages.notebook(app, page)
        if not file.exists():
            continue
        text = file.read_text("utf-8")
        if notebook:
            text = with_pictures(text, notebook, out / "_images", file)
        file.write_text(languages.finish(app, page, text), "utf-8")
    languages.finish_scripts(app)
    lighten(out, languages.pages_of(app))


def with_pictures(text, notebook, images, page):
    """After each widget's view, its stored picture or else its words, for those who run no JavaScript."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if VIEW not in data:
                continue
            model = data[VIEW]["model_id"]
            words = html.escape("".join(data.get("text/plain", "")), quote=True)
            if "image/png" in data:
                picture = images / f"{model}.png"
                images.mkdir(exist_ok=True)
                drawn = b64decode("".join(data["image/png"]))
                picture.write_bytes(drawn)
                width = (
                    int.from_bytes(drawn[16:20], "big") // 2
                )  # of two pixels each
                up = "../" * (len(page.relative_to(images.parent).parts) - 1)
                still = f'<img class="cn-still" src="{up}_images/{picture.name}" width="{width}" alt="{words}">'
            else:
                still = f'<p class="cn-still">{words}</p>'
            view = re.compile(
                r'(<script type="application/vnd\.jupyter\.widget-view\+json">[^<]*'
                + re.escape(model)
                + r"[^<]*</script>)(?!<noscript>)"
            )
            text = view.sub(
                lambda match, still=still: (
                    f"{match[1]}<noscript>{still}</noscript>"
                ),
                text,
            )
    return text


def setup(app):
    app.connect("doctree-resolved", figures.put_in)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", without_storage)
    app.connect(
        "build-finished", finish, priority=900
    )  # after the theme, which writes its style sheets there
    return {"parallel_read_safe": True}
