"""Words stay words: what an author writes into a page makes no element, closes none and ends no attribute."""

import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from torch import nn

from convnotes import page, plots
from convnotes.measure import Table, cost

HOSTILE = """<script>alert(1)</script>"'&amp;</svg></td><img src=x onerror=y>\u2028 -->]]> $"""
SHORT = "<script>&\"'-->"  # a title has to fit above its panel


class Elements(HTMLParser):
    """All elements, attributes and words of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.words = set(), {}, ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value)

    def handle_data(self, data):
        self.words += data


def assert_words_only(text: str) -> Elements:
    found = Elements(text)
    assert not found.tags & {"script", "img", "iframe", "foreignobject"}
    assert not [name for name in found.attributes if name.startswith("on")]
    return found


def drawing(**options):
    return plots.reads((3, 3), (3, 3), (1, 1), [[1, 1]], **options)


def test_a_figure_shows_hostile_words_as_words():
    figure = page.figure(drawing(title=SHORT), HOSTILE, HOSTILE)
    svg = figure.svg()
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == HOSTILE
    assert SHORT in assert_words_only(svg).words
    assert HOSTILE in assert_words_only(svg).attributes["aria-label"]


def test_a_card_shows_hostile_words_as_words():
    words = dict.fromkeys(("what", "formula", "use", "avoid", "paper", "alt", "field"), HOSTILE)
    beside = {HOSTILE: nn.Conv2d(64, 64, 1)}
    card = page.card("nn.Conv2d(64, 64, 1)", drawing=drawing(), beside=beside, **words)
    assert assert_words_only(card._repr_html_()).words.count(HOSTILE) == 8, "six facts, and two ratios' names"


@pytest.mark.parametrize(
    "shown",
    [
        page.checked(HOSTILE),
        page.Verdict(1, HOSTILE, "Holds"),
        Table(HOSTILE, [HOSTILE, "n"], [[HOSTILE, HOSTILE]]),
        cost(type(HOSTILE, (nn.Conv2d,), {})(4, 4, 1), (1, 4, 8, 8)),
    ],
    ids=["checked", "verdict", "table", "cost"],
)
def test_tables_and_lines_show_hostile_words_as_words(shown):
    assert HOSTILE in assert_words_only(shown._repr_html_()).words
