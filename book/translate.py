"""Bring the catalogues of the Chinese edition up to date: `make translate`, or `python book/translate.py widgets/quiz …`.

What has no translation yet is listed.

A page has one catalogue, in the order of the page: its prose, as Sphinx extracts it, then what its outputs say. A widget
has one, with the texts of its scripts; `kit` holds those that all widgets share, and `site` the table of contents, the
words of _config.yml, of the themes and of the scripts of the page. Messages that are gone are dropped. A message that has changed keeps
its old translation, marked as fuzzy, until somebody has looked at it and removed the mark.
"""

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from babel.messages import Catalog
from babel.messages.pofile import read_po, write_po
from convnotes.files import replacing

import build
from build import languages, wording

ROOT = build.ROOT
CATALOGUES = languages.LOCALE / "zh_CN" / "LC_MESSAGES"
EXTRACTED = ROOT / "_build" / "gettext"
WIDGETS = ROOT / "convnotes" / "widgets"
MARK = re.compile(r"(?<![\w$])tr`")
COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
UNTOLD = re.compile(
    rb'^"(?:Project|Report|POT|PO|Last|Language-Team|Generated)[\w-]*:.*\n',
    re.MULTILINE,
)  # of a header
HEADER = "# The Chinese edition: see book/translate.py."


def pages() -> list[str]:
    """The pages of the table of contents, such as "book/choosing"."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    return [toc["root"]] + [
        chapter["file"] for part in toc["parts"] for chapter in part["chapters"]
    ]


def prose(page: str, extracted: Path) -> Iterator[str]:
    """The messages that Sphinx found on a page; docstrings, which lie in files of Python, stay English."""
    with (extracted / f"{page}.pot").open("rb") as stream:
        for entry in read_po(stream):
            files = [file for file, _ in entry.locations]
            if entry.id and any(
                file.endswith((".md", ".ipynb")) for file in files
            ):
                yield entry.id


def outputs(page: str) -> list[str]:
    """The messages of a page's stored outputs, the titles of its exercises and the states of its widgets."""
    path, found = ROOT / f"{page}.ipynb", []
    if path.exists():

        def note(text: str) -> str:
            found.append(wording.message(text)[0])
            return text

        wording.each_text(json.loads(path.read_text("utf-8")), note)
    return found


def script(source: str) -> Iterator[str]:
    """The texts of a script: what stands behind the mark tr, its values as {0}, {1} and so on."""
    source = COMMENT.sub("", source)
    for found in MARK.finditer(source):
        yield _template(source, found.end())[0]


def _template(source: str, at: int) -> tuple[str, int]:
    """The text of a template that begins at a position, and where it ends."""
    text, places = "", 0
    while source[at] != "`":
        if source[at] == "\\":
            text, at = text + source[at + 1], at + 2
        elif source.startswith("${", at):
            text, at, places = (
                text + f"{{{places}}}",
                _expression(source, at + 2),
                places + 1,
            )
        else:
            text, at = text + source[at], at + 1
    return text, at + 1


def _expression(source: str, at: int) -> int:
    """Where the expression in a template ends."""
    depth = 1
    while depth:
        sign = source[at]
        if sign == "`":
            at = _template(source, at + 1)[1]
            continue
        if sign in "\"'":
            at = source.index(sign, at + 1)
        depth += {"{": 1, "}": -1}.get(sign, 0)
        at += 1
    return at


def widgets() -> dict[str, list[str]]:
    """Widget → the texts of its scripts; "kit" has those of the kit."""
    found: dict[str, list[str]] = {}
    for path in sorted(WIDGETS.rglob("*.js")):
        kit = path.parent.name == "kit"
        name = "kit" if kit else path.name.partition(".")[0]
        found.setdefault(name, []).extend(script(path.read_text("utf-8")))
    return {name: texts for name, texts in found.items() if texts}


def site() -> Iterator[str]:
    """The table of contents, the words of _config.yml, and the scripts of every page."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    sphinx = config["sphinx"]["config"]
    words = {"project": config["title"], "html_title": config["title"]} | sphinx
    named = [words[name] for name in languages.CONFIGURED]
    named += [
        sphinx["html_theme_options"]["toc_title"],
        *languages.FIXED,
        *languages.SAID,
    ]
    for part in toc["parts"]:
        named += [
            part["caption"],
            *(chapter["title"] for chapter in part["chapters"]),
        ]
    yield from (wording.message(text)[0] for text in named)
    for path in sorted((ROOT / "book" / "assets").glob("*.js")):
        yield from script(path.read_text("utf-8"))


def wanted(extracted: Path | None) -> dict[str, list[str]]:
    """Catalogue → its messages, in their order; those of pages only where Sphinx has extracted their prose."""
    found = {f"widgets/{name}": texts for name, texts in widgets().items()}
    found["site"] = list(site())
    if extracted:
        found |= {
            page: [*prose(page, extracted), *outputs(page)] for page in pages()
        }
    return {
        name: list(dict.fromkeys(texts))
        for name, texts in found.items()
        if texts
    }


def updated(name: str, messages: list[str]) -> Catalog:
    """The stored catalogue with these messages and no others."""
    path = CATALOGUES / f"{name}.po"
    new = Catalog(locale="zh_CN", fuzzy=False)
    for text in messages:
        new.add(text)
    if path.exists():
        with path.open("rb") as stream:
            old = read_po(stream, locale="zh_CN")
        old.update(new, no_fuzzy_matching=False)
        translated = old
    else:
        translated = new
    result = Catalog(locale="zh_CN", fuzzy=False, header_comment=HEADER)
    for text in messages:
        entry = translated[text]
        result.add(text, entry.string, flags=entry.flags & {"fuzzy"})
    return result


def written(catalogue: Catalog) -> bytes:
    stream = io.BytesIO()
    write_po(stream, catalogue, width=0, no_location=True)
    return UNTOLD.sub(b"", stream.getvalue())


def missing(catalogue: Catalog) -> list[str]:
    """The messages that have no translation, or an old one."""
    return [e.id for e in catalogue if e.id and (not e.string or e.fuzzy)]


def main() -> int:
    chosen = sys.argv[1:]
    extracted = (
        None
        if chosen and not any(name.startswith("book/") for name in chosen)
        else EXTRACTED
    )
    if extracted and build.build("en", extracted.parent, "gettext"):
        return 1
    messages = wanted(extracted)
    lacking = 0
    for name in chosen or messages:
        texts, path = messages[name], CATALOGUES / f"{name}.po"
        catalogue = updated(name, texts)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(written(catalogue))
        if found := missing(catalogue):
            lacking += len(found)
            print(
                f"{path.relative_to(ROOT)}: {len(found)} of {len(texts)} messages to translate"
            )
    for path in [] if chosen else CATALOGUES.rglob("*.po"):
        name = path.relative_to(CATALOGUES).with_suffix("").as_posix()
        if name not in messages and name != "sphinx":
            path.unlink()
            print(f"{path.relative_to(ROOT)}: removed, nothing of it is left")
    print(f"{lacking} messages to translate.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
