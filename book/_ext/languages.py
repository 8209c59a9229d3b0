"""The book in a second language: from the same notebooks, by the catalogues in book/locale (see book/translate.py).

Sphinx translates the prose. Here is what it does not know: stored outputs, texts of widgets, words of the configuration,
the search in a language without blanks between its words, and the switch that leads to a page in the other language.
"""

import json
import re
from functools import cache
from pathlib import Path

import wording
from babel.messages.pofile import read_po
from docutils import nodes
from sphinx.search import SearchLanguage

LOCALE = Path(__file__).parents[1] / "locale"
FOLDERS = {"en": "", "zh_CN": "zh/"}  # below _build/html
NAMES = {"en": "English", "zh_CN": "中文"}
CONFIGURED = (  # words of _config.yml that a reader sees
    "project",
    "html_title",
    "nb_code_prompt_show",
    "nb_code_prompt_hide",
    "togglebutton_hint",
    "togglebutton_hint_hide",
)
SAID = ("Figure {0}.",)  # by the extensions of the book
DOCSTRING = "cn-docstring"
FIXED = (  # words in quotation marks that the themes write into their templates
    "Toggle hidden content",
    "Toggle primary sidebar",
    "Toggle secondary sidebar",
    "Search this book...",
    "Main",
    "Page",
)


@cache
def catalogue(language, name):
    """Message → translation, of a page such as "book/choosing", or "site", or "widgets/quiz"; fuzzy ones are left out."""
    file = LOCALE / language / "LC_MESSAGES" / f"{name}.po"
    if not file.exists():
        return {}
    with file.open("rb") as stream:
        return {
            entry.id: entry.string
            for entry in read_po(stream)
            if entry.id and entry.string and not entry.fuzzy
        }


def saying(app):
    """A function that translates a text of the site, such as "Figure 3."."""
    return wording.translating(catalogue(app.config.language, "site"))


def configure(app, config):
    if config.language == "en":
        return
    say = wording.translating(catalogue(config.language, "site"))
    for name in CONFIGURED:
        setattr(config, name, say(getattr(config, name)))
    options = config.html_theme_options
    options["toc_title"] = say(options["toc_title"])
    BigramSearch.lang = config.language
    app.add_search_language(BigramSearch)


def notebook(app, docname):
    """A page's notebook as this build shows it; None for a page that is none."""
    path = Path(app.srcdir) / f"{docname}.ipynb"
    if not path.exists():
        return None
    found = json.loads(path.read_text("utf-8"))
    language = app.config.language
    if language != "en":
        wording.each_text(
            found, wording.translating(catalogue(language, docname))
        )
    return found


def translate_outputs(app, docname, content):
    if app.config.language != "en" and app.builder.format == "html":
        found = notebook(app, docname)
        if found:
            content[0] = json.dumps(found, ensure_ascii=False)


def words_for_scripts(app, docname):
    """A script that hands them the texts of a page's widgets, and of the scripts of every page."""
    language = app.config.language
    words, known = (
        dict(catalogue(language, "site")),
        catalogue(language, docname),
    )
    found = notebook(app, docname)
    if found:
        for name in ("kit", *sorted(wording.widgets_of(found))):
            words |= catalogue(language, f"widgets/{name}")
        say = wording.translating(known)
        texts = set(wording.texts_of_widgets(found))
        words |= {text: say(text) for text in texts if say(text) != text}
    text = json.dumps(words, ensure_ascii=False).replace("</", r"<\/")
    return (
        f'<script type="application/json" class="cn-dictionary">{text}</script>'
    )


def switch(app, pagename, templatename, context, doctree):
    """What the template language.html needs: this page in the other language."""
    here = app.config.language
    (there,) = (language for language in FOLDERS if language != here)
    up = "../" * (pagename.count("/") + FOLDERS[here].count("/"))
    address = f"{up}{FOLDERS[there]}{pagename}.html"
    context["other_language"] = {
        "address": address,
        "code": there.replace("_", "-"),
        "name": NAMES[there],
    }
    context["metatags"] = context.get("metatags", "") + (
        f'\n<link rel="alternate" hreflang="{there.replace("_", "-")}" href="{address}" />'
    )


def pages_of(app):
    """The pages of this build, without those of another language in a folder below."""
    out = Path(app.outdir)
    others = [out / folder for folder in FOLDERS.values() if folder]
    return [
        page
        for page in out.rglob("*.html")
        if not any(other in page.parents for other in others)
    ]


def finish_scripts(app):
    """What a script of a theme says when it is loaded."""
    if app.config.language == "en":
        return
    script, say = Path(app.outdir) / "_static" / "togglebutton.js", saying(app)
    text = script.read_text("utf-8")
    for words in FIXED:
        text = text.replace(f'="{words}"', f'="{say(words)}"')
    script.write_text(text, "utf-8")


def finish(app, docname, page):
    """A built page with its words for scripts; what stays English in another language is marked."""
    if app.config.language == "en":
        return page
    say = saying(app)
    for words in FIXED:
        page = page.replace(f'="{words}"', f'="{say(words)}"')
    page = page.replace(
        "列印成 PDF", "打印为 PDF"
    )  # the theme has a word of Taiwan
    for start in (
        '<dl class="py ',
        '<div class="citation"',
        '<span class="bibtex-citation"',
    ):
        page = page.replace(start, start.replace(" ", ' lang="en" ', 1))
    page = page.replace(f'<p class="{DOCSTRING}"', '<p lang="en"')
    head, end, tail = page.rpartition("</body>")
    return head + words_for_scripts(app, docname) + end + tail


class BigramSearch(SearchLanguage):
    """Search in a language without blanks: words of other letters as they are, and of Chinese every two neighbours.

    The index and the query are cut alike, so that 膨胀卷积 is found where 膨胀, 胀卷 and 卷积 all are.
    """

    lang = "zh_CN"
    language_name = "Chinese"
    WORD = re.compile(r"[\u3400-\u9fff]+|[^\W\u3400-\u9fff]+")
    js_splitter_code = """
function splitQuery(query) {
  const words = query.toLowerCase().match(/[\\u3400-\\u9fff]+|[^\\s\\u3400-\\u9fff\\p{P}]+/gu) ?? [];
  return words.flatMap((word) =>
    /[\\u3400-\\u9fff]/.test(word) && word.length > 1
      ? Array.from({ length: word.length - 1 }, (_, n) => word.slice(n, n + 2))
      : [word],
  );
}
"""

    def split(self, text):
        words = []
        for word in self.WORD.findall(text.lower()):
            if word[0] < "\u3400":
                words.append(word)
            else:
                words += [word[n : n + 2] for n in range(len(word) - 1)]
                words += word  # for a query of one character
        return words

    def word_filter(self, word):
        return bool(word)


def mark_docstrings(app, doctree, docname):
    """Paragraphs of docstrings get a class, by which `finish` says that they are English."""
    for paragraph in doctree.findall(nodes.paragraph):
        if app.config.language != "en" and "docstring of" in str(
            paragraph.source
        ):
            paragraph["classes"].append(DOCSTRING)


def setup(app):
    app.connect("config-inited", configure)
    app.connect("source-read", translate_outputs)
    app.connect("html-page-context", switch)
    app.connect("doctree-resolved", mark_docstrings)
    return {"parallel_read_safe": True}
