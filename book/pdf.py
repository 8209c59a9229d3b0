"""The built book as one PDF, printed by Chromium: `make pdf`.

Each page is printed by itself: widgets by their stored pictures, dropdowns
open, folded code left out. Then come a title page with the contents, bookmarks,
page numbers, and links from one chapter to another.
"""

import argparse
import html
import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from convnotes.files import replacing

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "_build" / "html"
SIDES = ("top", "right", "bottom", "left")
PAPER = {
    "format": "A4",
    "print_background": True,
    "margin": dict.fromkeys(SIDES, "18mm"),
}
SMALLER = 0.78  # letters of the screen on paper: 9 points
STILLS = """() => {
  for (const still of document.querySelectorAll("article noscript")) {
    const { body } = new DOMParser().parseFromString(still.textContent, "text/html");
    if (body.querySelector("img")) still.parentElement.replaceChildren(document.adoptNode(body.firstChild));
  }
}"""
OPEN = """async () => {
  for (const node of document.querySelectorAll("article details.hide")) node.remove();
  for (const node of document.querySelectorAll("article details")) node.open = true;
  for (const node of document.querySelectorAll(".toggle-hidden")) node.classList.remove("toggle-hidden");
  for (const link of document.querySelectorAll('article a[href^="set:"]')) link.replaceWith(...link.childNodes);
  for (const cell of document.querySelectorAll("article div.cell"))
    if (!cell.querySelector(".cell_output, .cell_input")) cell.remove();
  const images = [...document.images];
  for (const image of images) image.loading = "eager";
  await Promise.all(images.map((image) => image.decode().catch(() => {})));
  await document.fonts.ready;
}"""
MADE = """() => (!document.querySelector(".math")
    || (document.querySelector("mjx-container") && !document.querySelector("mjx-lazy")))
  && document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]').length
    <= document.querySelectorAll("[data-widget]").length"""


def contents() -> Iterator[tuple[str, str, str]]:
    """(part, page, title in the sidebar) of each page, in the order of `_toc.yml`."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    yield "", toc["root"], "Introduction"
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            yield part["caption"], chapter["file"], chapter["title"]


def printed(tab, address: str) -> bytes:
    """One page of the book on paper."""
    tab.goto(address, wait_until="load")
    tab.evaluate(STILLS)
    tab.keyboard.press("Shift")  # maths and quizzes wait for their reader
    tab.wait_for_function(MADE, timeout=120_000)
    tab.evaluate(OPEN)
    return tab.pdf(**PAPER, scale=SMALLER, tagged=True)


def front(title: str, rows: list[tuple[str, str, str, int]]) -> str:
    """The title page with the contents: part, chapter, address, page number."""
    lines, before = [], ""
    for part, name, address, number in rows:
        if part != before:
            lines.append(f"<h2>{html.escape(part)}</h2>")
        before = part
        link = f"<a href='{address}'>{html.escape(name)}</a>"
        lines.append(f"<p>{link}<span>{number}</span></p>")
    style = (
        "body{font:10pt/1.3 system-ui,sans-serif;margin:0}h1{font-size:26pt}"
        "h2{font-size:11pt;margin:7pt 0 1pt;break-after:avoid}"
        "p{display:flex;justify-content:space-between;margin:0;"
        "border-bottom:1px dotted #888}a{color:inherit;text-decoration:none}"
    )
    head = f"<meta charset='utf-8'><style>{style}</style>"
    return f"{head}<h1>{html.escape(title)}</h1>{''.join(lines)}"


def numbers(first: int, last: int) -> str:
    """Pages that hold nothing but their number."""
    style = (
        "@page{margin:0}body{margin:0;font:9pt system-ui,sans-serif}"
        "p{margin:0;height:297mm;position:relative;break-after:page}"
        "span{position:absolute;bottom:8mm;width:100%;text-align:center}"
    )
    pages = "".join(
        f"<p><span>{number}</span></p>" for number in range(first, last + 1)
    )
    return f"<meta charset='utf-8'><style>{style}</style>{pages}"


def book(browser, built: Path, pages: list[tuple[str, str, str]]) -> bytes:
    """These pages of a built book as one PDF."""
    from pypdf import PdfReader, PdfWriter

    title = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["title"]
    context = browser.new_context(color_scheme="light")
    tab = context.new_page()
    addresses = [(built / f"{file}.html").as_uri() for _, file, _ in pages]
    chapters = [
        PdfReader(io.BytesIO(printed(tab, address))) for address in addresses
    ]

    def on_paper(text, **paper):
        tab.set_content(text)
        return PdfReader(io.BytesIO(tab.pdf(**(PAPER | paper))))

    def first(starts):
        rows = [
            (part, name, address, start + 1)
            for (part, _, name), address, start in zip(
                pages, addresses, starts, strict=True
            )
        ]
        return on_paper(front(title, rows))

    ahead = len(first([0] * len(pages)).pages)
    starts, at = [], ahead
    for chapter in chapters:
        starts.append(at)
        at += len(chapter.pages)
    writer = PdfWriter()
    writer.append(first(starts), import_outline=False)
    above = {}
    for (part, _, name), chapter, start in zip(
        pages, chapters, starts, strict=True
    ):
        writer.append(chapter, import_outline=False)
        if part and part not in above:
            above[part] = writer.add_outline_item(title=part, page_number=start)
        writer.add_outline_item(
            title=name, page_number=start, parent=above.get(part)
        )
    margin = dict.fromkeys(SIDES, "0")
    marks = on_paper(numbers(ahead + 1, at), margin=margin)
    for page, mark in zip(writer.pages[ahead:], marks.pages, strict=True):
        page.merge_page(mark)
    files = [file for _, file, _ in pages]
    join(writer, built, dict(zip(files, starts, strict=True)))
    writer.add_metadata({"/Title": title})
    writer.compress_identical_objects()
    context.close()
    whole = io.BytesIO()
    writer.write(whole)
    return whole.getvalue()


def join(writer, built: Path, starts: dict[str, int]) -> None:
    """Links to the files of other chapters lead to their pages; those to other files go."""
    from pypdf.generic import ArrayObject, DictionaryObject, NameObject

    for page in writer.pages:
        kept = ArrayObject()
        for one in page.get("/Annots", []):
            link = one.get_object()
            address = str(link.get("/A", {}).get("/URI", ""))
            if address.startswith("file:"):
                file = address.partition("#")[0].removeprefix(built.as_uri())
                start = starts.get(file.strip("/").removesuffix(".html"))
                if start is None:
                    continue
                target = writer.pages[start].indirect_reference
                link[NameObject("/A")] = DictionaryObject(
                    {
                        NameObject("/S"): NameObject("/GoTo"),
                        NameObject("/D"): ArrayObject(
                            [target, NameObject("/Fit")]
                        ),
                    }
                )
            kept.append(one)
        page[NameObject("/Annots")] = kept


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        sys.exit("The PDF is printed by Chromium: apt-get install chromium")
    return found


def main() -> int:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "pages",
        nargs="*",
        help="all of the table of contents where none is named",
    )
    arguments = parser.parse_args()
    pages = [
        entry
        for entry in contents()
        if not arguments.pages or entry[1] in arguments.pages
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        printed = book(browser, BUILT, pages)
        browser.close()
    with replacing(arguments.out) as part:
        part.write_bytes(printed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
