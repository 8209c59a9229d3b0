"""Figures of `convnotes.page` in a built page: part of the page itself, numbered, their photographs files of their own.

A drawing that stands in the page follows its theme, its words can be selected and searched, and its panels wrap where
the page is narrow. In a notebook it is an output like any other: an SVG, and the caption after it.
"""

import hashlib
import re
from base64 import b64decode
from pathlib import Path

import languages
from docutils import nodes

CAPTION = re.compile(r"\s*<p class='cn-caption'>(.*)</p>\s*", flags=re.DOTALL)
PHOTOGRAPH = re.compile(
    r'(xlink:)?href="\s*data:image/png;base64,([^"]+)"', flags=re.DOTALL
)
IDENTITY = re.compile(r'\bid="([^"]+)"|\burl\(#([^)]+)\)|href="#([^"]+)"')


def put_in(app, doctree, docname):
    """Each SVG output that a caption follows becomes a <figure>."""
    if app.builder.format != "html":
        return
    images = Path(app.outdir) / "_images"
    up = "../" * docname.count("/")
    number = 0
    say = languages.saying(app)
    for caption in list(doctree.findall(nodes.raw)):
        said = CAPTION.fullmatch(caption.astext())
        if not said:
            continue
        drawn = next(
            (
                node
                for node in reversed(
                    caption.parent[: caption.parent.index(caption)]
                )
                if isinstance(node, nodes.image)
            ),
            None,
        )
        if drawn is None or not drawn["uri"].endswith(".svg"):
            continue
        number += 1
        svg = (Path(app.srcdir) / drawn["uri"]).read_text("utf-8")
        text = inline(svg, f"fig{number}", images, f"{up}_images")
        caption.parent.remove(drawn)
        caption.rawsource = ""
        name = say(f"Figure {number}.")
        caption.children = [
            nodes.Text(
                f'<figure class="cn-figure" id="figure-{number}">{text}<figcaption>'
                f"<strong>{name}</strong> {said[1]}</figcaption></figure>"
            )
        ]


def inline(svg, prefix, images, folder):
    """A stored drawing as a part of a page: its own ids, its panels free to wrap, its photographs in files."""
    svg = svg[svg.index("<svg ") :]

    def own(match):
        name = next(group for group in match.groups() if group)
        return match[0].replace(name, f"{prefix}-{name}")

    def kept(match):
        content = b64decode(match[2])
        name = f"{hashlib.sha256(content).hexdigest()[:20]}.png"
        images.mkdir(exist_ok=True)
        (images / name).write_bytes(content)
        return f'href="{folder}/{name}"'

    svg = IDENTITY.sub(own, svg)
    svg = PHOTOGRAPH.sub(kept, svg)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    outer = re.match(r'<svg [^>]*aria-label="([^"]*)"[^>]*>', svg)
    panels = svg[outer.end() : svg.rindex("</svg>")]
    return f'<div class="cn-panels" role="img" aria-label="{outer[1]}">{panels}</div>'
